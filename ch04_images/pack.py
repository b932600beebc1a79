"""Pack a directory, a root file system or a layer, into a tar archive of the pax format. Book section 4.4.

Sources: POSIX pax(1), "pax Interchange Format"; the GNU tar manual, "PAX Format, Version 1.0" (sparse files);
tar(5) (SCHILY.xattr); OCI image-spec, layer.md (whiteouts). The same directory gives the same bytes.
"""

from __future__ import annotations

import errno
import os
import stat

from ch02_namespaces.errors import EngineError
from ch02_namespaces.unionfs import OPAQUE
from ch04_images import tar_header as tar
from ch04_images.beneath import ENTER, why
from ch04_images.tar_header import BLOCK, shown
from ch04_images.unpack import OPAQUE_MARK, OVERLAY_XATTRS, WHITEOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from ch04_images.tar_header import Records, Regions

CHUNK = 1 << 18
OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
MOST_REGIONS = 100_000  # of a sparse file: unpack's Bounds.header must hold the map
WHITEOUT_DEVICE = os.makedev(0, 0)
KINDS = {
    stat.S_IFREG: tar.FILE,
    stat.S_IFLNK: tar.SYMLINK,
    stat.S_IFCHR: tar.CHARACTER,
    stat.S_IFBLK: tar.BLOCK_DEVICE,
    stat.S_IFDIR: tar.DIRECTORY,
    stat.S_IFIFO: tar.FIFO,
}


def pack(directory: str, sink: BinaryIO, *, layer: bool = False) -> None:
    """Write what is below a directory, itself first as `./`, into `sink` as a tar archive; needs root.

    layer: the directory is the upper one of an overlay; its whiteouts and opaque directories become `.wh.NAME` and
    `.wh..wh..opq`. Symbolic links are not followed; sockets are left out; attributes of overlayfs itself, too.
    A file that grows meanwhile is packed at its old size. Raises EngineError, naming the file, for one that shrinks
    or cannot be read, and OSError if `sink` cannot be written.
    """
    packing = Packing(sink, layer)
    for path, parent, name in walk(os.fsencode(directory)):
        try:
            packing.add(path, parent, name)
        except UnreadableError as error:
            raise EngineError(f"pack {shown(path)}", str(error)) from None
    packing.end()


class UnreadableError(Exception):
    """A file that cannot be packed, and why."""


def walk(top: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """All below a directory in a fixed order: path, descriptor of the directory above, and name in it. The top first,
    as `.`. The descriptor is valid until the next step."""
    descriptor = _enter(os.open, top, -1)
    try:
        yield b"", descriptor, b"."
        yield from _walk(descriptor, b"")
    finally:
        os.close(descriptor)
