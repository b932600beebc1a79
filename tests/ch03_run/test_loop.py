"""The loop and its parts, from Python: order, cleanup after every failure, the four steps apart."""

from __future__ import annotations

import errno
import os
import signal
import sys

import pytest

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError, SyscallError
from ch02_namespaces.limits import Limits
from ch03_run.command import Command
from ch03_run.container import Container, Part, create, delete, run, start, wait
from ch03_run.isolation import DieWithEngine, Hostname, MountNamespace, NetworkNamespace, PidNamespace
from ch03_run.resources import Resources
from tests.support import leaks, processes
from tests.support.hosts import Host
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel

STAGES = ["prepare", "attach", "enter", "cleanup"]
BEFORE_EXEC = STAGES[:3]


class Recorder(Part):
    """Notes its stages in a list (on the host) and fails in those that it is told to."""

    section = "0"

    def __init__(self, name: str, log: list[str], fails: str = "", error: BaseException | None = None) -> None:
        self.name = name
        self.log = log
        self.fails = fails
        self.error = error or EngineError("the thing", "it broke", "mend it")

    def _note(self, stage: str) -> None:
        self.log.append(f"{stage} {self.name}")
        if stage == self.fails:
            raise self.error

    def prepare(self, container: Container) -> None:
        self._note("prepare")

    def attach(self, container: Container) -> None:
        self._note("attach")

    def enter(self, container: Container) -> None:
        self._note("enter")

    def cleanup(self, container: Container) -> None:
        self._note("cleanup")


def command(*argv: str) -> Command:
    return Command(argv, {"PATH": "/usr/bin:/bin"})


def container(*parts: Part, argv: tuple[str, ...] = ("true",)) -> Container:
    return Container(os.urandom(6).hex(), command(*argv), parts)


def test_stages_go_in_order_and_cleanup_in_reverse() -> None:
    log: list[str] = []
    assert run(container(*(Recorder(name, log) for name in "abc"))) == 0
    assert log == [
        *("prepare a", "prepare b", "prepare c"),
        *("attach a", "attach b", "attach c"),
        *("cleanup c", "cleanup b", "cleanup a"),
    ]


def test_observer_of_stages_sees_both_sides(capfd: pytest.CaptureFixture[str]) -> None:
    seen = container(Recorder("a", []), Recorder("b", []))
    seen.on_stage = lambda stage, part: os.write(
        2, f"{stage} {part.name if isinstance(part, Recorder) else '-'}\n".encode()
    )  # type: ignore[assignment]
    assert run(seen) == 0
    assert capfd.readouterr().err.splitlines() == [
        *("prepare a", "prepare b", "spawn -", "attach a", "attach b", "enter a", "enter b", "exec -"),
        *("cleanup b", "cleanup a"),
    ]


ERRORS: dict[str, BaseException] = {
    "EngineError": EngineError("the thing", "it broke", "mend it"),
    "SyscallError": SyscallError("mount()", errno.EPERM),
    "OSError": OSError(errno.ENOSPC, "No space left on device"),
    "any other": ValueError("a surprise"),
    "termios.error": __import__("termios").error(5, "Input/output error"),
}


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("where", [0, 1, 2])
@pytest.mark.parametrize("stage", BEFORE_EXEC)
def test_failure_undoes_what_was_done(stage: str, where: int, error: str) -> None:
    log: list[str] = []
    parts = [Recorder(str(n), log, stage if n == where else "", ERRORS[error]) for n in range(3)]
    failing = container(*parts)
    with pytest.raises(Exception) as caught:
        run(failing)
    cleaned = [line.split()[1] for line in log if line.startswith("cleanup")]
    prepared = range(where + 1) if stage == "prepare" else range(3)
    assert cleaned == [str(n) for n in reversed(prepared)]
    assert failing.process is None or failing.process.exit_code is not None
    if error in ("EngineError", "SyscallError"):
        assert str(caught.value).startswith("Recorder: ")
    if error == "OSError":
        assert "Recorder" in str(caught.value)
        assert stage in str(caught.value)


@pytest.mark.parametrize("error", ERRORS)
def test_failing_cleanup_does_not_stop_the_others(error: str) -> None:
    log: list[str] = []
    parts = [Recorder("a", log), Recorder("b", log, "cleanup", ERRORS[error]), Recorder("c", log)]
    with pytest.raises(EngineError, match="Recorder"):
        run(container(*parts))
    assert log[-3:] == ["cleanup c", "cleanup b", "cleanup a"]


