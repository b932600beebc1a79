import _signal  # the part of `signal` that costs nothing to import

_signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # Ctrl-C in the first moments ends us without a traceback

from final.runtime.cli import entry_point  # noqa: E402

entry_point()
