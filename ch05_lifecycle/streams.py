"""The streams of a container in the background: its watcher reads what it prints. Book sections 5.1 and 5.3."""

from __future__ import annotations

import fcntl
import os

from ch02_namespaces import syscalls
from ch03_run.container import Container, Part
from ch03_run.null import use_own_null
from ch04_images.console import Console

PIPE_SIZE = 1 << 20  # bytes; the most that an ordinary user may ask for: pipe(7)


class LoggedStreams(Part):
    """Standard output and error are pipes to the watcher; standard input is a FIFO that `attach` writes to, with -i, or
    /dev/null.

    The container itself holds both ends of the FIFO, so its input does not end when somebody who was attached leaves.
    """

    section = "5.3"

    def __init__(self, fifo: str | None) -> None:
        self._fifo = fifo
        self.readers: dict[int, str] = {}
        """What the watcher reads: descriptors, and the names of their streams."""
        self._ends: list[int] = []

    def prepare(self, container: Container) -> None:
        if self._fifo is None:
            self._ends.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
        else:
            make_fifo(self._fifo)
            self._ends.append(os.open(self._fifo, os.O_RDWR | os.O_CLOEXEC))
        for name in ("stdout", "stderr"):
            reader, writer = os.pipe2(os.O_CLOEXEC)
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
            os.set_blocking(reader, False)
            self.readers[reader] = name
            self._ends.append(writer)

    def attach(self, container: Container) -> None:
        self._close_ends()  # the child has them: when it and its children have closed theirs, we read the end of file

    def enter(self, container: Container) -> None:
        syscalls.setsid()
        for number, descriptor in enumerate(self._ends):
            os.dup2(descriptor, number)
        use_own_null()

    def cleanup(self, container: Container) -> None:
        self._close_ends()
        for reader in self.readers:
            os.close(reader)
        self.readers.clear()

    def _close_ends(self) -> None:
        while self._ends:
            os.close(self._ends.pop())


class LoggedConsole(Console):
    """A terminal of the container's own that nobody looks at: the watcher reads what it prints, and `attach` types into
    a FIFO that the watcher empties into it."""

    section = "5.3"

    def __init__(self, fifo: str | None, is_console: bool = True) -> None:
        super().__init__(interactive=False, is_console=is_console)
        self._fifo = fifo
        self.readers: dict[int, str] = {}
        self.keys = -1

    def connect(self) -> None:
        """Take the terminal that the child has made."""
        super().connect()
        self.listen()

    def listen(self) -> None:
        """Begin to read what it prints, and what `attach` types."""
        self.readers[self.master] = "stdout"
        if self._fifo is not None:
            make_fifo(self._fifo)
            self.keys = os.open(self._fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        os.close(self._slave)  # or the end of the last program would be no end of file
        self._slave = -1

    def cleanup(self, container: Container) -> None:
        if self.keys >= 0:
            os.close(self.keys)
        self.keys = -1
        self.readers.clear()
        super().cleanup(container)


def make_fifo(path: str) -> None:
    """Make a FIFO, unless it is there from an earlier start."""
    if not os.path.exists(path):
        os.mkfifo(path, 0o600)
