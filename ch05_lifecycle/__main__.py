import _signal  # the part of `signal` that costs nothing to import
import gc

from ch04_images.sealed import seal

_signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # Ctrl-C in the first moments ends us without a traceback
seal("run", "start", "restart", "exec")

gc.disable()  # looking for garbage among what modules have just made takes a millisecond
from ch05_lifecycle.cli import entry_point  # noqa: E402

gc.enable()
entry_point()
