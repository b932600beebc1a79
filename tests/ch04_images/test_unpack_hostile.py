"""Archives made to do harm: nothing is ever written outside the target, and the error is a clear one."""

from __future__ import annotations

import gzip
import io
import os
import random
import shutil
import stat
from pathlib import Path

import pytest

from ch02_namespaces.errors import EngineError
from ch04_images.tar import Bounds
from ch04_images.unpack import unpack
from tests.ch04_images.archives import (
    END,
    Target,
    checksummed,
    device,
    directory,
    extended,
    file,
    hard_link,
    header,
    padded,
    pax,
    symlink,
)

FUZZ_ROUNDS = 3000


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(tmp_path)


def refused(target: Target, archive: bytes, why: str = "", layer: bool = False, **bounds: bool | int) -> str:
    with pytest.raises(EngineError) as error:
        target.unpack(archive + END, layer, Bounds(**bounds))  # type: ignore[arg-type]
    assert why in str(error.value), str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


DOTS = [b"..", b"../x", b"a/../../x", b"a/..", b"/..", b"./..", b"../beside/secret", b"/../../x", b"a/b/../../../file"]


@pytest.mark.parametrize("name", DOTS)
@pytest.mark.parametrize("kind", [b"0", b"5", b"6", b"3"])
def test_dots_are_refused(target: Target, name: bytes, kind: bytes) -> None:
    refused(target, header(name, kind), "`..`")
    refused(target, pax((b"path", name)) + header(b"harmless", kind), "`..`")
    refused(target, extended(name + b"\0", b"L") + header(b"harmless", kind), "`..`")
    refused(target, pax((b"GNU.sparse.name", name), (b"GNU.sparse.size", b"0")) + header(b"harmless", kind), "`..`")
    assert os.listdir(target.path) == []


@pytest.mark.parametrize("name", DOTS)
def test_hard_links_do_not_lead_outside(target: Target, name: bytes) -> None:
    refused(target, hard_link(b"x", name), "`..`")
    refused(target, pax((b"linkpath", name)) + hard_link(b"x", b"y"), "`..`")


def test_absolute_names_stay_inside(target: Target) -> None:
    outside = os.fsencode(target.top) + b"/file"
    made = target.unpack(pax((b"path", outside)) + file(b"x", b"evil") + END)
    assert outside[1:] in made
    refused(target, pax((b"linkpath", os.fsencode(target.top) + b"/beside/secret")) + hard_link(b"x", b"y"), "not been")


def links_to_beside(target: Target) -> dict[str, bytes]:
    outside = os.fsencode(target.top)
    return {
        "relative": symlink(b"l", b"../beside"),
        "absolute": pax((b"linkpath", outside + b"/beside")) + symlink(b"l", b"x"),
        "up": symlink(b"l", b".."),
        "chain": symlink(b"m", b"..") + symlink(b"l", b"m/beside"),
        "inside": directory(b"d/") + symlink(b"l", b"d"),
        "to the root": symlink(b"l", b"/"),
        "itself": symlink(b"l", b"l"),
        "proc": symlink(b"l", b"/proc/self/cwd"),
    }


@pytest.mark.parametrize("kind", ["relative", "absolute", "up", "chain", "inside", "to the root", "itself", "proc"])
def test_nothing_is_done_below_a_symbolic_link(target: Target, kind: str) -> None:
    link = links_to_beside(target)[kind]
    for entry in (
        file(b"l/secret", b"evil"),
        file(b"l/new", b"evil"),
        directory(b"l/new/"),
        symlink(b"l/new", b"x"),
        device(b"l/new", 1, 3),
        header(b"l/new", b"6"),
        file(b"l/new/deeper", b"evil"),
        file(b"own") + hard_link(b"l/new", b"own"),
        hard_link(b"new", b"l/secret"),
        file(b"./l/./secret", b"evil"),
    ):
        assert "'l' is a symbolic link" in refused(target, link + entry)
    refused(target, link + file(b"l/.wh.secret"), "'l' is a symbolic link", layer=True)
    refused(target, link + file(b"l/.wh..wh..opq"), "'l' is a symbolic link", layer=True)


