"""Pack a directory, a root file system or a layer, into a tar archive of the pax format. Book section 4.4.

Sources: POSIX pax(1), "pax Interchange Format"; the GNU tar manual, "PAX Format, Version 1.0" (sparse files);
tar(5) (SCHILY.xattr); OCI image-spec, layer.md (whiteouts). The same directory gives the same bytes.
"""

from __future__ import annotations

import errno
import os
import stat
import struct

from ch02_namespaces.errors import EngineError
from ch02_namespaces.unionfs import OPAQUE
from ch04_images import tar_header as tar
from ch04_images.beneath import ENTER, why
from ch04_images.tar import CHUNK, Bounds
from ch04_images.tar_header import BLOCK, Entry, shown
from ch04_images.unpack import OPAQUE_MARK, OVERLAY_XATTRS, WHITEOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

    from ch04_images.tar_header import Records, Regions

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s64x8s8s155x12x")
MOST_REGIONS = 100_000  # of a sparse file: the map must fit into Bounds.header of unpack
DEEPEST = Bounds().depth
KINDS = {
    stat.S_IFREG: tar.FILE,
    stat.S_IFLNK: tar.SYMLINK,
    stat.S_IFCHR: tar.CHARACTER,
    stat.S_IFBLK: tar.BLOCK_DEVICE,
    stat.S_IFDIR: tar.DIRECTORY,
    stat.S_IFIFO: tar.FIFO,
}


def pack(directory: str, sink: IO[bytes], *, layer: bool = False) -> None:
    """Write what is below a directory, itself first as `./`, into `sink` as a tar archive; needs root.

    sink: should be buffered. layer: the directory is the upper one of an overlay; its whiteouts and opaque directories
    become `.wh.NAME` and `.wh..wh..opq`.
    Symbolic links are not followed. Sockets are left out, and so are attributes that overlayfs uses for itself.
    A file that grows meanwhile is packed at the size it had. Raises EngineError, naming the file, for one that shrinks
    or cannot be read, and if `sink` cannot be written (BrokenPipeError if its reader has gone).
    """
    packing = Packing(sink, layer)
    try:
        top = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            packing.add(b".", top, b"")
            packing.add_all(b"", top)
        finally:
            os.close(top)
        packing.end()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise EngineError(f"pack {shown(packing.path or os.fsencode(directory))}", why(error)) from None


class Packing:
    """One directory on its way into one archive."""

    def __init__(self, sink: IO[bytes], layer: bool) -> None:
        self._sink = sink
        self._layer = layer
        self._links: dict[tuple[int, int], bytes] = {}  # device and inode, and the name that has been packed
        self.path = b""  # what is being packed

    def add_all(self, path: bytes, directory: int, depth: int = 1) -> None:
        """What is in a directory, sorted by name, and below it."""
        if depth > DEEPEST:
            raise OSError(errno.ELOOP, f"more than {DEEPEST} directories deep")
        for name in sorted(map(os.fsencode, os.listdir(directory))):
            below = path + b"/" + name if path else name
            if self.add(name, directory, below):
                descriptor = os.open(name, ENTER, dir_fd=directory)
                try:
                    self.add_all(below, descriptor, depth + 1)
                finally:
                    os.close(descriptor)

    def add(self, name: bytes, directory: int, path: bytes) -> bool:
        """Pack one file. Whether it is a directory."""
        self.path = path
        status = os.lstat(name, dir_fd=directory)
        kind = KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            return False
        entry = Entry(kind, path)
        entry.mode, entry.uid, entry.gid = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
        entry.mtime_ns = status.st_mtime_ns
        if self._layer and name.startswith(WHITEOUT):
            raise OSError(errno.EINVAL, "in a layer, names that begin with `.wh.` are whiteouts")
        if self._layer and kind == tar.CHARACTER and status.st_rdev == 0:
            self._add_mark(entry, path[: -len(name)] + WHITEOUT + name)
        elif kind == tar.DIRECTORY:
            self._add_directory(entry, directory, name)
        elif status.st_nlink > 1 and self._is_link(entry, status):
            self._header(entry)
        elif kind == tar.FILE:
            self._add_file(entry, directory, name)
        else:
            if kind == tar.SYMLINK:
                entry.link = os.readlink(name, dir_fd=directory)
            elif kind in tar.DEVICES:
                entry.major, entry.minor = os.major(status.st_rdev), os.minor(status.st_rdev)
            entry.xattrs, _ = self._xattrs(directory, name)
            self._header(entry)
        return kind == tar.DIRECTORY

    def end(self) -> None:
        """Two blocks of zeros."""
        self._write(tar.ZEROS * 2)

    def _is_link(self, entry: Entry, status: os.stat_result) -> bool:
        """Whether the same file has been packed by another name."""
        first = self._links.setdefault((status.st_dev, status.st_ino), entry.name)
        if first == entry.name:
            return False
        entry.kind, entry.link = tar.LINK, first
        return True

    def _add_mark(self, entry: Entry, name: bytes) -> None:
        entry.kind, entry.name, entry.xattrs = tar.FILE, name, {}
        self._header(entry)

    def _add_directory(self, entry: Entry, directory: int, name: bytes) -> None:
        inside = entry.name + b"/" if entry.name else b""
        entry.name = inside or b"./"
        entry.xattrs, opaque = self._xattrs(directory, name)
        self._header(entry)
        if self._layer and opaque:
            self._add_mark(entry, inside + OPAQUE_MARK)

    def _xattrs(self, directory: int, name: bytes) -> tuple[dict[bytes, bytes], bool]:
        """The extended attributes, and whether overlayfs takes it for opaque."""
        path = b"/proc/self/fd/%d/%s" % (directory, name)  # there is no listxattrat(2) before Linux 6.13
        try:
            names = sorted(os.listxattr(path, follow_symlinks=False))
        except OSError as error:
            if error.errno == errno.ENOTSUP:
                return {}, False
            raise
        values = {os.fsencode(name): os.getxattr(path, name, follow_symlinks=False) for name in names}
        opaque = any(values.get(os.fsencode(name)) == b"y" for name in OPAQUE)
        return {name: value for name, value in values.items() if not name.startswith(OVERLAY_XATTRS)}, opaque

    # ---------------------------------------------------------------- regular files

    def _add_file(self, entry: Entry, directory: int, name: bytes) -> None:
        descriptor = os.open(name, READ, dir_fd=directory)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EAGAIN, "it was replaced while it was read")
            entry.size = status.st_size
            entry.xattrs, _ = self._xattrs(directory, name)
            regions = data_regions(descriptor, entry.size) if status.st_blocks * 512 < entry.size else []
            if 0 < len(regions) <= MOST_REGIONS and regions != [(0, entry.size)]:
                self._sparse(entry, descriptor, regions)
            else:
                self._header(entry)
                self._data(descriptor, entry.size)
                self._pad(entry.size)
        finally:
            os.close(descriptor)

    def _sparse(self, entry: Entry, descriptor: int, regions: Regions) -> None:
        """GNU's sparse format 1.0: the data are a map in decimal lines, padded to a block, and what is no hole."""
        numbers = [len(regions), *(number for region in regions for number in region)]
        table = b"".join(b"%d\n" % number for number in numbers)
        table += bytes(-len(table) % BLOCK)
        records = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.name": entry.name}
        records[b"GNU.sparse.realsize"] = b"%d" % entry.size
        stored = sum(length for _, length in regions)
        entry.name, entry.size = b"GNUSparseFile.0/" + os.path.basename(entry.name)[:80], len(table) + stored
        self._header(entry, records)
        self._write(table)
        for offset, length in regions:
            os.lseek(descriptor, offset, os.SEEK_SET)
            self._data(descriptor, length)
        self._pad(stored)

    def _data(self, descriptor: int, size: int) -> None:
        while size:
            piece = os.read(descriptor, min(size, CHUNK))
            if not piece:
                raise OSError(errno.EAGAIN, "it became shorter while it was read")
            self._write(piece)
            size -= len(piece)

    # ---------------------------------------------------------------- the stream

    def _header(self, entry: Entry, records: Records | None = None) -> None:
        """The header, and before it a pax header with all that does not fit into it."""
        records = {**pax_records(entry), **(records or {})}
        if records:
            data = b"".join(pax_record(key, value) for key, value in records.items())
            extended = Entry(tar.PAX, b"././@PaxHeader")
            extended.size = len(data)
            self._write(header(extended))
            self._write(data)
            self._pad(len(data))
        self._write(header(entry))

    def _pad(self, size: int) -> None:
        self._write(bytes(-size % BLOCK))

    def _write(self, data: bytes) -> None:
        while data:
            data = data[self._sink.write(data) :]


