"""Layers on their way out: packed, summed up, compressed. The same layer gives the same bytes."""

from __future__ import annotations

from final.images.digest import Digester, Verifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Protocol

    class Sink(Protocol):
        """What takes bytes: all of them, and it says how many that were."""

        def write(self, data: bytes, /) -> int: ...


LEVEL = 2  # of isal's 0 to 3: about zlib's 5, at several times its speed
GZIP = 16 + 15  # zlib.h, deflateInit2(): a gzip header, and the largest window


class Sum(Digester):
    """A sink, as pack() wants one, for those who want to know the digest alone."""

    def write(self, data: bytes) -> int:
        """Take some bytes; how many that were."""
        self.update(data)
        return len(data)


class GzipWriter:
    """A sink that compresses into a file. RFC 1952; no name and no time is in the header.

    plain, compressed: digests and sizes of what came in and of what went out. diff_id: what the former's must be, if
    that is known.
    """

    def __init__(self, what: str, file: IO[bytes], diff_id: str = "") -> None:
        from isal import isal_zlib

        self._file = file
        self._compressor = isal_zlib.compressobj(LEVEL, wbits=GZIP)
        self.plain: Digester = Verifier(what, diff_id) if diff_id else Digester()
        self.compressed = Digester()

    def write(self, data: bytes) -> int:
        """Take some bytes; how many that were."""
        self.plain.update(data)
        self._put(self._compressor.compress(data))
        return len(data)

    def finish(self) -> None:
        """That was all. Raises EngineError if the plain bytes are not what they must be."""
        self._put(self._compressor.flush())
        if isinstance(self.plain, Verifier):
            self.plain.finish()

    def _put(self, data: bytes) -> None:
        if data:
            self.compressed.update(data)
            self._file.write(data)
