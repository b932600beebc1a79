"""The union as a file system: what the kernel asks over FUSE, answered by the union logic.

The kernel's FUSE driver sends a request for each operation on the mount, libfuse (through mfusepy, which is plain
ctypes) calls the method of the same name here, one at a time: a Python process gains nothing from threads here,
and the union needs no locks. The kernel itself checks permissions (default_permissions), and caches.

Reference: fuse(4), libfuse's include/fuse.h (struct fuse_operations), and the kernel's fs/fuse.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import sys

import mfusepy

from ch02_namespaces import aufs_changes as changes
from ch02_namespaces.aufs_copyup import copy_up, pinned
from ch02_namespaces.aufs_files import OpenFiles, check
from ch02_namespaces.aufs_union import Union, open_unnoticed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

# How long, in seconds, the kernel may answer from its cache. As branches change only through the union it would
# never be wrong; one second lets you change a branch by hand all the same and see the result.
CACHE_TIME = 1.0

# include/fuse_common.h
CAP_ATOMIC_O_TRUNC = 1 << 3
CAP_DONT_MASK = 1 << 6
CAP_POSIX_ACL = 1 << 19
CAP_HANDLE_KILLPRIV = 1 << 20

_libc = ctypes.CDLL(None, use_errno=True)
_libc.utimensat.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int]


def serve(union: Union, target: str, ready: Callable[[], None], options: dict[str, Any]) -> None:
    """Mount the union at target and answer requests until it is unmounted or a signal comes (HUP, INT, TERM).

    ready: called as soon as the mount can be used; options: further FUSE mount options, see mount.fuse3(8).
    Raises RuntimeError with libfuse's exit code if it cannot mount; the reason is what it wrote to standard error.
    """
    os.umask(0)
    _Requests(
        UnionFileSystem(union, ready),
        target,
        raw_fi=True,
        encoding=sys.getfilesystemencoding(),
        foreground=True,
        nothreads=True,
        default_permissions=True,
        subtype="aufs",
        entry_timeout=CACHE_TIME,
        negative_timeout=CACHE_TIME,
        **options,
    )


class _Requests(mfusepy.FUSE):  # type: ignore[misc]  # mfusepy is not typed
    """mfusepy's request decoding, where it drops what libfuse 3 says: rename flags, handles, exact times."""

    def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> None:
        self.operations.rename(os.fsdecode(old), os.fsdecode(new), flags)

    def truncate_fuse_3(self, path: bytes | None, length: int, file: Any) -> None:
        self.operations.truncate(_decoded(path), length, file.contents if file else None)

    def utimens_fuse_3(self, path: bytes | None, times: Any, file: Any) -> None:
        self.operations.utimens(_decoded(path), times)

    def lseek(self, path: bytes | None, offset: int, whence: int, file: Any) -> int:
        found: int = self.operations.lseek(_decoded(path), offset, whence, file.contents)
        return found


def _decoded(path: bytes | None) -> str | None:
    return None if path is None else os.fsdecode(path)


