"""The container's root file system: its own, complete, with no way back to the host's. Book sections 4.1.2 and 4.2."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from ch04_images import busybox, images
from tests.support.engines import ENGINE_FAILED, Engine, fails, state_root
from tests.support.hosts import Result, finish, read_line
from tests.support.ordinary_user import PYTHON, become, readable_engine
from tests.support.polling import eventually
from tests.support.trees import differences, tree

pytestmark = pytest.mark.kernel


@pytest.fixture(params=["overlay", "aufs"])
def driver(request: pytest.FixtureRequest, engine: Engine) -> str:
    """Both storage drivers, for what must be the same on both."""
    engine.flags += ["--storage-driver", request.param]
    return str(request.param)


def layer(engine: Engine, name: str = "busybox") -> Path:
    """The directory of an image's topmost layer."""
    with state_root(engine.host.root):
        return Path(images.layer_directory(images.find(name).layers[-1]))


def kept(engine: Engine) -> list[str]:
    path = engine.host.root / "containers"
    return sorted(os.listdir(path)) if path.exists() else []


def test_it_is_the_image(engine: Engine, driver: str) -> None:
    assert engine.run(["ls", "/"]).text.split() == sorted(name for name in busybox.DIRECTORIES if "/" not in name)
    assert engine.run(["readlink", "-f", "/bin/sh"]).text == "/bin/sh"


