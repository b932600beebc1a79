"""Copy-up: how a union that may not touch its lower branches lets their files be changed all the same.

Before the first change, the file is copied into a writable branch above, with everything that belongs to it; then
the copy is changed, and the lower file is hidden behind it. The directories on the way are made there as well.
Reference: Documentation/filesystems/overlayfs.rst, "Non-directories".
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from ch02_namespaces.aufs_union import (
    OPAQUE,
    OPEN_DIRECTORY,
    TEMPORARY,
    WHITEOUT,
    Directory,
    Entry,
    Union,
    has_whiteout,
    lstat_at,
    open_unnoticed,
    split,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

NEW_MARK = os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def copy_up(union: Union, path: str, with_data: bool = True) -> Entry:
    """Make sure that what a path means lies in a writable branch, and return it there.

    If it is in a read-only branch, copy it to a writable branch above (Union.writable_branch chooses): type,
    data, mode, owner, extended attributes, times, and first its directories. The copy is built under a
    temporary name that nobody can see and gets its own by rename(2), so there is never half a file.

    with_data: False leaves a regular file's copy empty, for those who are about to truncate it.
    Raises ENOENT, and EROFS if no branch above is writable. A hard link to the file in the lower branch stays
    behind, as with overlayfs. The copy is not synced to the disk.
    """
    entry = union.lookup(path)
    if union.writable(entry):
        return entry
    branch = union.writable_branch(entry.directory, entry.branch - 1)
    parent = copy_up_directory(union, split(path)[0], branch)
    _copy_entry(union, entry, parent, branch, with_data)
    union.forget(path)
    entry = union.lookup(path)
    union.after_copy_up(path, entry)
    return entry


def copy_up_directory(union: Union, path: str, branch: int) -> Directory:
    """Make sure that a directory of the union exists in a branch, with the attributes that it shows."""
    directory = union.directory(path)
    if directory.descriptor(branch) is not None:
        return directory
    names = [name for name in path.split("/") if name]
    parent = union.directory("/")
    for depth in range(1, len(names) + 1):
        step = "/" + "/".join(names[:depth])
        directory = union.directory(step)
        if directory.descriptor(branch) is None:
            _copy_entry(union, union.lookup(step), parent, branch)
            union.forget(step)
            directory = union.directory(step)
        parent = directory
    return directory


def _copy_entry(union: Union, entry: Entry, directory: Directory, branch: int, with_data: bool = True) -> None:
    """Copy one entry, without what a directory contains, into the branch's part of a directory.

    with_data: whether a regular file's content is copied, too. copy_object() makes the copy, discard() removes.
    Nobody may ever see half a copy: it is built as TEMPORARY (what a crash has left of that name goes first) and then
    renamed. A whiteout of its name in the branch goes after that; a directory which that has hidden becomes opaque
    before. The times of the directory stay, as nothing has changed in it to users; and the copy keeps the inode number
    of an entry from a lower branch (keep_number). Raises OSError. Source: rename(2), overlayfs.rst.
    Example: of `a` in branch 1, where branch 0 has `.wh.a`, branch 0 has a copy afterwards, and `.wh.a` no more.
    """
    parent = branch_directory(directory, branch)
    times = os.fstat(parent)
    discard(parent, TEMPORARY)
    copy_object(entry, parent, with_data)
    hidden_below = has_whiteout(parent, entry.name)
    if hidden_below and entry.is_directory:
        mark_opaque(parent, TEMPORARY)
    os.rename(TEMPORARY, entry.name, src_dir_fd=parent, dst_dir_fd=parent)
    if hidden_below:
        discard(parent, WHITEOUT + entry.name)
    # To the user nothing has changed in this directory.
    set_times(parent, ".", times)
    if branch < entry.branch:
        copy = os.stat(entry.name, dir_fd=parent, follow_symlinks=False)
        union.keep_number(entry.stat, copy)


def copy_object(entry: Entry, parent: int, with_data: bool) -> None:
    """Create a copy of an entry under the temporary name in a branch directory: data, then attributes."""
    kind = stat.S_IFMT(entry.stat.st_mode)
    if kind == stat.S_IFDIR:
        os.mkdir(TEMPORARY, 0o700, dir_fd=parent)
    elif kind == stat.S_IFLNK:
        os.symlink(os.readlink(entry.name, dir_fd=entry.parent), TEMPORARY, dir_fd=parent)
    elif kind == stat.S_IFREG:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        target = os.open(TEMPORARY, flags, 0o600, dir_fd=parent)
        try:
            if with_data:
                copy_data(entry, target)
        finally:
            os.close(target)
    else:
        os.mknod(TEMPORARY, kind | 0o600, entry.stat.st_rdev, dir_fd=parent)
    copy_attributes(entry, parent)


def copy_data(entry: Entry, target: int) -> None:
    """Copy the data of a regular file into an empty one; holes stay holes (lseek(2), SEEK_DATA)."""
    source = open_unnoticed(entry.name, os.O_RDONLY | os.O_NONBLOCK, entry.parent)
    size = entry.stat.st_size
    try:
        end = 0
        while end < size:
            try:
                start = os.lseek(source, end, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                break  # nothing but a hole up to the end
            end = os.lseek(source, start, os.SEEK_HOLE)
            os.lseek(target, start, os.SEEK_SET)
            while start < end:
                # It says 0 if somebody has shortened the file meanwhile.
                start += os.sendfile(target, source, start, end - start) or end
        os.ftruncate(target, size)
    finally:
        os.close(source)


def copy_attributes(entry: Entry, parent: int) -> None:
    """Give the temporary copy the owner, extended attributes (ACLs among them), mode and times of the entry."""
    with pinned(entry.name, entry.parent) as source, pinned(TEMPORARY, parent) as target:
        os.chown(target, entry.stat.st_uid, entry.stat.st_gid)
        wanted = os.listxattr(source)
        for name in set(os.listxattr(target)).difference(wanted):
            with contextlib.suppress(OSError):  # an ACL that it inherited; a security label stays
                os.removexattr(target, name)
        for name in wanted:
            try:
                os.setxattr(target, name, os.getxattr(source, name))
            except OSError as error:
                if error.errno != errno.ENOTSUP:
                    raise
        # After the owner, because a change of owner takes the set-user-ID bit away.
        if not stat.S_ISLNK(entry.stat.st_mode):
            os.chmod(target, stat.S_IMODE(entry.stat.st_mode))
        set_times(parent, TEMPORARY, entry.stat)


@contextlib.contextmanager
def pinned(name: str, parent: int) -> Iterator[str]:
    """A path to exactly this file, whatever it is, for the calls that know no directory descriptors.

    Through /proc/self/fd even a symbolic link is itself, and nothing of the name is resolved a second time.
    """
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def branch_directory(directory: Directory, branch: int) -> int:
    """The descriptor of a directory in a branch that is known to have it."""
    descriptor = directory.descriptor(branch)
    if descriptor is None:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    return descriptor


def mark_opaque(parent: int, name: str) -> None:
    """Make a directory of a branch opaque: nothing below shines through. Its times stay, as no user's entry changed."""
    directory = os.open(name, OPEN_DIRECTORY, dir_fd=parent)
    try:
        times = os.fstat(directory)
        os.close(os.open(OPAQUE, NEW_MARK, 0o444, dir_fd=directory))
        set_times(directory, ".", times)
    finally:
        os.close(directory)


def make_whiteout(parent: int, name: str) -> None:
    """Hide a name of the branches below this branch directory."""
    os.close(os.open(WHITEOUT + name, NEW_MARK, 0o444, dir_fd=parent))


def set_times(parent: int, name: str, times: os.stat_result) -> None:
    """Give a file the access and modification time of another."""
    os.utime(name, ns=(times.st_atime_ns, times.st_mtime_ns), dir_fd=parent, follow_symlinks=False)


def clear_whiteouts(parent: int, name: str) -> None:
    """Remove the union's own files, which users cannot see, from a directory of a branch."""
    descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        for inner in os.listdir(descriptor):
            if inner.startswith(WHITEOUT):
                discard(descriptor, inner)
    finally:
        os.close(descriptor)


def discard(parent: int, name: str) -> None:
    """Remove a file or a directory that users see as empty from a branch, if it is there."""
    status = lstat_at(parent, name)
    if status is None:
        return
    if stat.S_ISDIR(status.st_mode):
        clear_whiteouts(parent, name)
        os.rmdir(name, dir_fd=parent)
    else:
        os.unlink(name, dir_fd=parent)