def data_regions(descriptor: int, size: int) -> Regions:
    """(offset, length) of what is no hole in a file, and (size, 0) if its end is one: lseek(2)."""
    found, end = [], 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
            end = min(os.lseek(descriptor, start, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno != errno.ENXIO:  # there is only a hole left
                raise
            start = end = size
        found.append((min(start, end), end - min(start, end)))
    return found


def pax_records(entry: Entry) -> Records:
    """What the old header cannot say: long and foreign names, large numbers, fractions of seconds, attributes."""
    records: Records = {}
    for key, name in ((b"path", entry.name), (b"linkpath", entry.link)):
        if not _is_utf8(name):
            records[b"hdrcharset"] = b"BINARY"
        if len(name) > 100 or not name.isascii():
            records[key] = name
    seconds, fraction = divmod(entry.mtime_ns, 1_000_000_000)
    if fraction or not 0 <= seconds < 8**11:
        whole, part = divmod(abs(entry.mtime_ns), 1_000_000_000)
        records[b"mtime"] = b"%s%d.%09d" % (b"-" if entry.mtime_ns < 0 else b"", whole, part)
    numbers = ((b"uid", entry.uid, 7), (b"gid", entry.gid, 7), (b"size", entry.size, 11))
    records.update((key, b"%d" % number) for key, number, digits in numbers if number >= 8**digits)
    for key, value in entry.xattrs.items():
        records[tar.XATTR + tar.quoted(key)] = value
    return records


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def pax_record(key: bytes, value: bytes) -> bytes:
    """ "LENGTH KEY=VALUE\\n"; LENGTH counts its own digits."""
    rest = b" %s=%s\n" % (key, value)
    length = len(rest) + len(b"%d" % len(rest))
    return b"%d%s" % (len(rest) + len(b"%d" % length), rest)


def header(entry: Entry) -> bytes:
    """One block. Numbers and names that do not fit are cut: pax records go before."""
    fields = [octal(entry.mode, 8), octal(entry.uid, 8), octal(entry.gid, 8), octal(entry.size, 12)]
    fields += [octal(max(entry.mtime_ns, 0) // 1_000_000_000, 12), b" " * 8, entry.kind, entry.link, b"ustar\00000"]
    block = HEADER.pack(entry.name, *fields, octal(entry.major, 8), octal(entry.minor, 8))
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def octal(number: int, width: int) -> bytes:
    """Digits and a NUL."""
    return b"%0*o\0" % (width - 1, number % 8 ** (width - 1))
