"""The whole engine without root: what a user sees in his containers, and what they do to his files. Section 2.1.6."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
from pathlib import Path

import pytest

from tests.final.rootless.conftest import COUNT, FIRST, NAME, UID, User
from tests.support import processes
from tests.support.engines import ENGINE_FAILED, NOT_EXECUTABLE, NOT_FOUND, fails
from tests.support.hosts import Word, finish
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel
ALONE = ("--net", "none")


def test_root_of_many_users(user: User) -> None:
    script = "id -u; touch /mine; chown 1000:1000 /mine; stat -c %u:%g /mine; cat /proc/self/uid_map"
    lines = user.run(*ALONE, "busybox", "sh", "-c", script).text.splitlines()
    assert lines[:2] == ["0", "1000:1000"]
    assert [line.split() for line in lines[2:]] == [["0", str(UID), "1"], ["1", str(FIRST), str(COUNT)]]


def test_another_user_of_the_image(user: User) -> None:
    script = "id -u; cat /root-only 2>/dev/null || echo refused"
    assert user("run", *ALONE, "--name", "c", "busybox", "sh", "-c", "umask 77; echo x > /root-only").code == 0
    assert user("commit", "c", "private").code == 0
    assert user.run(*ALONE, "-u", "1000", "private", "sh", "-c", script).text == "1000\nrefused"


def test_what_a_container_has(user: User) -> None:
    script = "hostname; echo $WORD; echo $HOME; echo x > /dev/null; ls /sys/class/net; ls /proc/1/exe; pwd"
    result = user.run(*ALONE, "--hostname", "box", "-e", "WORD=hello", "-w", "/tmp", "busybox", "sh", "-c", script)
    assert result.text.split() == ["box", "hello", "/root", "lo", "/proc/1/exe", "/tmp"]


def test_exit_codes(user: User) -> None:
    assert user.run(*ALONE, "busybox", "sh", "-c", "exit 7").code == 7
    fails(user.run(*ALONE, "busybox", "nosuchcommand"), NOT_FOUND, "nosuchcommand")
    fails(user.run(*ALONE, "busybox", "/etc"), NOT_EXECUTABLE, "/etc")
    assert user("ps", "-aq").text == ""


def test_no_right_outside(user: User) -> None:
    secret = Path("/etc/shadow")
    assert user.run(*ALONE, "-v", f"{secret}:/secret", "busybox", "cat", "/secret").code == 1
    assert user.run(*ALONE, "--privileged", "busybox", "sh", "-c", "echo x > /proc/sys/kernel/sysrq").code == 1
    assert user.run(*ALONE, "--privileged", "busybox", "mknod", "/dev/disk", "b", "8", "0").code == 1


def test_owners_in_a_volume(user: User) -> None:
    directory = user.home / "data"
    directory.mkdir()
    os.chown(directory, UID, UID)
    script = "touch /data/root; touch /data/other; chown 1000:1 /data/other"
    assert user.run(*ALONE, "-v", f"{directory}:/data", "busybox", "sh", "-c", script).code == 0
    owners = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in directory.iterdir()}
    assert owners == {"root": (UID, UID), "other": (FIRST + 999, FIRST)}


def test_a_part_of_a_volume(user: User) -> None:
    assert user.run(*ALONE, "-v", "data:/v", "busybox", "sh", "-c", "mkdir /v/a; echo deep > /v/a/f").code == 0
    mount = ["--mount", "type=volume,src=data,dst=/x,volume-subpath=a"]
    assert user.run(*ALONE, *mount, "busybox", "sh", "-c", "cat /x/f; echo new > /x/g").text == "deep"
    assert user.run(*ALONE, *mount, "busybox", "ls", "/x").text.split() == ["f", "g"]
    assert user("volume", "rm", "data").code == 0


def test_a_terminal(user: User) -> None:
    terminal = user.pty("run", "--rm", "-ti", *ALONE, "busybox", "sh", "-c", "test -t 0 && stty size")
    assert terminal.wait() == 0
    assert terminal.screen == b"31 97\r\n"


def test_the_life_of_a_container(user: User) -> None:
    id = user("run", "-d", "--name", "c", *ALONE, "busybox", "sh", "-c", "echo up; exec sleep 1000").text
    eventually(lambda: user("logs", "c").text == "up", "its output")
    assert user("ps", "--format", "{{.Names}} {{.State}}").text == "c running"
    eventually(lambda: user("exec", "c", "cat", "/proc/1/comm").text == "sleep", "what it does next")
    assert user("exec", "c", "sh", "-c", "id -u; echo written > /file").text == "0"
    assert user("exec", "-u", "1000", "c", "id", "-u").text == "1000"
    assert "sleep" in user("top", "c", "-eo", "pid,comm").text
    assert "sleep 1000" in user("tree").text
    (found,) = json.loads(user("inspect", "c").text)
    assert (found["Id"], found["State"]["Status"]) == (id, "running")
    assert user("cp", "c:/file", "-").code == 0
    fails(user("rm", "c"), ENGINE_FAILED, "stop")
    assert user("stop", "-t", "0", "c").code == 0
    assert user("start", "c").code == 0
    assert user("exec", "c", "cat", "/file").text == "written"
    assert user("kill", "c").code == 0
    assert user("wait", "c").code == 0
    assert user("system", "prune", "--force").code == 0
    assert user("ps", "-aq").text == ""


def test_users_other_than_root_can_be_stopped(user: User) -> None:
    assert user("run", "-d", "--name", "c", "-u", "1000", *ALONE, "busybox", "sleep", "1000").code == 0
    assert user("stop", "-t", "0", "c").code == 0
    assert user("rm", "c").code == 0


def test_commands_at_once_find_each_other(user: User) -> None:
    names = [f"c{number}" for number in range(4)]
    started = [user.spawn("run", "-d", "--name", name, *ALONE, "busybox", "sleep", "1000") for name in names]
    assert [finish(process).code for process in started] == [0] * len(names)
    assert [user("exec", name, "hostname").code for name in names] == [0] * len(names)
    assert user("rm", "-f", *names).code == 0


def test_files_in_and_out(user: User) -> None:
    source = user.home / "source"
    source.write_text("of the host")
    os.chown(source, UID, UID)
    assert user("create", "--name", "c", *ALONE, "busybox", "cat", "/copy").code == 0
    assert user("cp", str(source), "c:/copy").code == 0
    assert user("start", "-a", "c").text == "of the host"
    assert user("cp", "c:/copy", str(user.home / "back")).code == 0
    assert (user.home / "back").read_text() == "of the host"
    assert (user.home / "back").stat().st_uid == UID
    assert user("rm", "c").code == 0


def test_owners_in_an_archive(user: User) -> None:
    archive = tar_of(("mine", 0), ("other", 1000), ("last", COUNT - 1))
    assert user("import", "-", "many", input=archive).code == 0
    layer = next((user.home / ".local/share/mydocker/layers").glob("*/other")).parent
    assert {path.name: path.stat().st_uid for path in layer.iterdir()} == {
        "mine": UID,
        "other": FIRST + 999,
        "last": FIRST + COUNT - 2,
    }
    user("create", "--name", "c", *ALONE, "many", "/command")
    with tarfile.open(fileobj=io.BytesIO(user("export", "c").out)) as exported:
        owners = {member.name: member.uid for member in exported if member.isfile()}
    assert {name: owners[name] for name in ("mine", "other", "last")} == {"mine": 0, "other": 1000, "last": COUNT - 1}
    assert user("rm", "c").code == 0


def test_owners_that_the_user_does_not_have(user: User) -> None:
    result = user("import", "-", "many", input=tar_of(("stranger", COUNT + 1)))
    fails(result, ENGINE_FAILED, "stranger", "/etc/subuid")


def tar_of(*files: tuple[str, int]) -> bytes:
    """An archive of empty files with these owners."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, owner in files:
            member = tarfile.TarInfo(name)
            member.uid = member.gid = owner
            archive.addfile(member)
    return made.getvalue()


