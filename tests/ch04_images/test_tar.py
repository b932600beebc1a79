"""The formats: what old and new tar programs write is read as they meant it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from shutil import which

import pytest

from ch02_namespaces.errors import EngineError
from ch04_images.compression import open_plain
from ch04_images.tar import Archive, Bounds
from ch04_images.tar_header import Entry, number
from tests.ch04_images.archives import END, checksummed, directory, extended, file, header, padded, pax, record, symlink


def read(archive: bytes, **bounds: int) -> list[tuple[Entry, bytes]]:
    """Entries with the data that are stored for them."""
    stream = Archive(open_plain(io.BytesIO(archive)), Bounds(**bounds))  # type: ignore[arg-type]
    return [(entry, _data(stream, entry)) for entry in stream]


def _data(stream: Archive, entry: Entry) -> bytes:
    left = entry.size if entry.regions is None else sum(length for _, length in entry.regions)
    data = b""
    while len(data) < left:
        data += stream.read(left - len(data))
    return data


def entry_of(archive: bytes) -> Entry:
    ((entry, _),) = read(archive + END)
    return entry


def names(archive: bytes) -> list[bytes]:
    return [entry.name for entry, _ in read(archive)]


def refused(archive: bytes, why: str, **bounds: int) -> EngineError:
    with pytest.raises(EngineError) as error:
        read(archive, **bounds)
    assert why in str(error.value), str(error.value)
    return error.value


# ---------------------------------------------------------------- numbers and names


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"0000644\0", 0o644),
        (b"0000644 ", 0o644),
        (b"   644 \0", 0o644),
        (b"77777777", 0o77777777),
        (b"\0\0\0\0\0\0\0\0", 0),
        (b"        ", 0),
        (b"\x80\0\0\0\0\0\x01\x00", 256),
        (b"\x80\0\0\x02" + bytes(8), 1 << 65),
        (b"\xff" * 12, -1),
        (b"\xff" * 11 + b"\xfe", -2),
    ],
)
def test_numbers(field: bytes, value: int) -> None:
    assert number(field) == value


@pytest.mark.parametrize(
    "field", [b"-000644\0", b"00_0644\0", b"0o00644\0", b"0000648\0", b"+00644\0\0", b"64 4\0\0\0\0"]
)
def test_what_is_no_number(field: bytes) -> None:
    with pytest.raises(EngineError):
        number(field)


def test_ustar_joins_prefix_and_name() -> None:
    assert entry_of(file(b"n" * 100, prefix=b"p" * 155)).name == b"p" * 155 + b"/" + b"n" * 100


def test_gnu_tar_keeps_other_things_in_the_prefix() -> None:
    assert entry_of(file(b"name", magic=b"ustar  \0", prefix=b"14371234567\0")).name == b"name"


def test_version_7_has_no_magic_and_directories_end_with_a_slash() -> None:
    entry = entry_of(header(b"dir/", b"\0", magic=b""))
    assert (entry.kind, entry.name) == (b"5", b"dir/")
    assert entry_of(header(b"file", b"\0", magic=b"")).kind == b"0"


def test_gnu_long_name_and_link() -> None:
    name, link = b"n/" * 500 + b"n", b"l" * 1000
    archive = extended(link + b"\0", b"K") + extended(name + b"\0", b"L") + symlink(b"short", b"short")
    entry = entry_of(archive)
    assert (entry.name, entry.link) == (name, link)


def test_pax_records_replace_the_header_once() -> None:
    records = [
        (b"path", "中文\n".encode()),
        (b"uid", b"4000000000"),
        (b"gid", b"7"),
        (b"mtime", b"-1.5"),
        (b"size", b"3"),
    ]
    first = pax(*records, (b"SCHILY.xattr.user.a%3Db", b"\0=\n"), (b"unknown", b"")) + header(b"old") + padded(b"abc")
    (one, data), (two, _) = read(first + file(b"next") + END)
    assert (one.name, one.uid, one.gid, one.size, data) == ("中文\n".encode(), 4_000_000_000, 7, 3, b"abc")
    assert (one.mtime_ns, one.xattrs) == (-1_500_000_000, {b"user.a=b": b"\0=\n"})
    assert (two.name, two.uid, two.mtime_ns, two.xattrs) == (b"next", 0, 10**18, {})


def test_nanoseconds_are_exact() -> None:
    assert entry_of(pax((b"mtime", b"1700000000.123456789999")) + file(b"f")).mtime_ns == 1_700_000_000_123_456_789


def test_global_records_hold_for_all_and_own_ones_win() -> None:
    archive = pax((b"uid", b"5"), (b"comment", b"from git archive"), kind=b"g") + file(b"a")
    archive += pax((b"uid", b"6")) + file(b"b") + file(b"c")
    assert [entry.uid for entry, _ in read(archive + END)] == [5, 6, 5]


def test_a_pax_record_without_a_value_leaves_the_header_alone() -> None:
    assert entry_of(pax((b"path", b""), (b"size", b"")) + file(b"name")).name == b"name"


def test_old_checksums_of_signed_bytes() -> None:
    block = file(b"\xe4\xf6\xfc")
    signed = sum(block[:148]) + sum(block[156:]) + 8 * 32 - 3 * 256
    assert entry_of(block[:148] + b"%06o\0 " % signed + block[156:]).name == b"\xe4\xf6\xfc"


def test_checksums_of_headers_with_very_high_bytes() -> None:
    """Their sum exceeds what Adler-32 can hold."""
    assert entry_of(header(b"\xff" * 100, b"2", b"\xff" * 100, prefix=b"\xff" * 155)).link == b"\xff" * 100


def test_links_directories_and_devices_have_no_data_whatever_their_size() -> None:
    kinds = [b"1", b"2", b"3", b"4", b"5", b"6"]
    archive = b"".join(header(b"n" + kind, kind, b"l", size=1000) for kind in kinds)
    assert [entry.kind for entry, _ in read(archive + END)] == kinds


def test_gnu_volume_labels_are_skipped_and_dumped_directories_are_directories() -> None:
    archive = header(b"label", b"V") + header(b"dir/", b"D", size=7) + padded(b"Yname\0\0") + file(b"f")
    assert [(entry.kind, entry.name) for entry, _ in read(archive + END)] == [(b"5", b"dir/"), (b"0", b"f")]


def test_a_continued_volume_is_refused() -> None:
    refused(header(b"f", b"M", size=10) + padded(b"x") + END, "type 'M'")


# ---------------------------------------------------------------- sparse files


def test_gnus_oldest_sparse_format_with_extension_blocks() -> None:
    regions = [(1000 * number, 10) for number in range(30)]
    slots = [b"%011o\0%011o\0" % region for region in regions]
    first = header(b"s", b"S", size=300, sparse=b"".join(slots[:4]) + b"\1" + b"%011o\0" % 100_000, magic=b"ustar  \0")
    second = b"".join(slots[4:25]) + b"\1" + bytes(7)
    third = (b"".join(slots[25:]) + bytes(24 * 16) + b"\0").ljust(512, b"\0")
    ((entry, data),) = read(first + second + third + padded(b"d" * 300) + END)
    assert (entry.size, entry.regions, data) == (100_000, regions, b"d" * 300)


SPARSE_1 = (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"real")


@pytest.mark.parametrize("format", ["0.0", "0.1", "1.0"])
def test_gnus_pax_sparse_formats(format: str) -> None:
    pairs = [(b"GNU.sparse.offset", b"4"), (b"GNU.sparse.numbytes", b"3")]
    pairs += [(b"GNU.sparse.offset", b"9"), (b"GNU.sparse.numbytes", b"1")]
    archive = {
        "0.0": pax((b"GNU.sparse.size", b"20"), (b"GNU.sparse.numblocks", b"2"), *pairs) + file(b"real", b"abcd"),
        "0.1": pax((b"GNU.sparse.size", b"20"), (b"GNU.sparse.name", b"real"), (b"GNU.sparse.map", b"4,3,9,1"))
        + file(b"fake", b"abcd"),
        "1.0": pax(*SPARSE_1, (b"GNU.sparse.realsize", b"20")) + file(b"f", padded(b"2\n4\n3\n9\n1\n") + b"abcd"),
    }[format]
    ((entry, data), (after, _)) = read(archive + file(b"after") + END)
    assert (entry.name, entry.size, entry.regions, data) == (b"real", 20, [(4, 3), (9, 1)], b"abcd")
    assert after.name == b"after"


def test_a_sparse_map_of_many_blocks() -> None:
    regions = [(2000 * number, 1) for number in range(1000)]
    table = b"1000\n" + b"".join(b"%d\n%d\n" % region for region in regions)
    archive = pax(*SPARSE_1, (b"GNU.sparse.realsize", b"2000000")) + file(b"f", padded(table) + b"x" * 1000)
    ((entry, data),) = read(archive + END)
    assert (entry.regions, data) == (regions, b"x" * 1000)


@pytest.mark.parametrize(
    "table",
    [
        b"2\n4\n3\n5\n1\n",
        b"1\n18\n4\n",
        b"1\n4\n5\n",
        b"1\n4\n3\n",
        b"1\n-4\n4\n",
        b"1\n4\n-4\n",
        b"x\n",
        b"1\n9999999999999999999\n4\n",
    ],
)
def test_sparse_maps_that_overlap_overflow_or_lie(table: bytes) -> None:
    archive = pax(*SPARSE_1, (b"GNU.sparse.realsize", b"20")) + file(b"f", padded(table) + b"abcd")
    refused(archive + END, "tar entry")


def test_sparse_maps_without_an_end() -> None:
    archive = pax(*SPARSE_1, (b"GNU.sparse.realsize", b"20")) + file(b"f", padded(b"9000\n1\n") + b"abcd")
    refused(archive + END, "endless")
    endless = header(b"s", b"S", sparse=bytes(96) + b"\1") + (bytes(504) + b"\1" + bytes(7)) * 100
    refused(endless + END, "endless", header=10_000)


# ---------------------------------------------------------------- beginning and end


def test_what_is_no_tar_archive() -> None:
    for data in (b"PK\3\4" + bytes(2000), b"#!/bin/sh\n" * 200, os.urandom(1024), b'{"a": 1}'.ljust(512)):
        refused(data, "this is no tar archive")
    refused(b"short", "ends in the middle")
    refused(b"", "it is empty")
    refused(gzip.compress(b""), "it is empty")


def test_an_archive_of_nothing_is_one() -> None:
    assert read(END) == []


def test_what_follows_the_end_is_ignored() -> None:
    assert names(file(b"a") + END + b"garbage" * 1000) == [b"a"]
    assert names(file(b"a") + bytes(512) + b"garbage" * 1000) == [b"a"]


def test_the_end_of_a_pipe_is_read_so_that_the_writer_can_finish() -> None:
    stream = io.BytesIO(file(b"a") + END + bytes(100_000))
    list(Archive(stream.read, Bounds()))
    assert stream.read() == b""


def test_truncation_anywhere_is_an_error() -> None:
    archive = pax((b"mtime", b"1.5")) + file(b"a", b"x" * 700) + directory(b"d/") + END[:512]
    for length in range(0, len(archive) - 512, 64):
        with pytest.raises(EngineError):
            read(archive[:length])
    assert len(read(archive)) == 2


def test_truncation_names_the_entry() -> None:
    refused(file(b"the-name", b"x" * 5000)[:2000], "'the-name'")


def test_a_wrong_checksum_is_found() -> None:
    good = file(b"first") + file(b"second") + END
    bad = bytearray(good)
    bad[512 + 3] ^= 1
    refused(bytes(bad), "no header at byte 512")


def test_a_pax_header_for_no_entry() -> None:
    refused(pax((b"uid", b"1")) + END, "after an extended header")


@pytest.mark.parametrize(
    "data",
    [
        b"5 a=b\n",
        b"7 a=b\n",
        b"6 a=b",
        b"-6 a=b\n",
        b"6 ab:\n",
        b"0 \n",
        b"99999999999999999999 a=b\n",
        b"a=b\n",
        b"\0" * 10,
    ],
)
def test_malformed_pax_records(data: bytes) -> None:
    if data == b"6 a=b":
        data += b"!"
    refused(extended(data) + file(b"f") + END, "")


def test_a_good_pax_record_for_comparison() -> None:
    assert entry_of(extended(b"6 a=b\n") + file(b"f")).name == b"f"
    assert record(b"a", b"b") == b"6 a=b\n"


@pytest.mark.parametrize("key", [b"uid", b"gid", b"size", b"mtime"])
@pytest.mark.parametrize("value", [b"x", b"-", b"1e3", b" 1", b"1_0", b"9" * 5000, b"0x10"])
def test_malformed_pax_numbers(key: bytes, value: bytes) -> None:
    refused(pax((key, value)) + file(b"f") + END, "")


@pytest.mark.parametrize(
    ("archive", "why"),
    [
        (header(b"f", size=b"\xff" * 12), "negative size"),
        (header(b"f", size=b"\x80" + b"\x7f" * 11), "the bound is"),
        (header(b"f", uid=b"\xff" * 8), "owner"),
        (header(b"f", uid=b"\x80\0\0\0\xff\xff\xff\xff"), "owner"),
        (header(b"f", mtime=b"\x80" + b"\x7f" * 11), "time"),
        (header(b"f", b"3", major=b"7777777\0"), "device number"),
        (header(b""), "name"),
        (header(b"f", b"2"), "links to"),
        (pax((b"path", b"a\0b")) + header(b"f"), "NUL"),
        (pax((b"linkpath", b"a\0b")) + header(b"f", b"2", b"x"), "NUL"),
        (header(b"f", b"Z"), "type 'Z'"),
    ],
)
def test_headers_that_cannot_be(archive: bytes, why: str) -> None:
    refused(archive + END, why)


# ---------------------------------------------------------------- bounds


def test_bounds() -> None:
    many = b"".join(file(b"f%d" % index) for index in range(100)) + END
    refused(many, "more than 50 entries", entries=50)
    refused(many, "more than 20000 bytes", total=20_000)
    refused(file(b"f", b"x" * 101) + END, "the bound is 100", file=100)
    refused(pax((b"path", b"x" * 101)) + file(b"f") + END, "more than 100 bytes", path=100)
    refused(pax((b"comment", b"x" * 3000)) + file(b"f") + END, "extended headers of more than 2000", header=2000)
    refused(pax((b"comment", b"x" * 900)) * 3 + file(b"f") + END, "extended headers of more than 2000", header=2000)
    refused(pax((b"comment", b"x")) * 1000, "extended headers of more", header=20_000)
    refused(pax((b"comment", b"x"), kind=b"g") * 1000, "more than 500 entries", entries=500)
    refused(extended(b"x" * 5000, b"L") + file(b"f"), "extended headers of more", header=4000)


def test_a_sparse_file_of_an_absurd_size() -> None:
    records = (*SPARSE_1, (b"GNU.sparse.realsize", b"9000000000000000000"))
    refused(pax(*records) + file(b"f", padded(b"0\n")) + END, "the bound is")


# ---------------------------------------------------------------- compression


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-q", "-c"], input=data, capture_output=True, check=True).stdout


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zstd": zstd,
}
ARCHIVE = file(b"a", os.urandom(3000) * 200) + file(b"b") + END


@pytest.fixture(params=COMPRESSIONS)
def compressed(request: pytest.FixtureRequest) -> bytes:
    if request.param == "zstd":
        pytest.importorskip("backports.zstd")
        if not which("zstd"):
            pytest.skip("no zstd to compress with")
    return COMPRESSIONS[request.param](ARCHIVE)


def test_compressed_archives(compressed: bytes) -> None:
    ((a, data), (b, _)) = read(compressed)
    assert (a.name, data, b.name) == (b"a", ARCHIVE[512 : 512 + 600_000], b"b")


def test_truncated_compressed_archives(compressed: bytes) -> None:
    for length in (len(compressed) - 1, len(compressed) // 2, 20):
        with pytest.raises(EngineError):
            read(compressed[:length])


def test_damaged_compressed_archives(compressed: bytes) -> None:
    damaged = bytearray(compressed)
    damaged[len(damaged) // 2] ^= 0x55
    with pytest.raises(EngineError):
        read(bytes(damaged))


def test_garbage_after_a_compressed_archive(compressed: bytes) -> None:
    with pytest.raises(EngineError):
        read(compressed + b"garbage")


@pytest.mark.parametrize("format", ["gzip", "xz", "bzip2"])
def test_members_may_be_concatenated_and_padded(format: str) -> None:
    parts = [COMPRESSIONS[format](ARCHIVE[at : at + 100_000]) for at in range(0, len(ARCHIVE), 100_000)]
    assert names(b"".join(parts) + bytes(100)) == [b"a", b"b"]


def test_a_decompression_bomb_stops_at_the_bound() -> None:
    refused(gzip.compress(bytes(512) + bytes(50 << 20)), "more than 1000000 bytes", total=1_000_000)
    refused(gzip.compress(header(b"f", size=40 << 20) + bytes(40 << 20)), "more than", total=1_000_000)


def test_a_stream_that_comes_byte_by_byte() -> None:
    class Slow(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self.data, self.at = data, 0

        def read(self, size: int = -1) -> bytes:
            piece = self.data[self.at : self.at + 1]
            self.at += 1
            return piece

    small = file(b"a", b"abc") + END
    for data in (small, gzip.compress(small), lzma.compress(small)):
        stream = Archive(open_plain(Slow(data)), Bounds())  # type: ignore[arg-type]
        assert [(entry.name, _data(stream, entry)) for entry in stream] == [(b"a", b"abc")]


def test_progress_counts_what_was_read_of_the_compressed_stream(compressed: bytes) -> None:
    seen: list[int] = []
    list(Archive(open_plain(io.BytesIO(compressed), seen.append), Bounds()))
    assert seen[-1] == len(compressed)
    assert seen == sorted(seen)


def test_memory_stays_constant(tmp_path: Path) -> None:
    """A file of 300 MB, of which no more than a piece is in memory."""
    import resource

    with open(tmp_path / "big.tar", "wb") as big:
        big.write(header(b"f", size=300 << 20))
        big.truncate(512 + (300 << 20) + 1024)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open(tmp_path / "big.tar", "rb") as big:
        assert len(list(Archive(open_plain(big), Bounds()))) == 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000
    assert checksummed(header(b"f")) == header(b"f")