class UnionFileSystem(OpenFiles):
    """One method per FUSE request, those for open files inherited; paths are the union's own."""

    use_ns = True  # mfusepy: times are integers, nanoseconds

    def __init__(self, union: Union, ready: Callable[[], None]) -> None:
        super().__init__(union)
        self._ready = ready
        self._config: Any = None

    def init_with_config(self, connection: Any, config: Any) -> None:
        """Agree with the kernel on how the file system works (fuse_operations.init)."""
        self._config = config
        config.use_ino = 1  # show our inode numbers
        # The kernel shall not apply the umask, because a directory's default ACL overrides it. But it shall itself take
        # set-user-ID bits and capabilities away on write, chown and O_TRUNC: it knows who may keep them.
        connection.want |= (CAP_DONT_MASK | CAP_POSIX_ACL) & connection.capable
        connection.want &= ~(CAP_HANDLE_KILLPRIV | CAP_ATOMIC_O_TRUNC)
        self._ready()

    # --- look

    def getattr(self, path: str | None, file: Any) -> dict[str, int]:
        """stat(2)."""
        if file is not None:
            return self._attributes(os.fstat(file.fh))
        orphan = self._orphan(path)
        if orphan is not None:
            return self._attributes(os.fstat(orphan))
        return self._attributes(self._union.lookup(path or "").stat)

    def _attributes(self, status: os.stat_result) -> dict[str, int]:
        is_directory = stat.S_ISDIR(status.st_mode)
        # Each name of a file is an inode of its own to libfuse, so the kernel cannot know that a change through one
        # name, or a new link, changes the others: only directories, which have one name, may be cached.
        self._config.attr_timeout = CACHE_TIME if is_directory else 0.0
        return {
            "st_mode": status.st_mode,
            "st_ino": self._union.number(status.st_dev, status.st_ino),
            # As on btrfs and overlayfs, 1 says that the number of subdirectories is not known (find(1) cares).
            "st_nlink": 1 if is_directory else status.st_nlink,
            "st_uid": status.st_uid,
            "st_gid": status.st_gid,
            "st_rdev": status.st_rdev,
            "st_size": status.st_size,
            "st_blocks": status.st_blocks,
            "st_blksize": status.st_blksize,
            "st_atime": status.st_atime_ns,
            "st_mtime": status.st_mtime_ns,
            "st_ctime": status.st_ctime_ns,
        }

    def readlink(self, path: str) -> str:
        """readlink(2)."""
        entry = self._union.lookup(path)
        return os.readlink(entry.name, dir_fd=entry.parent)

    def opendir(self, path: str) -> int:
        """opendir(3): a handle to the topmost layer, for fsyncdir."""
        _, layer = self._union.directory(path).layers[0]
        return open_unnoticed(".", os.O_RDONLY | os.O_DIRECTORY, layer)

    def readdir(self, path: str | None, handle: int) -> Iterator[tuple[str, dict[str, int], int]]:
        """readdir(3). libfuse takes the whole list at once, so changes do not disturb who is reading it."""
        yield ".", {"st_mode": stat.S_IFDIR}, 0
        yield "..", {"st_mode": stat.S_IFDIR}, 0
        if path is None:  # it has been removed
            return
        for name, kind, number in self._union.listing(self._union.directory(path)):
            yield name, {"st_mode": kind, "st_ino": number}, 0

    def releasedir(self, path: str | None, handle: int) -> None:
        """closedir(3)."""
        os.close(handle)

    def fsyncdir(self, path: str | None, datasync: int, handle: int) -> None:
        """fsync(2) of a directory."""
        os.fsync(handle)

    def statfs(self, path: str) -> dict[str, int]:
        """statfs(2), of the topmost branch, as AUFS does."""
        root = self._union.directory("/").layers[0][1]
        status = os.fstatvfs(root)
        return {name: getattr(status, name) for name in dir(status) if name.startswith("f_")}

    # --- change attributes

    @contextlib.contextmanager
    def _changeable(self, path: str | None, with_data: bool = True) -> Iterator[str]:
        """A path, through /proc/self/fd, to a file that may be changed: it is copied up first."""
        orphan = self._orphan(path, to_change=True)
        if orphan is not None:
            yield f"/proc/self/fd/{orphan}"
            return
        entry = copy_up(self._union, path or "", with_data)
        with pinned(entry.name, entry.parent) as real:
            yield real

    @contextlib.contextmanager
    def _readable(self, path: str) -> Iterator[str]:
        orphan = self._orphan(path)
        if orphan is not None:
            yield f"/proc/self/fd/{orphan}"
            return
        entry = self._union.lookup(path)
        with pinned(entry.name, entry.parent) as real:
            yield real

    def chmod(self, path: str, mode: int) -> None:
        """chmod(2)."""
        with self._changeable(path) as real:
            os.chmod(real, stat.S_IMODE(mode))

    def chown(self, path: str, uid: int, gid: int) -> None:
        """lchown(2); -1 leaves one alone."""
        with self._changeable(path) as real:
            os.chown(real, uid, gid)

    def utimens(self, path: str, times: Any) -> None:
        """utimensat(2); times: two struct timespec, as they came, with UTIME_NOW and UTIME_OMIT."""
        with self._changeable(path) as real:
            check(_libc.utimensat(-1, real.encode(), times, 0))

    def truncate(self, path: str | None, length: int, file: Any) -> None:
        """truncate(2) and ftruncate(2)."""
        if file is not None:
            os.ftruncate(file.fh, length)
            return
        with self._changeable(path, with_data=length > 0) as real:
            os.truncate(real, length)

    def getxattr(self, path: str, name: str) -> bytes:
        """getxattr(2)."""
        with self._readable(path) as real:
            return os.getxattr(real, name)

    def listxattr(self, path: str) -> list[str]:
        """listxattr(2)."""
        with self._readable(path) as real:
            return os.listxattr(real)

    def setxattr(self, path: str, name: str, value: bytes, flags: int) -> None:
        """setxattr(2), which is also how ACLs are set."""
        with self._changeable(path) as real:
            os.setxattr(real, name, value, flags)

    def removexattr(self, path: str, name: str) -> None:
        """removexattr(2)."""
        with self._changeable(path) as real:
            os.removexattr(real, name)

    # --- change the tree

    @contextlib.contextmanager
    def _caller(self) -> Iterator[changes.Owner]:
        """Who asks: new files are theirs, made under their umask."""
        context = mfusepy._libfuse.fuse_get_context().contents
        os.umask(context.umask)
        try:
            yield changes.Owner(context.uid, context.gid)
        finally:
            os.umask(0)

    def create(self, path: str, mode: int, file: Any) -> None:
        """open(2) with O_CREAT of a file that is not there yet."""
        with self._caller() as owner:
            self._remember(file, changes.create(self._union, path, mode, file.flags, owner))

    def mkdir(self, path: str, mode: int) -> None:
        """mkdir(2)."""
        with self._caller() as owner:
            changes.mkdir(self._union, path, mode, owner)

    def mknod(self, path: str, mode: int, device: int) -> None:
        """mknod(2)."""
        with self._caller() as owner:
            changes.mknod(self._union, path, mode, device, owner)

    def symlink(self, path: str, target: str) -> None:
        """symlink(2): path will say target."""
        with self._caller() as owner:
            changes.symlink(self._union, path, target, owner)

    def link(self, new: str, old: str) -> None:
        """link(2)."""
        changes.link(self._union, old, new)

    def unlink(self, path: str) -> None:
        """unlink(2)."""
        if not self._drop_orphan(path):
            changes.unlink(self._union, path)

    def rmdir(self, path: str) -> None:
        """rmdir(2)."""
        changes.rmdir(self._union, path)

    def rename(self, old: str, new: str, flags: int) -> None:
        """renameat2(2)."""
        if not self._orphan_instead(old, new):
            changes.rename(self._union, old, new, flags)
