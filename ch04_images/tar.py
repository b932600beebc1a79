"""The tar format: a stream of headers and data becomes entries. It is read once, forwards, in constant memory.

Sources: as for tar_header.py. Python's tarfile is not used: its filters against hostile archives were bypassed
(CVE-2025-4517), and it takes seven times as long.
"""

from __future__ import annotations

from ch02_namespaces.errors import EngineError
from ch04_images import tar_header as tar
from ch04_images.tar_header import BLOCK, Entry, decimal, malformed, number, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ch04_images.tar_header import Records, Regions

CHUNK = 1 << 18  # bytes read and written at once: they stay in the processor's cache
TRUNCATED = "is the download complete?"


class Bounds:
    """What an archive may ask for; more is an error. Sizes are in bytes.

    total: the whole archive, compressed or not; entries: headers of any kind; file: one file as it is read, holes
    included; path: a name; depth: directories in a name (removing a tree recurses: stay below 500); header: what
    the extended headers of one entry add up to, and its sparse map; memory: what must be remembered of directories
    until the end; devices: device nodes are allowed; setuid: so
    are setuid and setgid files, and those with capabilities.
    """

    def __init__(
        self,
        *,
        total: int = 64 << 30,
        entries: int = 2_000_000,
        file: int = 64 << 30,
        path: int = 4096,
        depth: int = 256,
        header: int = 4 << 20,
        memory: int = 256 << 20,
        devices: bool = True,
        setuid: bool = True,
    ) -> None:
        self.total = total
        self.entries = entries
        self.file = file
        self.path = path
        self.depth = depth
        self.header = header
        self.memory = memory
        self.devices = devices
        self.setuid = setuid


