"""An image is somebody else's. Whatever it holds, the engine runs none of it as its own, and opens no door for it."""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from ch04_images import images
from tests.support.engines import ENGINE_FAILED, Engine, fails, state_root
from tests.support.hosts import REPOSITORY
from tests.support.terminals import Terminal

pytestmark = pytest.mark.kernel


def make(engine: Engine, fill: Callable[[Path], object], **config: object) -> str:
    def fill_layer(directory: str) -> int:
        fill(Path(directory))
        return 0

    with state_root(engine.host.root):
        settings = {**images.find("busybox").config, **config}
        return images.create("hostile", fill_layer, below=images.find("busybox"), config=settings).name


TRAP = "import os\nos.write(2, b'TRAP ' + __name__.encode() + b'\\n')\nos.mkdir('/trapped')\n"


def plant_modules(top: Path) -> None:
    """A trap under the name of each module of the standard library and of ours, wherever Python could look for it."""
    places = {
        *filter(None, sys.path),
        sysconfig.get_path("purelib"),
        sysconfig.get_path("stdlib"),
        str(REPOSITORY),
        "/",
    }
    names = {*sys.stdlib_module_names, "ch02_namespaces", "ch03_run", "ch04_images", "rich", "mfusepy", "usercustomize"}
    for place in places:
        directory = top / place.lstrip("/")
        directory.mkdir(parents=True, exist_ok=True)
        for name in names:
            (directory / f"{name}.py").write_text(TRAP)


CASES: list[tuple[list[str], list[str], int]] = [
    ([], ["sh", "-c", "ls -d /trapped 2>/dev/null; true"], 0),
    (["-u", "nobody", "-w", "/made", "--read-only"], ["true"], 0),
    (["-v", "/proc/version:/made/version:ro"], ["true"], 0),
    ([], ["nosuch"], 127),
    ([], ["/etc/passwd"], 126),
    ([], ["/\udcff"], 127),
    (["-u", "nosuch"], ["true"], 125),
    (["-u", "\udcff"], ["true"], 125),
    (["-w", "/etc/passwd"], ["true"], 125),
    (["-v", "/tmp:/etc/passwd"], ["true"], 125),
    (["--explain"], ["true"], 0),
    (["--explain", "-e", "X=\udcff"], ["nosuch"], 127),
    (["--storage-driver", "aufs"], ["true"], 0),
]


@pytest.mark.parametrize("debug", ["", "1"])
def test_nothing_is_imported_from_the_image(engine: Engine, debug: str) -> None:
    name = make(engine, plant_modules)
    for flags, command, code in CASES:
        words = engine.command_line("run", "--rm", *map(os.fsencode, flags), name, *map(os.fsencode, command))
        result = engine.host.run(words, env={"MYDOCKER_DEBUG": debug})
        assert result.code == code, (flags, command, result)
        assert b"TRAP" not in result.err and result.out == b"", (flags, command, result)
        assert b"ImportError" not in result.err and b"ModuleNotFound" not in result.err, (flags, command, result)


def test_nothing_is_imported_from_the_image_at_a_terminal(engine: Engine) -> None:
    name = make(engine, plant_modules)
    terminal = Terminal(engine.host, engine.command_line("run", "--rm", "-ti", name, "sh", "-c", "ls -d /trapped; tty"))
    assert terminal.wait() == 0
    assert b"TRAP" not in terminal.screen and terminal.screen.endswith(b"/dev/pts/0\r\n")


def test_the_trap_would_snap(engine: Engine, tmp_path: Path) -> None:
    """The same files do harm where a Python looks for modules."""
    plant_modules(tmp_path)
    result = engine.host.run([sys.executable, "-c", "import json.decoder, colorsys"], env={"PYTHONPATH": str(tmp_path)})
    assert b"TRAP" in result.err


def replace(path: str, make_one: Callable[[str], object]) -> Callable[[Path], None]:
    def fill(top: Path) -> None:
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        make_one(str(top / path))

    return fill


