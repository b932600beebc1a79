"""Changes to a union: create, link, remove and rename, so that the lower branches stay as they are.

Each function follows one order: first the whiteout that hides the old, then the change, last the removal of a
whiteout that is in the way. As a whiteout does not hide its own branch, a crash in between is never visible.

Paths are the union's own, absolute. Functions raise OSError as the system call of the same name does.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from ch02_namespaces.aufs_copyup import (
    branch_directory,
    clear_whiteouts,
    copy_up,
    copy_up_directory,
    discard,
    make_whiteout,
    mark_opaque,
    pinned,
)
from ch02_namespaces.aufs_union import TEMPORARY, WHITEOUT, Directory, Entry, Union, has_whiteout, lstat_at, split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

RENAME_NOREPLACE = 1  # linux/fs.h
SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
NEW_FILE = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Owner:
    """Who a new file belongs to. It belongs to the directory's group instead if that has the set-group-ID bit."""

    __slots__ = ("gid", "uid")

    def __init__(self, uid: int, gid: int) -> None:
        self.uid = uid
        self.gid = gid


def create(union: Union, path: str, mode: int, flags: int, owner: Owner) -> int:
    """Create a regular file and return it open with the access mode of flags (open(2)). EEXIST.

    The umask of this process and a default ACL of the directory take their part of the mode, here and below.
    """
    descriptor = None
    try:
        with _new_entry(union, path, mode, owner) as parent:
            descriptor = os.open(TEMPORARY, flags & os.O_ACCMODE | NEW_FILE, mode & 0o777, dir_fd=parent)
    except OSError:
        if descriptor is not None:
            os.close(descriptor)
        raise
    return descriptor


def mkdir(union: Union, path: str, mode: int, owner: Owner) -> None:
    """Create a directory. Over a whiteout it becomes opaque, so that the removed lower one does not come back."""
    with _new_entry(union, path, 0, owner) as parent:
        os.mkdir(TEMPORARY, mode, dir_fd=parent)


def symlink(union: Union, path: str, target: str, owner: Owner) -> None:
    """Create a symbolic link at path that says target."""
    with _new_entry(union, path, 0, owner) as parent:
        os.symlink(target, TEMPORARY, dir_fd=parent)


def mknod(union: Union, path: str, mode: int, device: int, owner: Owner) -> None:
    """Create a fifo, a socket, a device node or an empty regular file (mknod(2))."""
    with _new_entry(union, path, mode, owner) as parent:
        os.mknod(TEMPORARY, mode & ~SPECIAL_BITS, device, dir_fd=parent)


@contextlib.contextmanager
def _new_entry(union: Union, path: str, mode: int, owner: Owner) -> Iterator[int]:
    """Let the body build TEMPORARY in the directory that this yields; then it gets its owner and its name.

    Only then, since nobody may meet a set-user-ID file of root which is to become somebody else's.
    """
    directory_path, name = split(path)
    directory = union.directory(directory_path)
    entry, lowest = union.find(directory, name)
    if entry is not None:
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    branch = union.writable_branch(directory, lowest)
    directory = copy_up_directory(union, directory_path, branch)
    parent = branch_directory(directory, branch)
    discard(parent, TEMPORARY)
    yield parent
    whited_out = has_whiteout(parent, name)
    try:
        _hand_over(parent, mode, owner)
        if whited_out and stat.S_ISDIR(os.stat(TEMPORARY, dir_fd=parent, follow_symlinks=False).st_mode):
            mark_opaque(parent, TEMPORARY)
        os.rename(TEMPORARY, name, src_dir_fd=parent, dst_dir_fd=parent)
    except OSError:
        discard(parent, TEMPORARY)
        raise
    if whited_out:
        discard(parent, WHITEOUT + name)


def _hand_over(parent: int, mode: int, owner: Owner) -> None:
    made = os.stat(TEMPORARY, dir_fd=parent, follow_symlinks=False)
    gid = made.st_gid if os.fstat(parent).st_mode & stat.S_ISGID else owner.gid
    if (made.st_uid, made.st_gid) != (owner.uid, gid):
        os.chown(TEMPORARY, owner.uid, gid, dir_fd=parent, follow_symlinks=False)
    if mode & SPECIAL_BITS and not stat.S_ISLNK(made.st_mode):
        with pinned(TEMPORARY, parent) as file:
            os.chmod(file, stat.S_IMODE(made.st_mode) | mode & SPECIAL_BITS)


