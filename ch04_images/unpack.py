"""Unpack a tar archive, a root file system or a layer, into a directory, and never outside it. Book section 4.1.1.

Sources: GNU tar's manual, "Dealing with Old Files"; OCI image-spec, layer.md (whiteouts); overlayfs.rst; openat(2).

How it stays inside: a name is cut at its slashes, `..` is refused, and each directory is opened below the one before
by descriptor, with O_NOFOLLOW. The kernel never gets a path with a slash, nor follows a symbolic link for us, so it
does not matter what an earlier entry has put in the way. Entries below a symbolic link are refused, even if it
leads to a directory of the same archive: archives made from a directory tree hold none.
"""

from __future__ import annotations

import errno
import os
import stat

from ch02_namespaces.errors import EngineError
from ch02_namespaces.unionfs import OPAQUE
from ch04_images import tar_header as tar
from ch04_images.compression import open_plain
from ch04_images.tar import Archive, Bounds
from ch04_images.tar_header import Entry, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

DEFAULTS = Bounds()
ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
MOST_OPEN = 256  # directories kept open; a process may have 1,024 files, and one name adds at most 2 * Bounds.depth
WHITEOUT, OPAQUE_MARK = b".wh.", b".wh..wh..opq"
OVERLAY_XATTRS = (b"trusted.overlay.", b"user.overlay.")
HINTS = {errno.EPERM: "owners, devices and some attributes need root", errno.ENOSPC: "the disk is full"}