def test_all_failing_cleanups_are_named() -> None:
    parts = [Recorder(name, [], "cleanup", EngineError(f"thing {name}", "broke")) for name in "ab"]
    with pytest.raises(EngineError) as caught:
        run(container(*parts))
    assert "thing a" in str(caught.value)
    assert "thing b" in str(caught.value)


def test_failure_and_failing_cleanup_are_both_named() -> None:
    first = Recorder("a", [], "cleanup", EngineError("undoing", "broke"))
    second = Recorder("b", [], "attach", EngineError("doing", "broke"))
    with pytest.raises(EngineError) as caught:
        run(container(first, second))
    assert "doing" in str(caught.value)
    assert "undoing" in str(caught.value)


def test_exit_code_of_the_failure_survives_a_failing_cleanup() -> None:
    with pytest.raises(EngineError) as caught:
        run(container(Recorder("a", [], "cleanup"), argv=("nosuchcommand",)))
    assert caught.value.exit_code == 127


def test_four_steps_apart() -> None:
    log: list[str] = []
    stepwise = container(Recorder("a", log), PidNamespace(), MountNamespace(), argv=("sh", "-c", "exit 3"))
    create(stepwise)
    assert stepwise.process is not None
    assert processes.is_alive(stepwise.process.pid)
    assert log == ["prepare a", "attach a"]
    start(stepwise)
    assert wait(stepwise) == 3
    assert wait(stepwise) == 3
    delete(stepwise)
    assert log[2:] == ["cleanup a"]


def test_created_one_runs_nothing_before_start() -> None:
    reader, writer = os.pipe()
    waiting = container(argv=("sh", "-c", f"echo started > /proc/{os.getpid()}/fd/{writer}"))
    os.set_blocking(reader, False)
    create(waiting)
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)
    start(waiting)
    assert wait(waiting) == 0
    assert os.read(reader, 100) == b"started\n"
    delete(waiting)
    os.close(reader)
    os.close(writer)


def test_delete_ends_what_was_created_and_never_started() -> None:
    created = container(PidNamespace(), MountNamespace())
    create(created)
    assert created.process is not None
    pid = created.process.pid
    delete(created)
    assert not processes.is_alive(pid)


def test_delete_ends_what_runs() -> None:
    running = container(PidNamespace(), MountNamespace(), argv=("sleep", "1000"))
    create(running)
    start(running)
    assert running.process is not None
    pid = running.process.pid
    delete(running)
    assert not processes.is_alive(pid)


def test_delete_twice_cleans_once() -> None:
    log: list[str] = []
    twice = container(Recorder("a", log))
    run(twice)
    delete(twice)
    delete(twice)
    assert log.count("cleanup a") == 1


def test_delete_of_one_that_never_was() -> None:
    log: list[str] = []
    delete(container(Recorder("a", log)))
    assert log == []


def test_missing_command_is_known_at_start() -> None:
    missing = container(argv=("nosuchcommand",))
    create(missing)
    with pytest.raises(EngineError) as caught:
        start(missing)
    assert caught.value.exit_code == 127


def test_error_from_inside_keeps_its_code_and_hint() -> None:
    error = EngineError("the thing", "it broke", "mend it", 126)
    with pytest.raises(EngineError) as caught:
        run(container(Recorder("a", [], "enter", error)))
    assert str(caught.value) == "Recorder: the thing: it broke (mend it)"
    assert caught.value.exit_code == 126


def test_long_error_from_inside_arrives_whole() -> None:
    """Longer than a pipe holds: the engine must read while the child writes."""
    error = EngineError("x" * 200_000, "y")
    with pytest.raises(EngineError) as caught:
        run(container(Recorder("a", [], "enter", error)))
    assert "x" * 200_000 in str(caught.value)


def test_attend_that_fails_still_cleans_up() -> None:
    log: list[str] = []

    def attend(_: Container) -> int:
        raise OSError(errno.EIO, "gone")

    with pytest.raises(OSError, match="gone"):
        run(container(Recorder("a", log), argv=("sleep", "1000")), attend)
    assert log[-1] == "cleanup a"


def test_process_that_dies_at_once_is_waited_for() -> None:
    dead = container(argv=("sleep", "1000"))
    create(dead)
    assert dead.process is not None
    os.kill(dead.process.pid, signal.SIGKILL)
    eventually(lambda: not processes.is_alive(dead.process.pid) if dead.process else True, "its end")
    start(dead)
    assert wait(dead) == 128 + signal.SIGKILL
    delete(dead)


