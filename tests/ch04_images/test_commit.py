"""commit and export: what a container did to its files, as a layer and as an archive. Book section 4.4."""

from __future__ import annotations

import io
import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from ch02_namespaces import unionfs
from ch04_images import images
from ch04_images.pack import pack
from ch04_images.unpack import unpack
from tests.ch04_images.test_unpack import build
from tests.support import processes
from tests.support.engines import ENGINE_FAILED, Engine, fails, state_root
from tests.support.hosts import finish, read_line
from tests.support.polling import eventually
from tests.support.terminals import Terminal
from tests.support.trees import Tree, differences, tree

pytestmark = pytest.mark.kernel


@pytest.fixture(params=["overlay", "aufs"])
def driver(request: pytest.FixtureRequest, engine: Engine) -> str:
    engine.keep()
    engine.flags += ["--storage-driver", request.param]
    return str(request.param)


def layer(engine: Engine, name: str) -> Path:
    with state_root(engine.host.root):
        return Path(images.layer_directory(images.find(name).layers[-1]))


def changes(engine: Engine, name: str) -> dict[str, str]:
    return dict(unionfs.show_layer(str(layer(engine, name))))


def test_what_was_added_changed_and_deleted(engine: Engine, driver: str) -> None:
    script = """
        echo new > /added; mkdir -p /dir/below; echo deep > /dir/below/file
        echo changed > /etc/group; chmod 600 /etc/passwd
        rm /bin/vi; rm -r /home
        rm -r /usr/sbin; mkdir /usr/sbin; echo only > /usr/sbin/one
        ln /added /hard; ln -s added /soft; mkfifo /fifo; hostname"""
    id = engine.sh(script).text
    assert engine.raw("commit", id, "changed").text.startswith("sha256:" if engine.is_full else "changed:latest")
    assert changes(engine, "changed") == {
        "added": "adds or changes",
        "dir/below/file": "adds or changes",
        "etc/group": "adds or changes",
        "etc/passwd": "adds or changes",
        "bin/vi": "deletes",
        "home": "deletes",
        "usr/sbin": "replaces",
        "usr/sbin/one": "adds or changes",
        "hard": "adds or changes",
        "soft": "adds or changes",
        "fifo": "adds or changes",
    }
    look = "cat /added /dir/below/file /etc/group; stat -c '%a %h' /etc/passwd /hard; ls /usr/sbin; readlink /soft; ls -d /home /bin/vi"  # noqa: E501
    for flags in ([], ["--storage-driver", "aufs"]):
        result = engine.raw("run", "--rm", *flags, "changed", "sh", "-c", look)
        assert result.out.decode().split("\n") == ["new", "deep", "changed", "600 1", "644 2", "one", "added", ""]
        assert result.err.count(b"No such file") == 2


def test_nothing_changed_is_an_empty_layer(engine: Engine, driver: str) -> None:
    id = engine.sh("hostname").text
    assert engine.raw("commit", id, "same").code == 0
    shown = changes(engine, "same")
    assert shown == {}
    assert engine.raw("run", "--rm", "same", "ls", "/").text == engine.raw("run", "--rm", "busybox", "ls", "/").text


def test_ten_commits_one_on_another(engine: Engine, driver: str) -> None:
    name = "busybox"
    for number in range(10):
        script = (
            f"echo {number} > /newest; echo {number} >> /all; rm -f /file{number - 1}; touch /file{number}; hostname"
        )
        id = engine.raw("run", *engine.flags, name, "sh", "-c", script).text
        name = f"step{number}"
        assert engine.raw("commit", id, name).code == 0
    shown = engine.raw("run", "--rm", name, "sh", "-c", "cat /newest; xargs < /all; ls -d /file*").text
    assert shown.split("\n") == ["9", "0 1 2 3 4 5 6 7 8 9", "/file9"]


def everything_inside(engine: Engine, tmp_path: Path) -> tuple[str, Tree]:
    """An image of busybox and a tree with every kind of file, sparse ones and attributes; and that tree."""
    top = tmp_path / "everything"
    top.mkdir()
    build(top)

    def fill(directory: str) -> int:
        os.mkdir(f"{directory}/everything")
        sink = io.BytesIO()
        pack(str(top), sink)
        sink.seek(0)
        return unpack(sink, f"{directory}/everything")

    with state_root(engine.host.root):
        name = images.create("everything", fill, below=images.find("busybox")).name
    return name, tree(top, holes=True)


def test_a_round_trip_of_export_and_import_compares_equal(engine: Engine, driver: str, tmp_path: Path) -> None:
    """Owners, modes, times, attributes, links, devices, holes."""
    name, expected = everything_inside(engine, tmp_path)
    id = engine.raw("run", *engine.flags, name, "hostname").text
    archive = engine.raw("export", id)
    assert archive.code == 0, archive.err
    assert engine.raw("import", "again", "-", input=archive.out).code == 0
    found = tree(layer(engine, "again") / "everything", holes=driver == "overlay")
    if driver == "aufs":  # FUSE's lseek(2) says that all is data
        expected = tree(tmp_path / "everything")
    assert not differences(expected, found)
    second = engine.raw("run", *engine.flags, "again", "hostname").text
    assert engine.raw("export", second).out == archive.out


