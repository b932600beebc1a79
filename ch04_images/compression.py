"""Compressed streams, recognised by their first bytes and read in constant memory: gzip, xz, zstd, bzip2.

Sources: RFC 1952 (gzip), RFC 8878 (zstd), the .xz file format 1.1, bzip2(1); OCI image-spec, layer.md.
A library is imported when its format is met, not before.
"""

from __future__ import annotations

from ch02_namespaces.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO, Protocol

    class Decompressor(Protocol):
        """What the decompressor objects of bz2, lzma, zstd and isal have in common."""

        @property
        def eof(self) -> bool: ...
        @property
        def needs_input(self) -> bool: ...
        @property
        def unused_data(self) -> bytes: ...
        def decompress(self, data: bytes, max_length: int) -> bytes: ...


CHUNK = 1 << 16  # bytes of compressed data: few, as the rest of a chunk is copied for each member that ends in it
MOST_MEMORY = 256 << 20  # bytes of history that an archive may ask for: xz -9 takes 65 MiB, zstd --ultra -22 128 MiB


def _gzip() -> Callable[[], Decompressor]:
    from isal import igzip_lib  # three times as fast as zlib

    return lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)


def _bzip2() -> Callable[[], Decompressor]:
    import bz2

    return bz2.BZ2Decompressor


def _xz() -> Callable[[], Decompressor]:
    import lzma

    return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MOST_MEMORY)


def _zstd() -> Callable[[], Decompressor]:
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]  # Python 3.14
    except ImportError:
        from backports import zstd

    return lambda: zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 27})


FORMATS = {b"\x1f\x8b": _gzip, b"BZh": _bzip2, b"\xfd7zXZ\0": _xz, b"\x28\xb5\x2f\xfd": _zstd}
LONGEST_MAGIC = max(map(len, FORMATS))


class Source:
    """The bytes of an archive as they lie on the disk or come through a pipe.

    progress: called with the number of bytes read so far; most: how many there may be.
    """

    def __init__(self, file: IO[bytes], progress: Callable[[int], None] | None, most: int) -> None:
        self._file = file
        self._progress = progress
        self._most = most
        self._count = 0
        self._again = b""

    def unread(self, data: bytes) -> None:
        """Give back what was read last."""
        self._again = data
        self._count -= len(data)

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end; they will be read again."""
        while len(self._again) < size:
            piece = self._file.read(size - len(self._again))
            if not piece:
                break
            self._again += piece
        return self._again

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end. Raises EngineError if there are too many."""
        data = self._again or self._file.read(size)
        self._again = b""
        self._count += len(data)
        if self._count > self._most:
            raise EngineError("archive", f"it has more than {self._most} bytes")
        if self._progress is not None:
            self._progress(self._count)
        return data


class Members:
    """The plain bytes of compressed members, one after the other, as all four formats may be concatenated."""

    def __init__(self, source: Source, new: Callable[[], Decompressor]) -> None:
        self._source = source
        self._new = new
        self._member = new()

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end. Raises EngineError for damaged and truncated data."""
        while True:
            if self._member.eof and not self._next_member():
                return b""
            data = self._source.read(CHUNK) if self._member.needs_input else b""
            if self._member.needs_input and not data:
                raise EngineError("compressed archive", "it ends in the middle", "is the download complete?")
            if plain := self._decompress(data, size):
                return plain

    def _next_member(self) -> bool:
        rest = self._member.unused_data
        while not rest.lstrip(b"\0"):  # tapes and .xz files are padded with zeros
            rest = self._source.read(CHUNK)
            if not rest:
                return False
        self._member = self._new()
        self._source.unread(rest.lstrip(b"\0"))
        return True

    def _decompress(self, data: bytes, size: int) -> bytes:
        try:
            return self._member.decompress(data, size)
        except Exception as error:  # each library has its own class, and some are only Exceptions
            raise EngineError("compressed archive", f"{type(error).__name__}: {error}") from None


def open_plain(
    file: IO[bytes], progress: Callable[[int], None] | None = None, most: int = 1 << 62
) -> Callable[[int], bytes]:
    """A function that reads the plain bytes of a file or pipe, whatever it is compressed with.

    The function takes the most bytes to return, and returns none at the end. progress: called with the number of
    compressed bytes read; most: how many there may be. Raises EngineError for damaged data, also while reading.
    """
    source = Source(file, progress, most)
    head = source.peek(LONGEST_MAGIC)
    for magic, library in FORMATS.items():
        if head.startswith(magic):
            return Members(source, library()).read
    return source.read
