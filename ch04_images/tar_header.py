"""What a tar header says: type flags, numbers, pax records, sparse maps, and the entry that they describe.

Sources: POSIX pax(1), "ustar Interchange Format" and "pax Interchange Format"; tar(5) of libarchive; the GNU tar
manual, "Basic Tar Format" and "Storing Sparse Files".
"""

from __future__ import annotations

import functools
import os
import struct
import zlib

from ch02_namespaces.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Records = dict[bytes, bytes]
    Regions = list[tuple[int, int]]

BLOCK = 512
ZEROS = bytes(BLOCK)
# name, (mode, uid, gid), size, mtime, (checksum,) type flag, link name, magic, (user, group,) major, minor, prefix
HEADER = struct.Struct("100s24s12s12s8xc100s6s66x8s8s155s12x")
USTAR = b"ustar\0"

FILE, LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
OLD_FILE, CONTIGUOUS, GNU_SPARSE, GNU_DUMPDIR, GNU_VOLUME = b"\0", b"7", b"S", b"D", b"V"
PAX, PAX_SOLARIS, PAX_GLOBAL, GNU_NAME, GNU_LINK = b"x", b"X", b"g", b"L", b"K"
LINKS = frozenset((LINK, SYMLINK))
DEVICES = frozenset((CHARACTER, BLOCK_DEVICE))
FILES = frozenset((FILE, OLD_FILE, CONTIGUOUS, GNU_SPARSE))
WITHOUT_DATA = frozenset((*LINKS, *DEVICES, DIRECTORY, FIFO))  # whatever size their header says
EXTENSIONS = frozenset((PAX, PAX_SOLARIS, GNU_NAME, GNU_LINK))

GLOBAL_KEYS = (b"uid", b"gid", b"mtime")  # the others make no sense for all files of an archive
XATTR = b"SCHILY.xattr."
SPARSE_MAP = b"GNU.sparse.map"
SPARSE_PAIR = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
HIGHEST_ID = (1 << 32) - 2  # the one above means "leave it" to chown(2)
LAST_NANOSECOND = 1 << 90


class Entry:
    """A file as the archive describes it.

    kind: FILE, LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY or FIFO; name, link: as stored; mode: permission
    bits, 0 to 0o7777; mtime_ns: nanoseconds since 1970; size: bytes of the file as it is read, holes included;
    regions: (offset, length) of what is stored of a sparse file, ascending, or None.
    """

    link = b""
    mode = uid = gid = mtime_ns = size = major = minor = 0
    regions: Regions | None = None
    xattrs: Mapping[bytes, bytes] = {}

    def __init__(self, kind: bytes, name: bytes) -> None:
        self.kind = kind
        self.name = name


def shown(name: bytes) -> str:
    """A name for a message: quoted, control characters and invalid bytes escaped, not too long."""
    return repr(os.fsdecode(name if len(name) <= 200 else name[:200] + b"..."))


def malformed(why: str) -> EngineError:
    """The error for an archive that breaks the rules of its format."""
    return EngineError("tar archive", why, "it is damaged, or was made to do harm")


# ---------------------------------------------------------------- fields


def text(field: bytes) -> bytes:
    """A field up to its NUL."""
    return field.partition(b"\0")[0]


@functools.lru_cache(1 << 12)  # owners, modes and times are few
def number(field: bytes) -> int:
    """A number: octal digits, or, as GNU tar has it for large ones, base 256 with the first bit set. Empty: 0.

    Raises EngineError.
    """
    if field[0] & 0x80:
        bits = 8 * len(field) - 1
        value = int.from_bytes(field, "big") & (1 << bits) - 1
        return value - (1 << bits) if field[0] & 0x40 else value
    digits = text(field).strip(b" ")
    if not digits:
        return 0
    try:
        if digits.isdigit():  # int() would take signs and underscores
            return int(digits, 8)
    except ValueError:
        pass
    raise malformed(f"{shown(digits)} is no octal number")


@functools.lru_cache(1 << 10)
def owner(fields: bytes) -> tuple[int, int, int]:
    """Mode, user and group, which lie side by side and are the same for many files. Raises EngineError."""
    return number(fields[:8]) & 0o7777, user(number(fields[8:16])), user(number(fields[16:]))


def user(number: int) -> int:
    """A user or group. Raises EngineError for one that cannot be."""
    if not 0 <= number <= HIGHEST_ID:
        raise malformed(f"an owner that cannot exist, {number}")
    return number


@functools.lru_cache(1 << 10)
def seconds(field: bytes) -> int:
    """A time, in nanoseconds. Raises EngineError."""
    return time(number(field) * 1_000_000_000)


