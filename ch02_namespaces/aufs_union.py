"""A union of directories, AUFS' way: look-up, whiteouts, opaque directories, merged listing, copy-up.

The union shows several branches as one tree. The topmost branch that has a name wins; directories of the same
name merge. Lower branches are never changed:

    whiteout    an empty file `.wh.NAME` hides NAME of all lower branches
    opaque      a file `.wh..wh..opq` inside a directory hides the lower directories of the same path
    copy-up     whoever changes a file of a read-only branch first gets a copy of it in a writable branch

A whiteout hides what is *below* its branch, never an entry beside it. So every change can be ordered such that a
crash between two steps leaves either the old tree or the new one (see aufs_changes).

Names that begin with `.wh.` belong to the union: they are never listed, and users get EPERM. That includes what
AUFS itself keeps in a branch: `.wh..wh.aufs`, `.wh..wh.plnk`, `.wh..wh.orph`. Sources: aufs(5) and the kernel's
Documentation/filesystems/overlayfs.rst. OCI image layers are written in this very format to this day.

Nothing here follows a symbolic link: each step of a path is opened relative to the directory before it, with
O_NOFOLLOW, because the content of a branch may come from anywhere. All functions raise OSError as the system
call of the same name would. No FUSE in here.
"""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ch02_namespaces.aufs_branches import Branch

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
TEMPORARY = ".wh..wh.new"
"""What is being built in a branch has this name until it is complete; a crash leaves it invisible."""

CACHED_DIRECTORIES = 256
OPEN_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Directory:
    """One directory of the union: the branch directories that are merged into it.

    layers: pairs of branch number and O_PATH descriptor, topmost first; bottom: the number of the lowest branch
    that may contribute, as an opaque marker, a whiteout or a file of the same name ends the merging above it.
    The descriptors live as long as the object does, or until close().
    """

    __slots__ = ("bottom", "layers")

    def __init__(self, layers: list[tuple[int, int]], bottom: int) -> None:
        self.layers = layers
        self.bottom = bottom

    def descriptor(self, branch: int) -> int | None:
        """The directory in this one branch, or None if the branch does not have it."""
        return dict(self.layers).get(branch)

    def close(self) -> None:
        """Close the descriptors."""
        while self.layers:
            os.close(self.layers.pop()[1])

    __del__ = close


class Entry:
    """What a name means in the union: the branch that provides it, where it lies there, and its lstat.

    It keeps its Directory, and so the descriptor `parent`, alive.
    """

    __slots__ = ("branch", "directory", "name", "parent", "stat")

    def __init__(self, directory: Directory, layer: tuple[int, int], name: str, status: os.stat_result) -> None:
        self.directory = directory
        self.branch, self.parent = layer
        self.name = name
        self.stat = status

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory (not a symbolic link to one)."""
        return stat.S_ISDIR(self.stat.st_mode)


def split(path: str) -> tuple[str, str]:
    """Split a path of the union into directory and name; the root is ("/", "."). EPERM for reserved names."""
    parent, _, name = path.rpartition("/")
    if name.startswith(WHITEOUT):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), path)
    return parent or "/", name or "."


def lstat_at(parent: int, name: str) -> os.stat_result | None:
    """lstat of a name in a branch directory, or None if there is none."""
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def has_whiteout(parent: int, name: str) -> bool:
    """Whether this branch directory hides NAME of the branches below: it contains `.wh.NAME`."""
    # A name so long that no whiteout fits in front of it cannot be whited out, nor can it be looked up.
    return len(os.fsencode(name)) <= 251 and lstat_at(parent, WHITEOUT + name) is not None


def is_opaque(directory: int) -> bool:
    """Whether this branch directory hides the directories of the same path in the branches below."""
    return lstat_at(directory, OPAQUE) is not None


def open_unnoticed(name: str, flags: int, parent: int) -> int:
    """open(2) that leaves the access time of a branch's file alone where the kernel lets us (O_NOATIME)."""
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags | os.O_NOATIME, dir_fd=parent)
    except PermissionError:  # only the owner and root may
        return os.open(name, flags, dir_fd=parent)