@pytest.mark.parametrize("name", ["proc", "sys", "dev", "dev/pts", "etc"])
@pytest.mark.parametrize("target", ["/", "/etc", "../../../../../../..{outside}", "/proc/self/fd/5", "loop"])
def test_mount_points_that_are_links_lead_inside(engine: Engine, name: str, target: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    target = target.format(outside=outside).replace("loop", name)

    def fill(top: Path) -> None:
        Path(f"{top}{outside}").mkdir(parents=True)  # inside, there is something of that name, too
        replace(name, lambda path: os.symlink(target, path))(top)

    image = make(engine, fill)
    result = engine.raw("run", "--rm", image, "sh", "-c", "echo ran")
    assert result.code in (0, ENGINE_FAILED)
    if result.code:
        fails(result, ENGINE_FAILED)
    assert os.listdir(outside) == []


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
def test_mount_points_that_are_files(engine: Engine, name: str) -> None:
    image = make(engine, replace(name, lambda path: Path(path).write_text("")))
    fails(engine.raw("run", "--rm", image, "true"), ENGINE_FAILED)


def test_mount_points_that_are_missing_are_made(engine: Engine) -> None:
    def fill(top: Path) -> None:
        for name in ("proc", "sys", "dev"):
            os.mknod(top / name, 0o020000, 0)

    assert engine.raw("run", "--rm", make(engine, fill), "sh", "-c", "ls -d /proc/1 /sys/fs /dev/null").code == 0


@pytest.mark.parametrize("file", ["etc/passwd", "etc/group"])
def test_account_files_that_are_no_files(engine: Engine, file: str) -> None:
    """A FIFO would hold the engine for ever, a device gives bytes without end, a link could show a file of the host."""
    for make_one in (
        os.mkfifo,
        os.mkdir,
        lambda path: os.mknod(path, 0o020666, os.makedev(1, 5)),
        lambda path: os.symlink("/proc/self/fd/3", path),
        lambda path: os.symlink(os.path.basename(path), path),
    ):
        image = make(engine, replace(file, make_one))
        assert engine.raw("run", "--rm", "-u", "5:6", image, "grep", "Uid", "/proc/self/status").text.split()[1] == "5"
        fails(engine.raw("run", "--rm", "-u", "app:app", image, "true"), ENGINE_FAILED, "app")


def test_account_files_without_end(engine: Engine) -> None:
    image = make(engine, replace("etc/passwd", lambda path: Path(path).write_text("x" * (2 << 20))))
    fails(engine.raw("run", "--rm", "-u", "root", image, "true"), ENGINE_FAILED, "larger than 1 MiB")


@pytest.mark.parametrize("number", range(3, 30))
def test_working_directory_of_the_image_is_no_door(engine: Engine, number: int) -> None:
    """CVE-2024-21626: a directory that the engine has open, by way of /proc."""
    for path in (f"/proc/self/fd/{number}", f"/proc/self/fd/{number}/../../etc"):
        image = make(engine, lambda top: None, WorkingDir=path)
        result = engine.raw("run", "--rm", image, "pwd", "-P")
        if result.code or not result.out.startswith(b"/proc/"):
            fails(result, ENGINE_FAILED, "WorkingDirectory")


def test_environment_of_the_image_does_not_ask_the_host(engine: Engine) -> None:
    image = make(engine, lambda top: None, Env=["SECRET", "OWN=1", "PATH=/usr/bin"])
    result = engine.host.run(engine.command_line("run", "--rm", image, "env"), env={"SECRET": "hidden"})
    assert "OWN=1" in result.text.split() and "hidden" not in result.text


@pytest.mark.parametrize(
    "config",
    [
        {"Cmd": "sh"}, {"Cmd": [1]}, {"Cmd": {}}, {"Env": "A=1"}, {"Env": [None]}, {"Env": ["A=\0"]}, {"User": 5},
        {"WorkingDir": ["x"]}, {"Cmd": ["a\0b"]}, {"Env": {"A": "B"}}, {"User": "a\nb"}, {"Env": ["=x"]},
    ],
)  # fmt: skip
def test_configurations_of_the_wrong_shape(engine: Engine, config: dict[str, object]) -> None:
    path = engine.host.root / "images/busybox:latest.json"
    record = json.loads(path.read_text())
    record["config"] = config
    path.write_text(json.dumps(record))
    command = [] if "Cmd" in config else ["true"]
    fails(engine.raw("run", "--rm", "busybox", *command), ENGINE_FAILED)


def test_a_damaged_record_says_which(engine: Engine) -> None:
    record = engine.host.root / "images/busybox:latest.json"
    for text in ("", "{", "[]", '{"layers": []}', "\xff", '"x"', "{" * 10000):
        record.write_text(text, encoding="latin-1")
        for words in (["images"], ["run", "busybox", "true"], ["rmi", "busybox"]):
            fails(engine.raw(*words), ENGINE_FAILED, "record")
