"""The engine killed with SIGKILL, at any moment: nothing survives that the next run trips over."""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
from pathlib import Path

import pytest

from tests.support import leaks, processes
from tests.support.engines import Engine
from tests.support.hosts import REPOSITORY, Host, finish, read_line
from tests.support.polling import PATIENCE, becomes, eventually

pytestmark = pytest.mark.kernel

# Chapter 3's `run`, that kills itself at the n-th event on one side. Events: stages and kernel calls, or every call
# and return of a Python function. Prints how many there were when it is not killed.
SELF_KILLER = """
import os, sys
from ch02_namespaces import syscalls
from ch02_namespaces.command_line import parse
from ch02_namespaces.errors import EngineError, report
from ch03_run import cli
from ch03_run.container import Container

side, kind, wanted = sys.argv[1], sys.argv[2], int(sys.argv[3])
engine, seen = os.getpid(), 0

def event(*_):
    global seen
    if (os.getpid() == engine) != (side == "engine"):
        return
    seen += 1
    if seen == wanted:
        os.kill(engine, 9) if side == "engine" else os._exit(9)  # a PID 1 can't kill itself

options = parse(cli.RUN_FLAGS, sys.argv[4:], 'COMMAND [ARGUMENT ...]')
streams = cli.streams_of(options)
foreground = cli.Foreground(streams)
id = cli.new_id()
container = Container(id, cli.command_of(options.operands, options), cli.parts_of(options, id, streams))
if kind == "calls":
    container.on_stage = event
    syscalls.observer = event
else:
    sys.setprofile(event)
try:
    code = cli.run_in_foreground(container, foreground, options)
except EngineError as error:
    code = report(error)
sys.setprofile(None)
print(seen, flush=True)
sys.exit(code)
"""


def self_killer(host: Host, side: str, kind: str, number: int, *arguments: str) -> tuple[int, bytes, bytes]:
    return host.run([sys.executable, "-c", SELF_KILLER, side, kind, str(number), *arguments], cwd=REPOSITORY)


def members_of_cgroups() -> set[int]:
    found: set[int] = set()
    for group in leaks.cgroups():
        with open(f"{group}/cgroup.procs") as file:
            found.update(map(int, file.read().split()))
    return found


def assert_gone_and_swept(host: Host, engine_words: list[str | bytes], what: str) -> None:
    """No process of the dead engine's container after a moment, and a next run that works and cleans up."""
    gone = becomes(lambda: not processes.descendants(os.getpid())[1:], PATIENCE)  # [0] is the host's own process
    assert gone, f"{what}: {[*map(processes.described, processes.descendants(os.getpid()))]}"
    result = host.run(engine_words)
    assert (result.code, result.err) == (0, b""), f"the run after {what}"
    assert leaks.cgroups() == [], f"the run after {what}"


def next_run() -> list[str | bytes]:
    return [sys.executable, "-m", "ch03_run", "run", "true"]


def test_engine_killed_at_every_stage_and_kernel_call(host: Host) -> None:
    for number in itertools.count(1):  # one run may have an event more than another, which waits for nobody
        code, said, _ = self_killer(host, "engine", "calls", number, "-m", "64m", "true")
        if code == 0:
            assert 10 < int(said) < number
            return
        assert code == -signal.SIGKILL, f"not killed at event {number}"
        assert_gone_and_swept(host, next_run(), f"SIGKILL at event {number}")


@pytest.mark.slow
@pytest.mark.parametrize("start", range(4) if os.environ.get("MYDOCKER_TEST_ALL_STEPS") else (0, 2))
def test_engine_killed_at_every_python_call(host: Host, start: int) -> None:
    """Also between the kernel calls, by the profiler's hook: at a twelfth of them, or a sixth (all steps)."""
    count = int(self_killer(host, "engine", "python", 0, "true")[1])
    assert count > 100
    for number in range(1 + start, count + 1, 24):
        code, _, _ = self_killer(host, "engine", "python", number, "true")
        assert code in (0, -signal.SIGKILL)  # 0: one run has fewer events than another
        assert_gone_and_swept(host, next_run(), f"SIGKILL at call {number}")


