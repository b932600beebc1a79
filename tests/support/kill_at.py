"""`python3 -m tests.support.kill_at STEP COUNTER INCREMENT ARGUMENT …`: a command that is killed at one of its steps.

A step is a stage of the loop, a system call of ch02_namespaces.syscalls, or a change of a file by Python's own calls.
All processes of the command count together, in a file that they share: the one that takes step number STEP ends by
SIGKILL before it does so. Afterwards the file says how many steps were taken; fewer than STEP: nobody was killed.
"""

from __future__ import annotations

import importlib
import mmap
import os
import signal
import struct
import sys

from ch02_namespaces import syscalls
from ch03_run.container import Container

CHANGES = {
    *("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.chmod", "os.chown", "os.utime"),
    *("os.truncate", "os.setxattr", "os.removexattr", "fcntl.flock", "os.chdir", "os.kill"),
}
"""Events that are steps; opening a file for writing is one, too. Python's documentation, "Audit events table"."""


class Steps:
    """Counts, and kills when the time has come."""

    def __init__(self, fatal: int, counter: str) -> None:
        self._fatal = fatal
        self._counter = mmap.mmap(os.open(counter, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC), 8)
        self._killing = False

    def take(self) -> None:
        """One more step."""
        if self._killing:
            return
        (count,) = struct.unpack_from("q", self._counter)
        struct.pack_into("q", self._counter, 0, count + 1)
        if count + 1 == self._fatal:
            self._killing = True
            os.kill(os.getpid(), signal.SIGKILL)

    def on_event(self, event: str, arguments: tuple[object, ...]) -> None:
        """For sys.addaudithook."""
        if event == "open":
            flags = arguments[2]
            if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR):
                self.take()
        elif event in CHANGES:
            self.take()


def main() -> None:
    fatal, counter, increment, *arguments = sys.argv[1:]
    cli = importlib.import_module(f"{increment}.cli")
    steps = Steps(int(fatal), counter)
    sys.addaudithook(steps.on_event)
    syscalls.observer = lambda call, result: steps.take()
    Container._stage = lambda *_: steps.take()  # type: ignore[method-assign]
    sys.argv[1:] = arguments
    cli.entry_point()


if __name__ == "__main__":
    main()