def link(union: Union, old: str, new: str) -> None:
    """Give a file a second name (link(2)), after copy-up. EXDEV if the two lie in different writable branches."""
    source = copy_up(union, old)
    directory_path, name = split(new)
    entry, lowest = union.find(union.directory(directory_path), name)
    if entry is not None:
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), new)
    directory = _target(union, directory_path, source.branch, lowest)
    parent = branch_directory(directory, source.branch)
    os.link(source.name, name, src_dir_fd=source.parent, dst_dir_fd=parent, follow_symlinks=False)
    _remove_whiteout(parent, name)


def unlink(union: Union, path: str) -> None:
    """Remove a file: its name in a writable branch, and by a whiteout the ones below."""
    entry = union.lookup(path)
    if entry.is_directory:
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    _cover(union, path, entry)
    if union.writable(entry):
        os.unlink(entry.name, dir_fd=entry.parent)


def rmdir(union: Union, path: str) -> None:
    """Remove a directory that shows no entries; whiteouts in it do not count. ENOTEMPTY, ENOTDIR."""
    entry = union.lookup(path)
    _require_empty(union, path)
    _cover(union, path, entry)
    if union.writable(entry):
        clear_whiteouts(entry.parent, entry.name)
        os.rmdir(entry.name, dir_fd=entry.parent)
    union.forget(path)


def rename(union: Union, old: str, new: str, flags: int = 0) -> None:
    """Rename a file or directory (renameat2(2)); a file is copied up first.

    flags: RENAME_NOREPLACE or 0; EINVAL for others. A directory that is, even in part, in a lower branch cannot
    be renamed: EXDEV, on which mv(1) copies it (as with AUFS, and overlayfs without redirect_dir).
    """
    if flags & ~RENAME_NOREPLACE:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), old)
    source = union.lookup(old)
    if source.is_directory and (len(union.directory(old).layers) > 1 or not union.writable(source)):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), old)
    directory_path, name = split(new)
    replaced, lowest = union.find(union.directory(directory_path), name)
    if replaced is not None and not _may_replace(union, source, replaced, new, flags):
        return
    source = copy_up(union, old)
    directory = _target(union, directory_path, source.branch, lowest)
    parent = branch_directory(directory, source.branch)
    _cover(union, old, source)
    if source.is_directory:
        if replaced is not None and replaced.branch == source.branch:
            _cover(union, new, replaced)
            clear_whiteouts(parent, name)
        # It never had lower layers; at its new place it shall not find some.
        if len(directory.layers) > 1:
            mark_opaque(source.parent, source.name)
    os.rename(source.name, name, src_dir_fd=source.parent, dst_dir_fd=parent)
    _remove_whiteout(parent, name)
    union.forget(old)
    union.forget(new)


def _may_replace(union: Union, source: Entry, replaced: Entry, new: str, flags: int) -> bool:
    """Check a rename over an existing entry; False if both are the same file, when there is nothing to do."""
    if flags & RENAME_NOREPLACE:
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), new)
    if os.path.samestat(source.stat, replaced.stat):
        return False
    if replaced.is_directory and not source.is_directory:
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), new)
    if source.is_directory:
        _require_empty(union, new)
    return True


def _require_empty(union: Union, path: str) -> None:
    for _ in union.listing(union.directory(path)):
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)


def _target(union: Union, directory_path: str, branch: int, lowest: int) -> Directory:
    """Provide a directory in the branch that holds the source, if the new name could be seen there."""
    if branch > lowest:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), directory_path)
    return copy_up_directory(union, directory_path, branch)


def _cover(union: Union, path: str, entry: Entry) -> None:
    """Hide by a whiteout what would shine through once the entry is gone."""
    if union.writable(entry):
        if _exists_below(entry):
            make_whiteout(entry.parent, entry.name)
        return
    branch = union.writable_branch(entry.directory, entry.branch - 1)
    directory = copy_up_directory(union, split(path)[0], branch)
    make_whiteout(branch_directory(directory, branch), entry.name)


def _exists_below(entry: Entry) -> bool:
    for branch, parent in entry.directory.layers:
        if branch > entry.branch and lstat_at(parent, entry.name) is not None:
            return True
        if branch >= entry.branch and has_whiteout(parent, entry.name):
            return False
    return False


def _remove_whiteout(parent: int, name: str) -> None:
    if has_whiteout(parent, name):
        discard(parent, WHITEOUT + name)
