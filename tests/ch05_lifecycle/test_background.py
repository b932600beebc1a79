"""run -d, ps, start, stop, wait, rm: containers that live on, and a store that tells the truth. Sections 5.1 to 5.6."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ch04_images import containers
from ch05_lifecycle import store
from tests.ch05_lifecycle.conftest import Keeper
from tests.support import processes
from tests.support.engines import ENGINE_FAILED, NOT_FOUND, fails, state_root
from tests.support.hosts import finish, read_line
from tests.support.polling import eventually
from tests.support.terminals import Terminal

pytestmark = pytest.mark.kernel
SLEEPS = ["sleep", "1000"]
WAITS = "trap 'exit 4' TERM; echo ready; while :; do sleep 0.02; done"


def watcher_of(pid: int) -> int:
    parent = processes.status(pid, "PPid")
    return int(parent)


@pytest.mark.vm
def test_it_outlives_the_command_that_started_it(keeper: Keeper) -> None:
    id = keeper.start(SLEEPS)
    assert len(id) == 64
    pid = keeper.status(id)["pid"]
    assert processes.is_alive(pid)
    eventually(lambda: processes.name(pid) == "sleep", "the name of its program")
    lines = keeper.raw("ps").text.splitlines()
    assert lines[0].split()[:2] == ["CONTAINER", "ID"]
    assert lines[1].replace('"', "").split()[:4] == [id[:12], "busybox", "sleep", "1000"] and " Up " in lines[1]


def test_its_exit_code_is_kept(keeper: Keeper) -> None:
    id = keeper.sh("exit 42")
    assert keeper.raw("wait", id).text == "42"
    assert keeper.raw("ps", "-q").text == ""
    assert "Exited (42)" in keeper.raw("ps", "-a").text
    killed = keeper.sh("sh -c 'kill -SEGV $$'; exit $?")
    assert keeper.raw("wait", killed).text == "139"
    both = keeper.raw("wait", id, "nosuch", killed)
    fails(both, ENGINE_FAILED, "nosuch")
    assert both.out.split() == [b"42", b"139"]


@pytest.mark.vm
def test_out_of_memory_is_recorded(keeper: Keeper) -> None:
    id = keeper.sh("head -c 50000000 /dev/zero | tail -c 40000000 > /dev/null; exit 5", "-m", "10m")
    keeper.raw("wait", id)
    assert keeper.status(id)["out_of_memory"] is True


def test_nobody_waits_for_the_end_of_output(keeper: Keeper) -> None:
    """`id=$(run -d …)` returns at once, though the container prints on; also with other descriptors given."""
    words = keeper.engine.command_line("run", "-d", "busybox", *SLEEPS)
    result = keeper.engine.host.run(["sh", "-c", '"$@" 7>&1 8>&2', "sh", *words])
    assert result.code == 0 and result.err == b""


def test_the_watcher_holds_nothing_of_its_caller(keeper: Keeper, tmp_path: Path) -> None:
    id = keeper.start(SLEEPS)
    watcher = watcher_of(keeper.status(id)["pid"])
    assert os.readlink(f"/proc/{watcher}/cwd") == "/"
    targets = {os.readlink(f"/proc/{watcher}/fd/{number}") for number in ("0", "1", "2")}
    assert targets == {"/dev/null"}
    assert os.getsid(watcher) == watcher


def test_the_container_holds_nothing_of_the_engine(keeper: Keeper) -> None:
    id = keeper.start(SLEEPS)
    pid = keeper.status(id)["pid"]
    eventually(lambda: sorted(os.listdir(f"/proc/{pid}/fd")) == ["0", "1", "2"], "execve(2) has closed all others")
    assert keeper.raw("exec", id, "readlink", "/proc/1/fd/0").text == "/dev/null"


@pytest.mark.parametrize(
    ("command", "flags", "code", "word"),
    [
        (["nosuch"], [], NOT_FOUND, "nosuch"),
        (["true"], ["-u", "nobody-known"], ENGINE_FAILED, "nobody-known"),
        (["true"], ["-m", "1k"], ENGINE_FAILED, "6m"),
        (["true"], ["--restart", "sometimes"], ENGINE_FAILED, "sometimes"),
        (["true"], ["--name", "not allowed"], ENGINE_FAILED, "not allowed"),
        (["true"], ["--stop-signal", "NOSUCH"], ENGINE_FAILED, "NOSUCH"),
    ],
)
def test_what_cannot_start_says_so_and_leaves_nothing(
    keeper: Keeper, command: list[str], flags: list[str], code: int, word: str
) -> None:
    for detach in ([], ["-d"]):
        fails(keeper.raw("run", *detach, *flags, "busybox", *command), code, word)
        assert keeper.ids() == []


def test_create_start_restart(keeper: Keeper) -> None:
    id = keeper.raw("create", "--name", "later", "busybox", "sh", "-c", "echo once >> /count; exec sleep 1000").text
    assert keeper.status(id)["status"] == "created"
    assert keeper.raw("ps", "-q").text == ""
    assert keeper.raw("start", "later").text == "later"
    assert keeper.status(id)["status"] == "running"
    first = keeper.status(id)["pid"]
    assert keeper.raw("start", "later").text == "later"  # as with Docker: it runs, and goes on
    assert keeper.status(id)["pid"] == first
    eventually(lambda: keeper.raw("exec", "later", "cat", "/count").out == b"once\n", "its file")
    assert keeper.raw("restart", "-t", "0", "later").code == 0
    assert keeper.status(id)["pid"] != first
    eventually(lambda: keeper.raw("exec", "later", "cat", "/count").out == b"once\nonce\n", "its file again")


def test_ids_are_whole_on_any_terminal(keeper: Keeper) -> None:
    """A table where it fits; where it does not, columns, whose lines a terminal breaks as it likes."""
    id = keeper.raw("create", "--name", "with_a_name", "busybox", "echo", "x" * 30).text
    words = keeper.engine.command_line("ps", "-a")
    for columns, framed in ((200, True), (70, False)):
        terminal = Terminal(keeper.engine.host, words, env={"COLUMNS": str(columns)})
        terminal.expect(id[:12].encode())
        terminal.expect(b"with_a_name")
        assert ("│".encode() in terminal.screen) is framed


def test_many_start_it_at_one_time(keeper: Keeper) -> None:
    id = keeper.raw("create", "busybox", "sh", "-c", "echo once >> /count; exec sleep 1000").text
    words = keeper.engine.command_line("start", id)
    for started in [keeper.engine.host.spawn(words) for _ in range(8)]:
        assert finish(started).text == id
    eventually(lambda: keeper.raw("exec", id, "cat", "/count").out == b"once\n", "its only start")


def test_start_of_what_waits_for_its_restart(keeper: Keeper) -> None:
    """Its watcher starts it again: there is nothing to do, and nothing to wait for. `stop` still ends it."""
    id = keeper.start(["false"], "--restart", "always")
    eventually(
        lambda: keeper.status(id)["status"] == "restarting" and keeper.status(id)["restarts"] > 4, "a long pause"
    )
    assert keeper.raw("start", id).text == id
    assert keeper.raw("stop", id).code == 0
    assert keeper.status(id)["status"] == "exited"


def test_start_of_what_cannot_start_keeps_it(keeper: Keeper) -> None:
    keeper.raw("create", "--name", "broken", "busybox", "nosuch")
    fails(keeper.raw("start", "broken"), NOT_FOUND, "nosuch")
    assert keeper.status("broken")["status"] == "created"


def test_it_starts_again_from_anywhere(keeper: Keeper, tmp_path: Path) -> None:
    """Whatever was relative or of the environment has been settled when it was created."""
    (tmp_path / "data").mkdir()
    environment = {"COLOUR": "blue", "PYTHONPATH": str(Path(__file__).parents[2])}
    words = keeper.engine.command_line(
        *("run", "--name", "it", "-v", "./data:/data", "-e", "COLOUR", "-w", "/data", "--hostname", "box"),
        *("busybox", "sh", "-c", "echo $COLOUR $(hostname) >> file"),
    )
    assert keeper.engine.host.run(words, cwd=tmp_path, env=environment).code == 0
    assert keeper.raw("start", "it").code == 0
    keeper.raw("wait", "it")
    assert (tmp_path / "data/file").read_text() == "blue box\nblue box\n"


class TestStop:
    @pytest.mark.vm
    def test_the_signal_is_handled(self, keeper: Keeper) -> None:
        id = keeper.sh(WAITS)
        eventually(lambda: keeper.raw("logs", id).text == "ready", "the trap")
        assert keeper.raw("stop", id).text == id
        assert keeper.status(id)["exit_code"] == 4

    def test_who_does_not_listen_is_killed_after_the_grace(self, keeper: Keeper) -> None:
        id = keeper.start(SLEEPS)
        start = time.monotonic()
        assert keeper.raw("stop", "-t", "0.5", id).code == 0
        assert time.monotonic() - start > 0.5
        assert keeper.status(id)["exit_code"] == 137

    def test_another_signal(self, keeper: Keeper) -> None:
        id = keeper.sh(WAITS.replace("TERM", "USR1"), "--stop-signal", "SIGUSR1")
        eventually(lambda: keeper.raw("logs", id).text == "ready", "the trap")
        keeper.raw("stop", id)
        assert keeper.status(id)["exit_code"] == 4

    def test_twice_does_no_harm(self, keeper: Keeper) -> None:
        id = keeper.sh("exit 3")
        keeper.raw("wait", id)
        assert keeper.raw("stop", id).code == 0
        assert keeper.status(id)["exit_code"] == 3

    def test_many_at_once(self, keeper: Keeper) -> None:
        id = keeper.sh(WAITS)
        eventually(lambda: keeper.raw("logs", id).text == "ready", "the trap")
        stops = [keeper.engine.host.spawn(keeper.engine.command_line("stop", id)) for _ in range(8)]
        assert [finish(stop).code for stop in stops] == [0] * 8

    def test_while_others_start_it_all_the_time(self, keeper: Keeper) -> None:
        """Each stop ends when the run that it has ended is over, whoever has started another one by then."""
        keeper.raw("create", "--name", "it", "busybox", *SLEEPS)
        script = 'for i in 1 2 3; do "$@" start it; "$@" stop -t 0 it; "$@" restart -t 0 it; done >/dev/null 2>&1'
        words = ["sh", "-c", script, "sh", *keeper.engine.command_line()]
        storm = [keeper.engine.host.spawn(words) for _ in range(6)]
        for process in storm:
            finish(process)
        assert keeper.raw("stop", "-t", "0", "it").code == 0
        assert keeper.status("it")["status"] == "exited"

    def test_kill_with_a_signal(self, keeper: Keeper) -> None:
        id = keeper.sh("trap 'echo got' HUP; trap 'exit 9' USR2; echo ready; while :; do sleep 0.02; done")
        eventually(lambda: "ready" in keeper.raw("logs", id).text, "the traps")
        expected = ["ready"]
        for name in ("HUP", "sighup", "1"):
            assert keeper.raw("kill", "-s", name, id).code == 0
            expected.append("got")
            eventually(lambda: keeper.raw("logs", id).text.split() == expected, "the handler")
        keeper.raw("kill", "-s", "USR2", id)
        assert keeper.raw("wait", id).text == "9"
        fails(keeper.raw("kill", id), ENGINE_FAILED, "does not run")
        fails(keeper.raw("kill", "-s", "NOSUCH", id), ENGINE_FAILED, "NOSUCH")

    def test_a_pid_that_was_used_again_is_never_signalled(self, keeper: Keeper) -> None:
        """The record says that it runs, with the pid of somebody else, who was started at another time."""
        id = keeper.start(SLEEPS)
        time.sleep(0.05)  # start times are counted in hundredths of a second
        stranger = subprocess.Popen(["sleep", "1000"])
        path = keeper.root / "containers" / id / "state.json"
        state = json.loads(path.read_text())
        path.write_text(json.dumps({**state, "pid": stranger.pid}))
        try:
            fails(keeper.raw("kill", "-s", "USR1", id), ENGINE_FAILED, "does not run")
            fails(keeper.raw("exec", id, "true"), ENGINE_FAILED, "does not run")
            assert stranger.poll() is None
        finally:
            path.write_text(json.dumps(state))
            stranger.kill()
            stranger.wait()


class TestTruth:
    def test_a_killed_watcher_takes_its_container_along_and_ps_says_so(self, keeper: Keeper) -> None:
        id = keeper.start(SLEEPS, "-m", "64m")
        pid = keeper.status(id)["pid"]
        os.kill(watcher_of(pid), signal.SIGKILL)
        eventually(lambda: not processes.is_alive(pid), "its end")
        assert re.search(r"Exited \(137\) (Less than a|\d+) second", keeper.raw("ps", "-a").text)
        assert keeper.status(id)["error"] == "its watcher was killed"
        assert keeper.raw("start", id).code == 0
        assert keeper.raw("exec", id, "true").code == 0

    def test_one_that_changed_its_user_is_ended_by_whoever_looks(self, keeper: Keeper) -> None:
        """The kernel forgets PR_SET_PDEATHSIG when credentials change."""
        path = os.fsdecode(keeper.engine.plant("sleep", Path("/bin/busybox").read_bytes()))
        os.chown(path, 65534, 65534)
        os.chmod(path, 0o6755)  # execve(2) of such a program changes them, too
        id = keeper.start(["/su/sleep", "1000"], "-v", f"{os.path.dirname(path)}:/su")
        pid = keeper.status(id)["pid"]
        os.kill(watcher_of(pid), signal.SIGKILL)
        keeper.raw("ps", "-a")
        eventually(lambda: not processes.is_alive(pid), "its end")

    def test_a_killed_foreground_run_is_told_apart_from_a_running_one(self, keeper: Keeper) -> None:
        started = keeper.engine.spawn(["sh", "-c", "hostname; exec sleep 1000"])
        assert started.stdout is not None
        id = started.stdout.readline().decode().strip()
        keeper.waits_until_it_runs(id)
        assert keeper.raw("exec", id, "hostname").text == id
        started.kill()
        started.wait(60)
        assert keeper.status(id)["status"] == "exited"


class TestNames:
    def test_names_and_prefixes_work_everywhere(self, keeper: Keeper) -> None:
        id = keeper.start(SLEEPS, "--name", "web-1.x_Y")
        for text in ("web-1.x_Y", id, id[:12], id[:4]):
            assert keeper.raw("exec", text, "hostname").text == id[:12]
        assert keeper.raw("rename", "web-1.x_Y", "db").code == 0
        fails(keeper.raw("exec", "web-1.x_Y", "true"), ENGINE_FAILED, "web-1.x_Y")
        assert keeper.inspect("db")["name"] == "db"

    def test_without_one_it_gets_two_words(self, keeper: Keeper) -> None:
        name = keeper.inspect(keeper.start(SLEEPS))["name"]
        assert len(name.split("_")) == 2
        assert keeper.raw("exec", name, "true").code == 0

    def test_twenty_want_the_same(self, keeper: Keeper) -> None:
        words = keeper.engine.command_line("run", "-d", "--name", "one", "busybox", *SLEEPS)
        results = [finish(started) for started in [keeper.engine.host.spawn(words) for _ in range(20)]]
        assert sorted(result.code for result in results) == [0] + [ENGINE_FAILED] * 19
        for result in results:
            if result.code:
                fails(result, ENGINE_FAILED, "'one'", "has it")
        assert len(keeper.ids()) == 1

    @pytest.mark.parametrize("name", ["", "-x", ".x", "_x", "a/b", "a b", "ä", "a" * 129, "../x", "a\nb"])
    def test_names_that_are_not_allowed(self, keeper: Keeper, name: str) -> None:
        fails(keeper.raw("run", "-d", "--name", name, "busybox", "true"), ENGINE_FAILED, "name")
        assert keeper.ids() == []

    def test_a_name_is_free_when_its_container_is_gone(self, keeper: Keeper) -> None:
        for _ in range(3):
            keeper.start(["true"], "--name", "again")
            keeper.raw("wait", "again")
            assert keeper.raw("rm", "again").code == 0


class TestRemove:
    @pytest.mark.vm
    def test_all_that_it_had_is_gone(self, keeper: Keeper, tmp_path: Path) -> None:
        id = keeper.sh("echo x > /volume/x; echo y > /y", "-v", f"{tmp_path}/volume:/volume", "-m", "64m")
        keeper.raw("wait", id)
        assert keeper.raw("rm", "-v", id).text == id
        assert keeper.ids() == [] and os.listdir(keeper.root / "names") == []
        assert (tmp_path / "volume/x").exists()

    def test_a_running_one_needs_force(self, keeper: Keeper) -> None:
        id = keeper.start(SLEEPS)
        fails(keeper.raw("rm", id), ENGINE_FAILED, id[:12], "rm -f")
        assert keeper.raw("rm", "-f", id).code == 0
        assert keeper.ids() == []

    def test_rm_flag_removes_it_when_it_ends(self, keeper: Keeper) -> None:
        id = keeper.start(["true"], "--rm")
        eventually(keeper.is_empty, "its removal")
        fails(keeper.raw("inspect", id), ENGINE_FAILED, "there is none")

    def test_many_removals_at_once(self, keeper: Keeper) -> None:
        id = keeper.start(SLEEPS)
        removals = [keeper.engine.host.spawn(keeper.engine.command_line("rm", "-f", id)) for _ in range(6)]
        results = [finish(removal) for removal in removals]
        assert any(result.code == 0 for result in results)
        assert all(b"Traceback" not in result.err for result in results)
        assert keeper.ids() == []

    def test_one_that_a_sweep_has_just_removed(self, keeper: Keeper) -> None:
        """`run --rm` lets its lock go before it removes: whoever sweeps in between does it first."""
        id = keeper.raw("create", "--name", "box", "busybox", "true").text
        with state_root(keeper.root):
            stored = store.find(id)
            containers.remove(stored.record)
            store.remove(stored)
        assert os.listdir(keeper.root / "names") == []


class TestRemoveWhenItEnds:
    def test_one_that_is_only_created_stays(self, keeper: Keeper) -> None:
        id = keeper.raw("create", "--rm", "busybox", "true").text
        assert keeper.raw("run", "--rm", "busybox", "true").code == 0  # sweeps
        assert keeper.raw("start", id).code == 0
        eventually(lambda: keeper.ids() == [], "its removal")

    def test_it_cannot_be_restarted(self, keeper: Keeper) -> None:
        id = keeper.start(SLEEPS, "--rm")
        fails(keeper.raw("restart", "-t", "0", id), ENGINE_FAILED, "--rm")
        assert keeper.raw("exec", id, "true").code == 0
        fails(keeper.raw("run", "-d", "--rm", "--restart", "always", "busybox", "true"), ENGINE_FAILED, "--restart")


def test_wait_does_not_miss_an_end_that_is_followed_by_a_start(keeper: Keeper) -> None:
    id = keeper.sh(WAITS)
    for number in range(5):
        ready = ["ready"] * (number + 1)
        eventually(lambda ready=ready: keeper.raw("logs", id).text.split() == ready, "the trap")  # type: ignore[misc]
        waiting = [keeper.engine.host.spawn(keeper.engine.command_line("wait", id)) for _ in range(3)]
        for process in waiting:
            eventually(lambda pid=process.pid: holds_pidfd(pid), "it to wait")  # type: ignore[misc]
        assert keeper.raw("restart", "-t", "60", id).code == 0
        assert [finish(process).out for process in waiting] == [b"4\n"] * 3


def holds_pidfd(pid: int) -> bool:
    return any("pidfd" in target for target in processes.open_files(pid))


@pytest.mark.parametrize("grace", ["1e9", "inf", "nan", "-2", "x"])
def test_graces_that_cannot_be(keeper: Keeper, grace: str) -> None:
    id = keeper.start(SLEEPS)
    fails(keeper.raw("stop", "-t", grace, id), ENGINE_FAILED, grace)
    assert keeper.status(id)["status"] == "running"
    assert not (keeper.root / "containers" / id / "stopping").exists()


class TestRestartPolicy:
    def test_on_failure_until_it_has_had_enough(self, keeper: Keeper) -> None:
        id = keeper.sh("echo run >> /runs; exit 1", "--restart", "on-failure:3")
        assert keeper.raw("wait", id).text == "1"
        assert keeper.status(id)["restarts"] == 3
        upper = keeper.root / "containers" / id / "upper/runs"
        assert upper.read_text().split() == ["run"] * 4

    def test_on_failure_does_not_repeat_success(self, keeper: Keeper) -> None:
        id = keeper.sh("exit 0", "--restart", "on-failure")
        assert keeper.raw("wait", id).text == "0"
        assert keeper.status(id)["restarts"] == 0

    @pytest.mark.parametrize("how", [["stop", "-t", "0"], ["kill"], ["rm", "-f"]])
    def test_always_until_it_is_stopped(self, keeper: Keeper, how: list[str]) -> None:
        id = keeper.sh("sleep 0.05", "--restart", "always")
        eventually(lambda: keeper.status(id)["restarts"] >= 2, "two restarts")
        eventually(lambda: keeper.raw(*how, id).code == 0, "a moment in which it runs")
        if how[0] != "rm":
            keeper.raw("wait", id)
            assert keeper.status(id)["status"] == "exited"


def test_init_reaps_what_others_leave(keeper: Keeper) -> None:
    script = "for i in 1 2 3 4 5; do (sleep 0.05 &) ; done; sleep 1000"
    id = keeper.sh(script, "--init")
    pid = keeper.status(id)["pid"]
    assert keeper.raw("exec", id, "cat", "/proc/1/comm").text in ("init", "tini-static")
    eventually(
        lambda: len(processes.descendants(pid)) <= 2 and not processes.zombies(pid), "the short ones to be reaped"
    )
    assert keeper.raw("stop", "-t", "1000", id).code == 0  # unlike a PID 1 without a handler, it passes the signal on


def test_environment_from_files(keeper: Keeper, tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("# comment\n\nA=from file\nB=two=equals\n  C=indented\nHOSTS\n")
    words = ["run", "--rm", "--env-file", str(path), "-e", "A=wins", "busybox", "env"]
    result = keeper.engine.host.run(keeper.engine.command_line(*words), env={"HOSTS": "of the host", "SECRET": "x"})
    found = dict(line.split("=", 1) for line in result.text.splitlines())
    assert found["A"] == "wins" and found["B"] == "two=equals" and found["C"] == "indented"
    assert found["HOSTS"] == "of the host" and "SECRET" not in found
    path.write_bytes(b"\xef\xbb\xbfA=behind a byte order mark\r\n")
    assert "A=behind a byte order mark" in keeper.raw(*words[:4], *words[-2:]).text.splitlines()
    path.write_text("A =1\n")
    fails(keeper.raw(*words), ENGINE_FAILED, "'A '", "space")
    fails(keeper.raw("run", "--env-file", "/nonexistent", "busybox", "env"), ENGINE_FAILED, "/nonexistent")


@pytest.mark.parametrize("name", ["state.json", "settings.json"])
@pytest.mark.parametrize("text", ["", "[]", "{", "\0"])
def test_a_damaged_record_hides_nobody_else(keeper: Keeper, name: str, text: str) -> None:
    other = keeper.start(SLEEPS)
    damaged = keeper.raw("create", "busybox", "true").text
    (keeper.root / "containers" / damaged / name).write_text(text)
    shown = keeper.raw("ps", "-a").text
    assert other[:12] in shown and damaged[:12] in shown and "Damaged" in shown
    fails(keeper.raw("inspect", damaged), ENGINE_FAILED, "damaged")
    fails(keeper.raw("start", damaged), ENGINE_FAILED, "damaged")
    assert keeper.raw("rm", damaged).code == 0
    assert keeper.raw("exec", other, "true").code == 0


def test_start_and_stay_with_it(keeper: Keeper) -> None:
    keeper.raw("create", "--name", "it", "-i", "busybox", "sh", "-c", "echo up; read x; echo got $x; exit 6")
    for number in range(2):
        result = keeper.raw("start", "-ai", "it", input=b"line%d\n" % number)
        assert (result.code, result.out) == (6, b"up\ngot line%d\n" % number)


class TestAttach:
    def test_output_input_and_exit_code(self, keeper: Keeper) -> None:
        id = keeper.sh("echo old; read x; echo got $x; echo err >&2; exit 4", "-i")
        eventually(lambda: keeper.raw("logs", id).text == "old", "the first line")
        result = keeper.raw("attach", id, input=b"new\n")
        assert (result.code, result.out, result.err) == (4, b"got new\n", b"err\n")

    def test_at_a_terminal_with_its_size_and_leave_again(self, keeper: Keeper) -> None:
        id = keeper.start(["sh"], "-ti")
        terminal = Terminal(keeper.engine.host, keeper.engine.command_line("attach", id))
        eventually(lambda: keeper.raw("exec", id, "true").code == 0, "the shell")
        terminal.type(b"stty size; echo a$((40+2))b\r")
        terminal.expect(b"31 97")
        terminal.expect(b"a42b")
        terminal.type(b"\x10\x11")
        assert terminal.wait() == 0
        assert terminal.mode_is_restored()
        assert keeper.status(id)["status"] == "running"

    def test_signals_are_passed_on(self, keeper: Keeper) -> None:
        id = keeper.sh("trap 'exit 8' TERM; echo up; while :; do sleep 0.02; done")
        eventually(lambda: keeper.raw("logs", id).text == "up", "the trap")
        attached = keeper.engine.host.spawn(keeper.engine.command_line("attach", id))
        eventually(lambda: signal.SIGTERM in caught(attached.pid), "the handler")
        attached.terminate()
        assert finish(attached).code == 8

    def test_only_to_one_that_runs(self, keeper: Keeper) -> None:
        id = keeper.start(["true"])
        keeper.raw("wait", id)
        fails(keeper.raw("attach", id), ENGINE_FAILED, "does not run")

    def test_not_to_one_in_the_foreground(self, keeper: Keeper) -> None:
        started = keeper.engine.spawn(["sh", "-c", "hostname; read x"], "-i")
        id = read_line(started).decode().strip()
        keeper.waits_until_it_runs(id)
        fails(keeper.raw("attach", id), ENGINE_FAILED, "foreground")
        finish(started)


def caught(pid: int) -> set[int]:
    mask = int(processes.status(pid, "SigCgt"), 16)
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def test_what_chapter_4_left_can_be_listed_and_removed(keeper: Keeper) -> None:
    words = [sys.executable, "-m", "ch04_images", "run", "busybox", "hostname"]
    id = keeper.engine.host.run(words).text
    assert id in keeper.raw("ps", "-a").text
    assert keeper.raw("commit", id, "kept").code == 0
    fails(keeper.raw("start", id), ENGINE_FAILED, "not known")
    assert keeper.raw("rm", id).code == 0


def test_commit_and_export_by_name(keeper: Keeper) -> None:
    keeper.sh("echo hello > /greeting; exec sleep 1000", "--name", "source")
    eventually(lambda: keeper.raw("exec", "source", "cat", "/greeting").out == b"hello\n", "the file")
    assert keeper.raw("commit", "source", "greeter").code == 0
    assert keeper.raw("run", "--rm", "greeter", "cat", "/greeting").text == "hello"
    assert keeper.raw("export", "source").code == 0


def test_top_lists_the_processes(keeper: Keeper) -> None:
    id = keeper.sh("sleep 1000 & sleep 1001 & wait")

    def rows() -> list[dict[str, Any]]:
        return [json.loads(line) for line in keeper.raw("top", "--format", "json", id).text.splitlines()]

    eventually(lambda: [row["command"] for row in rows()][1:] == ["sleep 1000", "sleep 1001"], "both commands")
    assert len(keeper.raw("top", id).text.splitlines()) == 4
    assert rows()[0]["pid"] == keeper.status(id)["pid"]


def test_json_for_programs(keeper: Keeper) -> None:
    assert keeper.raw("ps", "-a", "--format", "json").text == ""
    id = keeper.sh("echo 'two words'; exit 1", "--name", "it")
    keeper.raw("wait", id)
    (row,) = [json.loads(line) for line in keeper.raw("ps", "-a", "--format", "json").text.splitlines()]
    if keeper.engine.is_full:  # as Docker's: short
        assert (row["ID"], row["Names"], row["Command"]) == (id[:12], "it", "\"sh -c 'echo 'two wo…\"")
    else:
        assert (row["container id"], row["name"], row["command"]) == (id, "it", "sh -c echo 'two words'; exit 1")
    found = keeper.inspect("it")
    assert found["settings"]["command"] == ["sh", "-c", "echo 'two words'; exit 1"]
    assert found["state"]["exit_code"] == 1 and found["state"]["finished"] >= found["state"]["started"]


@pytest.mark.parametrize("driver", ["overlay", "aufs"])
def test_both_storage_drivers(keeper: Keeper, driver: str) -> None:
    id = keeper.sh("echo x > /x; exec sleep 1000", "--storage-driver", driver)
    eventually(lambda: keeper.raw("exec", id, "cat", "/x").out == b"x\n", "the file")
    keeper.raw("stop", "-t", "0", id)
    assert (keeper.root / "containers" / id / "upper/x").read_text() == "x\n"
    keeper.raw("start", id)
    eventually(lambda: keeper.raw("exec", id, "cat", "/x").out == b"x\n", "the file again")
