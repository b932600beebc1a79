"""One suite at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Wait until no other suite sees the cgroups that we see: one sweeps what another's test looks at."""
    seen = os.stat("/proc/self/ns/cgroup").st_ino
    with open(Path(tempfile.gettempdir(), f"mydocker-tests-{seen}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
