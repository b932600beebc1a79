"""Several things at once, in threads: what fails first ends all."""

from __future__ import annotations

import concurrent.futures
import resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    T = TypeVar("T")

AT_ONCE = 3
DESCRIPTORS = 1 << 16  # unpacking keeps up to 500 directories open, and three do so at once


def for_all(items: Iterable[T], action: Callable[[T], object], cancel: Callable[[], None]) -> None:
    """Do something with each. The first error, Ctrl-C included, is raised when all threads have ended. cancel: makes
    them end early."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, DESCRIPTORS), most))
    pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
    futures = [pool.submit(action, item) for item in items]
    try:
        for future in concurrent.futures.as_completed(futures):
            future.result()
    except BaseException:
        for future in futures:
            future.cancel()
        cancel()
        raise
    finally:
        pool.shutdown()