def test_what_was_removed_stays_removed(user: User) -> None:
    fill = "mkdir /full; touch /full/old /gone"
    empty = "rm -r /full /gone; mkdir /full; touch /full/new"
    assert user("run", "--name", "a", *ALONE, "busybox", "sh", "-c", fill).code == 0
    assert user("commit", "a", "full").code == 0
    assert user("run", "--name", "b", *ALONE, "full", "sh", "-c", empty).code == 0
    assert user("diff", "b").text.splitlines() == ["C /full", "A /full/new", "D /full/old", "D /gone"]
    assert user("commit", "b", "empty").code == 0
    saved = user("save", "empty").out
    assert user("rmi", "empty").code == 0
    assert user("load", input=saved).code == 0
    assert user.run(*ALONE, "empty", "sh", "-c", "ls /full; ls /gone 2>/dev/null").out == b"new\n"
    assert user("rm", "a", "b").code == 0


def test_a_dockerfile(user: User) -> None:
    context = user.home / "context"
    context.mkdir()
    (context / "file").write_text("x")
    (context / "Dockerfile").write_text("FROM busybox\nRUN touch /run-by-root\nCOPY --chown=7:8 file /\nUSER 1000\n")
    assert user("build", "-t", "built", "--network", "none", str(context)).code == 0
    assert user.run(*ALONE, "built", "sh", "-c", "id -u; stat -c %u:%g /run-by-root /file").text == "1000\n0:0\n7:8"


