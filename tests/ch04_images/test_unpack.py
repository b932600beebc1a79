"""What an archive holds is what the directory holds afterwards, whoever made the archive."""

from __future__ import annotations

import io
import os
import resource
import socket
import stat
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from shutil import which

import pytest

from ch02_namespaces import unionfs
from ch02_namespaces.errors import EngineError
from ch04_images.unpack import unpack
from tests.ch04_images.archives import (
    END,
    Target,
    device,
    directory,
    file,
    hard_link,
    header,
    pax,
    symlink,
)
from tests.support.trees import differences, tree

CAPABILITY = bytes.fromhex("0100000202000000000000000000000000000000")  # cap_dac_override=p, linux/capability.h


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(tmp_path)


def build(top: Path) -> None:
    """One of everything."""
    for name in ("dir/deep/er", "empty", "closed"):
        (top / name).mkdir(parents=True)
    (top / "dir/file").write_bytes(b"x" * 1_000_000)
    (top / "dir/deep/er/nothing").touch()
    for raw in (b"new\nline", b"\xff\xfe invalid", "名字".encode(), b"-dash", b" space ", b"back\\slash", b"n" * 255):
        (top / os.fsdecode(raw)).write_bytes(raw)
    long = top.joinpath(*["long" * 20] * 10)
    long.mkdir(parents=True)
    (long / ("f" * 200)).write_text("far down")
    (top / "relative").symlink_to("dir/file")
    (top / "absolute").symlink_to("/etc/passwd")
    (top / "dangling").symlink_to("x" * 300)
    os.link(top / "dir/file", top / "hard")
    os.link(top / "dir/file", top / "zz-hard")
    os.link(top / "absolute", top / "hard-symlink", follow_symlinks=False)
    os.mkfifo(top / "fifo", 0o620)
    os.mknod(top / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(top / "disk", stat.S_IFBLK | 0o640, os.makedev(259, 70_000))
    with open(top / "sparse", "wb") as sparse:
        for offset in (1 << 20, 5 << 20, 9 << 20):
            sparse.seek(offset)
            sparse.write(b"data" * 1024)
        sparse.truncate(100 << 20)
    with open(top / "only-a-hole", "wb") as hole:
        hole.truncate(3 << 20)
    owners(top)


def owners(top: Path) -> None:
    """Owners, modes, attributes, and last of all times."""
    os.chown(top / "dir/file", 1000, 2000)
    os.chown(top / "relative", 5, 6, follow_symlinks=False)
    os.chown(top / "fifo", 3_000_000_000, 7)
    for name, mode in (("dir/file", 0o6755), ("empty", 0o1777), ("closed", 0o000), ("-dash", 0o000), ("dir", 0o2750)):
        (top / name).chmod(mode)
    os.setxattr(top / "dir/file", "user.note", b"\0any\nbytes\xff")
    os.setxattr(top / "dir/file", "user.with=sign%", b"")
    os.setxattr(top / "dir/file", "security.capability", CAPABILITY)
    os.setxattr(top / "empty", "trusted.dir", b"yes")
    os.setxattr(top / "relative", "trusted.link", b"yes", follow_symlinks=False)
    os.setxattr(top / "null", "trusted.device", b"yes")
    times = iter(range(1_500_000_000_123_456_789, 1_600_000_000_000_000_000, 1_000_003))
    for path, names, files in os.walk(os.fsencode(top), topdown=False):
        for below in sorted(names + files):
            moment = next(times)
            os.utime(os.path.join(path, below), ns=(moment, moment), follow_symlinks=False)
    os.utime(top / "empty", ns=(-1_500_000_000, -1_500_000_000))
    os.utime(top, ns=(10**18, 10**18))


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("everything") / "top"
    top.mkdir()
    build(top)
    return top


def make(*command: str | Path) -> bytes:
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout


GNU = ["tar", "--numeric-owner", "--sparse", "-c"]


@pytest.mark.parametrize("version", [[], ["0.0"], ["0.1"], ["1.0"]])
def test_everything_from_gnu_tar_in_the_pax_format(everything: Path, target: Target, version: list[str]) -> None:
    options = [f"--sparse-version={number}" for number in version]
    archive = make(*GNU, "--format=pax", *options, "--xattrs", "--xattrs-include=*", "-C", everything, ".")
    unpacked = target.unpack(archive)
    assert not differences(tree(everything, holes=True), tree(target.path, holes=True))
    assert unpacked[b"dir/file"]["owner"] == (1000, 2000)
    assert unpacked[b"dir/file"]["mode"] == "-rwsr-sr-x"


def test_everything_from_gnu_tar_in_its_own_format(everything: Path, target: Target) -> None:
    target.unpack(make(*GNU, "--format=gnu", "-C", everything, "."))
    compare_without(("xattrs", "mtime_ns"), everything, target.path)
    assert tree(target.path)[b"hard"]["mtime_ns"] == tree(everything)[b"hard"]["mtime_ns"] // 10**9 * 10**9  # type: ignore[operator]


@pytest.mark.parametrize("format", ["v7", "ustar"])
def test_the_old_formats(tmp_path_factory: pytest.TempPathFactory, target: Target, format: str) -> None:
    top = tmp_path_factory.mktemp("old")
    (top / "dir").mkdir(parents=True)
    (top / "dir/file").write_text("content")
    (top / "link").symlink_to("dir/file")
    os.link(top / "dir/file", top / "hard")
    target.unpack(make("tar", f"--format={format}", "-c", "-C", top, "."))
    compare_without(("mtime_ns",), top, target.path)


def compare_without(keys: tuple[str, ...], one: Path, other: Path) -> None:
    trees = [tree(one), tree(other)]
    for seen in trees:
        for described in seen.values():
            for key in keys:
                del described[key]
    assert not differences(*trees)


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_everything_from_pythons_tarfile(everything: Path, target: Target, format: int) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=format) as tar:
        tar.add(everything, ".")
    target.unpack(archive.getvalue())
    compare_without(("xattrs", "mtime_ns", "same file as"), everything, target.path)  # it has no links to links
    assert tree(target.path)[b"zz-hard"]["same file as"] == b"dir/file"