class Joined(Part):
    """A network namespace that exists already."""

    def __init__(self, path: str) -> None:
        self._path = path

    def prepare(self, container: Container) -> None:
        self.join = [os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)]

    def cleanup(self, container: Container) -> None:
        for descriptor in self.join:
            os.close(descriptor)
        self.join = ()


@pytest.mark.parametrize("parts", [[], [PidNamespace(), MountNamespace()]], ids=["alone", "with new ones"])
def test_namespace_is_joined(host: Host, parts: list[Part], capfd: pytest.CaptureFixture[str]) -> None:
    joined = container(Joined(host.network), *parts, argv=("sh", "-c", "readlink /proc/self/ns/net; echo $$"))
    create(joined)
    assert joined.process is not None
    assert os.readlink(f"/proc/{joined.process.pid}/ns/net") == os.readlink(host.network)
    start(joined)
    assert wait(joined) == 0
    delete(joined)
    network, pid = capfd.readouterr().out.split()
    assert network == os.readlink(host.network)
    assert (pid == "1") == bool(parts)


def test_pid_namespace_is_joined(host: Host, capfd: pytest.CaptureFixture[str]) -> None:
    first = container(PidNamespace(), MountNamespace(), argv=("sleep", "1000"))
    create(first)
    start(first)
    assert first.process is not None
    second = container(Joined(f"/proc/{first.process.pid}/ns/pid"), argv=("sh", "-c", "echo $$"))
    assert run(second) == 0
    assert int(capfd.readouterr().out) > 1
    delete(first)


def test_namespace_that_cannot_be_joined() -> None:
    with pytest.raises(EngineError):
        run(container(Joined("/proc/self/status")))


def test_own_namespaces_are_never_left() -> None:
    before = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in os.listdir("/proc/self/ns")}
    run(container(PidNamespace(), MountNamespace(), NetworkNamespace(), Hostname("x")))
    assert {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in os.listdir("/proc/self/ns")} == before


def test_signal_handlers_of_the_engine_stay() -> None:
    def handler(*_: object) -> None:
        """Never called."""

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        run(container())
        assert signal.getsignal(signal.SIGUSR1) is handler
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_host_name_is_checked_before_anything_is_made() -> None:
    for name in ("", "x" * 65, "ü" * 33):
        with pytest.raises(EngineError, match="host name"):
            Hostname(name)


def test_missing_controller_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from ch03_run import resources

    def none(_: str) -> list[object]:
        return []

    monkeypatch.setattr(resources, "usable_hierarchies", none)
    with pytest.raises(EngineError, match=r"memory limit.*delegated"):
        run(container(Resources(Limits(memory=64 << 20))))


ENDURANCE = """
import os, sys
from ch02_namespaces.limits import Limits
from ch03_run.command import Command
from ch03_run.container import Container, run
from ch03_run.isolation import *
from ch03_run.resources import Resources
from ch03_run.terminal import Streams, Terminal

def once(n):
    command = Command(["true"], {"PATH": "/usr/bin:/bin"})
    streams = Terminal(False) if n % 2 else Streams(False)
    return run(Container(os.urandom(6).hex(), command, [
        Resources(Limits(memory=64 << 20)), MountNamespace(), PidNamespace(), Hostname("x"), IpcNamespace(),
        NetworkNamespace(), streams, DieWithEngine()]))

def state():
    return os.listdir("/proc/self/fd"), open("/proc/self/mountinfo").read()

assert once(0) == 0
before = state()
assert not any(once(n) for n in range(int(sys.argv[1])))
assert state() == before, (before, state())
"""


@pytest.mark.parametrize("times", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_many_runs_in_one_process_leave_nothing(host: Host, times: int) -> None:
    result = host.python(ENDURANCE, str(times), timeout=1200)
    assert (result.code, result.err) == (0, b"")
    assert leaks.cgroups() == []


def test_die_with_engine_is_asked_for_last() -> None:
    """The kernel forgets the wish when credentials change."""
    from ch02_namespaces.command_line import Options
    from ch03_run import cli

    parts = cli.parts_of(Options(cli.RUN_FLAGS), "x", Recorder("streams", []))
    assert isinstance(parts[-1], DieWithEngine)
    assert isinstance(parts[0], Resources)


def test_no_thread_is_alive_when_we_spawn() -> None:
    assert len(os.listdir("/proc/self/task")) == 1
    assert syscalls.observer is None
    assert sys.getswitchinterval() > 0