class Archive:
    """Iterate over it for the entries of a tar stream; read() gives the data of the entry at hand.

    read: takes the most bytes to return, and returns none at the end (compression.open_plain). Iteration raises
    EngineError for what is no tar archive, is damaged, ends early, or exceeds the bounds. An archive ends with a
    block of zeros, and what follows is skipped, as by GNU tar; one that just stops there is taken for truncated.
    """

    def __init__(self, read: Callable[[int], bytes], bounds: Bounds) -> None:
        self._read = read
        self._bounds = bounds
        self._buffer = b""
        self._at = 0  # in the buffer
        self._total = 0  # bytes read so far
        self._left = 0  # bytes of the entry's data not yet read
        self._padding = 0
        self._name = b""  # of the entry at hand
        self._shared: Records = {}  # what a global header says of all entries to come

    def __iter__(self) -> Iterator[Entry]:
        own: Records = {}  # what extended headers say of the entry to come
        room = self._bounds.header
        for _ in range(self._bounds.entries):
            header = self._header()
            if not header:
                break
            kind = header[156:157]
            if kind in tar.EXTENSIONS:
                data = self._extension(header, room)
                room -= BLOCK + len(data)
                own.update(tar.records(kind, data))
            elif kind == tar.PAX_GLOBAL:
                said = tar.records(kind, self._extension(header, self._bounds.header))
                self._shared.update((key, said[key]) for key in tar.GLOBAL_KEYS if key in said)
            elif kind != tar.GNU_VOLUME:
                try:
                    entry = self._entry(header, {**self._shared, **own} if self._shared else own)
                except EngineError as error:
                    raise EngineError(f"tar entry {shown(self._name)}", error.why, error.hint) from None
                yield entry
                own, room = {}, self._bounds.header
            self._finish()
        else:
            raise EngineError("tar archive", f"more than {self._bounds.entries} entries")
        if own:
            raise malformed("it ends after an extended header")
        self._drain()

    def read(self, size: int) -> bytes:
        """At least one byte and at most `size` of the entry's data, which the caller knows to be there."""
        piece = self._some(size)
        self._left -= len(piece)
        return piece

    # ---------------------------------------------------------------- the stream

    def _some(self, size: int) -> bytes:
        """At least one byte and at most `size`."""
        piece = self._buffer[self._at : self._at + size]
        if not piece:
            if not self._fill():
                what = f"tar entry {shown(self._name)}" if self._name else "tar archive"
                raise EngineError(what, f"the archive ends in the middle, at byte {self._total}", TRUNCATED)
            piece = self._buffer[:size]
        self._at += len(piece)
        return piece

    def _take(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        piece = self._some(size) if size else b""
        while len(piece) < size:
            piece += self._some(size - len(piece))
        return piece

    def _fill(self) -> bool:
        self._buffer = self._read(CHUNK)
        self._at = 0
        self._total += len(self._buffer)
        if self._total > self._bounds.total:
            raise EngineError("tar archive", f"more than {self._bounds.total} bytes when decompressed")
        return bool(self._buffer)

    def _drain(self) -> None:
        """Read what follows the end, so that the writer of a pipe can finish, and a checksum of gzip is compared."""
        while self._fill():
            pass

    def _expect(self, size: int) -> None:
        """So many bytes of data, padded to whole blocks, belong to the header that was just read."""
        if size < 0:
            raise malformed(f"a negative size, {size}")
        self._left, self._padding = size, -size % BLOCK

    def _finish(self) -> None:
        """Go to the next header."""
        left = self._left + self._padding
        self._left = self._padding = 0
        while left > len(self._buffer) - self._at:
            left -= len(self._some(left))
        self._at += left

    # ---------------------------------------------------------------- headers

    def _header(self) -> bytes:
        """The next header, its checksum verified; none at the end."""
        header = self._buffer[self._at : self._at + BLOCK]
        if len(header) == BLOCK:
            self._at += BLOCK
        else:
            header = self._take_header()
        if tar.sums_up(header):
            return header
        if header == tar.ZEROS:
            return b""
        position = self._total - len(self._buffer) + self._at - BLOCK
        if position == 0:
            hint = "what is needed is tar, plain or compressed with gzip, xz, zstd or bzip2"
            raise EngineError("tar archive", "this is no tar archive", hint)
        raise malformed(f"no header at byte {position}")

    def _take_header(self) -> bytes:
        if self._at == len(self._buffer) and not self._fill():
            why = "its end is missing" if self._total else "it is empty"
            raise EngineError("tar archive", why, TRUNCATED)
        return self._take(BLOCK)

    def _extension(self, header: bytes, most: int) -> bytes:
        """The data of an extended header, which all has to fit into memory."""
        size = number(header[124:136])
        if size > most:
            raise EngineError("tar archive", f"extended headers of more than {self._bounds.header} bytes for one entry")
        self._expect(size)
        self._left = 0
        return self._take(size)

    def _entry(self, header: bytes, records: Records) -> Entry:
        """What this header, and the records that came before it, say. Leaves the stream where the data begins."""
        name, owner, size, mtime, kind, link, magic, major, minor, prefix = tar.HEADER.unpack(header)
        name = tar.text(name)
        if magic == tar.USTAR and prefix[0]:  # GNU tar, whose magic differs, keeps other things there
            name = tar.text(prefix) + b"/" + name
        self._name = name
        entry = Entry(kind, name)
        entry.mode, entry.uid, entry.gid = tar.owner(owner)
        entry.mtime_ns = tar.seconds(mtime)
        stored = number(size)
        if kind == tar.FILE and not records and self._is_plain(name, stored):
            entry.size = stored
            self._expect(stored)
            return entry
        if kind in tar.LINKS:
            entry.link = tar.text(link)
        if records:
            stored = tar.apply(records, entry, stored)
            self._name = entry.name
        self._expect(0 if kind in tar.WITHOUT_DATA else stored)
        if kind in tar.FILES:
            self._file(entry, header, records)
        elif kind in tar.DEVICES:
            entry.major, entry.minor = number(major), number(minor)
        elif kind == tar.GNU_DUMPDIR:
            entry.kind = tar.DIRECTORY
        elif kind not in tar.WITHOUT_DATA:
            raise malformed(f"its type {shown(kind)} is unknown")
        self._check(entry)
        return entry

    def _is_plain(self, name: bytes, size: int) -> bool:
        """Whether nothing is left to find out about a file, as with most, or to refuse."""
        bounds = self._bounds
        return 0 < len(name) <= bounds.path and 0 <= size <= bounds.file and not name.endswith(b"/")

    def _file(self, entry: Entry, header: bytes, records: Records) -> None:
        """A regular file, or a directory from before those had a type of their own."""
        sparse = entry.kind == tar.GNU_SPARSE
        if entry.name.endswith(b"/"):
            entry.kind = tar.DIRECTORY
            return
        entry.kind, entry.size = tar.FILE, self._left
        if sparse:
            entry.size, entry.regions = number(header[483:495]), self._map_in_header(header)
        elif size := records and (records.get(b"GNU.sparse.realsize") or records.get(b"GNU.sparse.size")):
            entry.size, entry.regions = decimal(size), self._map_of_pax(records)
        if not 0 <= entry.size <= self._bounds.file:
            raise malformed(f"a file of {entry.size} bytes; the bound is {self._bounds.file}")
        if entry.regions is not None and not tar.ascending(entry.regions, entry.size, self._left):
            raise malformed("a sparse map that contradicts itself")

    def _check(self, entry: Entry) -> None:
        name, link, most = entry.name, entry.link, self._bounds.path
        if not name or b"\0" in name:
            raise malformed("its name is empty or holds a NUL")
        if len(name) > most or len(link) > most:
            raise malformed(f"a name of more than {most} bytes")
        if entry.kind in tar.LINKS and (not link or b"\0" in link):
            raise malformed("the name it links to is empty or holds a NUL")
        if entry.kind in tar.DEVICES and not (0 <= entry.major < 1 << 12 and 0 <= entry.minor < 1 << 20):
            raise malformed("a device number that cannot exist")

    # ---------------------------------------------------------------- sparse files

    def _map_in_header(self, header: bytes) -> Regions:
        """GNU's oldest format: four regions in the header, 21 in each block that follows while a flag says so."""
        regions = tar.region_table(header[386:482])
        more, room = header[482], self._bounds.header
        while more:
            block = self._take(BLOCK)
            regions += tar.region_table(block[:504])
            more, room = block[504], room - BLOCK
            if room < 0:
                raise malformed("an endless sparse map")
        return regions

    def _map_of_pax(self, records: Records) -> Regions:
        """GNU's formats 0.0 and 0.1, with the map in the pax header, and 1.0, with the map before the data."""
        if records.get(b"GNU.sparse.major") == b"1":
            return tar.regions(self._map_before_data())
        return tar.regions([decimal(text) for text in records.get(tar.SPARSE_MAP, b"").split(b",") if text])

    def _map_before_data(self) -> list[int]:
        """A line with the number of regions, one with each offset and each length; padded to a whole block."""
        blocks: list[bytes] = []
        lines, needed = 0, 1
        while lines < needed:
            if self._left < BLOCK or len(blocks) * BLOCK >= self._bounds.header:
                raise malformed("an endless sparse map")
            blocks.append(self._take(BLOCK))
            self._left -= BLOCK
            lines += blocks[-1].count(b"\n")
            if needed == 1 and lines:
                needed += 2 * decimal(b"".join(blocks).partition(b"\n")[0])
        return [decimal(line) for line in b"".join(blocks).split(b"\n", needed)[1:needed]]