@pytest.mark.skipif(not which("bsdtar"), reason="bsdtar is not installed")
def test_everything_from_bsdtar(everything: Path, target: Target) -> None:
    target.unpack(make("bsdtar", "--format=pax", "--xattrs", "-c", "-f", "-", "-C", everything, "."))
    expected = tree(everything, holes=True)
    expected[b"empty"]["mtime_ns"] = -2_500_000_000  # libarchive writes -1.5 seconds as -2.5
    assert not differences(expected, tree(target.path, holes=True))


@pytest.mark.parametrize("option", ["--gzip", "--xz", "--zstd", "--bzip2"])
def test_a_compressed_archive_through_a_pipe(everything: Path, target: Target, option: str) -> None:
    with subprocess.Popen(["tar", "-c", option, "-C", everything / "dir", "."], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        seen: list[int] = []
        unpack(process.stdout, str(target.path), progress=seen.append)
    assert (target.path / "file").read_bytes() == b"x" * 1_000_000
    assert process.returncode == 0
    assert seen[-1] > 0


# ---------------------------------------------------------------- names, owners, times


def test_missing_directories_are_made(target: Target) -> None:
    before = os.umask(0o077)
    try:
        made = target.unpack(file(b"/a//b/./c/file", b"x") + END)
    finally:
        os.umask(before)
    assert [made[name]["mode"] for name in (b"a", b"a/b", b"a/b/c")] == ["drwxr-xr-x"] * 3
    assert made[b"a/b/c/file"]["mode"] == "-rw-r--r--"


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_modes_are_those_of_the_archive_whatever_the_umask(target: Target, umask: int) -> None:
    modes = [0o644, 0o666, 0o777, 0o4755, 0o0, 0o7777]
    archive = b"".join(file(b"f%o" % mode, mode=b"%07o\0" % mode) for mode in modes)
    before = os.umask(umask)
    try:
        made = target.unpack(archive + END)
    finally:
        os.umask(before)
    assert [made[b"f%o" % mode]["mode"] for mode in modes] == [stat.filemode(stat.S_IFREG | mode) for mode in modes]


def test_owners_are_those_of_the_archive_in_a_setgid_directory(target: Target) -> None:
    os.chown(target.path, 0, 4242)
    target.path.chmod(0o2775)
    made = target.unpack(directory(b"d/") + file(b"d/f") + file(b"implied/f") + END)
    assert {seen["owner"] for path, seen in made.items() if path and path != b"implied"} == {(0, 0)}


def test_modes_are_those_of_the_archive_below_a_default_acl(target: Target) -> None:
    acl = b"\2\0\0\0" + b"".join(
        tag + b"\0" + rights + b"\0\xff\xff\xff\xff"
        for tag, rights in ((b"\1", b"\7"), (b"\4", b"\0"), (b"\x20", b"\0"))
    )
    os.setxattr(target.path, "system.posix_acl_default", acl)
    assert target.unpack(file(b"f") + file(b"d/f") + END)[b"d/f"]["mode"] == "-rw-r--r--"


def test_directories_keep_their_times_though_files_are_made_in_them(target: Target) -> None:
    made = target.unpack(directory(b"./") + directory(b"d/", b"0000500\0") + file(b"d/f") + file(b"d/g") + END)
    assert {seen["mtime_ns"] for seen in made.values()} == {10**18}
    assert made[b"d"]["mode"] == "dr-x------"


@pytest.mark.parametrize("root", [b".", b"./", b"/", b"././/"])
def test_the_root_gets_its_owner_and_mode(target: Target, root: bytes) -> None:
    made = target.unpack(header(root, b"5", mode=b"0001777\0", uid=b"0000007\0") + END)
    assert (made[b""]["mode"], made[b""]["owner"]) == ("drwxrwxrwt", (7, 0))


def test_of_two_entries_with_one_name_the_last_wins_and_no_other_name_is_changed(target: Target) -> None:
    archive = file(b"f", b"first") + hard_link(b"other", b"f") + file(b"./f", b"second")
    made = target.unpack(archive + END)
    assert ((target.path / "f").read_text(), (target.path / "other").read_text()) == ("second", "first")
    assert made[b"other"]["same file as"] == b"other"


ONE_OF_EACH = {
    "file": file(b"x", b"data"),
    "directory": directory(b"x/") + file(b"x/inside") + directory(b"x/a/b/c/"),
    "symbolic link": symlink(b"x", b"/etc"),
    "dangling link": symlink(b"x", b"nowhere"),
    "hard link": file(b"target") + hard_link(b"x", b"target"),
    "device": device(b"x", 1, 3),
    "fifo": header(b"x", b"6"),
}


@pytest.mark.parametrize("second", ONE_OF_EACH)
@pytest.mark.parametrize("first", ONE_OF_EACH)
def test_an_entry_may_change_its_type(tmp_path: Path, target: Target, first: str, second: str) -> None:
    made = target.unpack(ONE_OF_EACH[first] + ONE_OF_EACH[second] + END)
    (tmp_path / "alone").mkdir()
    expected = Target(tmp_path / "alone").unpack(ONE_OF_EACH[second] + END)
    for path, seen in expected.items():
        if path:
            assert {**made[path], "mtime_ns": 0} == {**seen, "mtime_ns": 0}
    if first == second or second != "directory":
        assert [path for path in made if path.startswith(b"x")] == [path for path in expected if path.startswith(b"x")]


def test_a_directory_that_is_there_keeps_its_contents(target: Target) -> None:
    made = target.unpack(directory(b"d/") + file(b"d/f", b"x") + directory(b"d/", b"0000700\0") + END)
    assert (made[b"d"]["mode"], b"d/f" in made) == ("drwx------", True)


def test_files_below_a_directory_that_came_a_second_time(target: Target) -> None:
    archive = directory(b"d/") + file(b"d/e/f", b"1") + file(b"d", b"file") + directory(b"d/") + file(b"d/e/g", b"2")
    assert sorted(target.unpack(archive + END)) == [b"", b"d", b"d/e", b"d/e/g"]


def test_hard_links_to_links_and_themselves(target: Target) -> None:
    made = target.unpack(symlink(b"s", b"/etc/passwd") + hard_link(b"h", b"./s") + hard_link(b"h", b"/s") + END)
    assert made[b"h"]["content"] == b"/etc/passwd"
    assert made[b"s"]["same file as"] == b"h"


def test_more_directories_than_a_process_may_open(target: Target) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    archive = b"".join(directory(b"d%d/" % n) + file(b"d%d/e/f" % n) for n in range(400))
    archive += b"".join(hard_link(b"l%d/x" % n, b"d%d/e/f" % n) for n in range(400))
    opened = set(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        assert len(target.unpack(archive + END)) == 400 * 5 + 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert set(os.listdir("/proc/self/fd")) == opened


# ---------------------------------------------------------------- layers


@pytest.fixture
def overlay(target: Target, tmp_path: Path) -> Iterator[Path]:
    """A lower layer with directories a, b, c, d of a file `old` each, and files; mounted by `mount` below."""
    for name in "abcd":
        (tmp_path / "lower" / name).mkdir(parents=True)
        (tmp_path / "lower" / name / "old").touch()
    (tmp_path / "lower/file").touch()
    union = tmp_path / "union"
    union.mkdir()
    yield union
    if os.path.ismount(union):
        subprocess.run(["umount", union], check=True)


@pytest.mark.kernel
def test_whiteouts_hide_what_lower_layers_have(target: Target, overlay: Path, tmp_path: Path) -> None:
    layer = file(b".wh.file") + file(b"a/.wh.old") + file(b"a/new")
    layer += directory(b"b/") + file(b"b/.wh..wh..opq") + file(b"b/new")
    layer += directory(b"c/") + file(b"c/new") + file(b".wh.c")
    layer += file(b".wh.d") + directory(b"d/") + file(b"d/new")
    before = target._beside()
    unpack(io.BytesIO(layer + END), str(target.path), layer=True)
    assert target._beside() == before
    unionfs.mount_overlay([str(target.path), str(tmp_path / "lower")], str(overlay))
    assert sorted(tree(overlay)) == [b"", b"a", b"a/new", b"b", b"b/new", b"c", b"c/new", b"d", b"d/new"]
    assert unionfs.is_whiteout(str(target.path / "file"))


def test_a_whiteout_does_not_hide_what_its_own_layer_has(target: Target) -> None:
    for archive in (file(b".wh.f") + file(b"f", b"x"), file(b"f", b"x") + file(b".wh.f")):
        assert target.unpack(archive + END, layer=True)[b"f"]["size"] == 1


def test_whiteouts_of_aufs_may_be_hard_links(target: Target) -> None:
    target.unpack(file(b".wh.a") + hard_link(b".wh.b", b".wh.a") + END, layer=True)
    assert unionfs.is_whiteout(str(target.path / "b"))


def test_whiteouts_mean_nothing_in_a_plain_archive(target: Target) -> None:
    for archive in (file(b".wh.x"), file(b"a/.wh..wh..opq"), file(b".wh.a/x"), directory(b".wh.a/")):
        with pytest.raises(EngineError, match=r"\.wh\."):
            target.unpack(archive + END)


# ---------------------------------------------------------------- errors


def test_a_target_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="missing: No such file or directory"):
        unpack(io.BytesIO(file(b"f") + END), str(tmp_path / "missing"))


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", full], check=True)
    try:
        with pytest.raises(EngineError, match=r"'big'.*ENOSPC.*the disk is full"):
            unpack(io.BytesIO(file(b"big", bytes(1 << 20)) + END), str(full))
    finally:
        subprocess.run(["umount", full], check=True)


def test_without_root(target: Target) -> None:
    """A child with another user: what it may not do is a clear error."""
    target.path.chmod(0o777)
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        try:
            os.setgroups([])
            os.setgid(65534)
            os.chdir(target.path)
            os.setuid(65534)
            unpack(io.BytesIO(file(b"f") + END), ".")
        except BaseException as error:
            os.write(writing, str(error).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert (
            pipe.read()
            == "tar entry 'f': Operation not permitted [EPERM] (owners, devices and some attributes need root)"
        )
    os.waitpid(pid, 0)


def test_a_socket_as_source(target: Target) -> None:
    """Anything with read() will do; short reads are no end."""
    ours, theirs = socket.socketpair()
    archive = file(b"f", b"x" * 300_000) + END

    def send() -> None:
        with theirs:
            theirs.sendall(archive)

    writer = threading.Thread(target=send)
    writer.start()
    with ours, ours.makefile("rb", buffering=0) as source:
        unpack(source, str(target.path))  # type: ignore[arg-type]
    writer.join()
    assert (target.path / "f").stat().st_size == 300_000


def test_pax_attributes_on_every_type(target: Target) -> None:
    xattr = pax((b"SCHILY.xattr.trusted.t", b"v"))
    archive = b"".join(
        xattr + entry for entry in (file(b"f"), directory(b"d/"), symlink(b"s", b"f"), device(b"n", 1, 3))
    )
    made = target.unpack(archive + END)
    assert [made[name]["xattrs"] for name in (b"f", b"d", b"s", b"n")] == [{"trusted.t": b"v"}] * 4
