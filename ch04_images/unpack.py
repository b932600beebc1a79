"""Unpack a tar archive, a root file system or a layer, into a directory, and never outside it. Book section 4.1.1.

Sources: the GNU tar manual, "Dealing with Old Files"; OCI image-spec, layer.md (whiteouts); overlayfs.rst.

How it stays inside: a name is cut at its slashes, `..` is refused, and beneath.Tree opens directory after directory
without following symbolic links. An entry below a symbolic link is refused, even where that leads to a directory of
the same archive: one made from a directory tree holds no such entry, and one made to do harm does.
"""

from __future__ import annotations

import errno
import functools
import os
import stat

from ch02_namespaces.errors import EngineError
from ch02_namespaces.unionfs import opaque_attribute
from ch04_images import tar_header as tar
from ch04_images.beneath import ENTER, Tree, is_whiteout, why
from ch04_images.compression import open_plain
from ch04_images.tar import Archive, Bounds
from ch04_images.tar_header import Entry, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

DEFAULTS = Bounds()
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
NODES = {tar.CHARACTER: stat.S_IFCHR, tar.BLOCK_DEVICE: stat.S_IFBLK, tar.FIFO: stat.S_IFIFO}
NO_NAMES = frozenset((b"", b".", b".."))
WHITEOUT, OPAQUE_MARK = b".wh.", b".wh..wh..opq"
OVERLAY_XATTRS = (b"trusted.overlay.", b"user.overlay.")  # they can point into layers that are not the image's
LARGEST_XATTR = 1 << 16  # bytes, XATTR_SIZE_MAX: xattr(7)
ENTRY_SIZE = 600  # bytes of memory, about
HINTS = {
    errno.EPERM: "owners, devices and some attributes need root",
    errno.EINVAL: "is its owner among those that /etc/subuid and /etc/subgid give?",
    errno.ENOSPC: "the disk is full",
}