def test_a_round_trip_of_commit_compares_equal(engine: Engine, driver: str, tmp_path: Path) -> None:
    name, expected = everything_inside(engine, tmp_path)
    script = "cp -a /everything /copy 2>/dev/null; mv /everything /moved; hostname"
    id = engine.raw("run", *engine.flags, name, "sh", "-c", script).text
    assert engine.raw("commit", id, "moved").code == 0
    found = tree(layer(engine, "moved") / "moved")
    for path, seen in found.items():
        wanted = expected[path]
        for key in ("mode", "owner", "content", "size"):
            assert seen[key] == wanted[key], (path, key)
    assert found.keys() == expected.keys()
    if driver == "overlay":  # AUFS cannot delete a name of 255 bytes from a lower branch: `.wh.` does not fit before it
        assert changes(engine, "moved")["everything"] == "deletes"


def test_export_is_what_everybody_unpacks(engine: Engine, driver: str, tmp_path: Path) -> None:
    id = engine.sh("echo x > /new; rm -r /home; hostname").text
    target = tmp_path / "archive.tar"
    assert engine.raw("export", "-o", str(target), id).code == 0
    names = subprocess.run(["tar", "-tf", str(target)], capture_output=True, check=True, text=True).stdout.split()
    assert "./" in names and "new" in names and "bin/sh" in names
    assert not [name for name in names if name.startswith(("home", "proc/1")) or ".wh." in name]
    assert os.listdir(tmp_path / "files") == [] and not list(tmp_path.glob("*.new"))


def test_export_that_fails_leaves_no_file_and_the_old_one(engine: Engine, driver: str, tmp_path: Path) -> None:
    target = tmp_path / "archive.tar"
    target.write_text("old")
    fails(engine.raw("export", "-o", str(target), "nosuch"), ENGINE_FAILED, "nosuch")
    assert target.read_text() == "old" and not list(tmp_path.glob("*.new"))
    fails(engine.raw("export", "-o", str(tmp_path / "no/such"), "nosuch"), ENGINE_FAILED)


def test_export_to_a_terminal_is_refused(engine: Engine, driver: str) -> None:
    id = engine.sh("hostname").text
    terminal = Terminal(engine.host, engine.command_line("export", id))
    assert terminal.wait() == ENGINE_FAILED
    assert b"terminal" in terminal.screen


def test_export_whose_reader_leaves(engine: Engine, driver: str) -> None:
    id = engine.sh("hostname").text
    words = ["sh", "-c", '"$@" | head -c 5 | wc -c', "sh", *engine.command_line("export", id)]
    result = engine.host.run(words)
    assert result.out == b"5\n" and b"Traceback" not in result.err


@pytest.mark.vm
def test_commit_of_a_running_container(engine: Engine, driver: str) -> None:
    """It stands still meanwhile, so that the layer is of one moment: two files that it writes in turn agree."""
    writer = "i=0; while :; do i=$((i+1)); echo $i > /a; echo $i > /b; test $i = 20 && echo ready; done"
    started = engine.spawn(["sh", "-c", f"hostname; {writer}"])
    id = read_line(started).decode().strip()
    assert read_line(started) == b"ready\n"
    for number in range(5):
        assert engine.raw("commit", id, f"moment{number}").code == 0
        a, b = (int((layer(engine, f"moment{number}") / name).read_text() or 0) for name in "ab")
        assert a - b in (0, 1) or 0 in (a, b)
    inside = processes.descendants(started.pid)
    eventually(lambda: any(processes.state(pid) == "R" for pid in inside), "it to go on")
    started.terminate()
    finish(started)


def test_a_commit_that_is_killed_lets_the_container_go_on(engine: Engine, driver: str) -> None:
    started = engine.spawn(["sh", "-c", "hostname; head -c 50000000 /dev/zero > /big; echo ready; while :; do :; done"])
    id = read_line(started).decode().strip()
    assert read_line(started) == b"ready\n"
    random.seed(5)
    for _ in range(15):
        victim = engine.host.spawn(engine.command_line("commit", id, "victim"))
        time.sleep(random.random() * 0.3)
        victim.kill()
        victim.wait(60)
    inside = processes.descendants(started.pid)
    eventually(lambda: any(processes.state(pid) == "R" for pid in inside), "it to go on")
    started.terminate()
    finish(started)
    assert engine.raw("commit", id, "whole").code == 0
    assert (layer(engine, "whole") / "big").stat().st_size == 50_000_000
    with state_root(engine.host.root):
        needed = {layer for image in images.every() for layer in image.layers}
    assert set(os.listdir(engine.host.root / "layers")) == needed


def test_commit_keeps_what_the_image_says_of_its_command(engine: Engine, driver: str) -> None:
    id = engine.sh("hostname").text
    engine.raw("commit", id, "own/name:V1")
    with state_root(engine.host.root):
        before, after = images.find("busybox").config, images.find("own/name:V1").config
    if engine.is_full:  # as Docker: the container's command is the image's
        before = {**before, "Cmd": ["sh", "-c", "hostname"]}
    assert after == before


def test_wrong_use(engine: Engine, driver: str) -> None:
    id = engine.sh("hostname").text
    fails(engine.raw("commit", "nosuch", "x"), ENGINE_FAILED, "nosuch")
    fails(engine.raw("commit", id, "Not Allowed"), ENGINE_FAILED, "image name")
    if not engine.is_full:  # there, an image may be without a name
        fails(engine.raw("commit", id), ENGINE_FAILED, "IMAGE")
    fails(engine.raw("export", "nosuch"), ENGINE_FAILED, "nosuch")


def test_names_of_whiteouts_cannot_be_committed(engine: Engine, tmp_path: Path) -> None:
    """A file `.wh.x` is a file to overlayfs, but in a layer it would mean that x is deleted."""
    engine.keep()
    id = engine.sh("touch /.wh.x; hostname").text
    fails(engine.raw("commit", id, "x"), ENGINE_FAILED, ".wh.")
    assert len(os.listdir(engine.host.root / "layers")) == 1