@pytest.mark.parametrize("last", [file(b"l", b"evil"), directory(b"l/"), symlink(b"l", b"x"), device(b"l", 1, 3)])
def test_an_entry_replaces_a_symbolic_link_and_not_what_it_leads_to(target: Target, last: bytes) -> None:
    for goal in (b"../file", b"../beside", b"../beside/secret", b"../new"):
        made = target.unpack(symlink(b"l", goal) + last + END)
        assert made[b"l"]["content"] != goal


def test_owner_mode_and_time_go_to_the_link_itself(target: Target) -> None:
    made = target.unpack(header(b"l", b"2", b"../file", uid=b"0000007\0", mode=b"0007777\0") + END)
    assert made[b"l"]["owner"] == (7, 0)
    target.unpack(pax((b"SCHILY.xattr.trusted.x", b"y")) + symlink(b"l", b"../file") + END)


def test_a_directory_that_becomes_a_link_midway(target: Target) -> None:
    """The descriptor of `d` is open when it is replaced; what follows goes neither there nor through the link."""
    refused(target, file(b"d/a", b"x") + symlink(b"d", b"../beside") + file(b"d/secret", b"evil"), "symbolic link")
    refused(target, file(b"d/e/a") + symlink(b"d", b"../beside") + file(b"d/e/b", b"evil"), "symbolic link")
    made = target.unpack(directory(b"e/", b"0000700\0") + file(b"e/a") + symlink(b"e", b"../beside") + END)
    assert made[b"e"]["content"] == b"../beside"


def test_a_link_to_a_directory_does_not_take_its_mode(target: Target) -> None:
    """The modes of directories are set at the end, when the name may mean something else."""
    target.unpack(header(b"d", b"5", mode=b"0007777\0", uid=b"0000007\0") + symlink(b"d", b"../beside") + END)
    target.unpack(directory(b"a/") + header(b"a/beside", b"5", uid=b"0000007\0") + symlink(b"a", b"..") + END)


def test_files_in_the_way(target: Target) -> None:
    refused(target, file(b"f") + file(b"f/x"), "'f' is no directory")
    refused(target, device(b"n", 1, 3) + file(b"n/x"), "'n' is no directory")
    refused(target, header(b"p", b"6") + file(b"p/x"), "'p' is no directory")


def test_hard_links_to_what_cannot_be_linked(target: Target) -> None:
    refused(target, directory(b"d/") + hard_link(b"x", b"d"), "directory")
    refused(target, hard_link(b"x", b"."), "directory")
    refused(target, hard_link(b"x", b"x"), "not been unpacked")
    refused(target, hard_link(b"x", b"later") + file(b"later"), "not been unpacked")
    refused(target, file(b".wh.a") + hard_link(b"x", b"a"), "whiteout", layer=True)
    refused(target, file(b".wh.a") + hard_link(b"x", b".wh.a"), "", layer=True)
    refused(target, hard_link(b"x", b"none/at/all"), "not been unpacked")
    assert not (target.path / "none").exists()


def test_writing_through_a_hard_link_to_a_link(target: Target) -> None:
    target.unpack(symlink(b"s", b"../file") + hard_link(b"h", b"s") + file(b"h", b"evil") + END)
    assert (target.path / "h").read_text() == "evil"


def test_attributes_cannot_eat_the_memory(target: Target) -> None:
    """Directories are finished at the end, so what is said of them has to be kept."""
    large = pax((b"SCHILY.xattr.user.a", bytes(70_000)))
    refused(target, large + directory(b"d/") + END, "more than 65536 bytes")
    some = b"".join(pax((b"SCHILY.xattr.user.a", bytes(60_000))) + directory(b"d%d/" % n) for n in range(40))
    refused(target, some + END, "MiB", memory=1 << 20)
    names = b"".join(directory(b"d%d/" % n) for n in range(4000))
    refused(target, names + END, "MiB", memory=1 << 20)


@pytest.mark.parametrize("end", [bytes(1 << 20), gzip.compress(b"") * 60_000, gzip.compress(file(b"b")) * 30_000])
def test_an_end_without_end(target: Target, end: bytes) -> None:
    refused(target, gzip.compress(file(b"a") + END) + end, "more than 1000000 bytes", total=1_000_000)


