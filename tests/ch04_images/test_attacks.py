"""What attackers of the engine found once, and must not find again."""

from __future__ import annotations

import io
import os
import signal
import tarfile
import time
from pathlib import Path

import pytest

from ch04_images import busybox, images
from tests.ch04_images.archives import END, file
from tests.ch04_images.test_hostile_image import make
from tests.support import processes
from tests.support.engines import ENGINE_FAILED, Engine, fails, state_root
from tests.support.hosts import finish, read_line
from tests.support.polling import eventually
from tests.support.terminals import Terminal

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("user", ["0", "1000"])
def test_no_command_is_found_behind_a_descriptor_of_the_engine(engine: Engine, user: str, tmp_path: Path) -> None:
    """CVE-2024-21626 by the command itself: /proc/self/fd/N/../… of a directory that the engine has open."""
    program = tmp_path / "program"
    program.write_bytes(Path("/bin/busybox").read_bytes())
    program.chmod(0o755)
    for number in range(3, 40):
        door = f"/proc/self/fd/{number}{'/..' * 12}"
        result = engine.run([f"{door}{program}", "echo", "out"], "-u", user)
        assert result.code in (126, 127) and result.out == b"", number
        result = engine.run(["program", "echo", "out"], "-u", user, "-e", f"PATH={door}{tmp_path}")
        assert result.code in (126, 127) and result.out == b"", number


def test_names_in_an_image_do_not_trip_its_removal(engine: Engine) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for number in range(1, 4):
            for name in (f".moved-{number}", f"d{number}", f"d{number}/e", f"d{number}/e/f", f".moved-{number}/x"):
                entry = tarfile.TarInfo(name)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
    assert engine.raw("import", "evil", "-", input=archive.getvalue()).code == 0
    assert engine.raw("rmi", "evil").code == 0
    assert len(os.listdir(engine.host.root / "layers")) == 1


def test_rm_killed_at_any_moment(engine: Engine) -> None:
    engine.keep()
    script = "for i in $(seq 60); do mkdir -p /t/$i/a/b; : > /t/$i/a/f; : > /t/$i/a/b/f; done; hostname"
    for number in range(12):
        id = engine.sh(script).text
        victim = engine.host.spawn(engine.command_line("rm", id))
        time.sleep(0.02 + 0.005 * number)
        victim.kill()
        victim.wait(60)
        assert engine.raw("run", "--rm", "busybox", "true").code == 0
        engine.raw("rm", id)
    assert engine.raw("run", "--rm", "busybox", "true").code == 0
    assert os.listdir(engine.host.root / "containers") == []


@pytest.mark.parametrize("kind", ["device", "fifo", "directory"])
def test_export_replaces_no_special_file(engine: Engine, kind: str, tmp_path: Path) -> None:
    engine.keep()
    id = engine.sh("hostname").text
    target = tmp_path / "target"
    if kind == "device":
        os.mknod(target, 0o020666, os.makedev(1, 3))
    elif kind == "fifo":
        os.mkfifo(target)
    else:
        target.mkdir()
    before = os.lstat(target)
    fails(engine.raw("export", "-o", str(target), id), ENGINE_FAILED, "no regular file")
    assert os.lstat(target).st_ino == before.st_ino


def test_export_follows_a_link_and_keeps_secrets(engine: Engine, tmp_path: Path) -> None:
    engine.keep()
    id = engine.sh("hostname").text
    (tmp_path / "link").symlink_to("real")
    assert engine.raw("export", "-o", str(tmp_path / "link"), id).code == 0
    assert (tmp_path / "link").is_symlink() and tarfile.is_tarfile(tmp_path / "real")
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o600


def test_the_state_directory_is_its_owners_alone(engine: Engine, tmp_path: Path) -> None:
    root = tmp_path / "open"
    root.mkdir()
    words = ["sh", "-c", 'umask 0; "$@"', "sh", *engine.command_line("busybox")]
    assert engine.host.run(words, env={"MYDOCKER_ROOT": str(root)}).code == 0
    assert {name: (root / name).stat().st_mode & 0o777 for name in ("layers", "images")} == dict.fromkeys(
        ("layers", "images"), 0o700
    )


def test_a_relative_state_directory(engine: Engine, tmp_path: Path) -> None:
    for words in (["busybox"], ["run", "--rm", "busybox", "echo", "ran"], ["images"]):
        environment = {"MYDOCKER_ROOT": "state", "PYTHONPATH": str(Path(__file__).parents[2])}
        assert engine.host.run(engine.command_line(*words), cwd=tmp_path, env=environment).code == 0
    assert (tmp_path / "state/layers").is_dir()


def test_a_damaged_record_stops_nobody_else(engine: Engine) -> None:
    """As a machine without power may leave it."""
    engine.keep()
    containers = engine.host.root / "containers"
    id = engine.sh("hostname").text
    damaged = containers / ("ab" * 32)
    for name in ("upper", "work", "rootfs"):
        (damaged / name).mkdir(parents=True)
    (damaged / "record.json").touch()
    (containers / "stray").touch()
    with state_root(engine.host.root):
        layers = os.listdir(engine.host.root / "layers")
        busybox.make_image()  # replaces the image; nobody knows whether the damaged one needs the old layer
    assert set(layers) < set(os.listdir(engine.host.root / "layers"))
    assert engine.raw("run", "--rm", "busybox", "echo", "runs").text == "runs"
    assert engine.raw("rm", id).code == 0
    assert engine.raw("rm", "abab").code == 0
    assert os.listdir(containers) == ["stray"]