def test_state_is_at_home_and_nobody_elses(user: User) -> None:
    top = user.home / ".local/share/mydocker"
    assert (top.stat().st_uid, stat.S_IMODE(top.stat().st_mode)) == (UID, 0o700)
    assert user("info", "--format", "{{.DockerRootDir}}").text == str(top)
    assert "name=rootless" in user("info", "--format", "{{.SecurityOptions}}").text
    assert "\n  rootless\n" in user("info").text
    elsewhere = {**user.environment, "XDG_DATA_HOME": str(user.home / "data")}
    assert user("images", "-q", env=elsewhere).text == ""
    assert (user.home / "data/mydocker").is_dir()


def test_killed_watcher_takes_the_container_along(user: User) -> None:
    assert user("run", "-d", "--name", "c", *ALONE, "busybox", "sleep", "1000").code == 0
    pid = int(user("inspect", "--format", "{{.State.Pid}}", "c").text)
    os.kill(int(processes.status(pid, "PPid")), 9)
    eventually(lambda: not processes.is_alive(pid), "its end")
    assert user("ps", "-a", "--format", "{{.State}}").text == "exited"
    assert user("rm", "c").code == 0


# ---------------------------------------------------------------- what is refused


def test_limits_need_a_delegated_cgroup_and_it_says_so(user: User) -> None:
    for flag, value, controller in (("-m", "64m", "memory"), ("--pids-limit", "20", "pids"), ("--cpus", "0.5", "cpu")):
        fails(user.run(*ALONE, flag, value, "busybox", "true"), ENGINE_FAILED, controller, "delegated")


def test_what_belongs_to_the_machine(user: User) -> None:
    for flag in ("--pid", "--ipc"):
        fails(user.run(*ALONE, flag, "host", "busybox", "true"), ENGINE_FAILED, flag, "root")


def test_without_ids_of_his_own(user: User) -> None:
    empty: list[Word] = ["unshare", "--mount", "sh", "-c", 'mount --bind /dev/null /etc/subgid; exec "$@"', "sh"]
    line = fails(user.plain([*empty, *user.words("ps")]), ENGINE_FAILED, "/etc/subgid", NAME, "usermod --add-subuids")
    assert "--add-subgids" in line


def test_without_the_helpers(user: User) -> None:
    user.path = "/nowhere"
    fails(user("ps"), ENGINE_FAILED, "newuidmap", "uidmap")


def test_help_needs_nothing(user: User) -> None:
    user.path = "/nowhere"
    assert "usage" in user("--help").text
    assert "usage" in user("run", "--help").text


# ---------------------------------------------------------------- with a cgroup of his own


def test_a_delegated_cgroup(user: User, delegated: str) -> None:
    enter: list[Word] = ["sh", "-c", f'echo $$ > {delegated}/session/cgroup.procs; exec "$@"', "sh"]
    words = user.words("run", "-d", "--name", "c", *ALONE, "busybox", "sleep", "1000")
    id = user.plain([*enter, *words]).text
    group = Path(delegated, "mydocker", id)
    pid = user("inspect", "--format", "{{.State.Pid}}", "c").text
    assert pid in (group / "cgroup.procs").read_text().split()
    assert user.plain([*enter, *user.words("exec", "c", "true")]).code == 0
    assert user("pause", "c").code == 0  # also from a session without a cgroup of its own
    assert (group / "cgroup.freeze").read_text() == "1\n"
    assert user("unpause", "c").code == 0
    assert user("rm", "-f", "c").code == 0
    assert not group.exists()
