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
MOST_OPEN = 256  # before a call, which may open Bounds.depth more; a process may have 1,024 files


class Tree:
    """The directories below `top`. All its functions raise OSError."""

    def __init__(self, top: str) -> None:
        self._top = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open = {b"": self._top}

    def directory(self, path: bytes, create: bool = False, keep: int = -1) -> int:
        """A descriptor of the directory with this path (b"" is the top). It is the tree's, and valid until the next
        call, unless that is told to keep it.

        path: names with single slashes between them, none of which is `.` or `..`. create: make what is missing of
        it, 0755. A symbolic link or a file in the way is an error.
        """
        known = self._open.get(path)
        if known is not None:
            return known
        if len(self._open) > MOST_OPEN:
            self._forget(keep)
        descriptor, end = self._top, -1
        while end < len(path):
            start = end + 1
            end = path.find(b"/", start)
            end = len(path) if end < 0 else end
            above, descriptor = descriptor, self._open.get(path[:end], -1)
            if descriptor < 0:
                descriptor = self._open[path[:end]] = _enter(above, path[start:end], path[:end], create)
        return descriptor

    def remove(self, parent: int, name: bytes) -> None:
        """Remove a file, or a directory with all that is in it. The descriptor of the one above stays valid."""
        try:
            os.unlink(name, dir_fd=parent)
        except IsADirectoryError:
            _remove_directory(parent, name)
            self._forget(keep=parent)  # some may be of directories that are no more

    def _forget(self, keep: int = -1) -> None:
        """Close all directories but the top and one more."""
        for path, descriptor in list(self._open.items()):
            if descriptor not in (self._top, keep):
                os.close(descriptor)
                del self._open[path]

    def close(self) -> None:
        """Close all."""
        self._forget()
        os.close(self._top)


def _remove_directory(parent: int, name: bytes) -> None:
    descriptor = os.open(name, ENTER, dir_fd=parent)
    try:
        for below in map(os.fsencode, os.listdir(descriptor)):
            try:
                os.unlink(below, dir_fd=descriptor)
            except IsADirectoryError:
                _remove_directory(descriptor, below)
    finally:
        os.close(descriptor)
    os.rmdir(name, dir_fd=parent)


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
