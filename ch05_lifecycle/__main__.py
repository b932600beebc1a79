import _signal  # the part of `signal` that costs nothing to import
import gc

from ch04_images.sealed import seal

_signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # Ctrl-C in the first moments ends us without a traceback
seal("run", "start", "restart", "exec")

gc.set_threshold(100_000)  # fewer objects make a command: to look for garbage among them takes a millisecond
from ch05_lifecycle.cli import entry_point  # noqa: E402

entry_point()
