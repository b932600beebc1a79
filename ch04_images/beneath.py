"""A directory that nobody leaves: what is below it is reached by descriptor, one name at a time.

Sources: openat(2), symlink(7). The kernel never gets a path with a slash in it, nor follows a symbolic link for us
(O_NOFOLLOW), so it does not matter what has been put in the way. openat2(2) with RESOLVE_BENEATH does the same in one
call; here the directories passed are kept open, which is faster for thousands of files.
"""

from __future__ import annotations

import errno
import os
import stat

from ch04_images.tar_header import shown

ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
MOST_OPEN = 256  # before an entry; a process may have 1,024 files, and one entry opens at most two names' directories


class Tree:
    """The directories below `top`. All its functions raise OSError."""

    def __init__(self, top: str) -> None:
        self._top = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open: dict[bytes, int] = {}
        self._stale = False

    def directory(self, path: bytes, create: bool = False) -> int:
        """A descriptor of the directory with this path (b"" is the top). It is the tree's, and valid until trim().

        path: names with single slashes between them, none of which is `.` or `..`. create: make what is missing of
        it, 0755. A symbolic link or a file in the way is an error.
        """
        descriptor, end = self._top, 0
        known = self._open.get(path)
        if known is not None:
            return known
        while end < len(path):
            start = end + 1 if end else 0
            end = path.find(b"/", start)
            end = len(path) if end < 0 else end
            above, descriptor = descriptor, self._open.get(path[:end], -1)
            if descriptor < 0:
                descriptor = self._open[path[:end]] = _enter(above, path[start:end], path[:end], create)
        return descriptor

    def remove(self, parent: int, name: bytes) -> None:
        """Remove a file, or a directory with all that is in it, by the descriptor of the directory above."""
        try:
            os.unlink(name, dir_fd=parent)
        except IsADirectoryError:
            self._stale = True  # it may be open, or one below it; nothing can be made there any more
            descriptor = os.open(name, ENTER, dir_fd=parent)
            try:
                for below in os.listdir(descriptor):
                    self.remove(descriptor, os.fsencode(below))
            finally:
                os.close(descriptor)
            os.rmdir(name, dir_fd=parent)

    def trim(self) -> None:
        """Close the directories if there are many, or if some may have been removed. Call it between entries."""
        if self._stale or len(self._open) > MOST_OPEN:
            self._forget()

    def _forget(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()
        self._stale = False

    def close(self) -> None:
        """Close all."""
        self._forget()
        os.close(self._top)


def _enter(parent: int, name: bytes, path: bytes, create: bool) -> int:
    try:
        return os.open(name, ENTER, dir_fd=parent)
    except FileNotFoundError:
        if not create:
            raise
    except NotADirectoryError as error:  # for a symbolic link, too, as O_DIRECTORY goes before O_NOFOLLOW
        what = "a symbolic link" if stat.S_ISLNK(os.lstat(name, dir_fd=parent).st_mode) else "no directory"
        raise OSError(error.errno, f"{shown(path)} is {what}, and nothing is done below one") from None
    os.mkdir(name, 0o700, dir_fd=parent)
    descriptor = os.open(name, ENTER, dir_fd=parent)
    os.fchmod(descriptor, 0o755)
    return descriptor


def is_whiteout(parent: int, name: bytes) -> bool:
    """Whether this entry hides one of the layers below: a character device 0/0, overlayfs.rst."""
    status = os.lstat(name, dir_fd=parent)
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(0, 0)


def why(error: OSError) -> str:
    """The reason in an OSError, for an EngineError."""
    return f"{error.strerror} [{errno.errorcode.get(error.errno or 0, error.errno)}]"