def test_a_file_is_not_written_into_a_device_or_fifo(target: Target) -> None:
    for first in (device(b"x", 1, 5), header(b"x", b"6")):
        target.unpack(first + file(b"x", b"data") + END)
        assert stat.S_ISREG((target.path / "x").lstat().st_mode)


@pytest.mark.parametrize(
    "name",
    [
        b".wh.",
        b".wh..",
        b".wh...",
        b".wh.../x",
        b".wh./x",
        b".wh.a/x",
        b".wh..wh.",
        b".wh..wh.x",
        b".wh..wh..wh..opq",
        b".wh..wh.plnk/1",
        b"a/.wh...",
        b"a/.wh..",
        b".wh.x/.wh.y",
    ],
)
def test_whiteouts_that_climb(target: Target, name: bytes) -> None:
    before = os.stat(target.top)
    refused(target, file(name), "", layer=True)
    refused(target, directory(b"a/") + file(name), "", layer=True)
    assert os.stat(target.top).st_ino == before.st_ino


def test_whiteouts_are_empty_files(target: Target) -> None:
    for entry in (
        directory(b".wh.x/"),
        symlink(b".wh.x", b"y"),
        device(b".wh.x", 1, 3),
        symlink(b".wh..wh..opq", b".."),
    ):
        refused(target, entry, "whiteout", layer=True)
    assert os.listdir(target.path) == []


def test_what_the_bounds_forbid(target: Target) -> None:
    refused(target, device(b"n", 1, 3), "device nodes are not allowed", devices=False)
    refused(target, header(b"n", b"4"), "device nodes are not allowed", devices=False)
    target.unpack(header(b"p", b"6") + END, bounds=Bounds(devices=False))
    for mode in (b"0004755\0", b"0002755\0"):
        refused(target, file(b"s", mode=mode), "setuid", setuid=False)
    refused(target, pax((b"SCHILY.xattr.security.capability", b"x")) + file(b"s"), "setuid", setuid=False)
    target.unpack(directory(b"d/", b"0002755\0") + file(b"f") + END, bounds=Bounds(setuid=False))
    refused(target, file(b"a/" * 30 + b"f"), "more than 20 directories", depth=20)
    refused(target, pax((b"path", b"a/" * 2000 + b"f")) + file(b"f"), "more than 256 directories")
    target.unpack(pax((b"path", b"d/" * 256 + b"f")) + file(b"f") + END)


@pytest.mark.parametrize("name", [b"trusted.overlay.opaque", b"trusted.overlay.redirect", b"user.overlay.metacopy"])
def test_attributes_that_overlayfs_would_obey(target: Target, name: bytes) -> None:
    for layer in (False, True):
        refused(target, pax((b"SCHILY.xattr." + name, b"/")) + directory(b"d/"), "may not come", layer=layer)


def test_names_too_long_for_the_file_system(target: Target) -> None:
    refused(target, pax((b"path", b"n" * 256)) + file(b"x"), "ENAMETOOLONG")
    refused(target, pax((b"path", b"n" * 5000)) + file(b"x"), "more than 4096 bytes")
    refused(target, pax((b"SCHILY.xattr.user.x", bytes(100_000))) + file(b"x"), "tar entry 'x'")
    refused(target, pax((b"SCHILY.xattr.", b"v")) + file(b"x"), "attribute")
    refused(target, pax((b"SCHILY.xattr.nonsense", b"v")) + file(b"x"), "tar entry 'x'")


def test_messages_escape_what_a_name_holds(target: Target) -> None:
    message = refused(target, pax((b"path", b"a\n\x1b[31m\xff\xe2\x80\xae/../x")) + file(b"x"))
    assert message.isprintable()
    assert r"'a\n\x1b[31m\udcff\u202e/../x'" in message


