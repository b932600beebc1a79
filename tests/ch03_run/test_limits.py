"""Limits on `run`, as a user sees them act. Book section 3.2."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ch02_namespaces.cgroups import hierarchies
from tests.support import leaks, processes
from tests.support.engines import ENGINE_FAILED, Engine, fails, one_line
from tests.support.hosts import finish, read_line
from tests.support.polling import becomes, eventually

pytestmark = pytest.mark.kernel

CONTROLLERS = frozenset(name for hierarchy in hierarchies() for name in hierarchy.controllers)
GLUTTON = "dd if=/dev/zero of=/dev/null bs=256M count=1"
FORK_BOMB = "bomb() { bomb | bomb & }; bomb; echo lit; sleep 1"


def needs(controller: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(controller not in CONTROLLERS, reason=f"no {controller} controller here")


@contextmanager
def running(engine: Engine, *flags: str) -> Iterator[str]:
    """A container that waits, with these flags; its id, which is the name of its cgroups."""
    started: subprocess.Popen[bytes] = engine.spawn(["sh", "-c", "hostname; read x"], "-i", *flags)
    yield read_line(started).decode().strip()
    finish(started)


def value(id: str, version_1: str, version_2: str) -> str:
    """A control file of a running container, as seen from the host: whichever version's there is."""
    for group in leaks.cgroups():
        for name in (version_1, version_2):
            path = f"{group}/{name}"
            if os.path.basename(group).startswith(id) and os.path.exists(path):
                with open(path) as file:
                    return file.read().strip()
    raise AssertionError(f"no {version_1} and no {version_2} of {id}")


ONE_OF_EACH = [
    ("memory", ["-m", "64m"], "memory.limit_in_bytes", "memory.max", "67108864"),
    ("pids", ["--pids-limit", "20"], "pids.max", "pids.max", "20"),
    ("cpu", ["--cpus", "0.5"], "cpu.cfs_quota_us", "cpu.max", "50000( 100000)?"),
    ("cpu", ["--cpu-shares", "512"], "cpu.shares", "cpu.weight", "512|20"),
    ("cpuset", ["--cpuset-cpus", "0"], "cpuset.cpus", "cpuset.cpus", "0"),
]
MORE = [
    ("memory", ["--memory=1.5g"], "memory.limit_in_bytes", "memory.max", "1610612736"),
    ("pids", ["--pids-limit", "-1"], "pids.max", "pids.max", "max"),
    ("cpu", ["--cpus", "0.01"], "cpu.cfs_quota_us", "cpu.max", "1000( 100000)?"),
    ("cpu", ["-c", "2"], "cpu.shares", "cpu.weight", "2|1"),
    ("cpu", ["-cpushare", "262144"], "cpu.shares", "cpu.weight", "262144|10000"),
    ("cpuset", ["-cpuset", "0"], "cpuset.cpus", "cpuset.cpus", "0"),
]
LIMITS = [*(pytest.param(*limit, marks=pytest.mark.vm) for limit in ONE_OF_EACH), *MORE]


@pytest.mark.parametrize(("controller", "flags", "version_1", "version_2", "expected"), LIMITS)
def test_limit_can_be_read_on_the_host(
    engine: Engine, controller: str, flags: list[str], version_1: str, version_2: str, expected: str
) -> None:
    if controller not in CONTROLLERS:
        pytest.skip(f"no {controller} controller here")
    with running(engine, *flags) as id:
        assert re.fullmatch(expected, value(id, version_1, version_2))


@pytest.mark.vm
def test_all_processes_of_a_container_are_in_its_cgroup(engine: Engine) -> None:
    started = engine.spawn(["sh", "-c", "sleep 1000 & hostname; read x"], "-i")
    id = read_line(started).decode().strip()
    eventually(lambda: len(processes.descendants(started.pid)) == 2, "both processes")
    pids = set(processes.descendants(started.pid))
    groups = [group for group in leaks.cgroups() if os.path.basename(group).startswith(id)]
    assert groups
    for group in groups:
        with open(f"{group}/cgroup.procs") as file:
            assert set(map(int, file.read().split())) == pids
    finish(started)


@pytest.mark.vm
@needs("memory")
def test_glutton_is_killed_and_the_user_is_told(engine: Engine) -> None:
    result = engine.sh(f"exec {GLUTTON}", "-m", "64m", "--memory-swap", "64m")
    assert result.code == 137
    assert "out of memory" in one_line(result)
    assert "64 MiB" in one_line(result)


@pytest.mark.vm
@needs("memory")
def test_glutton_that_is_a_child_is_told_as_well(engine: Engine) -> None:
    result = engine.sh(f"{GLUTTON} 2>/dev/null; echo code $?; exit 3", "-m", "64m", "--memory-swap", "64m")
    assert b"code 137" in result.out
    assert result.code == 3
    assert b"out of memory" in result.err


@needs("memory")
def test_glutton_on_a_terminal_is_told_on_a_line_of_its_own(engine: Engine) -> None:
    terminal = engine.pty(["sh", "-c", f"exec {GLUTTON}"], "-ti", "-m", "64m", "--memory-swap", "64m")
    assert terminal.wait() == 137
    assert re.search(rb"(^|\r\n)mydocker: out of memory[^\r\n]*\r\n$", terminal.screen)
    assert terminal.mode_is_restored()


