"""Open files of a union: handles in the branches, and files that have lost their name while open.

A handle is a descriptor of the branch's file. Three rules make it behave as on any file system:

    who writes   gets a handle in a writable branch, after copy-up
    who reads    a lower file that is copied up meanwhile is moved over to the copy: one path, one file
    orphans      a file that is removed while open is gone from its directory, but not for those who have it open

Reference: open(2), unlink(2); libfuse's fuse_operations in include/fuse.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re

from ch02_namespaces import aufs_changes
from ch02_namespaces.aufs_copyup import copy_up
from ch02_namespaces.aufs_union import Entry, Union, open_unnoticed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What a handle in a branch is opened with: the kernel does O_APPEND, O_DIRECT and O_TRUNC itself, and with O_APPEND
# Linux' pwrite(2) would ignore the offset.
KEPT_FLAGS = os.O_ACCMODE | os.O_SYNC | os.O_DSYNC

# Where a file system would lose an open file's name, libfuse renames the file to such a name.
HIDDEN = re.compile(r"\.fuse_hidden[0-9a-f]{16}")

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def check(result: int) -> None:
    """Raise the OSError of a C library call that returned -1."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class OpenFiles:
    """The requests for open files. `file` is libfuse's struct fuse_file_info: flags as of open(2), fh our handle.

    Orphans: libfuse asks to rename a file that is to be removed while open to `.fuse_hidden…`, so that fstat(2)
    and its like still have a path. For us that is the removal, and the hidden name stands for a descriptor that we
    keep. So these names, with 16 hexadecimal digits, are not for users; they get EPERM.
    """

    def __init__(self, union: Union) -> None:
        self._union = union
        self._handles: dict[int, str | None] = {}  # the path, if it was opened in a read-only branch
        self._orphans: dict[str, tuple[int, bool]] = {}  # by hidden name: descriptor, may be changed
        union.after_copy_up = self._redirect_readers

    def open(self, path: str, file: Any) -> None:
        """open(2) of an existing regular file; to write means to copy it up first."""
        writing = file.flags & os.O_ACCMODE != os.O_RDONLY
        orphan = self._orphan(path, to_change=writing)
        if orphan is not None:  # through /proc/PID/fd
            self._remember(file, os.open(f"/proc/self/fd/{orphan}", file.flags & KEPT_FLAGS | os.O_CLOEXEC))
            return
        if writing:
            entry = copy_up(self._union, path)
            flags = file.flags & KEPT_FLAGS | os.O_NOFOLLOW | os.O_CLOEXEC
            self._remember(file, os.open(entry.name, flags, dir_fd=entry.parent))
        else:
            entry = self._union.lookup(path)
            handle = open_unnoticed(entry.name, os.O_RDONLY | os.O_NONBLOCK, entry.parent)
            self._remember(file, handle, None if self._union.writable(entry) else path)
        # The page cache may outlive the close, unless another name of the file can change it.
        file.keep_cache = entry.stat.st_nlink == 1

    def _remember(self, file: Any, handle: int, lower_path: str | None = None) -> None:
        file.fh = handle
        self._handles[handle] = lower_path

    def _redirect_readers(self, path: str, entry: Entry) -> None:
        """Let those who had the lower file open read its copy: all who look at one path see one file."""
        for handle in [handle for handle, known in self._handles.items() if known == path]:
            self._handles[handle] = None
            copy = open_unnoticed(entry.name, os.O_RDONLY, entry.parent)
            os.dup2(copy, handle, inheritable=False)
            os.close(copy)

    def read(self, path: str | None, size: int, offset: int, file: Any) -> bytes:
        """pread(2)."""
        return os.pread(file.fh, size, offset)

    def write(self, path: str | None, data: bytes, offset: int, file: Any) -> int:
        """pwrite(2)."""
        return os.pwrite(file.fh, data, offset)

    def fsync(self, path: str | None, datasync: int, file: Any) -> None:
        """fsync(2) and fdatasync(2)."""
        (os.fdatasync if datasync else os.fsync)(file.fh)

    def fallocate(self, path: str | None, mode: int, offset: int, size: int, file: Any) -> None:
        """fallocate(2), with its modes, such as punching holes."""
        check(_libc.fallocate(file.fh, mode, offset, size))

    def lseek(self, path: str | None, offset: int, whence: int, file: Any) -> int:
        """lseek(2) for SEEK_DATA and SEEK_HOLE."""
        return os.lseek(file.fh, offset, whence)

    def release(self, path: str | None, file: Any) -> None:
        """The last close(2) of an open file."""
        del self._handles[file.fh]
        if path is None:  # its directory is gone as well, so libfuse has no name to tell us to drop
            status = os.fstat(file.fh)
            for name in [n for n, (fd, _) in self._orphans.items() if os.path.samestat(os.fstat(fd), status)]:
                self._drop_orphan(name)
        os.close(file.fh)

    def _orphan_instead(self, old: str, new: str) -> bool:
        """Do a rename to a hidden name: remove the file, but keep it by that name. False for all other names."""
        name = os.path.basename(new)
        if not HIDDEN.fullmatch(name):
            return False
        entry = self._union.lookup(old)
        if not any(os.path.samestat(os.fstat(handle), entry.stat) for handle in self._handles):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), new)  # a user's rename, not libfuse's
        orphan = os.open(entry.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=entry.parent)
        try:
            aufs_changes.unlink(self._union, old)
        except OSError:
            os.close(orphan)
            raise
        self._orphans[name] = orphan, self._union.writable(entry)
        return True

    def _orphan(self, path: str | None, to_change: bool = False) -> int | None:
        """The descriptor kept for a hidden name, None for all other names."""
        descriptor, changeable = self._orphans.get(os.path.basename(path or ""), (None, True))
        if to_change and not changeable:  # it lies in a lower branch, and without a name it has no place for a copy
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return descriptor

    def _drop_orphan(self, path: str) -> bool:
        """Let go of a removed file that nobody has open any more; False if it is none."""
        descriptor, _ = self._orphans.pop(os.path.basename(path), (None, True))
        if descriptor is None:
            return False
        os.close(descriptor)
        return True