def test_huge_declared_sizes_write_nothing(target: Target) -> None:
    refused(target, header(b"f", size=b"\x80" + bytes(3) + b"\x7f" + bytes(7)), "the bound")
    refused(target, header(b"f", size=60 << 30 & 0o77777777777) + b"short", "ends in the middle")
    records = (
        (b"GNU.sparse.major", b"1"),
        (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.realsize", b"99999999999999999999"),
    )
    refused(target, pax(*records) + file(b"f", padded(b"0\n")), "the bound")


# ---------------------------------------------------------------- random damage


def seeds() -> list[bytes]:
    """Small archives that use everything, so that a changed byte often changes something that matters."""
    sparse = (
        (b"GNU.sparse.major", b"1"),
        (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.name", b"s"),
        (b"GNU.sparse.realsize", b"20"),
    )
    old = header(
        b"o", b"S", size=4, sparse=b"%011o\0%011o\0" % (4, 4) + bytes(73) + b"%011o\0" % 20, magic=b"ustar  \0"
    )
    return [
        directory(b"d/") + file(b"d/f", b"data") + symlink(b"l", b"d/f") + hard_link(b"h", b"d/f") + END,
        symlink(b"l", b"../beside") + symlink(b"m", b"l") + file(b"a/secret", b"evil") + hard_link(b"h", b"m") + END,
        pax((b"path", b"d/x"), (b"mtime", b"1.5"), (b"SCHILY.xattr.user.a", b"v")) + file(b"x", b"y") + END,
        extended(b"long/name\0", b"L") + extended(b"../file\0", b"K") + symlink(b"s", b"t") + END,
        pax(*sparse) + file(b"s", padded(b"1\n4\n4\n") + b"abcd") + old + padded(b"abcd") + END,
        file(b".wh.a") + file(b"d/.wh..wh..opq") + file(b"d/.wh.b") + device(b"c", 0, 0) + END,
    ]


def mutated(archive: bytes, dice: random.Random) -> bytes:
    data = bytearray(archive)
    for _ in range(dice.choice((1, 1, 2, 4))):
        block = dice.randrange(len(data) // 512) * 512
        choice = dice.random()
        if choice < 0.5:  # bytes of one of the fields
            at = block + dice.choice(
                (0, 1, 2, 3, 100, 108, 124, 130, 136, 156, 157, 158, 159, 257, 345, dice.randrange(512))
            )
            data[at] = dice.choice(b"\0\xff\x80./0123456789LKxgSDh" + bytes([dice.randrange(256)]))
        elif choice < 0.65:
            data[block : block + 8] = dice.choice(
                (b"../file\0", b"l/secret", b".wh...\0\0", b"/../file", b"m/x\0\0\0\0\0")
            )
        elif choice < 0.8:  # a block more, or one less
            other = dice.randrange(len(data) // 512) * 512
            data[block:block] = data[other : other + 512]
        elif choice < 0.9 and len(data) > 1024:
            del data[block : block + 512]
        else:
            del data[dice.randrange(len(data)) // 64 * 64 :]
        if len(data) < 512:
            return bytes(data)
    if dice.random() < 0.9:
        for at in range(0, len(data) - 511, 512):
            if data[at : at + 512].strip(b"\0") and data[at + 148 : at + 156].strip(b"\0"):
                data[at : at + 512] = checksummed(bytes(data[at : at + 512]))
    return bytes(data)


def test_random_damage(target: Target) -> None:
    """Either it is unpacked, or it is an EngineError; and nothing beside the target changes."""
    dice, originals = random.Random(20240607), seeds()
    outcomes = {"unpacked": 0, "refused": 0}
    bounds = Bounds(total=1 << 20, file=1 << 20, entries=50, header=1 << 16)
    for number in range(FUZZ_ROUNDS):
        archive = mutated(dice.choice(originals), dice)
        try:
            unpack(io.BytesIO(archive), str(target.path), layer=number % 2 == 0, bounds=bounds)
            outcomes["unpacked"] += 1
        except EngineError:
            outcomes["refused"] += 1
        except BaseException as error:
            raise AssertionError(f"round {number}: {archive!r}") from error
        if number % 10 == 0:
            target.check()
            empty(target.path)
    target.check()
    assert min(outcomes.values()) > FUZZ_ROUNDS // 10, outcomes


def empty(directory: Path) -> None:
    for name in os.listdir(directory):
        path = directory / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