@needs("memory")
def test_who_stays_below_the_limit_lives(engine: Engine) -> None:
    result = engine.sh("dd if=/dev/zero of=/dev/null bs=16M count=1 2>/dev/null", "-m", "64m")
    assert (result.code, result.err) == (0, b"")


@needs("memory")
def test_death_by_kill_is_not_called_out_of_memory(engine: Engine) -> None:
    result = engine.sh("sh -c 'kill -9 $$'; exit $?", "-m", "64m")
    assert (result.code, b"out of memory" in result.err) == (137, False)


@needs("memory")
def test_smallest_limit_still_runs(engine: Engine) -> None:
    assert engine.run(["true"], "-m", "6m").code in (0, 137)


@pytest.mark.vm
@needs("memory")
@pytest.mark.parametrize("swap", ["64m", "128m", "-1"])
def test_memory_and_swap_together(engine: Engine, swap: str) -> None:
    result = engine.run(["true"], "-m", "64m", "--memory-swap", swap)
    if result.code:  # this kernel does not account for swap
        fails(result, ENGINE_FAILED, "swap", "does not offer")


@needs("memory")
def test_limit_beyond_all_memory(engine: Engine) -> None:
    result = engine.run(["true"], "-m", "9999999t")
    assert result.code == 0 or one_line(result)


@pytest.mark.vm
@needs("cpuset")
def test_cpuset_is_what_nproc_counts(engine: Engine) -> None:
    assert engine.run(["nproc"], "--cpuset-cpus", "0").text == "1"
    assert engine.run(["nproc"]).text == str(len(os.sched_getaffinity(0)))


@pytest.mark.vm
@needs("cpu")
def test_cpus_slow_it_down(engine: Engine) -> None:
    """A fifth of a processor: user time used is far below the time that went by."""
    script = "times_() { cut -d' ' -f14,15 /proc/$$/stat; }; read up _ < /proc/uptime; end=$(( ${up%.*} + 3 ));"
    script += "while :; do read up _ < /proc/uptime; [ ${up%.*} -ge $end ] && break; done; times_"
    ticks = sum(map(int, engine.sh(script, "--cpus", "0.2").text.split()))
    assert ticks < 0.6 * 3 * os.sysconf("SC_CLK_TCK")


@needs("pids")
def test_fork_bomb_is_held(engine: Engine) -> None:
    started = engine.spawn(["sh", "-c", FORK_BOMB], "--pids-limit", "20")
    most = 0

    def ended() -> bool:
        nonlocal most
        most = max(most, len(processes.descendants(started.pid)))
        return started.poll() is not None

    if not becomes(ended, 20):
        started.terminate()
    result = finish(started)
    assert b"fork" in result.err  # what every shell says when the kernel gives it no more processes
    assert most <= 20


@pytest.mark.vm
@needs("pids")
def test_bomb_that_never_ends_can_be_ended(engine: Engine) -> None:
    started = engine.spawn(
        ["sh", "-c", "echo lit; (while :; do sleep 1000 & done); exec sleep 1000"], "--pids-limit", "20"
    )
    assert read_line(started) == b"lit\n"
    eventually(lambda: len(processes.descendants(started.pid)) > 15, "the bomb")
    started.terminate()
    assert finish(started).code == 143
    assert leaks.cgroups() == []


@needs("pids")
def test_host_forks_while_a_container_is_at_its_limit(engine: Engine) -> None:
    script = "i=0; while [ $i -lt 18 ]; do sleep 1000 & i=$((i+1)); done; echo full; sleep 1000; echo over; read x"
    started = engine.spawn(["sh", "-c", script], "-i", "--pids-limit", "19")
    assert read_line(started) == b"full\n"
    assert engine.run(["sh", "-c", "true & wait"]).code == 0
    started.terminate()  # if it is still there
    finish(started)


@needs("pids")
def test_one_process_is_enough_for_one(engine: Engine) -> None:
    assert engine.run(["true"], "--pids-limit", "1").code == 0


@pytest.mark.vm
@pytest.mark.parametrize(
    ("flag", "text"), [("--cpuset-cpus", "99999"), ("--pids-limit", str(1 << 62)), ("-cpuset", "0-,"), ("-cpuset", "x")]
)
def test_value_that_only_the_kernel_refuses_leaves_nothing(engine: Engine, flag: str, text: str) -> None:
    fails(engine.run(["true"], flag, text), ENGINE_FAILED)
    assert leaks.cgroups() == []


@pytest.mark.vm
def test_mount_points_with_odd_names_do_not_disturb(engine: Engine, tmp_path: object) -> None:
    """/proc/self/mountinfo holds whatever bytes somebody mounted something on."""
    script = 'd="$1/$(printf "\\377 \\n x")"; mkdir "$d" && mount -t tmpfs none "$d" && shift && exec "$@"'
    words = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        script,
        "sh",
        str(tmp_path),
        *engine.run_words(["echo", "fine"], "-m", "64m"),
    ]
    result = engine.host.run(words)
    assert (result.code, result.out, result.err) == (0, b"fine\n", b"")
