import _signal  # the part of `signal` that costs nothing to import
import gc
import posix

from ch04_images.sealed import seal

_signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # Ctrl-C in the first moments ends us without a traceback
if posix.geteuid():
    from final.engine.rootless import begin_as_root

    begin_as_root()
seal("run", "start", "restart", "exec", "build")

gc.set_threshold(100_000)  # fewer objects make a command: to look for garbage among them takes a millisecond
from final.cli import entry_point  # noqa: E402

entry_point()