def time(nanoseconds: int) -> int:
    """A time. Raises EngineError for one that no file system can store."""
    if abs(nanoseconds) > LAST_NANOSECOND:
        raise malformed("a time that cannot exist")
    return nanoseconds


def sums_up(header: bytes) -> bool:
    """Whether the checksum is the sum of all bytes, its own taken for spaces. Some old programs took bytes for signed.

    The low half of Adler-32 is the sum of all bytes plus 1, modulo 65521, and many times as fast as sum().
    """
    checksum = header[148:156]
    try:
        expected = sum_of_all(checksum)
    except EngineError:
        return False
    if zlib.adler32(header) & 0xFFFF == expected + 1:
        return True
    counted = header[:148] + b" " * 8 + header[156:]
    total = sum(counted)
    return number(checksum) in (total, total - 256 * sum(byte >= 128 for byte in counted))


@functools.lru_cache(1 << 12)  # headers differ in few bytes, and so do their sums
def sum_of_all(checksum: bytes) -> int:
    """What the bytes of a header with this checksum add up to, those of the checksum included. Raises EngineError."""
    return number(checksum) - 8 * ord(" ") + sum(checksum)


# ---------------------------------------------------------------- pax records


def records(kind: bytes, data: bytes) -> Records:
    """The records of an extended header: "LENGTH KEY=VALUE\\n", LENGTH being that of all this in decimal digits.

    GNU's long names are given as the pax records that replaced them. Raises EngineError.
    """
    if kind == GNU_NAME:
        return {b"path": text(data)}
    if kind == GNU_LINK:
        return {b"linkpath": text(data)}
    found: Records = {}
    pairs, at = [], 0
    while at < len(data):
        space = data.find(b" ", at, at + 20)
        end = at + decimal(data[at : max(space, at)])
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or data[end - 1 : end] != b"\n":
            raise malformed("a pax record that contradicts its length")
        if key in SPARSE_PAIR:  # GNU's sparse format 0.0 repeats them, one pair a region
            pairs.append(value)
        found[key] = value
        at = end
    if pairs:
        found[SPARSE_MAP] = b",".join(pairs)
    return found


def apply(records: Records, entry: Entry, stored: int) -> int:
    """Let pax records replace what the header says; those without a value leave it. Returns the size of the data."""
    get = records.get
    entry.name = get(b"GNU.sparse.name") or get(b"path") or entry.name
    entry.link = get(b"linkpath") or entry.link
    if uid := get(b"uid"):
        entry.uid = user(decimal(uid))
    if gid := get(b"gid"):
        entry.gid = user(decimal(gid))
    if mtime := get(b"mtime"):
        entry.mtime_ns = time(nanoseconds(mtime))
    entry.xattrs = {unquoted(key.removeprefix(XATTR)): value for key, value in records.items() if key.startswith(XATTR)}
    size = get(b"size")
    return decimal(size) if size else stored


def quoted(attribute: bytes) -> bytes:
    """An attribute's name in a pax key, where "=" would end it: as GNU tar does it."""
    return attribute.replace(b"%", b"%25").replace(b"=", b"%3D")


def unquoted(attribute: bytes) -> bytes:
    """The inverse of quoted()."""
    return attribute.replace(b"%3D", b"=").replace(b"%25", b"%")


def decimal(digits: bytes) -> int:
    """A number in a pax record. Raises EngineError."""
    if not digits.isdigit() or len(digits) > 20:
        raise malformed(f"{shown(digits)} is no number")
    return int(digits)


def nanoseconds(time: bytes) -> int:
    """A time in a pax record: seconds since 1970, maybe negative, maybe with a fraction. Raises EngineError."""
    seconds, _, fraction = time.removeprefix(b"-").partition(b".")
    value = decimal(seconds) * 1_000_000_000 + decimal(fraction[:9].ljust(9, b"0"))
    return -value if time.startswith(b"-") else value


# ---------------------------------------------------------------- sparse maps


def regions(numbers: list[int]) -> Regions:
    """Offsets and lengths by pairs. Raises EngineError for half a pair."""
    if len(numbers) % 2:
        raise malformed("half a region in a sparse map")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def region_table(table: bytes) -> Regions:
    """Offsets and lengths of 12 bytes each; slots that are not used are zero."""
    slots = (table[at : at + 24] for at in range(0, len(table), 24))
    return [(number(slot[:12]), number(slot[12:])) for slot in slots if slot.strip(b"\0")]


def ascending(regions: Regions, size: int, stored: int) -> bool:
    """Whether the regions lie one behind the other within the file, and are what is stored of it."""
    end = 0
    for offset, length in regions:
        if offset < end or length < 0:
            return False
        end = offset + length
    return end <= size and sum(length for _, length in regions) == stored
