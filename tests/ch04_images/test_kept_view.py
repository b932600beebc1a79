"""The program `mydocker` starts from a read-only view of its interpreter, which the first command leaves behind."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ch02_namespaces.locks import locked
from ch03_run.launcher import VIEWS
from ch04_images import busybox, kept_view
from tests.support.engines import state_root
from tests.support.hosts import REPOSITORY, Host, finish

pytestmark = pytest.mark.kernel
PYTHON = os.path.realpath(sys.executable)


class Program:
    """`mydocker` with an interpreter that nobody else uses."""

    def __init__(self, host: Host, top: Path) -> None:
        self.host = host
        self.python = top / "bin" / os.path.basename(PYTHON)
        self.python.parent.mkdir()
        shutil.copy(PYTHON, self.python)
        self.file = str(top / "mydocker")
        self.view = f"{VIEWS}{self.python}"
        self.words = [str(self.python), "-m", "ch03_run.launcher", "ch04_images", self.file]
        if subprocess.run(self.words, cwd=REPOSITORY).returncode:
            pytest.skip("a copy of this Python does not run")

    def run(self, *command: str) -> str:
        return self.host.run([self.file, "run", "--rm", "busybox", *command]).text

    def cat(self) -> subprocess.Popen[bytes]:
        """An engine whose container runs, and says what it is told."""
        process = self.host.spawn([self.file, "run", "--rm", "-i", "busybox", "cat"])
        assert process.stdin and process.stdout
        process.stdin.write(b"ready\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"ready\n"
        return process

    def interpreter(self) -> str:
        """The file that a new container's engine runs from."""
        process = self.cat()
        found = os.readlink(f"/proc/{process.pid}/exe")
        assert not os.access(f"/proc/{process.pid}/exe", os.W_OK)
        assert finish(process).code == 0
        return found

    def views(self) -> list[str]:
        return [view for view in kept_view.kept() if view == self.view]


@pytest.fixture
def program(host: Host, tmp_path: Path) -> Iterator[Program]:
    with state_root(host.root):
        busybox.make_image()
    host.may_stay |= {"images", "layers"}
    program = Program(host, tmp_path)
    yield program
    for view in program.views():
        subprocess.run(["umount", "--lazy", view], check=True)
    shutil.rmtree(f"{VIEWS}{tmp_path}", ignore_errors=True)


def test_second_command_starts_from_the_view_of_the_first(program: Program) -> None:
    assert program.run("echo", "first") == "first"
    assert program.views() == [program.view]
    assert program.interpreter() == program.view
    with pytest.raises(OSError, match="Read-only file system"), open(program.view, "ab"):
        pass


def test_nobody_else_writes_beside_it(program: Program) -> None:
    """Whatever the umask of the first command."""
    words = ["sh", "-c", 'umask 0; exec "$0" run --rm busybox true', program.file]
    assert program.host.run(words).code == 0
    directory = Path(program.view).parent
    assert {path.name for path in directory.iterdir()} == {"pyvenv.cfg", program.python.name}
    for path in (directory, directory / "pyvenv.cfg", directory.parent):
        assert path.stat().st_uid == 0 and path.stat().st_mode & 0o022 == 0


def test_same_library(program: Program) -> None:
    """The view finds its modules where the original does."""
    program.run("true")
    show = ["-IS", "-c", "import sys; print(sys.path, sys.version)"]
    texts = [program.host.run([python, *show]).text for python in (str(program.python), program.view)]
    assert texts[0] == texts[1]


def test_after_an_upgrade(program: Program) -> None:
    """A package manager puts another file in its place: the view of the old one goes."""
    program.run("true")
    shutil.copy(PYTHON, f"{program.python}.new")
    os.rename(f"{program.python}.new", program.python)
    assert program.run("echo", "again") == "again"
    assert program.views() == [program.view]
    assert os.path.samefile(program.view, program.python)
    assert program.interpreter() == program.view


def test_many_first_commands_leave_one(program: Program) -> None:
    started = [program.host.spawn([program.file, "run", "--rm", "busybox", "true"]) for _ in range(8)]
    assert [process.wait(60) for process in started] == [0] * 8
    assert program.views() == [program.view]


def test_commands_that_enter_no_container_leave_none(program: Program) -> None:
    assert "busybox" in program.host.run([program.file, "images"]).text
    assert program.views() == []


def test_clean_host_takes_it_away(program: Program) -> None:
    """What runs from it goes on."""
    program.run("true")
    process = program.cat()
    assert os.readlink(f"/proc/{process.pid}/exe") == program.view
    cleaned = program.host.run([sys.executable, "-m", "ch04_images.clean_host"], cwd=REPOSITORY).text
    assert f"removed {program.view}" in cleaned.splitlines()
    assert program.views() == []
    assert process.communicate(b"on\n", 60)[0] == b"on\n"
    assert program.run("echo", "new") == "new"


def test_whoever_locks_the_views_stops_nobody(program: Program) -> None:
    """An ordinary user can: he sees the directory."""
    os.makedirs(VIEWS, exist_ok=True)
    with locked(VIEWS, fcntl.LOCK_EX):
        assert program.run("echo", "not waiting") == "not waiting"
    assert program.views() == []


@pytest.mark.parametrize("place", [".", "bin", "bin/{name}"])
def test_something_else_in_its_place_stops_nobody(program: Program, place: str) -> None:
    """A file where a directory should be, or the other way round: a view that was there before, of another Python."""
    path = Path(program.view).parent.parent / place.format(name=program.python.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if path.name == program.python.name else path.touch()
    try:
        assert program.run("echo", "on") == "on"
        assert program.views() == []
    finally:
        path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.parametrize("state", ["size=4k", "ro"])
def test_a_full_or_read_only_run_stops_nobody(program: Program, state: str) -> None:
    script = 'mount -t tmpfs -o "$0" tmpfs /run; head -c 4096 /dev/zero >/run/full; exec "$@"'
    words = ["unshare", "--mount", "sh", "-c", script, state, program.file]
    assert program.host.run([*words, "run", "--rm", "busybox", "echo", "on"]).text.splitlines()[-1:] == ["on"]


@pytest.mark.parametrize("name", [b"\xe9", b"a\rb", "\N{LINE SEPARATOR}".encode()])
def test_mounts_of_others_stop_nobody(program: Program, tmp_path: Path, name: bytes) -> None:
    """Any user may mount something by FUSE, and chooses where."""
    place = os.path.join(os.fsencode(tmp_path), name)
    os.mkdir(place)
    words = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs "$0" && exec "$@"', os.fsdecode(place)]
    assert program.host.run([*words, program.file, "run", "--rm", "busybox", "echo", "on"]).text == "on"


def test_a_place_that_is_not_ascii(host: Host, tmp_path: Path) -> None:
    """Each upgrade replaces its view, and clean-host finds it."""
    with state_root(host.root):
        busybox.make_image()
    host.may_stay |= {"images", "layers"}
    top = tmp_path / "Größe \\ 'x\""
    top.mkdir()
    program = Program(host, top)
    program.run("true")
    assert program.views() == [program.view]
    assert program.interpreter() == program.view
    removed = kept_view.remove_kept()
    shutil.rmtree(f"{VIEWS}{tmp_path}")
    assert program.view in removed
