"""The image store: import, images, rmi. What is named is whole, and what is not needed is gone. Sections 4.1.1, 4.2."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ch02_namespaces.errors import EngineError
from ch04_images import busybox, images
from ch04_images.pack import pack
from tests.ch04_images.archives import END, directory, file, pax
from tests.support.engines import ENGINE_FAILED, Engine, fails, state_root
from tests.support.hosts import finish
from tests.support.terminals import Terminal

pytestmark = pytest.mark.kernel


def store(engine: Engine) -> tuple[list[str], list[str]]:
    """The names of the images' records and of the layers, all files of any name."""
    return tuple(sorted(os.listdir(engine.host.root / name)) for name in ("images", "layers"))  # type: ignore[return-value]


@pytest.fixture
def rootfs(tmp_path: Path) -> bytes:
    """A root file system as an archive, such as `docker export` writes."""
    top = tmp_path / "rootfs"
    top.mkdir()
    busybox.fill(str(top))
    (top / "greeting").write_text("hello\n")
    sink = io.BytesIO()
    pack(str(top), sink)
    return sink.getvalue()


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-c"], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress, zstd], ids=["plain", "gzip", "xz", "zstd"])
@pytest.mark.parametrize("by_pipe", [True, False], ids=["pipe", "file"])
def test_import_and_run(
    engine: Engine, rootfs: bytes, compress: Callable[[bytes], bytes], by_pipe: bool, tmp_path: Path
) -> None:
    try:
        archive = compress(rootfs)
    except FileNotFoundError as missing:
        pytest.skip(f"no {missing.filename}")
    path = tmp_path / "archive"
    path.write_bytes(archive)
    result = engine.raw("import", "own", "-", input=archive) if by_pipe else engine.raw("import", "own", str(path))
    assert result.text == "own:latest"
    assert engine.raw("run", "--rm", "own", "cat", "/greeting").text == "hello"


def test_an_archive_of_another_program(engine: Engine, rootfs: bytes, tmp_path: Path) -> None:
    """GNU tar's, of the unpacked tree: what a reader makes by hand."""
    tar = ["tar", "-C", str(tmp_path / "rootfs"), "-cz", "."]
    archive = subprocess.run(tar, capture_output=True, check=True).stdout
    assert engine.raw("import", "by-hand:1", "-", input=archive).text == "by-hand:1"
    assert engine.raw("run", "--rm", "by-hand:1", "cat", "/greeting").text == "hello"
    fails(engine.raw("run", "by-hand"), ENGINE_FAILED, "'by-hand'", "none of this name")


def test_import_shows_progress_on_a_terminal_only(engine: Engine, rootfs: bytes, tmp_path: Path) -> None:
    path = tmp_path / "archive"
    path.write_bytes(rootfs)
    assert engine.raw("import", "own", str(path)).err == b""
    terminal = Terminal(engine.host, engine.command_line("import", "own", str(path)))
    assert terminal.wait() == 0
    assert b"import" in terminal.screen and b"MB" in terminal.screen
    assert terminal.screen.rstrip().endswith(b"own:latest")


def test_images_lists_them(engine: Engine) -> None:
    with state_root(engine.host.root):
        images.create("team/tool:2.0", lambda directory: 1 << 20, below=images.find("busybox"))
    if engine.is_full:  # as Docker's
        rows = [json.loads(line) for line in engine.raw("images", "--format", "json").text.splitlines()]
        assert {(row["Repository"], row["Tag"]) for row in rows} == {("team/tool", "2.0"), ("busybox", "latest")}
        return
    lines = engine.raw("images").text.splitlines()
    assert lines[0].split() == ["NAME", "TAG", "LAYERS", "SIZE", "CREATED"]
    assert [line.split()[:3] for line in lines[1:]] == [["busybox", "latest", "1"], ["team/tool", "2.0", "2"]]
    rows = [json.loads(line) for line in engine.raw("images", "--format", "json").text.splitlines()]
    assert rows[1]["size"] - rows[0]["size"] == 1 << 20 and rows[1]["layers"] == 2
    assert rows[0]["size"] == sum(os.path.getsize(f) for f in ("/bin/busybox",)) + sum(map(len, busybox.FILES.values()))


@pytest.mark.parametrize(
    "name",
    ["", "Upper", "a b", "../x", "a/../b", "/a", "a/", "a//b", ".a", "a.", "a:", "a:.b", "a:b/c", "a:b:c",
     "a\nb", "ä", "a" * 201, "a..b", "a:-x", "\udcff"],
)  # fmt: skip
def test_names_that_are_not_allowed(engine: Engine, name: str) -> None:
    before = store(engine)
    fails(engine.raw("import", os.fsencode(name), "-", input=END), ENGINE_FAILED, "image name")
    assert store(engine) == before


@pytest.mark.parametrize("name", ["a", "0", "a/b/c:D.e_f-1", "a__b", "a" * 200])
def test_names_that_are(engine: Engine, name: str) -> None:
    assert engine.raw("import", name, "-", input=directory(b"./") + END).code == 0
    assert engine.raw("rmi", name).code == 0
    assert len(store(engine)[0]) == 1


