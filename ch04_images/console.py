"""A terminal that is made inside the container, where its name /dev/pts/0 means something: `run -t`.

Chapter 3's is of the host's /dev/pts, which cannot be seen here any more: `tty` would say "not a tty". So the child
opens one of the container's own and passes it to the engine: unix(7), SCM_RIGHTS. runc does the same.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError
from ch03_run.container import Container
from ch03_run.terminal import Terminal
from ch04_images import inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

TIOCSPTLCK, TIOCGPTPEER = 0x40045431, 0x5441  # asm-generic/ioctls.h


class Console(Terminal):
    """A pseudoterminal of the container's own; it is also its /dev/console, unless it is not the first."""

    section = "3.1.2, 4.1.2"

    def __init__(self, interactive: bool, is_console: bool = True) -> None:
        super().__init__(interactive)
        self._is_console = is_console
        self._ours: socket.socket | None = None
        self._theirs: socket.socket | None = None

    def prepare(self, container: Container) -> None:
        import array  # noqa: F401  # send_fds() imports it, which is too late behind pivot_root
        import socket  # 5 ms, and only those with a terminal need it

        self._ours, self._theirs = socket.socketpair()

    def enter(self, container: Container) -> None:
        import socket

        assert self._theirs is not None
        self.master = open_multiplexer()
        fcntl.ioctl(self.master, TIOCSPTLCK, struct.pack("i", 0))
        self._slave = fcntl.ioctl(self.master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        self.copy_size()
        if self._is_console:
            cover_console(self._slave)
        socket.send_fds(self._theirs, [b"terminal"], [self.master, self._slave])
        super().enter(container)

    def connect(self) -> None:
        """Take the terminal that the child has made."""
        import socket

        assert self._ours is not None
        _, (self.master, self._slave), _, _ = socket.recv_fds(self._ours, 64, 2)
        self.copy_size()  # the window may have changed meanwhile

    def cleanup(self, container: Container) -> None:
        for end in (self._ours, self._theirs):
            if end is not None:
                end.close()
        super().cleanup(container)


def open_multiplexer() -> int:
    """A new terminal's master, of the container's own terminals and of nothing else that an image may have at this
    path. Raises EngineError."""
    directory = inside.open_path("/dev/pts", inside.DIRECTORY)
    if syscalls.filesystem_kind(directory) != syscalls.DEVPTS_SUPER_MAGIC:
        raise EngineError("/dev/pts", "there is no devpts file system", "an entry of `mounts`")
    flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    master = os.open("ptmx", flags, dir_fd=directory)
    os.close(directory)
    return master


def cover_console(terminal: int) -> None:
    """Make a terminal /dev/console, too. Both are known by descriptors: a link in their place could put something of
    the image over what protects /proc (CVE-2025-52565). Raises EngineError for a link."""
    directory = inside.make_directory("/dev")
    try:  # noqa: SIM105  # contextlib takes a millisecond to import
        os.close(os.open("console", os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory))
    except FileExistsError:
        pass  # what it is, is looked at now
    target = os.open("console", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    if stat.S_ISLNK(os.fstat(target).st_mode):
        raise EngineError("/dev/console", "it is a link in the image")
    tree = syscalls.open_tree("", directory=terminal)
    syscalls.move_mount(tree, target)
    for descriptor in (tree, target, directory):
        os.close(descriptor)
