"""Signals without a terminal: to the engine, through it, and Ctrl-Z."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.support import processes
from tests.support.engines import Engine
from tests.support.hosts import finish, read_line, wait_for_end
from tests.support.polling import becomes, eventually

pytestmark = pytest.mark.kernel

PASSED_ON = ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2"]
WAITS = "echo ready; while :; do sleep 0.02; done"
COUNTS = "n=0; trap 'n=$((n+1)); echo got' {name}; trap 'echo total $n; exit 5' {other}; " + WAITS
SIGWAIT = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print("ready", flush=True)
print("got", signal.sigwait({signal.SIGTERM}), flush=True)
"""


def number_of(name: str) -> int:
    return int(getattr(signal, f"SIG{name}"))


@pytest.mark.parametrize("name", PASSED_ON)
def test_handler_inside_runs_once_for_each_signal(engine: Engine, name: str) -> None:
    other = "USR2" if name == "TERM" else "TERM"
    started = engine.spawn(["sh", "-c", COUNTS.format(name=name, other=other)])
    assert read_line(started) == b"ready\n"
    for _ in range(3):
        started.send_signal(number_of(name))
        assert read_line(started) == b"got\n"
    started.send_signal(number_of(other))
    result = finish(started)
    assert (result.code, result.out, result.err) == (5, b"total 3\n", b"")


@pytest.mark.parametrize("name", PASSED_ON)
def test_command_without_handler_ends_with_128_plus_n(engine: Engine, name: str) -> None:
    """The kernel would drop the signal, because the command is a PID 1; the user wants it to end all the same."""
    started = engine.spawn(["sleep", "1000"])
    eventually(lambda: any(map(is_asleep, processes.descendants(started.pid))), "the command")
    started.send_signal(number_of(name))
    result = finish(started)
    assert (result.code, result.err) == (128 + number_of(name), b"")


def is_asleep(pid: int) -> bool:
    return processes.is_alive(pid) and processes.name(pid) == "sleep"


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP"])
def test_command_that_ignores_a_signal_lives_on(engine: Engine, name: str) -> None:
    started = engine.spawn(["sh", "-c", f"trap '' {name}; trap 'exit 5' USR1; " + WAITS])
    assert read_line(started) == b"ready\n"
    started.send_signal(number_of(name))
    assert not becomes(lambda: started.poll() is not None, 0.3)
    started.send_signal(signal.SIGUSR1)
    assert wait_for_end(started) == 5


def test_command_that_waits_for_a_blocked_signal_gets_it(engine: Engine) -> None:
    """sigwait(3), as tini and systemd use it: neither caught nor ignored, and yet not lost."""
    if not engine.sees_host_files:
        pytest.skip("needs Python inside")
    started = engine.spawn([sys.executable, "-c", SIGWAIT])
    assert read_line(started) == b"ready\n"
    started.send_signal(signal.SIGTERM)
    result = finish(started)
    assert (result.code, result.out) == (0, b"got 15\n")


def test_command_whose_name_is_not_utf8_gets_signals(engine: Engine) -> None:
    """The name stands in /proc/PID/status, which the engine reads."""
    path = engine.plant(b"\xff\xfe", b"#!/bin/sh\ntrap 'exit 5' TERM\n" + WAITS.encode() + b"\n")
    started = engine.spawn([path])
    assert read_line(started) == b"ready\n"
    started.send_signal(signal.SIGTERM)
    result = finish(started)
    assert (result.code, result.err) == (5, b"")


def test_hang_up_ignored_by_nohup_stays_ignored(engine: Engine) -> None:
    ignores = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"]
    started = engine.host.spawn([*ignores, *engine.run_words(["sh", "-c", "trap 'exit 5' USR1; " + WAITS])])
    assert read_line(started) == b"ready\n"
    started.send_signal(signal.SIGHUP)
    assert not becomes(lambda: started.poll() is not None, 0.3)
    started.send_signal(signal.SIGUSR1)
    assert wait_for_end(started) == 5


@pytest.mark.parametrize("name", ["WINCH", "CONT", "CHLD", "URG"])
def test_signals_that_mean_nothing_do_nothing(engine: Engine, name: str) -> None:
    started = engine.spawn(["sh", "-c", "trap 'exit 5' TERM; " + WAITS])
    assert read_line(started) == b"ready\n"
    started.send_signal(number_of(name))
    assert not becomes(lambda: started.poll() is not None, 0.2)
    started.send_signal(signal.SIGTERM)
    assert wait_for_end(started) == 5


