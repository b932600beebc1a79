"""`python3 -m tests.support.kill_at STEP COUNTER INCREMENT ARGUMENT …`: a command that is killed at one of its steps.

A step is a stage of the loop, a system call of ch02_namespaces.syscalls, or a change of a file by Python's own calls.
All processes of the command count together, in a file that they share: the one that takes step number STEP ends by
SIGKILL before it does so, and notes that it did. Two that count at one time may count one step instead of two.
"""

from __future__ import annotations

import importlib
import mmap
import os
import signal
import struct
import sys
from pathlib import Path

from ch02_namespaces import syscalls

CHANGES = {
    *("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.chmod", "os.chown", "os.utime"),
    *("os.truncate", "os.setxattr", "os.removexattr", "fcntl.flock", "os.chdir", "os.kill"),
}
"""Events that are steps; opening a file for writing is one, too. Python's documentation, "Audit events table"."""
RECORD = struct.Struct("qq")
"""In the file: how many steps were taken, and 1 when somebody was killed."""
NUMBER = struct.Struct("q")


def begin(counter: Path) -> None:
    """Make the file, before the command is started."""
    counter.write_bytes(RECORD.pack(0, 0))


def has_killed(counter: Path) -> bool:
    """Whether somebody was killed; else the command has fewer steps."""
    return bool(RECORD.unpack(counter.read_bytes())[1])


class Steps:
    """Counts, and kills when the time has come."""

    def __init__(self, fatal: int, counter: str) -> None:
        self._fatal = fatal
        descriptor = os.open(counter, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        os.ftruncate(descriptor, RECORD.size)
        self._counter = mmap.mmap(descriptor, RECORD.size)
        self._killing = False

    def take(self) -> None:
        """One more step."""
        if self._killing:
            return
        (count,) = NUMBER.unpack_from(self._counter)
        NUMBER.pack_into(self._counter, 0, count + 1)
        if count + 1 == self._fatal:
            self._killing = True
            NUMBER.pack_into(self._counter, NUMBER.size, 1)
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
    from ch03_run.container import Container

    cli = importlib.import_module(f"{increment}.cli")
    steps = Steps(int(fatal), counter)
    sys.addaudithook(steps.on_event)
    syscalls.observer = lambda call, result: steps.take()
    Container._stage = lambda *_: steps.take()  # type: ignore[method-assign]
    sys.argv[1:] = arguments
    cli.entry_point()


if __name__ == "__main__":
    main()