def test_container_killed_at_every_stage_and_kernel_call_of_its_own(host: Host) -> None:
    """Its PID 1 dies while it starts: the engine says so, and undoes all."""
    for number in range(1, 100):
        code, _, err = self_killer(host, "child", "calls", number, "-m", "64m", "true")
        if code == 0:
            assert number > 5
            return
        assert code in (125, 9), err  # 9: at the exec, when all was well
        assert b"Traceback" not in err
        if code == 125:
            assert err.startswith(b"mydocker: ")
            assert len(err.splitlines()) == 1
        assert leaks.cgroups() == []
    pytest.fail("the container never ran")


def test_engine_killed_at_random_moments(engine: Engine) -> None:
    chance = random.Random(3)
    for _ in range(30):
        started = engine.spawn(["sleep", "1000"])
        becomes(lambda: False, chance.random() * 0.08)
        started.kill()
        started.wait(60)
        assert_gone_and_swept(engine.host, engine.run_words(["true"]), "a random moment")


SURVIVORS = {
    "a sleep": "exec sleep 1000",
    "one that ignores all": "trap '' HUP INT TERM QUIT USR1 USR2; while :; do sleep 1; done",
    "a family": "sleep 1000 & (sleep 1000 & sleep 1000 & wait) & wait",
    "a session of its own": "setsid sleep 1000 & setsid setsid sleep 1000 & wait",
}


@pytest.mark.parametrize("kind", SURVIVORS)
@pytest.mark.parametrize("flags", [[], ["-i"], ["-m", "64m"], ["-t"]], ids=" ".join)
def test_container_dies_with_its_engine(engine: Engine, kind: str, flags: list[str]) -> None:
    started = engine.spawn(["sh", "-c", f"echo up; {SURVIVORS[kind]}"], *flags)
    assert read_line(started).strip() == b"up"
    inside = eventually(lambda: processes.descendants(started.pid), "the container")
    started.kill()
    eventually(lambda: not any(map(processes.is_alive, inside)), "the end of the container")
    finish(started)
    assert engine.run(["true"]).code == 0
    assert leaks.cgroups() == []


def test_container_that_changed_its_user_is_ended_by_the_next_run(engine: Engine) -> None:
    """The kernel forgets PR_SET_PDEATHSIG when credentials change, as `su` and `setpriv` in front of a server do."""
    if not engine.sees_host_files:
        pytest.skip("needs setpriv inside")
    started = engine.spawn(["setpriv", "--reuid=65534", "--clear-groups", "sh", "-c", "echo up; exec sleep 1000"])
    assert read_line(started) == b"up\n"
    inside = processes.descendants(started.pid)
    started.kill()
    started.wait(60)
    assert engine.run(["true"]).code == 0  # sweeps
    eventually(lambda: not any(map(processes.is_alive, inside)), "the end of the orphan")


def test_set_user_id_program_is_ended_by_the_next_run(engine: Engine) -> None:
    """execve(2) of such a program has the kernel forget the wish as well."""
    path = engine.plant("sleep", Path("/bin/busybox").read_bytes())  # statically linked
    os.chown(path, 65534, 65534)
    os.chmod(path, 0o6755)
    started = engine.spawn([path, "1000"])
    inside = eventually(lambda: named(processes.descendants(started.pid), "sleep"), "the program")
    started.kill()
    started.wait(60)
    assert engine.run(["true"]).code == 0  # sweeps
    eventually(lambda: not any(map(processes.is_alive, inside)), "the end of the orphan")


def named(pids: list[int], name: str) -> list[int]:
    return [pid for pid in pids if processes.state(pid) == "S" and processes.name(pid) == name]


def test_killed_engine_does_not_disturb_its_neighbour(engine: Engine) -> None:
    """The sweep takes what is abandoned and nothing else."""
    neighbour = engine.spawn(["sh", "-c", "echo up; read x; exit 5"], "-i", "-m", "64m")
    assert read_line(neighbour) == b"up\n"
    before = set(leaks.cgroups())
    victim = engine.spawn(["sh", "-c", "echo up; exec sleep 1000"], "-m", "64m")
    assert read_line(victim) == b"up\n"
    victim.kill()
    victim.wait(60)
    eventually(lambda: len(processes.descendants(os.getpid())) == 3, "the victim's end")
    assert engine.run(["true"]).code == 0
    assert set(leaks.cgroups()) == before
    assert finish(neighbour).code == 5


@pytest.mark.slow
def test_fifty_runs_in_a_row(engine: Engine) -> None:
    for _ in range(50):
        assert engine.run(["true"], "-m", "64m").code == 0