def everyone(started: subprocess.Popen[bytes]) -> list[int]:
    return [started.pid, *processes.descendants(started.pid)]


def spawn_counting(engine: Engine) -> subprocess.Popen[bytes]:
    """A container of several processes, in a process group that a shell would manage."""
    script = "sh -c 'while :; do sleep 0.02; done' & trap 'exit 5' TERM; " + WAITS
    started = engine.spawn(["sh", "-c", script], process_group=0)
    assert read_line(started) == b"ready\n"
    return started


def stands_still(pid: int) -> bool:
    """Stopped, or gone, or in vfork(2), waiting for a child that is stopped."""
    return processes.state(pid) in ("T", "D", "Z", "")


def test_control_z_stops_all_and_fg_continues_all(engine: Engine) -> None:
    started = spawn_counting(engine)
    for _ in range(3):
        started.send_signal(signal.SIGTSTP)
        eventually(lambda: all(map(stands_still, everyone(started))), "everything stopped")
        started.send_signal(signal.SIGCONT)
        eventually(lambda: not any(map(processes.is_stopped, everyone(started))), "everything goes on")
    started.send_signal(signal.SIGTERM)
    assert wait_for_end(started) == 5


def test_stop_that_cannot_be_caught_is_overcome_by_continue(engine: Engine) -> None:
    started = spawn_counting(engine)
    started.send_signal(signal.SIGSTOP)
    eventually(lambda: processes.is_stopped(started.pid), "the engine stopped")
    started.send_signal(signal.SIGTERM)
    started.send_signal(signal.SIGCONT)
    assert wait_for_end(started) == 5


def test_signal_while_stopped_acts_on_continue(engine: Engine) -> None:
    started = spawn_counting(engine)
    started.send_signal(signal.SIGTSTP)
    eventually(lambda: all(map(stands_still, everyone(started))), "everything stopped")
    started.send_signal(signal.SIGTERM)
    started.send_signal(signal.SIGCONT)
    assert wait_for_end(started) == 5


def test_kill_of_a_stopped_engine_takes_the_stopped_container_along(engine: Engine) -> None:
    started = spawn_counting(engine)
    started.send_signal(signal.SIGTSTP)
    eventually(lambda: all(map(stands_still, everyone(started))), "everything stopped")
    inside = processes.descendants(started.pid)
    started.send_signal(signal.SIGKILL)
    eventually(lambda: not any(map(processes.is_alive, inside)), "the end of the container")
    finish(started)
    assert engine.run(["true"]).code == 0  # sweeps the cgroup


def test_signal_in_the_first_moments_leaves_nothing(engine: Engine) -> None:
    """At whatever moment TERM comes: the engine ends by it, and the leak check finds nothing."""
    for step in range(25):
        started = engine.spawn(["sleep", "1000"])
        becomes(lambda: False, step * 0.004)
        started.send_signal(signal.SIGTERM)
        result = finish(started)
        assert result.code in (-signal.SIGTERM, 128 + signal.SIGTERM)
        assert result.err == b""


def test_control_c_in_the_first_moments_shows_no_traceback_of_ours(engine: Engine) -> None:
    for step in range(25):
        started = engine.spawn(["sleep", "1000"])
        becomes(lambda: False, step * 0.004)
        started.send_signal(signal.SIGINT)
        result = finish(started)
        assert result.code in (-signal.SIGINT, 128 + signal.SIGINT, 1)
        assert b"ch03_run/" not in result.err


def test_process_group_of_the_engine_is_not_the_containers(engine: Engine) -> None:
    """Else Ctrl-C would reach the command twice: from the terminal, and from the engine."""
    assert engine.sh("cut -d' ' -f5,6 /proc/self/stat; exit").text == "1 1"


def test_many_signals_at_once_all_arrive(engine: Engine) -> None:
    """Different ones: equal ones may melt into one, as signals do."""
    script = "".join(f"trap 'echo {name}' {name}; " for name in PASSED_ON[1:]) + "trap 'exit 5' TERM; " + WAITS
    started = engine.spawn(["sh", "-c", script])
    assert read_line(started) == b"ready\n"
    os.kill(started.pid, signal.SIGSTOP)
    for name in PASSED_ON[1:]:
        started.send_signal(number_of(name))
    os.kill(started.pid, signal.SIGCONT)
    arrived = {read_line(started).decode().strip() for _ in PASSED_ON[1:]}
    assert arrived == set(PASSED_ON[1:])
    started.send_signal(signal.SIGTERM)
    assert wait_for_end(started) == 5