BROKEN = {
    "nothing": b"",
    "no tar": b"hello" * 1000,
    "truncated": file(b"a", b"x" * 5000)[:3000],
    "cut gzip": gzip.compress(file(b"a", os.urandom(5000)) + END)[:-50],
    "climbing": file(b"good") + file(b"../bad", b"x") + END,
    "overlay attribute": file(b"good") + pax((b"SCHILY.xattr.trusted.overlay.redirect", b"x")) + file(b"bad") + END,
    "whiteout": file(b"good") + file(b".wh.good") + END,
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_archive_leaves_nothing(engine: Engine, case: str) -> None:
    before = store(engine)
    result = engine.raw("import", "broken", "-", input=BROKEN[case])
    fails(result, ENGINE_FAILED)
    assert store(engine) == before


def test_an_archive_of_docker_save_is_recognised(engine: Engine) -> None:
    archive = file(b"manifest.json", b"[]") + file(b"a1/layer.tar") + END
    fails(engine.raw("import", "saved", "-", input=archive), ENGINE_FAILED, "docker save", "docker export")
    assert len(store(engine)[1]) == 1


def test_a_missing_archive(engine: Engine) -> None:
    fails(engine.raw("import", "x", "/nonexistent"), ENGINE_FAILED, "/nonexistent", "No such file")
    fails(engine.raw("import", "x", "/etc"), ENGINE_FAILED)
    fails(engine.raw("import", "x"), ENGINE_FAILED, "No such file" if engine.is_full else "TARBALL")


def test_an_image_that_is_replaced_takes_its_layer_along(engine: Engine) -> None:
    for number in range(3):
        engine.raw("import", "changing", "-", input=file(b"number", b"%d" % number) + END)
    assert len(store(engine)[1]) == 2
    with state_root(engine.host.root):
        layer = Path(images.layer_directory(images.find("changing").layers[0]))
    assert (layer / "number").read_text() == "2"


def test_layers_stay_as_long_as_somebody_needs_them(engine: Engine) -> None:
    engine.keep()
    id = engine.sh("hostname").text
    fails(engine.raw("rmi", "busybox"), ENGINE_FAILED, id, f"rm {id}")
    assert engine.raw("commit", id, "second").code == 0
    assert engine.raw("rm", id).code == 0
    assert "busybox:latest" in engine.raw("rmi", "busybox").text
    assert len(store(engine)[1]) == 2
    assert engine.raw("run", "--rm", "second", "echo", "runs").text == "runs"
    assert engine.raw("rmi", "second").code == 0
    assert store(engine) == ([], [])


def test_an_image_cannot_be_removed_under_a_running_container(engine: Engine) -> None:
    started = engine.spawn(["sh", "-c", "echo up; read x; ls /bin/sh"], "-i")
    assert started.stdout is not None and started.stdout.readline() == b"up\n"
    fails(engine.raw("rmi", "busybox"), ENGINE_FAILED, "stands on it")
    with state_root(engine.host.root):
        busybox.make_image()  # the name goes to another one
    assert len(store(engine)[1]) == 2
    assert finish(started).code == 0
    with state_root(engine.host.root):
        busybox.make_image()
    assert len(store(engine)[1]) == 1


def test_rmi_of_what_is_not_there(engine: Engine) -> None:
    fails(engine.raw("rmi", "nosuch"), ENGINE_FAILED, "nosuch")
    fails(engine.raw("rmi", "../layers"), ENGINE_FAILED, "image", "'../layers'")
    fails(engine.raw("rmi"), ENGINE_FAILED, "IMAGE")


def test_many_imports_at_once(engine: Engine) -> None:
    """Some with one name, some with another, while containers start: each ends well, and nothing is left over."""
    archives = [directory(b"./") + file(b"n", b"%d" % number) + END for number in range(12)]
    words = [engine.command_line("import", f"name{number % 3}", "-") for number in range(12)]
    started = [engine.host.spawn(command) for command in words]
    containers = [engine.spawn(["true"]) for _ in range(4)]
    for process, archive in zip(started, archives, strict=True):
        _, error = process.communicate(archive, timeout=60)
        assert (process.returncode, error) == (0, b"")
    assert [finish(container).code for container in containers] == [0] * 4
    assert store(engine)[0] == ["busybox:latest.json", *(f"name{number}:latest.json" for number in range(3))]
    with state_root(engine.host.root):
        named = {layer for image in images.every() for layer in image.layers}
    assert set(store(engine)[1]) == named


def test_import_killed_at_each_step(engine: Engine) -> None:
    """The image is there, whole, or it is not; the next import removes what is left."""
    archive = b"".join(file(b"f%d" % number, b"x" * 3000) for number in range(20)) + END
    step, was_killed = 0, True
    outcomes = set()
    while was_killed:
        step += 1
        was_killed = engine.kill_at(step, "import", "victim", "-", input=archive)
        imported = "victim:latest.json" in store(engine)[0]
        outcomes.add((was_killed, imported))
        if imported:
            with state_root(engine.host.root):
                (layer,) = images.find("victim").layers
                assert len(os.listdir(images.layer_directory(layer))) == 20
            assert engine.raw("rmi", "victim").code == 0
    assert {(True, False), (False, True)} <= outcomes
    with state_root(engine.host.root):
        assert set(store(engine)[1]) == {layer for image in images.every() for layer in image.layers}


def test_busybox_must_be_static(engine: Engine) -> None:
    with state_root(engine.host.root):
        before = store(engine)
        for program in ("/bin/ls", "/etc/passwd", "/nonexistent"):
            with pytest.raises(EngineError):
                busybox.make_image("other", program)
        assert store(engine) == before


def test_busybox_is_made_by_the_command(engine: Engine) -> None:
    assert engine.raw("rmi", "busybox").code == 0
    fails(engine.run(["true"]), ENGINE_FAILED, "`busybox` makes it")
    assert engine.raw("busybox").text == "busybox:latest"
    assert engine.raw("run", "--rm", "busybox", "sh", "-c", "wget --help 2>&1 | head -1").text.startswith("BusyBox")
    assert engine.raw("run", "--rm", "busybox", input=b"").code == 0  # its own command is a shell