def unpack(
    source: IO[bytes],
    target: str,
    *,
    layer: bool = False,
    bounds: Bounds = DEFAULTS,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Create what a tar archive holds below the existing directory `target`; needs root.

    source: a file or a pipe; plain, or compressed with gzip, xz, zstd or bzip2, which its first bytes tell.
    layer: it is a layer of an image, whose whiteouts (`.wh.NAME`, `.wh..wh..opq`) become those of overlayfs;
    otherwise such names are refused. progress: called with the number of bytes of `source` read so far.
    Owners, modes, times of modification and extended attributes are as the archive says. Of two entries with one
    name the last wins; missing directories are made, 0755 and root's; leading slashes are dropped.
    Returns how many bytes its regular files have. Raises EngineError, naming the entry. Then the target holds what came
    before, and the caller removes it.
    """
    return unpack_plain(open_plain(source, progress, bounds.total), target, layer=layer, bounds=bounds)


def unpack_plain(read: Callable[[int], bytes], target: str, *, layer: bool = False, bounds: Bounds = DEFAULTS) -> int:
    """The same for an archive whose plain bytes a function reads: at most as many as it is asked for, none at the
    end."""
    try:
        tree = Tree(target)
        try:
            return Unpacking(Archive(read, bounds), tree, layer, bounds).run()
        finally:
            tree.close()
    except OSError as error:
        raise EngineError(f"unpack into {target}", why(error), HINTS.get(error.errno or 0, "")) from None


class RefusalError(Exception):
    """An entry that must not be unpacked, and why."""


@functools.lru_cache(1 << 10)  # by directory: many files share one
def normal(path: bytes) -> bytes:
    """A path without what means nothing: leading, double and closing slashes, and `.`. Raises RefusalError."""
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise RefusalError("a name with `..` may lead anywhere")
    if any(part.startswith(WHITEOUT) for part in parts):
        raise RefusalError("names that begin with `.wh.` are for whiteouts")
    return b"/".join(parts)


def split(path: bytes) -> tuple[bytes, bytes]:
    """The directory, normal, and the name in it; that of the root is empty. Raises RefusalError."""
    directory, _, name = path.rpartition(b"/")
    if name not in NO_NAMES:
        return normal(directory), name
    directory, _, name = normal(path).rpartition(b"/")
    return directory, name


class Unpacking:
    """One archive on its way into one tree."""

    def __init__(self, archive: Archive, tree: Tree, layer: bool, bounds: Bounds) -> None:
        self._archive = archive
        self._tree = tree
        self._layer = layer
        self._bounds = bounds
        self._directories: dict[tuple[bytes, bytes], Entry] = {}
        self._remembered = 0  # bytes
        self._make = {
            tar.FILE: self._make_file,
            tar.DIRECTORY: _make_directory,
            tar.LINK: self._make_link,
            tar.SYMLINK: _make_symlink,
            tar.CHARACTER: _make_node,
            tar.BLOCK_DEVICE: _make_node,
            tar.FIFO: _make_node,
        }
        self._sure_owner, self._sure_mode = what_new_files_get(tree.directory(b""))

    def run(self) -> int:
        """Create all entries, then give the directories their owners, modes and times, which entries in them change.
        The bytes of the regular files."""
        entry = None
        size = 0
        try:
            for entry in self._archive:
                self._add(entry)
                size += entry.size
            for (above, name), entry in reversed(self._directories.items()):  # from the bottom: a mode may lock us out
                self._finish_directory(above, name, entry)
        except (OSError, RefusalError) as error:
            raise _named(entry, error) from None
        return size

    def _finish_directory(self, above: bytes, name: bytes, entry: Entry) -> None:
        try:
            descriptor = self._tree.directory(above + b"/" + name if above else name)
        except (FileNotFoundError, NotADirectoryError):
            return  # a later entry put something else there
        finish(descriptor, entry)

    def _add(self, entry: Entry) -> None:
        above, name = split(entry.name)
        if above.count(b"/") >= self._bounds.depth:
            raise RefusalError(f"more than {self._bounds.depth} directories deep")
        parent = self._tree.directory(above, create=True)
        if name.startswith(WHITEOUT):
            return self._hide(parent, name, entry)
        if entry.kind != tar.FILE or entry.mode > 0o777 or entry.xattrs:
            self._check(entry)
        if entry.kind == tar.DIRECTORY:
            self._remember(above, name, entry)
        elif not name:
            raise RefusalError("the root must be a directory")
        if name:
            self._replace(parent, name, entry)
        return None

    def _remember(self, above: bytes, name: bytes, entry: Entry) -> None:
        """Keep a directory's entry for the end. Attributes are the only large thing about one."""
        self._remembered += ENTRY_SIZE + len(above) + sum(map(len, entry.xattrs.values()))
        if self._remembered > self._bounds.memory:
            raise RefusalError(f"names and attributes of directories need more than {self._bounds.memory >> 20} MiB")
        self._directories[above, name] = entry

    def _check(self, entry: Entry) -> None:
        """Refuse what the bounds forbid (no plain file is among that), and attributes that are the kernel's own."""
        bounds = self._bounds
        if not bounds.devices and entry.kind in tar.DEVICES:
            raise RefusalError("device nodes are not allowed here")
        privileged = entry.mode & (stat.S_ISUID | stat.S_ISGID) or b"security.capability" in entry.xattrs
        if privileged and not bounds.setuid and entry.kind != tar.DIRECTORY:
            raise RefusalError("setuid and setgid files, and those with capabilities, are not allowed here")
        for name in entry.xattrs:
            if not name or b"\0" in name or name.startswith(OVERLAY_XATTRS):
                raise RefusalError(f"the attribute {shown(name)} may not come from an archive")
            if len(entry.xattrs[name]) > LARGEST_XATTR:
                raise RefusalError(f"the attribute {shown(name)} has more than {LARGEST_XATTR} bytes")

    # ---------------------------------------------------------------- what is made

    def _replace(self, parent: int, name: bytes, entry: Entry) -> None:
        """Make the entry, in place of what has that name. The first call of each maker finds the name free or fails."""
        make = self._make[entry.kind]
        try:
            return make(parent, name, entry)
        except FileExistsError:
            hidden = self._layer and is_whiteout(parent, name)
        self._tree.remove(parent, name)
        make(parent, name, entry)
        if hidden and entry.kind == tar.DIRECTORY:
            _make_opaque(parent, name)
        return None

    def _make_file(self, parent: int, name: bytes, entry: Entry) -> None:
        mode = entry.mode & self._sure_mode
        descriptor = os.open(name, CREATE, mode, dir_fd=parent)
        try:
            if entry.regions is None:
                self._write(descriptor, entry.size)
            else:
                os.ftruncate(descriptor, entry.size)
                for offset, length in entry.regions:
                    os.lseek(descriptor, offset, os.SEEK_SET)
                    self._write(descriptor, length)
            finish(descriptor, entry, self._sure_owner, mode)
        finally:
            os.close(descriptor)

    def _write(self, descriptor: int, size: int) -> None:
        while size:
            piece = self._archive.read(size)
            size -= len(piece)
            while piece:
                piece = piece[os.write(descriptor, piece) :]

    def _make_link(self, parent: int, name: bytes, entry: Entry) -> None:
        above, old = split(entry.link)
        try:
            directory = self._tree.directory(above, keep=parent)
            mode = os.lstat(old or b".", dir_fd=directory).st_mode
        except FileNotFoundError:
            raise RefusalError(f"a hard link to {shown(entry.link)}, which has not been unpacked") from None
        if stat.S_ISDIR(mode) or is_whiteout(directory, old):
            raise RefusalError(f"a hard link to {shown(entry.link)}, which is a directory or a whiteout")
        os.link(old, name, src_dir_fd=directory, dst_dir_fd=parent, follow_symlinks=False)

    def _hide(self, parent: int, name: bytes, entry: Entry) -> None:
        """Make a whiteout. It hides what lower layers have, not what this one has: layer.md."""
        hidden = name.removeprefix(WHITEOUT)
        if not self._layer:
            raise RefusalError("names that begin with `.wh.` are for the whiteouts of a layer")
        if entry.kind not in (tar.FILE, tar.LINK):  # aufs made hard links of them
            raise RefusalError("a whiteout must be an empty file")
        if name == OPAQUE_MARK:
            os.setxattr(parent, opaque_attribute(), b"y")
            return
        if hidden in (b"", b".", b"..") or hidden.startswith(WHITEOUT):
            raise RefusalError("a whiteout of a name that cannot be")
        try:
            os.mknod(hidden, stat.S_IFCHR, os.makedev(0, 0), dir_fd=parent)
        except FileExistsError:
            if stat.S_ISDIR(os.lstat(hidden, dir_fd=parent).st_mode):
                _make_opaque(parent, hidden)


def _named(entry: Entry | None, error: OSError | RefusalError) -> EngineError:
    what = f"tar entry {shown(entry.name)}" if entry else "tar archive"
    if isinstance(error, OSError):
        return EngineError(what, why(error), HINTS.get(error.errno or 0, ""))
    return EngineError(what, str(error))


def _make_symlink(parent: int, name: bytes, entry: Entry) -> None:
    os.symlink(entry.link, name, dir_fd=parent)
    finish_by_name(parent, name, entry)


def _make_node(parent: int, name: bytes, entry: Entry) -> None:
    os.mknod(name, NODES[entry.kind] | 0o600, os.makedev(entry.major, entry.minor), dir_fd=parent)
    finish_by_name(parent, name, entry)


def _make_directory(parent: int, name: bytes, _: Entry) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
            raise


def _make_opaque(parent: int, name: bytes) -> None:
    descriptor = os.open(name, ENTER, dir_fd=parent)
    try:
        os.setxattr(descriptor, opaque_attribute(), b"y")
    finally:
        os.close(descriptor)


def what_new_files_get(top: int) -> tuple[tuple[int, int] | None, int]:
    """Their owner and group, and the mode bits that open(2) gives as it is told: two calls less for most files.

    Not sure are a group that comes from the directory (setgid, mount option grpid), and modes where there is a
    default ACL (acl(5)).
    """
    umask = current_umask()
    group = os.getegid()
    owner = (os.geteuid(), group) if os.fstat(top).st_gid == group else None
    try:
        has_acl = "system.posix_acl_default" in os.listxattr(top)
    except OSError:  # ENOTSUP: a file system without attributes
        has_acl = False
    return owner, 0 if has_acl else 0o777 & ~umask


def current_umask() -> int:
    """The mode bits that this process's new files do not get. umask(2) tells only by changing it, for all threads."""
    with open("/proc/self/status", "rb") as status:
        lines = dict(line.split(b":", 1) for line in status if b":" in line)
    return int(lines[b"Umask"], 8)


def finish(descriptor: int, entry: Entry, owner: tuple[int, int] | None = None, mode: int = -1) -> None:
    """Owner, mode, attributes, time, in this order: chown(2) drops setuid and capabilities, and all change the time.

    owner, mode: what the file has already.
    """
    if (entry.uid, entry.gid) != owner:
        os.fchown(descriptor, entry.uid, entry.gid)
    if entry.mode != mode:
        os.fchmod(descriptor, entry.mode)
    for name, value in entry.xattrs.items():
        os.setxattr(descriptor, name, value)
    os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))


def finish_by_name(parent: int, name: bytes, entry: Entry) -> None:
    """The same for what cannot be opened: links, and devices, whose drivers would notice."""
    os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
    if entry.kind != tar.SYMLINK:
        os.chmod(name, entry.mode, dir_fd=parent)  # it is no link: we have just made it
    for attribute, value in entry.xattrs.items():  # there is no setxattrat(2) before Linux 6.13
        os.setxattr(b"/proc/self/fd/%d/%s" % (parent, name), attribute, value, follow_symlinks=False)
    times = (entry.mtime_ns, entry.mtime_ns)
    os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)
