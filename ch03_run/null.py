"""The host's /dev/null is not for containers: they have their own. Book section 3.1.2."""

from __future__ import annotations

import os
import stat

from ch02_namespaces.errors import EngineError

NULL = os.makedev(1, 3)


def use_own_null() -> None:
    """Where a standard stream is the host's /dev/null, take the one that is here, in the container.

    Through /proc/self/fd/0 its mode and owner could be changed, for all of the machine. Raises EngineError if what is
    here is not this device.
    """
    streams = [stream for stream in (0, 1, 2) if is_null(os.fstat(stream))]
    if not streams:
        return
    null = os.open("/dev/null", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not is_null(os.fstat(null)):
        raise EngineError("/dev/null", "it is not the device 1:3")
    for stream in streams:
        os.dup2(null, stream)
    os.close(null)


def is_null(status: os.stat_result) -> bool:
    """Whether a file is the device /dev/null: null(4)."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == NULL
