"""ctrl-p ctrl-q: the user gets the shell back, and the command goes on. Book sections 5.1 and 5.4."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from tests.ch05_lifecycle.conftest import Keeper
from tests.support import kill_at as steps
from tests.support import leaks, processes
from tests.support.engines import ENGINE_FAILED, INCREMENTS, NOT_FOUND, fails
from tests.support.hosts import REPOSITORY
from tests.support.polling import becomes, eventually
from tests.support.terminals import CONTROL_C, Terminal

pytestmark = pytest.mark.kernel
SLEEPS = ["sleep", "1000"]
CONTROL_P, CONTROL_Q = b"\x10", b"\x11"
SHARES, MOST_STEPS = 31, 2000
LEAVE = CONTROL_P + CONTROL_Q
ECHOES = "stty raw -echo; printf 'up\\r\\n'; while :; do echo key $(dd bs=1 count=1 2>/dev/null | od -An -tx1); done"
LISTENS = "trap 'exit 7' TERM; echo up; while read line; do echo got $line; done"


def at_terminal(keeper: Keeper, *arguments: str) -> Terminal:
    return Terminal(keeper.engine.host, keeper.engine.command_line(*arguments))


def run(keeper: Keeper, script: str, *flags: str) -> Terminal:
    """`run -ti --name it` of a script that says `up`."""
    terminal = at_terminal(keeper, "run", "-ti", "--name", "it", *flags, "busybox", "sh", "-c", script)
    terminal.expect(b"up\r\n")
    return terminal


def execute(keeper: Keeper, id: str, script: str) -> Terminal:
    """`exec -ti` of a script that says `up`."""
    terminal = at_terminal(keeper, "exec", "-ti", id, "sh", "-c", script)
    terminal.expect(b"up\r\n")
    return terminal


def leave(terminal: Terminal) -> None:
    terminal.type(LEAVE)
    assert terminal.wait() == 0
    assert terminal.mode_is_restored()


def engine_processes(terminal: Terminal) -> tuple[int, int]:
    """(keeper, the command's process)."""
    [keeper] = processes.children(terminal.process.pid)
    return keeper, processes.children(keeper)[0]


def gone(keeper: Keeper, command: str, id: str) -> bool:
    leaks.reap_orphans()  # we are their parent in tests; elsewhere the machine's init is
    return command not in keeper.raw("top", id).text


class TestExec:
    def test_the_command_goes_on(self, keeper: Keeper) -> None:
        id = keeper.start(SLEEPS)
        terminal = execute(keeper, id, "echo up; while ! test -e /go; do sleep 0.05; done; echo x > /file; sleep 1001")
        leave(terminal)
        assert keeper.raw("exec", id, "touch", "/go").code == 0
        eventually(lambda: keeper.raw("exec", id, "cat", "/file").out == b"x\n", "the file")
        eventually(lambda: "sleep 1001" in keeper.raw("top", id).text, "what it does next")
        keeper.raw("stop", "-t", "0", id)

    def test_its_keeper_ends_with_it(self, keeper: Keeper) -> None:
        id = keeper.start(SLEEPS)
        terminal = execute(keeper, id, "echo up; while ! test -e /go; do sleep 0.05; done")
        watching, _ = engine_processes(terminal)
        leave(terminal)
        assert processes.is_alive(watching)
        assert keeper.raw("exec", id, "touch", "/go").code == 0
        eventually(lambda: not processes.is_alive(watching), "its end")

    def test_keys_one_by_one(self, keeper: Keeper) -> None:
        id = keeper.start(SLEEPS)
        terminal = execute(keeper, id, ECHOES)
        terminal.type(b"a" + CONTROL_P)
        terminal.expect(b"key 61")
        assert not becomes(lambda: terminal.process.poll() is not None, 0.2)
        terminal.type(CONTROL_Q)
        assert terminal.wait() == 0
        assert b"key 10" not in terminal.screen

    @pytest.mark.parametrize("pieces", [[CONTROL_P + b"b"], [CONTROL_P, b"b"], [CONTROL_P, CONTROL_P + b"b"]])
    def test_control_p_and_another_key_arrive(self, keeper: Keeper, pieces: list[bytes]) -> None:
        id = keeper.start(SLEEPS)
        terminal = execute(keeper, id, ECHOES)
        for piece in pieces:
            terminal.type(piece)
            becomes(lambda: False, 0.1)
        typed = b"".join(pieces)
        terminal.expect(b"\n".join(b"key %02x" % key for key in typed))
        leave(terminal)

    def test_keys_before_are_for_the_command(self, keeper: Keeper) -> None:
        id = keeper.start(SLEEPS)
        terminal = execute(keeper, id, "echo up; read x; echo $x > /file; sleep 1001")
        terminal.type(b"last words\r" + LEAVE)
        assert terminal.wait() == 0
        eventually(lambda: keeper.raw("exec", id, "cat", "/file").out == b"last words\n", "the words")

    def test_its_output_does_not_block_it(self, keeper: Keeper) -> None:
        id = keeper.start(SLEEPS)
        terminal = execute(keeper, id, "echo up; read x; yes | head -c 3000000; touch /done; sleep 1001")
        terminal.type(b"\r" + LEAVE)
        assert terminal.wait() == 0
        eventually(lambda: keeper.raw("exec", id, "test", "-e", "/done").code == 0, "the end of its output")

    def test_errors_and_exit_codes_are_as_ever(self, keeper: Keeper) -> None:
        id = keeper.start(SLEEPS)
        for words, code in ((["nosuch"], 127), (["/etc/passwd"], 126), (["sh", "-c", "exit 7"], 7)):
            terminal = at_terminal(keeper, "exec", "-ti", id, *words)
            assert terminal.wait() == code
            assert terminal.mode_is_restored()
        fails(keeper.raw("exec", "-ti", id, "true"), ENGINE_FAILED, "not a terminal")

    def test_killed_with_its_user(self, keeper: Keeper) -> None:
        id = keeper.start(SLEEPS)
        terminal = execute(keeper, id, "echo up; exec sleep 1001")
        terminal.process.kill()
        terminal.process.wait(60)
        eventually(lambda: gone(keeper, "sleep 1001", id), "its end")

    def test_killed_with_its_keeper(self, keeper: Keeper) -> None:
        id = keeper.start(SLEEPS)
        terminal = execute(keeper, id, "echo up; exec sleep 1001")
        os.kill(engine_processes(terminal)[0], signal.SIGKILL)
        assert terminal.wait() == 137
        assert terminal.mode_is_restored()
        eventually(lambda: gone(keeper, "sleep 1001", id), "its end")


class TestRun:
    def test_it_goes_on_and_can_be_attached_to(self, keeper: Keeper) -> None:
        terminal = run(keeper, LISTENS)
        terminal.type(b"one\r")
        terminal.expect(b"got one\r\n")
        fails(keeper.raw("attach", "it"), ENGINE_FAILED, "foreground")
        leave(terminal)
        assert "Up" in keeper.raw("ps").text
        attached = at_terminal(keeper, "attach", "it")
        attached.type(b"two\r")
        attached.expect(b"got two\r\n")
        leave(attached)
        assert keeper.raw("logs", "it").out == b"up\r\none\r\ngot one\r\ntwo\r\ngot two\r\n"
        assert keeper.raw("stop", "it").text == "it"
        assert keeper.raw("wait", "it").text == "7"
        leaks.reap_orphans()
        assert keeper.raw("start", "it").code == 0

    def test_its_log_is_whole(self, keeper: Keeper) -> None:
        """What was printed before, while and after the user leaves: nothing is lost, nothing comes twice."""
        lines = 60_000
        terminal = run(keeper, f"echo up; read x; seq {lines}; echo done; sleep 1000")
        terminal.type(b"\r")
        terminal.expect(b"\r\n1000\r\n")
        leave(terminal)
        eventually(lambda: keeper.raw("logs", "--tail", "1", "it").out == b"done\r\n", "the end of its output")
        expected = [b"up", b"", *(b"%d" % number for number in range(1, lines + 1)), b"done"]
        assert keeper.raw("logs", "it").out.split(b"\r\n") == [*expected, b""]

    def test_what_was_shown_is_in_its_log(self, keeper: Keeper) -> None:
        terminal = run(keeper, "echo up; exit 3")
        assert terminal.wait() == 3
        assert keeper.raw("logs", "it").out == b"up\r\n"
        assert keeper.status("it")["exit_code"] == 3

    def test_rm_waits_for_its_end(self, keeper: Keeper) -> None:
        terminal = run(keeper, LISTENS, "--rm")
        leave(terminal)
        assert keeper.raw("stop", "it").text == "it"
        eventually(keeper.is_empty, "an empty store")

    @pytest.mark.parametrize("flags", [[], ["--rm"]])
    def test_nothing_is_left_of_one_that_cannot_start(self, keeper: Keeper, flags: list[str]) -> None:
        terminal = at_terminal(keeper, "run", "-ti", *flags, "busybox", "nosuch")
        assert terminal.wait() == NOT_FOUND
        assert terminal.screen.startswith(b"mydocker: nosuch: ")
        terminal = at_terminal(keeper, "run", "-ti", *flags, "-v", "/tmp:/a", "-v", "/tmp:/a", "busybox", "true")
        assert terminal.wait() == ENGINE_FAILED
        assert keeper.ids() == [] and os.listdir(keeper.root / "names") == []

    @pytest.mark.parametrize("flags", [[], ["--rm"]])
    def test_killed_with_its_user(self, keeper: Keeper, flags: list[str]) -> None:
        terminal = run(keeper, LISTENS, *flags)
        watching, inside = engine_processes(terminal)
        terminal.process.kill()
        terminal.process.wait(60)
        eventually(lambda: not processes.is_alive(watching), "the keeper's end")
        assert not processes.is_alive(inside)
        if flags:
            assert keeper.ids() == []
        else:
            assert keeper.status("it")["exit_code"] == 137

    @pytest.mark.parametrize("flags", [[], ["--rm"]])
    def test_killed_with_its_keeper(self, keeper: Keeper, flags: list[str]) -> None:
        terminal = run(keeper, LISTENS, *flags)
        watching, inside = engine_processes(terminal)
        os.kill(watching, signal.SIGKILL)
        assert terminal.wait() == 137
        assert terminal.mode_is_restored()
        assert not processes.is_alive(inside)
        leaks.reap_orphans()
        assert len(keeper.ids()) == (0 if flags else 1)
        if not flags:
            state = keeper.status("it")
            assert (state["status"], state["exit_code"]) == ("exited", 137)

    def test_its_keeper_is_killed_after_the_user_has_left(self, keeper: Keeper) -> None:
        terminal = run(keeper, LISTENS)
        watching, inside = engine_processes(terminal)
        leave(terminal)
        os.kill(watching, signal.SIGKILL)
        eventually(lambda: not processes.is_alive(inside), "the end of the container")
        leaks.reap_orphans()
        assert keeper.status("it")["error"] == "its watcher was killed"

    def test_signals_reach_the_command(self, keeper: Keeper) -> None:
        terminal = run(keeper, LISTENS)
        terminal.process.terminate()
        assert terminal.wait() == 7
        terminal = at_terminal(keeper, "run", "-ti", "busybox", "sh", "-c", "echo up; exec sleep 1000")
        terminal.expect(b"up")
        terminal.process.terminate()
        assert terminal.wait() == 143
        terminal = at_terminal(keeper, "run", "-ti", "busybox", "sh", "-c", "echo up; exec sleep 1000")
        terminal.expect(b"up")
        terminal.type(CONTROL_C)
        becomes(lambda: False, 0.2)
        terminal.type(LEAVE)
        assert terminal.wait() == 0

    def test_nobody_takes_the_output(self, keeper: Keeper) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        words = keeper.engine.command_line("run", "-ti", "--rm", "busybox", "sh", "-c", "echo up; sleep 1000")
        terminal = Terminal(keeper.engine.host, words, stdout=writer)
        os.close(writer)
        assert terminal.wait() == 141
        assert terminal.mode_is_restored()
        assert keeper.ids() == []

    @pytest.mark.vm
    def test_out_of_memory_is_told(self, keeper: Keeper) -> None:
        script = "echo up; x=x; while :; do x=$x$x$x$x; done"
        terminal = at_terminal(keeper, "run", "-ti", "-m", "16m", "busybox", "sh", "-c", script)
        assert terminal.wait() == 137
        assert b"out of memory" in terminal.screen

    def test_explained(self, keeper: Keeper) -> None:
        reader, writer = os.pipe()
        words = keeper.engine.command_line("run", "-ti", "--rm", "--explain", "busybox", "sh", "-c", "echo up; exit 4")
        terminal = Terminal(keeper.engine.host, words, stderr=writer)
        os.close(writer)
        assert terminal.wait() == 4
        assert terminal.screen.endswith(b"\r\nup\r\n")  # once its streams are the terminal, it tells there
        with open(reader) as pipe:
            told = [line.split()[0] for line in pipe.read().splitlines() if not line.startswith(" ")]
        stages = list(dict.fromkeys(told))
        assert (stages[:2], stages[-1]) == (["run", "keeper"], "cleanup")
        assert {"prepare", "spawn", "enter"} < set(stages)

    def test_narration_ends_when_the_user_leaves(self, keeper: Keeper) -> None:
        words = ["run", "-ti", "--explain", "--name", "it", "busybox", "sh", "-c", LISTENS]
        terminal = at_terminal(keeper, *words)
        terminal.expect(b"\nup\r\n")  # the narration has words with "up" in them
        leave(terminal)
        keeper.raw("stop", "it")
        assert terminal.wait() == 0
        assert b"cleanup" not in terminal.screen


COMMANDS = {
    "run": ["run", "-ti", "--name", "it", "busybox", "true"],
    "run --rm": ["run", "-ti", "--rm", "--name", "it", "busybox", "true"],
    "exec": ["exec", "-ti", "other", "true"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_killed_at_each_step(keeper: Keeper, command: str) -> None:
    """Front or keeper, whoever takes the step. Each increment takes its own share of the steps, as in test_crash."""
    other = keeper.start(SLEEPS, "--name", "other")
    for step in range(INCREMENTS.index(keeper.engine.increment) + 1, MOST_STEPS, SHARES):
        was_killed = kill_at(keeper, step, *COMMANDS[command])
        eventually(lambda: is_repaired(keeper, other), f"order after step {step}")
        assert keeper.raw("exec", "other", "true").code == 0
        if not was_killed:
            return
    raise AssertionError(f"more than {MOST_STEPS} steps")


def kill_at(keeper: Keeper, step: int, *arguments: str) -> bool:
    """Engine.kill_at, at a terminal."""
    counter = keeper.root.with_suffix(".steps")
    steps.begin(counter)
    words = keeper.engine.command_line(*arguments)[3:]
    module = [sys.executable, "-m", "tests.support.kill_at", str(step), str(counter), keeper.engine.increment]
    terminal = Terminal(keeper.engine.host, [*module, *words], cwd=REPOSITORY)
    assert terminal.wait() in (0, -9, 125, 137), terminal.screen
    if terminal.process.returncode != -9:
        assert terminal.mode_is_restored()
    return steps.has_killed(counter)


def is_repaired(keeper: Keeper, other: str) -> bool:
    """Whether the next commands clear away what was left."""
    leaks.reap_orphans()
    for id in keeper.raw("ps", "-a", "-q").text.split():
        if not other.startswith(id):
            keeper.remove(id)
    assert keeper.raw("run", "--rm", "busybox", "true").code == 0  # sweeps
    return keeper.ids() == [other] and os.listdir(keeper.root / "names") == ["other"]
