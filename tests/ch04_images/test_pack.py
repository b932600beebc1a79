"""What we pack is what everybody unpacks, and the same directory gives the same bytes."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import tarfile
import threading
from pathlib import Path
from shutil import which

import pytest

from ch02_namespaces import unionfs
from ch02_namespaces.errors import EngineError
from ch04_images import pack as packing
from ch04_images.pack import pack
from ch04_images.unpack import unpack
from tests.ch04_images.test_unpack import build
from tests.support.trees import differences, tree


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("everything") / "top"
    top.mkdir()
    build(top)
    return top


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "target"
    path.mkdir()
    return path


def packed(directory: Path, layer: bool = False) -> bytes:
    sink = io.BytesIO()
    pack(str(directory), sink, layer=layer)
    return sink.getvalue()


def test_a_round_trip_changes_nothing(everything: Path, target: Path) -> None:
    archive = packed(everything)
    unpack(io.BytesIO(archive), str(target))
    assert not differences(tree(everything, holes=True), tree(target, holes=True))
    assert packed(target) == archive


def test_the_comparison_can_fail(everything: Path, target: Path) -> None:
    unpack(io.BytesIO(packed(everything)), str(target))
    for change in (
        lambda: (target / "dir/file").chmod(0o600),
        lambda: os.removexattr(target / "dir/file", "user.note"),
        lambda: os.utime(target / "empty", ns=(0, 1)),
        lambda: os.chown(target / "relative", 1, 1, follow_symlinks=False),
        lambda: (target / "hard").rename(target / "moved"),
        lambda: (target / "dir/deep/er/nothing").unlink(),
    ):
        before = tree(target)
        change()
        assert differences(before, tree(target))


def test_gnu_tar_reads_it(everything: Path, target: Path) -> None:
    command = ["tar", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-x", "-p", "-C", str(target)]
    result = subprocess.run(command, input=packed(everything), capture_output=True, check=True, timeout=60)
    assert b"hdrcharset" in result.stderr or not result.stderr
    assert not differences(tree(everything, holes=True), tree(target, holes=True))


@pytest.mark.skipif(not which("bsdtar"), reason="bsdtar is not installed")
def test_bsdtar_reads_it(everything: Path, target: Path) -> None:
    command = ["bsdtar", "--numeric-owner", "--xattrs", "-x", "-p", "-f", "-", "-C", str(target)]
    subprocess.run(command, input=packed(everything), check=True, timeout=60)
    expected = tree(everything)
    found = tree(target)
    for seen in (expected, found):
        del seen[b""]  # bsdtar leaves the directory it was given as it is,
        seen[b"empty"]["mtime_ns"] = None  # takes -1.5 seconds for -0.5,
        for name in (b"dir/file", b"hard", b"zz-hard"):
            seen[name]["xattrs"] = None  # and leaves %3D in the names of attributes
    assert not differences(expected, found)


def test_pythons_tarfile_reads_it(everything: Path) -> None:
    expected = tree(everything)
    with tarfile.open(fileobj=io.BytesIO(packed(everything))) as tar:
        members = {os.fsencode(member.name): member for member in tar}
        assert members.keys() == {path or b"." for path in expected}
        for path, seen in expected.items():
            member = members[path or b"."]
            assert (member.uid, member.gid) == seen["owner"]
            if member.isreg():
                data = tar.extractfile(member)
                assert data is not None
                assert len(data.read()) == seen["size"]


def test_sparse_files_take_no_room(everything: Path) -> None:
    archive = packed(everything)
    assert len(archive) < 2_000_000
    assert b"GNU.sparse.realsize=%d\n" % (100 << 20) in archive


def test_a_file_that_is_all_data_is_not_stored_sparse(tmp_path: Path, target: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_bytes(bytes(100_000))
    assert b"GNU.sparse" not in packed(tmp_path / "full")


def test_sizes_and_numbers_that_the_old_header_cannot_hold(tmp_path: Path, target: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    with open(top / "9-GiB", "wb") as big:
        big.truncate(9 << 30)
        big.seek(5 << 30)
        big.write(b"middle")
    os.chown(top / "9-GiB", 4_000_000_000, 2_097_152)
    os.utime(top / "9-GiB", ns=(0, 10_000_000_000 * 10**9))
    unpack(io.BytesIO(packed(top)), str(target))
    assert (target / "9-GiB").stat().st_size == 9 << 30
    for key in ("st_uid", "st_gid", "st_mtime_ns", "st_blocks"):
        assert getattr((target / "9-GiB").stat(), key) == getattr((top / "9-GiB").stat(), key)


@pytest.mark.parametrize("length", range(80, 130, 7))
def test_records_count_their_own_length(length: int) -> None:
    for size in range(length, length + 7):
        record = packing.pax_record(b"k", b"v" * size)
        assert int(record.split()[0]) == len(record)


def test_sockets_are_left_out(tmp_path: Path) -> None:
    top = tmp_path / "s"
    top.mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(top / "socket"))
        (top / "file").touch()
        with tarfile.open(fileobj=io.BytesIO(packed(top))) as tar:
            assert tar.getnames() == [".", "file"]


def test_links_are_not_followed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (tmp_path / "secret").write_text("the secret")
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory/inside").touch()
    (top / "a").symlink_to("../secret")
    (top / "b").symlink_to("../directory")
    archive = packed(top)
    assert b"the secret" not in archive
    assert b"inside" not in archive


def test_a_file_that_becomes_shorter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (top / "log").write_bytes(b"x" * 1_000_000)
    real = os.read

    def read(descriptor: int, size: int) -> bytes:
        os.truncate(top / "log", 300_000)
        return real(descriptor, size)

    monkeypatch.setattr("ch04_images.pack.os.read", read)
    with pytest.raises(EngineError, match="pack 'log': it became shorter"):
        packed(top)


def test_a_file_that_grows_while_it_is_read(tmp_path: Path, target: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (top / "log").write_bytes(b"x" * 100_000)

    class Sink(io.BytesIO):
        def write(self, data: object) -> int:
            with open(top / "log", "ab") as log:
                log.write(b"more")
            return super().write(data)  # type: ignore[arg-type]

    sink = Sink()
    pack(str(top), sink)
    unpack(io.BytesIO(sink.getvalue()), str(target))
    assert (target / "log").stat().st_size >= 100_000


def test_errors_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"missing.*No such file"):
        packed(tmp_path / "missing")
    with pytest.raises(EngineError, match=r"ENOSPC"), open("/dev/full", "wb", buffering=0) as full:
        pack(str(tmp_path), full)
    deep = tmp_path / "deep"
    deep.mkdir()
    here = os.getcwd()
    try:
        os.chdir(deep)
        for _ in range(300):
            os.mkdir("d")
            os.chdir("d")
        with pytest.raises(EngineError, match="more than 256 directories deep"):
            packed(deep)
    finally:
        os.chdir(here)


def test_a_reader_that_leaves(everything: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(BrokenPipeError), os.fdopen(writing, "wb", buffering=0) as sink:
        pack(str(everything), sink)


def test_through_a_pipe(everything: Path, target: Path) -> None:
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as sink:
            pack(str(everything), sink)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(reading, "rb") as source:
        unpack(source, str(target))
    writer.join()
    assert not differences(tree(everything), tree(target))


# ---------------------------------------------------------------- layers


def make_layer(top: Path) -> None:
    for name in ("opaque", "merged/below"):
        (top / name).mkdir(parents=True)
    (top / "merged/file").write_text("changed")
    for name in ("gone", "merged/gone", "merged/below/gone too"):
        unionfs.make_whiteout(str(top / name))
    os.link(top / "gone", top / "gone as well")  # overlayfs shares the inode of its whiteouts
    unionfs.make_opaque(str(top / "opaque"))
    os.setxattr(top / "opaque", "trusted.overlay.origin", b"internal")
    os.setxattr(top / "merged", "user.overlay.impure", b"y")


def test_whiteouts_and_opaque_directories_become_marks(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    make_layer(top)
    archive = packed(top, layer=True)
    assert b"overlay" not in archive
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        marks = {member.name: (member.isreg(), member.size) for member in tar if ".wh." in member.name}
    expected = [".wh.gone", ".wh.gone as well", "merged/.wh.gone", "merged/below/.wh.gone too", "opaque/.wh..wh..opq"]
    assert sorted(marks) == expected
    assert set(marks.values()) == {(True, 0)}


def test_a_layer_makes_the_round_trip(tmp_path: Path, target: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    make_layer(top)
    archive = packed(top, layer=True)
    unpack(io.BytesIO(archive), str(target), layer=True)
    assert sorted(unionfs.show_layer(str(target))) == sorted(unionfs.show_layer(str(top)))
    (target / "opaque" / "x").touch()
    unpacked = tree(target)
    assert unpacked[b"merged/file"]["size"] == 7
    assert unpacked[b"opaque"]["xattrs"] == {"trusted.overlay.opaque": b"y"}
    (target / "opaque" / "x").unlink()
    again = tmp_path / "again"
    again.mkdir()
    unpack(io.BytesIO(packed(target, layer=True)), str(again), layer=True)
    assert sorted(unionfs.show_layer(str(again))) == sorted(unionfs.show_layer(str(top)))


def test_a_name_that_a_layer_cannot_say(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (top / ".wh.file").touch()
    with pytest.raises(EngineError, match="whiteouts"):
        packed(top, layer=True)
    assert b".wh.file" in packed(top)
