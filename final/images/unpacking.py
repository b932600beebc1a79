"""Layers into the store, while their bytes still come: nothing keeps its name unless all of it was what it should be.

What must hold: a layer whose diff_id is written down has the files of the archive with this digest.
"""

from __future__ import annotations

from ch02_namespaces.errors import EngineError
from ch04_images.compression import open_plain
from ch04_images.unpack import DEFAULTS, unpack_plain
from final.images.digest import Verifier
from final.images.layout import Unpacked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO, Any, Protocol

    from ch04_images.images import NewLayer
    from final.images.addition import Addition
    from final.images.digest import Digester
    from final.images.documents import Descriptor

    class Source(Protocol):
        """A layer's bytes as they come, compressed or not. finish() raises EngineError unless they were the right
        ones."""

        def read(self, size: int, /) -> bytes: ...
        def finish(self) -> None: ...


CHUNK = 1 << 18
ALWAYS_ALLOWED = 1 << 30  # bytes that a layer may have when it is unpacked, however small it was …
MOST_TIMES = 200  # … and how many times its compressed size beyond that; real ones have 2 to 10 times


class Kept:
    """A blob in a file, verified while it is read."""

    def __init__(self, what: str, file: IO[bytes], blob: Descriptor) -> None:
        self._file = file
        self._verifier = Verifier(what, blob.digest, blob.size)

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end."""
        data = self._file.read(size)
        self._verifier.update(data)
        return data

    def finish(self) -> None:
        """Read the rest. Raises EngineError if it was not what it should be."""
        while self.read(CHUNK):
            pass
        self._verifier.finish()


class PlainBytes:
    """The plain bytes of a layer, summed up. Raises EngineError for what would only fill the disk."""

    def __init__(self, what: str, source: IO[bytes], total: Digester, check: Callable[[], None]) -> None:
        self._what = what
        self._check = check
        self._total = total
        self._compressed = 0
        self._read = open_plain(source, self._count, DEFAULTS.total)

    def _count(self, compressed: int) -> None:
        self._compressed = compressed

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end."""
        self._check()
        data = self._read(size)
        self._total.update(data)
        if self._total.size > ALWAYS_ALLOWED + MOST_TIMES * self._compressed:
            raise EngineError(self._what, f"it grows to more than {MOST_TIMES} times its size when it is unpacked")
        return data


def unpack_layer(addition: Addition, what: str, source: Source, diff_id: str, blob: Descriptor | None) -> Unpacked:
    """Make a layer of its archive. diff_id: what its plain bytes must be; blob: what the compressed ones are called.
    Raises EngineError; then there is none."""

    def fill(layer: NewLayer) -> tuple[str, Unpacked]:
        total = Verifier(what, diff_id)
        plain = PlainBytes(what, _as_file(source), total, addition.check)
        try:
            size = unpack_plain(plain.read, layer.directory, layer=True)
        except EngineError as error:
            raise EngineError(what, str(error), error.hint) from None
        while plain.read(CHUNK):  # what follows the end of the archive is part of its digest
            pass
        source.finish()
        total.finish()
        return diff_id, Unpacked(layer.id, size, total.size, blob)

    return addition.make_layer(fill)


def _as_file(source: Any) -> IO[bytes]:
    """open_plain() calls nothing but read()."""
    file: IO[bytes] = source
    return file
