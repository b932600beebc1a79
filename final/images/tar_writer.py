"""A tar archive of plain files, for save: the same files give the same bytes. POSIX pax(1)."""

from __future__ import annotations

from ch04_images import tar_header as tar
from ch04_images.pack import header, pax_record, pax_records
from ch04_images.tar_header import BLOCK, Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

MODE = 0o444


class TarWriter:
    """Writes into a file or pipe. A file's size is told first; then it comes in pieces, by write()."""

    def __init__(self, sink: IO[bytes]) -> None:
        self._sink = sink
        self._padding = 0

    def add(self, name: str, data: bytes) -> None:
        """A file, whole."""
        self.begin(name, len(data))
        self.write(data)

    def begin(self, name: str, size: int) -> None:
        """The header of a file; the next pieces are its own."""
        self._pad()
        entry = Entry(tar.FILE, name.encode())
        entry.mode, entry.size = MODE, size
        records = b"".join(pax_record(key, value) for key, value in pax_records(entry).items())
        if records:
            extended = Entry(tar.PAX, b"././@PaxHeader")
            extended.size = len(records)
            self.write(header(extended) + records + bytes(-len(records) % BLOCK))
        self.write(header(entry))
        self._padding = -size % BLOCK

    def write(self, data: bytes) -> int:
        """A piece; how many bytes that were."""
        left = data
        while left:
            left = left[self._sink.write(left) :]
        return len(data)

    def finish(self) -> None:
        """Two blocks of zeros end the archive."""
        self._pad()
        self.write(tar.ZEROS * 2)

    def _pad(self) -> None:
        self.write(bytes(self._padding))
        self._padding = 0