def test_the_hosts_files_cannot_be_reached(engine: Engine, driver: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    ways = ["", "/..", "/../../../..", "/proc/1/root", "/proc/self/root/..", "/proc/1/cwd"]
    script = "".join(f"cat {way}{tmp_path}/secret;" for way in ways)
    result = engine.sh(script)
    assert result.code != 0 and b"secret\n" not in result.out and result.out == b""
    assert result.err.count(b"No such file") == len(ways)


@pytest.mark.vm
def test_the_old_root_is_gone_and_not_hidden(engine: Engine, driver: str) -> None:
    """No mount but the container's own: neither the host's, nor one below another."""
    table = engine.run(["cat", "/proc/self/mountinfo"]).text.splitlines()
    places = [line.split()[4] for line in table]
    assert places.count("/") == 1
    files = {"etc"} if engine.has_networks else set()  # hosts, resolv.conf, hostname
    assert {place.split("/")[1] for place in places} == {"", "proc", "sys", "dev"} | files
    assert engine.sh("umount -l / 2>/dev/null; ls /").text.split() == engine.run(["ls", "/"]).text.split()


def test_chroot_does_not_lead_out(engine: Engine) -> None:
    """The way out of a chroot: a second one below, then up. The root of the mount namespace is the end of it."""
    assert "secret" not in engine.sh("mkdir -p /a; cd /a; chroot /a /bin/true; cd ../../../../..; ls").text.split()


def test_no_mount_passes_between_host_and_container(engine: Engine, tmp_path: Path) -> None:
    """Also where the host's mounts are shared, as systemd makes them."""
    script = 'mount --make-rshared /; "$@"; grep -c x-mark /proc/self/mountinfo || true'
    share = ["unshare", "-m", "sh", "-ec", script, "sh"]
    (tmp_path / "volume").mkdir()
    script = "mkdir /x-mark; mount -t tmpfs x-mark /x-mark; mount -t tmpfs x-mark /volume; grep -c x-mark /proc/mounts"
    words = engine.run_words(["sh", "-c", script], "-v", f"{tmp_path}/volume:/volume", *engine.rights)
    assert engine.host.run([*share, *words]).text.split() == ["2", "0"]


@pytest.mark.vm
def test_devices(engine: Engine, driver: str) -> None:
    script = "stat -c '%n %t %T %a' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty"
    expected = "null 1 3, zero 1 5, full 1 7, random 1 8, urandom 1 9, tty 5 0"
    assert engine.sh(script).text.splitlines() == [f"/dev/{line} 666" for line in expected.split(", ")]
    assert engine.sh("echo x > /dev/null; head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c").text == "4\n4"
    assert engine.sh("echo out > /dev/stdout; echo x > /dev/full").out == b"out\n"
    assert (
        engine.sh("stat -c %a /dev/shm; touch /dev/shm/x /dev/mqueue/q; ls /dev/shm /dev/mqueue").text.split()[0]
        == "1777"
    )


def test_the_hosts_umask_does_not_matter(engine: Engine) -> None:
    words = engine.run_words(["sh", "-c", "umask; stat -c %a /dev/null /dev/shm"])
    assert engine.host.run(["sh", "-c", 'umask 077; "$@"', "sh", *words]).text.split() == ["0022", "666", "1777"]


@pytest.mark.vm
def test_sys_is_there_and_read_only(engine: Engine, driver: str) -> None:
    assert engine.run(["ls", "/sys/class/net"]).text == "lo"
    assert "Read-only" in engine.sh("echo 1 > /sys/kernel/mm/ksm/run || mkdir /sys/fs/cgroup/x").error


@pytest.mark.vm
def test_cgroups_of_its_own(engine: Engine) -> None:
    """The container sees its own limit, at the root of what it sees, and cannot change it."""
    assert set(re.findall(r":([^:\n]*)$", engine.run(["cat", "/proc/self/cgroup"]).text, re.MULTILINE)) == {"/"}
    files = "/sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max"
    assert engine.sh(f"cat {files} 2>/dev/null; true", "-m", "64m").text == str(64 << 20)
    assert "Read-only" in engine.sh(f"for f in {files}; do test -e $f && echo 1g > $f; done", "-m", "64m").error


@pytest.mark.vm
def test_read_only_root(engine: Engine, driver: str, tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    flags = ["--read-only", "-v", f"{tmp_path}/volume:/volume", "-w", "/made/here"]
    result = engine.sh("pwd; echo x > /volume/x; echo x > /dev/shm/x; echo x > /x", *flags)
    assert result.out == b"/made/here\n" and b"/x: Read-only file system" in result.err
    assert (tmp_path / "volume/x").exists()


def test_the_image_is_unchanged_when_everything_was_removed(engine: Engine, driver: str) -> None:
    before = tree(layer(engine))
    result = engine.sh("rm -rf /* 2>/dev/null; echo /bin/*; echo x > /new")
    assert result.out == b"/bin/*\n"
    assert not differences(before, tree(layer(engine)))
    assert engine.sh("ls /bin | wc -l; ls /new").out == b"%d\n" % len(os.listdir(layer(engine) / "bin"))


def test_diff_of_the_image_before_and_after_is_empty(engine: Engine, driver: str, tmp_path: Path) -> None:
    subprocess.run(["cp", "-a", str(layer(engine)), str(tmp_path / "before")], check=True)
    engine.sh("rm -rf /")
    diff = ["diff", "-r", "--no-dereference", str(tmp_path / "before"), str(layer(engine))]
    result = subprocess.run(diff, capture_output=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


def test_containers_of_one_image_do_not_see_each_other(engine: Engine, driver: str) -> None:
    first = engine.spawn(["sh", "-c", "echo first > /file; echo ready; read x; cat /file"], "-i")
    assert read_line(first) == b"ready\n"
    assert engine.sh("cat /file; echo second > /file").error.startswith("cat: can't open '/file'")
    assert first.stdin is not None
    first.stdin.write(b"\n")
    assert finish(first) == Result(0, b"first\n", b"")


def test_the_mount_is_never_seen_on_the_host(engine: Engine, driver: str) -> None:
    started = engine.spawn(["sh", "-c", "echo ready; read x"], "-i")
    assert read_line(started) == b"ready\n"
    mounts = engine.host.run(["cat", "/proc/self/mounts"]).text
    assert str(engine.host.root) not in mounts and "aufs" not in mounts
    finish(started)


def test_a_killed_engine_leaves_nothing_after_the_next_run(engine: Engine, driver: str) -> None:
    started = engine.spawn(["sh", "-c", "echo x > /x; echo ready; sleep 1000"])
    assert read_line(started) == b"ready\n"
    started.kill()
    started.wait(60)
    eventually(lambda: engine.run(["true"]).code == 0 and not kept(engine), "the next run to sweep")


def test_what_a_container_changed_is_kept_without_rm(engine: Engine, driver: str) -> None:
    engine.keep()
    id = engine.sh("echo x > /file; hostname").text
    (directory,) = kept(engine)
    assert directory.startswith(id) and len(directory) == 64
    assert (engine.host.root / "containers" / directory / "upper/file").read_text() == "x\n"
    assert engine.raw("rm", id[:5]).text == id[:5]
    assert kept(engine) == []


def test_rm_of_one_that_runs_or_of_nobody(engine: Engine) -> None:
    engine.keep()
    started = engine.spawn(["sh", "-c", "hostname; read x"], "-i")
    id = read_line(started).decode().strip()
    fails(engine.raw("rm", id), ENGINE_FAILED, id, "in use")
    finish(started)
    for text in ("", "zz", "x" * 64, "../" + id, "/"):
        fails(engine.raw("rm", text), ENGINE_FAILED, "there is none")
    assert len(kept(engine)) == 1
    assert engine.raw("rm", *kept(engine)).code == 0


@pytest.mark.parametrize("command", [["nosuch"], ["/etc"], ["/etc/passwd"]])
def test_one_that_never_ran_leaves_nothing(engine: Engine, driver: str, command: list[str], tmp_path: Path) -> None:
    engine.keep()
    assert engine.run(command, "-v", f"{tmp_path}/made/by/us:/x").code in (126, 127)
    assert kept(engine) == []
    assert not (tmp_path / "made").exists()


def test_trees_too_deep_for_any_path_are_removed(engine: Engine) -> None:
    script = "i=0; while [ $i -lt 3000 ]; do mkdir d$((i%7)) d && touch f; cd d; i=$((i+1)); done; echo done"
    assert engine.sh(script).text == "done"
    assert kept(engine) == []


def test_forty_layers(engine: Engine) -> None:
    """And what each of them added, changed or deleted. Twice as many do not fit into one page of mount options."""
    with state_root(engine.host.root):
        for number in range(90):

            def fill(directory: str, number: int = number) -> int:
                Path(directory, f"file{number}").write_text(str(number))
                Path(directory, "newest").write_text(f"{number}\n")
                if number:
                    os.mknod(f"{directory}/file{number - 1}", stat.S_IFCHR, 0)
                return 1

            images.create(f"layers{number + 1}", fill, below=images.find(f"layers{number}" if number else "busybox"))
    for count in (40, 90):
        words = engine.command_line("run", "--rm", f"layers{count}", "sh", "-c", "cat newest; ls -d file*")
        assert engine.host.run(words).text.split() == [str(count - 1), f"file{count - 1}"]


def test_a_root_that_only_its_owner_may_enter(engine: Engine) -> None:
    """The mode and the owner of / are the image's."""
    with state_root(engine.host.root):

        def fill(directory: str) -> int:
            os.chmod(directory, 0o751)
            os.chown(directory, 3, 4)
            return 0

        images.create("owned", fill, below=images.find("busybox"))
    assert engine.raw("run", "--rm", "owned", "stat", "-c", "%a %u %g", "/").text == "751 3 4"


def test_terminal_has_a_name_inside(engine: Engine, driver: str) -> None:
    terminal = engine.pty(
        ["sh", "-c", "tty; stty size; ls -l /proc/self/fd/0; echo to > /dev/console; echo > /dev/tty"], "-ti"
    )
    assert terminal.wait() == 0
    lines = terminal.screen.decode().replace("\r", "").splitlines()
    assert lines[:2] == ["/dev/pts/0", "31 97"] and lines[2].endswith("-> /dev/pts/0") and lines[3] == "to"


def test_ordinary_users_are_told(engine: Engine) -> None:
    if engine.is_full:
        pytest.skip("it serves them: final/rootless")
    words = [*become(65534), PYTHON, "-m", engine.increment, "run", "busybox", "true"]
    with readable_engine() as path:
        fails(engine.host.run(words, env={"PYTHONPATH": path}, cwd="/"), ENGINE_FAILED, "root")