class Union:
    """The merged view of some branches. Not for several threads at once; every change must go through it.

    branches: topmost first. after_copy_up: called with path and new entry of each file that was copied up.
    """

    def __init__(self, branches: list[Branch]) -> None:
        self.branches = branches
        self.after_copy_up: Callable[[str, Entry], None] = lambda path, entry: None
        roots = [(i, os.open(branch.path, OPEN_DIRECTORY)) for i, branch in enumerate(branches)]
        self._root = Directory(roots, len(branches) - 1)
        self._directories: dict[str, Directory] = {}
        self._devices: dict[int, int] = {}
        self._numbers: dict[tuple[int, int], int] = {}

    def close(self) -> None:
        """Let go of all directories; the union cannot be used after that."""
        for directory in (self._root, *self._directories.values()):
            directory.close()

    def lookup(self, path: str) -> Entry:
        """Find what a path of the union (absolute, "/" is its root) means. ENOENT, ENOTDIR, EPERM."""
        parent, name = split(path)
        entry, _ = self.find(self.directory(parent), name)
        if entry is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return entry

    def find(self, directory: Directory, name: str) -> tuple[Entry | None, int]:
        """Look a name up through the branches of a directory: the whiteout rule.

        From the topmost branch down: the first branch that has the name provides it; a whiteout says that
        there is no such name, whatever lower branches hold. (If a branch has both, the name wins.)

        Returns the entry or None, and the number of the lowest branch in which an entry of this name can be
        seen: the one with the entry or the whiteout, otherwise the directory's bottom.
        Example: with `.wh.a` in branch 0, `a` and `b` in branch 1, `a` is (None, 0) and `b` is (its entry, 1).
        """
        for layer in directory.layers:
            branch, parent = layer
            status = lstat_at(parent, name)
            if status is not None:
                return Entry(directory, layer, name, status), branch
            if has_whiteout(parent, name):
                return None, branch
        return None, directory.bottom

    def directory(self, path: str) -> Directory:
        """Open a directory of the union; the ones used last are kept open. ENOENT, ENOTDIR, EPERM."""
        known = path
        while known != "/" and known not in self._directories:
            known = known.rpartition("/")[0] or "/"
        directory = self._directories[known] if known != "/" else self._root
        for name in path[len(known) :].split("/"):
            if name:
                known = f"{known.rstrip('/')}/{name}"
                directory = self._subdirectory(directory, known)
                self._directories[known] = directory
        if path != "/":  # the one used last goes to the end of the dict, the first in it leaves
            self._directories[path] = self._directories.pop(path)
        while len(self._directories) > CACHED_DIRECTORIES:
            del self._directories[next(iter(self._directories))]
        return directory

    def _subdirectory(self, parent: Directory, path: str) -> Directory:
        _, name = split(path)
        merged = Directory([], parent.bottom)
        for branch, descriptor in parent.layers:
            status = lstat_at(descriptor, name)
            if status is not None and not stat.S_ISDIR(status.st_mode):
                merged.bottom = branch - 1
                if not merged.layers:
                    raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
                break
            if status is not None:
                merged.layers.append((branch, os.open(name, OPEN_DIRECTORY, dir_fd=descriptor)))
            if has_whiteout(descriptor, name) or (status is not None and is_opaque(merged.layers[-1][1])):
                merged.bottom = branch
                break
        if not merged.layers:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return merged

    def forget(self, path: str) -> None:
        """Close what is kept open of a directory and everything below, because its layers have changed."""
        for known in [k for k in self._directories if k == path or k.startswith(path.rstrip("/") + "/")]:
            del self._directories[known]

    def listing(self, directory: Directory) -> Iterator[tuple[str, int, int]]:
        """List a directory, merged: triples of name, file type (an S_IF… value, 0 if unknown), inode number.

        Every name once, from the topmost branch that has it; without whiteouts and what they hide, and without
        "." and "..". The inode number is the one that users see: number(). Nothing stays open. Raises OSError.
        Example: with `.wh.a` and `b` in branch 0, `a`, `b` and `c` in branch 1, it lists `b` and `c`.
        """
        hidden: set[str] = set()
        for _, layer in directory.layers:
            whited_out = []
            descriptor = open_unnoticed(".", os.O_RDONLY | os.O_DIRECTORY, layer)
            try:
                device = os.fstat(descriptor).st_dev
                for item in os.scandir(descriptor):
                    if item.name.startswith(WHITEOUT):
                        whited_out.append(item.name.removeprefix(WHITEOUT))
                    elif item.name not in hidden:
                        hidden.add(item.name)
                        yield item.name, _type_of(item), self.number(device, item.inode())
            finally:
                os.close(descriptor)
            hidden.update(whited_out)

    def number(self, device: int, inode: int) -> int:
        """The inode number that the union shows for an inode of a branch; it does not change by copy-up.

        Branches on one file system keep their numbers; those of further file systems are moved out of the way.
        """
        moved = self._numbers.get((device, inode))
        if moved is not None:
            return moved
        return self._devices.setdefault(device, len(self._devices)) << 48 ^ inode

    def keep_number(self, old: os.stat_result, new: os.stat_result) -> None:
        """Let the copy `new` show the inode number of the original `old` until the union is unmounted.

        A file with several hard links is copied without them, as by overlayfs: then it is another inode.
        """
        if stat.S_ISDIR(old.st_mode) or old.st_nlink == 1:
            self._numbers[new.st_dev, new.st_ino] = self.number(old.st_dev, old.st_ino)

    def writable(self, entry: Entry) -> bool:
        """Whether the entry lies in a writable branch, so that it can be changed in place."""
        return self.branches[entry.branch].writable

    def writable_branch(self, directory: Directory, lowest: int) -> int:
        """Choose the writable branch for a new entry of a directory: AUFS' policy "top-down-parent".

        The topmost writable branch that has the directory; otherwise the topmost writable one, which will get
        the directory by copy-up. lowest: a branch below this number is no choice, as the entry would be hidden
        there. Raises EROFS if there is none.
        """
        with_parent = [i for i, _ in directory.layers if i <= lowest and self.branches[i].writable]
        others = [i for i in range(min(lowest, directory.bottom) + 1) if self.branches[i].writable]
        for branch in with_parent + others:
            return branch
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def _type_of(item: os.DirEntry[str]) -> int:
    if item.is_symlink():
        return stat.S_IFLNK
    if item.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    return stat.S_IFREG if item.is_file(follow_symlinks=False) else 0
