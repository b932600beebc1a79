"""Several things at once, in threads: what fails first ends all."""

from __future__ import annotations

import concurrent.futures
import resource
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeVar

    T = TypeVar("T")

AT_ONCE = 3
DESCRIPTORS = 1 << 16  # unpacking keeps up to 500 directories open, and three do so at once


def for_all(items: Iterable[T], action: Callable[[T], object], cancel: Callable[[], None]) -> None:
    """Do something with each. The first error, Ctrl-C included, is raised when all threads have ended. cancel: makes
    them end early."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, DESCRIPTORS), most))
    with _Interrupts(cancel), concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        futures = [pool.submit(action, item) for item in items]
        try:
            for future in concurrent.futures.as_completed(futures):
                future.result()
        except BaseException:
            for future in futures:
                future.cancel()
            cancel()
            raise


class _Interrupts:
    """Signals that would raise KeyboardInterrupt cancel instead; it is raised at the end of the `with`.

    Otherwise it could come while a thread is being started, and nobody would wait for that thread.
    """

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel = cancel
        self._came = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is signal.default_int_handler:
                self._before[number] = signal.signal(number, self._note)

    def _note(self, *_: object) -> None:
        self._came = True
        self._cancel()

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._came:
            raise KeyboardInterrupt
