"""overlayfs: mounts, whiteouts, opaque directories."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ch02_namespaces import syscalls, unionfs
from ch02_namespaces.errors import EngineError, SyscallError
from tests.support.engines import fails
from tests.support.hosts import Host, Result

pytestmark = [pytest.mark.kernel, pytest.mark.vm]
Mount = Callable[..., Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts an overlay at tmp/all, uppermost lower first, with tmp/up above unless told otherwise."""
    target = tmp_path / "all"
    target.mkdir()

    def overlay(*lowers: Path, writable: bool = True) -> Path:
        for name in ("up", "work"):
            (tmp_path / name).mkdir(exist_ok=True)
        ends = {"upper": str(tmp_path / "up"), "work": str(tmp_path / "work")} if writable else {}
        unionfs.mount_overlay([str(lower) for lower in lowers], str(target), **ends)
        return target

    yield overlay
    if os.path.ismount(target):
        syscalls.umount(str(target))


def layers(top: Path, count: int, name: str = "layer") -> list[Path]:
    """Layers with a file each of their own, and one, `same`, that says which is uppermost."""
    made = []
    for number in range(count):
        layer = top / f"{name}{number}"
        layer.mkdir()
        (layer / f"file{number}").write_text(str(number))
        (layer / "same").write_text(str(number))
        made.append(layer)
    return made


def test_the_uppermost_layer_wins_and_all_are_seen(tmp_path: Path, mount: Mount) -> None:
    union = mount(*layers(tmp_path, 3))
    assert sorted(os.listdir(union)) == ["file0", "file1", "file2", "same"]
    assert (union / "same").read_text() == "0"


def test_changes_go_to_the_upper_layer_only(tmp_path: Path, mount: Mount) -> None:
    top, bottom = layers(tmp_path, 2)
    union = mount(top, bottom)
    (union / "same").write_text("changed")
    (union / "file1").unlink()
    assert ((top / "same").read_text(), (bottom / "file1").read_text()) == ("0", "1")
    assert sorted(unionfs.show_layer(str(tmp_path / "up"))) == [("file1", "deletes"), ("same", "adds or changes")]


def test_a_directory_made_anew_is_opaque(tmp_path: Path, mount: Mount) -> None:
    (layer,) = layers(tmp_path, 1)
    (layer / "dir").mkdir()
    (layer / "dir/old").touch()
    union = mount(layer)
    (union / "dir/old").unlink()
    (union / "dir").rmdir()
    (union / "dir").mkdir()
    assert os.listdir(union / "dir") == []
    assert unionfs.is_opaque(str(tmp_path / "up/dir"))
    assert list(unionfs.show_layer(str(tmp_path / "up"))) == [("dir", "replaces")]


def test_whiteouts_and_opaque_directories_made_by_hand_are_the_kernels(tmp_path: Path, mount: Mount) -> None:
    top, bottom = layers(tmp_path, 2)
    for layer in (top, bottom):
        (layer / "dir").mkdir()
        (layer / "dir" / layer.name).touch()
    unionfs.make_whiteout(str(top / "file1"))
    unionfs.make_opaque(str(top / "dir"))
    union = mount(top, bottom)
    assert not (union / "file1").exists()
    assert os.listdir(union / "dir") == [top.name]


def test_without_an_upper_layer_it_is_read_only(tmp_path: Path, mount: Mount) -> None:
    union = mount(*layers(tmp_path, 2), writable=False)
    with pytest.raises(OSError, match="Read-only"):
        (union / "new").touch()


@pytest.mark.parametrize("count", [2, 300, 500])
def test_more_layers_than_fit_in_one_page_of_options(tmp_path: Path, mount: Mount, count: int) -> None:
    union = mount(*layers(tmp_path, count, "a-layer-with-a-long-name-of-which-few-fit-into-a-page-"))
    assert len(os.listdir(union)) == count + 1
    assert (union / "same").read_text() == "0"
    assert (union / f"file{count - 1}").exists()


@pytest.mark.parametrize("name", ["a:b", "a,b", "a\\b", "a b", "a\nb", "ümlaut"])
def test_any_character_may_be_in_a_name(tmp_path: Path, mount: Mount, name: str) -> None:
    before = os.getcwd()
    union = mount(*layers(tmp_path, 2, name))
    (union / "same").write_text("changed")
    assert (tmp_path / "up/same").read_text() == "changed"
    assert os.getcwd() == before


def test_what_cannot_be_mounted_says_why(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    with pytest.raises(EngineError, match="0 lower layers"):
        unionfs.mount_overlay([], str(tmp_path / "all"))
    with pytest.raises(EngineError, match="501 lower layers"):
        unionfs.mount_overlay(["/"] * 501, str(tmp_path / "all"))
    with pytest.raises(EngineError, match="nosuch is not a directory"):
        unionfs.mount_overlay([str(tmp_path / "nosuch")], str(tmp_path / "all"))
    with pytest.raises(SyscallError, match="ENOENT"):
        unionfs.mount_overlay(["/", "/"], str(tmp_path / "not-there"))


def test_symbolic_links_of_a_layer_are_not_followed(tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "link").symlink_to("/etc")
    assert list(unionfs.show_layer(str(layer))) == [("link", "adds or changes")]


def test_the_commands(tmp_path: Path, host: Host) -> None:
    def union(*words: str | Path) -> Result:
        return host.run([sys.executable, "-m", "ch02_namespaces", "union", *map(str, words)])

    top, bottom = layers(tmp_path, 2)
    target = tmp_path / "all"
    for name in ("all", "up", "work"):
        (tmp_path / name).mkdir()
    ends: list[str | Path] = ["--upper", tmp_path / "up", "--work", tmp_path / "work"]
    assert union("overlay", "--lower", top, "--lower", bottom, *ends, target) == (0, b"", b"")
    try:
        (target / "file0").unlink()
        assert union("show", tmp_path / "up") == (0, b"EFFECT   NAME\ndeletes  file0\n", b"")
    finally:
        assert union("umount", target) == (0, b"", b"")
    fails(union("umount", target), 125, "umount2", "EINVAL")
    fails(union("overlay", "--lower", top, "--upper", top, target), 125, "belong together")
    fails(union("overlay", target), 125, "0 lower layers")
    fails(union("show"), 125, "LAYER: it is missing")
    fails(union("aufs", target), 125, "it needs its branches")