def test_what_a_killed_import_left_goes_before_the_next_fills_the_disk(engine: Engine) -> None:
    left = engine.host.root / "layers/0123456789abcdef.new"
    left.mkdir()
    (left / "large").write_bytes(bytes(1000))
    assert engine.raw("import", "broken", "-", input=b"no tar" * 200).code == ENGINE_FAILED
    assert not left.exists()


@pytest.mark.parametrize("driver", ["overlay", "aufs"])
def test_an_export_that_nobody_reads_stops_no_container(engine: Engine, driver: str) -> None:
    """And when it is killed, it leaves neither a mount nor a process."""
    script = "hostname; while :; do echo tick; sleep 0.05; done"
    started = engine.spawn(["sh", "-c", script], "--storage-driver", driver)
    id = read_line(started).decode().strip()
    export = engine.host.spawn(engine.command_line("export", id))
    assert export.stdout is not None
    assert export.stdout.read(1)  # it is under way, and its pipe is full
    for _ in range(5):
        assert read_line(started) == b"tick\n"
    export.kill()
    export.wait(60)
    started.terminate()
    finish(started)


def test_two_commits_at_once_are_one_after_the_other(engine: Engine) -> None:
    started = engine.spawn(["sh", "-c", "hostname; head -c 100000000 /dev/zero > /big; echo ready; sleep 1000"])
    id = read_line(started).decode().strip()
    assert read_line(started) == b"ready\n"
    commits = [engine.host.spawn(engine.command_line("commit", id, f"both{number}")) for number in range(2)]
    assert [finish(commit).code for commit in commits] == [0, 0]
    inside = processes.descendants(started.pid)
    eventually(lambda: all(processes.state(pid) in ("S", "R") for pid in inside), "all to go on")
    started.terminate()
    finish(started)


@pytest.mark.parametrize("words", [["images"], ["run", "busybox", "true"], ["export", "x"], ["nosuch"]])
def test_a_closed_standard_output_is_no_traceback(engine: Engine, words: list[str]) -> None:
    if words[0] == "run":
        words = ["run", "--rm", *words[1:]]
    result = engine.host.run(["sh", "-c", '"$@" >&-', "sh", *engine.command_line(*words)])
    assert b"Traceback" not in result.err and len(result.err.splitlines()) <= 1


def test_an_image_that_is_replaced_all_the_time_can_be_run(engine: Engine) -> None:
    script = 'for i in 1 2 3 4 5 6 7 8 9 10; do "$@" >/dev/null; done'
    replacing = engine.host.spawn(["sh", "-c", script, "sh", *engine.command_line("busybox")])
    while replacing.poll() is None:
        assert engine.run(["true"]).code == 0
    finish(replacing)


def test_control_c_ends_an_import_and_cleans_up(engine: Engine) -> None:
    """The cursor, which the progress bar hides, is shown again."""
    archive = b"".join(file(b"f%d" % number, b"x" * 3000) for number in range(30_000))
    path = engine.host.root / "images/archive"
    path.write_bytes(archive + END)
    terminal = Terminal(engine.host, engine.command_line("import", "x", str(path)))
    terminal.expect(b"import")
    eventually(lambda: list((engine.host.root / "layers").glob("*.new")), "the layer that is filled")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.wait() == 130
    assert b"\x1b[?25h" in terminal.screen and b"Traceback" not in terminal.screen
    assert not list((engine.host.root / "layers").glob("*.new"))
    path.unlink()


def test_accounts_are_not_read_through_links_into_proc(engine: Engine) -> None:
    def fill(top: Path) -> None:
        (top / "etc").mkdir()
        (top / "etc/passwd").symlink_to("/proc/self/status")

    fails(engine.raw("run", "--rm", "-u", "Name", make(engine, fill), "true"), ENGINE_FAILED, "/etc/passwd")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["-u", "9" * 5000], ["user"]),
        (["-w", "/a" * 1500], ["deep"]),
        (["-v", "/tmp:" + "/a" * 1500], ["deep"]),
    ],
)
def test_excess_has_a_clear_error(engine: Engine, flags: list[str], words: list[str]) -> None:
    fails(engine.run(["true"], *flags), ENGINE_FAILED, *words)


def test_names_that_would_be_too_long_for_a_file(engine: Engine) -> None:
    fails(engine.raw("import", "/".join("a" * 100), "-", input=END), ENGINE_FAILED, "image name")


def test_several_at_once_and_some_of_them_wrong(engine: Engine) -> None:
    with state_root(engine.host.root):
        images.create("one", lambda directory: 0)
        images.create("two", lambda directory: 0)
    result = engine.raw("rmi", "nosuch", "one", "nosuch2", "two")
    removed = [line.removeprefix(b"Untagged: ") for line in result.out.splitlines() if b"Deleted" not in line]
    assert removed == [b"one:latest", b"two:latest"]
    fails(result, ENGINE_FAILED, "'nosuch'", "'nosuch2'")


@pytest.mark.parametrize("layers", [[], [1], ["../../../../etc"], ["g" * 16]])
def test_layers_of_a_record_are_ids(engine: Engine, layers: list[object]) -> None:
    with state_root(engine.host.root):
        image = images.find("busybox")
    record = engine.host.root / "images/busybox:latest.json"
    record.write_text(record.read_text().replace(f'["{image.layers[0]}"]', str(layers).replace("'", '"')))
    fails(engine.run(["true"]), ENGINE_FAILED, "layers")
