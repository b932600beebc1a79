"""Paths in a container's root file system, once it is our root. Book section 4.1.2.

After pivot_root there is nothing outside that a path or a symbolic link could lead to, with one exception: the links
of /proc, such as /proc/self/fd/3, which lead to whatever the engine still has open. They are never followed here:
openat2(2), RESOLVE_NO_MAGICLINKS. An image may be made of such links (CVE-2024-21626 went that way).
"""

from __future__ import annotations

import errno
import os
import stat

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError, SyscallError

DIRECTORY = os.O_PATH | os.O_DIRECTORY
MOST_LINKS = 40  # as many as the kernel follows: path_resolution(7)
LONGEST_FILE = 1 << 20
DEEPEST = 256


def open_path(path: str, flags: int = os.O_PATH) -> int:
    """A descriptor of an absolute path; the default is good for all but reading and writing. Raises SyscallError."""
    return syscalls.openat2(syscalls.AT_FDCWD, path, flags, syscalls.RESOLVE_NO_MAGICLINKS)


def make_directory(path: str, links: int = MOST_LINKS) -> int:
    """A descriptor of a directory; what is missing of its path is made, 0755. So is the place where a symbolic link
    leads that leads nowhere yet. Raises EngineError."""
    try:
        return open_path(path, DIRECTORY)
    except SyscallError as error:
        if error.errno == errno.ENOTDIR:
            raise EngineError(path, "it, or what is above it, is a file in the image") from None
        if error.errno != errno.ENOENT:
            raise
    if path.count("/") > DEEPEST:
        raise EngineError(path[:60] + "...", f"it is more than {DEEPEST} directories deep")
    above, name = os.path.split(path.rstrip("/"))
    parent = make_directory(above, links)
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
        return os.open(name, DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except FileExistsError:
        return make_directory(os.path.join(above, _read_link(parent, name, path, links)), links - 1)
    except OSError as error:
        raise EngineError(path, f"it cannot be made: {error.strerror}") from None
    finally:
        os.close(parent)


def make_file(path: str, links: int = MOST_LINKS) -> int:
    """The same for a file: an empty one is made where there is none. Raises EngineError; for a directory, too."""
    try:
        descriptor = open_path(path)
    except SyscallError as error:
        if error.errno != errno.ENOENT:
            raise
    else:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
        raise EngineError(path, "it is a directory in the image, and what is to be there is a file")
    above, name = os.path.split(path)
    parent = make_directory(above, links)
    try:
        return os.open(name, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=parent)
    except FileExistsError:
        return make_file(os.path.join(above, _read_link(parent, name, path, links)), links - 1)
    except OSError as error:
        raise EngineError(path, f"it cannot be made: {error.strerror}") from None
    finally:
        os.close(parent)


def _read_link(parent: int, name: str, path: str, links: int) -> str:
    """Where a symbolic link leads that leads nowhere, as seen from its directory."""
    if not links:
        raise EngineError(path, "too many symbolic links")
    try:
        return os.readlink(name, dir_fd=parent)
    except OSError as error:
        raise EngineError(path, str(error.strerror)) from None


def read_lines(path: str) -> list[str]:
    """The lines of a regular file, such as /etc/passwd; none if there is no file, nor of what is no regular one.

    Raises EngineError if it has more than a megabyte.
    """
    try:
        descriptor = open_path(path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO would let us wait for ever
    except SyscallError:
        return []
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return []
        data = os.pread(
            descriptor, min(status.st_size, LONGEST_FILE + 1), 0
        )  # of files in /proc, whose size is 0, nothing
    finally:
        os.close(descriptor)
    if len(data) > LONGEST_FILE:
        raise EngineError(path, f"it is larger than {LONGEST_FILE >> 20} MiB")
    return data.decode(errors="surrogateescape").split("\n")