def unpack(
    source: BinaryIO,
    target: str,
    *,
    layer: bool = False,
    bounds: Bounds = DEFAULTS,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Create what a tar archive holds below the existing directory `target`; needs root.

    source: a file or a pipe; plain, or compressed with gzip, xz, zstd or bzip2, which its first bytes tell.
    layer: the archive is a layer of an image, whose whiteouts (`.wh.NAME`, `.wh..wh..opq`) become those of overlayfs;
    otherwise such names are refused. progress: called with the bytes of `source` read so far.
    Owners, modes, times of modification and extended attributes are as the archive says. Of two entries with one
    name the last wins; missing directories are made, 0755 and root's; leading slashes are dropped.
    Raises EngineError, naming the entry. Then the target holds what came before, and the caller removes it.
    """
    archive = Archive(open_plain(source, progress), bounds)
    tree = Tree(target)
    try:
        unpacking = Unpacking(archive, tree, layer, bounds)
        for entry in archive:
            unpacking.add(entry)
        unpacking.finish_directories()
    except OSError as error:
        raise EngineError("unpack", _reason(error), HINTS.get(error.errno or 0, "")) from None
    finally:
        tree.close()


def _reason(error: OSError) -> str:
    return f"{error.strerror} [{errno.errorcode.get(error.errno or 0, error.errno)}]"


class Tree:
    """The directories below the target, entered one name at a time and never through a symbolic link."""

    def __init__(self, target: str) -> None:
        self._root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open: dict[bytes, int] = {}

    def directory(self, path: bytes, create: bool = False) -> int:
        """A descriptor of the directory with this path ("" is the target), which belongs to the tree.

        path: without `.`, `..` and double slashes. Raises EngineError if a symbolic link or a file is in the way.
        """
        if not path:
            return self._root
        known = self._open.get(path)
        if known is not None:
            return known
        descriptor, end = self._root, 0
        while end < len(path):
            start = end + 1 if end else 0
            end = path.find(b"/", start)
            end = len(path) if end < 0 else end
            above, descriptor = descriptor, self._open.get(path[:end], -1)
            if descriptor < 0:
                descriptor = self._open[path[:end]] = _enter(above, path[start:end], path[:end], create)
        return descriptor

    def forget(self, most: int = 0) -> None:
        """Close all directories if there are more than `most`: between entries, and when one was removed."""
        if len(self._open) > most:
            for descriptor in self._open.values():
                os.close(descriptor)
            self._open.clear()

    def close(self) -> None:
        self.forget()
        os.close(self._root)


def _enter(parent: int, name: bytes, path: bytes, create: bool) -> int:
    try:
        return os.open(name, ENTER, dir_fd=parent)
    except FileNotFoundError:
        if not create:
            raise
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        what = "a symbolic link" if stat.S_ISLNK(os.lstat(name, dir_fd=parent).st_mode) else "no directory"
        raise OSError(error.errno, f"{shown(path)} is {what}; nothing is unpacked below it") from None
    os.mkdir(name, 0o700, dir_fd=parent)
    descriptor = os.open(name, ENTER, dir_fd=parent)
    os.fchmod(descriptor, 0o755)
    return descriptor


class Unpacking:
    """One archive on its way into one tree."""

    def __init__(self, archive: Archive, tree: Tree, layer: bool, bounds: Bounds) -> None:
        self._archive = archive
        self._tree = tree
        self._layer = layer
        self._bounds = bounds
        self._directories: dict[bytes, Entry] = {}  # to be finished when all is in them
        self._makers = {
            tar.FILE: self._file,
            tar.LINK: self._link,
            tar.SYMLINK: self._symlink,
            tar.CHARACTER: self._node,
            tar.BLOCK_DEVICE: self._node,
            tar.FIFO: self._node,
            tar.DIRECTORY: self._directory,
        }

    def add(self, entry: Entry) -> None:
        """Create one entry. Raises EngineError."""
        try:
            self._tree.forget(MOST_OPEN)
            self._check(entry)
            path = self._path(entry, entry.name)
            above, _, name = path.rpartition(b"/")
            parent = self._tree.directory(above, create=True)
            if name.startswith(WHITEOUT):
                self._hide(parent, name, entry)
                return
            if name:
                self._make(parent, name, entry)
            if entry.kind == tar.DIRECTORY:
                self._directories[path] = entry
            elif not name:
                raise refusal(entry, "the root must be a directory")
        except OSError as error:
            raise refusal(entry, _reason(error), HINTS.get(error.errno or 0, "")) from None

    def _check(self, entry: Entry) -> None:
        """What the bounds forbid, and what the kernel would take for its own."""
        if entry.kind in tar.DEVICES and not self._bounds.devices:
            raise refusal(entry, "device nodes are not allowed here")
        if not self._bounds.setuid and entry.kind == tar.FILE:
            if entry.mode & (stat.S_ISUID | stat.S_ISGID) or b"security.capability" in entry.xattrs:
                raise refusal(entry, "setuid and setgid files, and those with capabilities, are not allowed here")
        for name in entry.xattrs:
            if not name or b"\0" in name or name.startswith(OVERLAY_XATTRS):
                raise refusal(entry, f"the attribute {shown(name)} may not come from an archive")

    def _path(self, entry: Entry, name: bytes) -> bytes:
        """A name of the archive without what means nothing: leading and double slashes, and `.`."""
        parts = [part for part in name.split(b"/") if part not in (b"", b".")]
        if b".." in parts:
            raise refusal(entry, "a name with `..` could lead out of the directory")
        if len(parts) > self._bounds.depth:
            raise refusal(entry, f"more than {self._bounds.depth} directories deep")
        if WHITEOUT in name:
            marked = [part.startswith(WHITEOUT) for part in parts]
            if any(marked[:-1]) or (marked[-1] and (not self._layer or name is not entry.name)):
                raise refusal(entry, "names that begin with `.wh.` are for whiteouts of a layer")
        return b"/".join(parts)

    # ---------------------------------------------------------------- one entry

    def _make(self, parent: int, name: bytes, entry: Entry) -> None:
        """Create it in place of what has that name. Each maker's first call is the one that finds the name taken."""
        make = self._makers[entry.kind]
        try:
            make(parent, name, entry)
        except FileExistsError:
            self._remove(parent, name)
            make(parent, name, entry)

    def _remove(self, parent: int, name: bytes) -> None:
        self._tree.forget()  # what we have open could be below it
        ...

    def _file(self, parent: int, name: bytes, entry: Entry) -> None:
        descriptor = os.open(name, CREATE, 0o600, dir_fd=parent)
        try:
            if entry.regions is None:
                self._write(descriptor, entry.size)
            else:
                os.ftruncate(descriptor, entry.size)
                for offset, length in entry.regions:
                    os.lseek(descriptor, offset, os.SEEK_SET)
                    self._write(descriptor, length)
            finish(descriptor, entry)
        finally:
            os.close(descriptor)

    def _write(self, descriptor: int, size: int) -> None:
        for piece in self._archive.pieces(size):
            written = os.write(descriptor, piece)
            while written < len(piece):
                written += os.write(descriptor, piece[written:])
