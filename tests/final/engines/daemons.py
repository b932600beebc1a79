"""Servers that a test starts and stops itself, and the directories of the machine in which they leave things."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ch02_namespaces import syscalls
from ch02_namespaces.errors import SyscallError
from tests.support.hosts import Host, wait_for_end
from tests.support.polling import eventually


class Daemon:
    """One server on a host; it writes into a log file."""

    def __init__(self, host: Host, words: Sequence[str], log: Path) -> None:
        self._log = log
        with open(log, "wb") as out:
            self._process = host.spawn(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def wait_until(self, answers: Callable[[], bool]) -> None:
        """Wait until it answers, or has ended: that is an error."""
        eventually(lambda: self._process.poll() is not None or answers(), f"an answer of {self._process.args!r}")
        assert self._process.poll() is None, self._log.read_text()

    def stop(self) -> None:
        """Ask it to end, and wait for that."""
        self._process.send_signal(signal.SIGTERM)
        wait_for_end(self._process)


@contextlib.contextmanager
def emptied(directory: str) -> Iterator[None]:
    """An empty file system over a directory, for us and whom we start: what is left there goes with it."""
    is_new = not os.path.isdir(directory)
    if is_new:
        os.makedirs(directory)
    syscalls.mount("tmpfs", directory, "tmpfs", 0, "mode=755")
    try:
        yield
    finally:
        eventually(lambda: _unmounted(directory), f"the end of the mount at {directory}")
        if is_new:
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(directory)


def _unmounted(directory: str) -> bool:
    """Somebody who is just ending may still have a file open there. It is gone already if a test of the same kind, in
    another mount namespace, has removed the directory."""
    try:
        syscalls.umount(directory)
    except SyscallError as error:
        return error.errno != errno.EBUSY
    return True
