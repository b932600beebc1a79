"""Every command may be killed at every moment: what is left is understood and repaired by the next one. Section 5.2."""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.ch05_lifecycle.conftest import Keeper
from tests.support import leaks, processes
from tests.support.engines import INCREMENTS
from tests.support.hosts import finish
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel
SCRIPT = "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done"
SHARES = 47  # of the steps are taken by an increment, each its own
MOST_STEPS = 2000


def check(keeper: Keeper) -> None:
    """What ps says of each container is true, and each can be inspected."""
    assert keeper.raw("ps", "-a").code == 0
    for id in keeper.raw("ps", "-a", "-q").text.split():
        state = keeper.status(id)
        if state["status"] == "running" and not processes.is_alive(state["pid"]):
            assert keeper.status(id)["status"] == "exited"  # it has ended between the two looks


def clean(keeper: Keeper) -> None:
    """rm -f of everything, and what a container had is gone."""
    ids = keeper.raw("ps", "-a", "-q").text.split()
    if ids:
        keeper.remove(*ids)
    assert keeper.raw("run", "--rm", "busybox", "true").code == 0  # sweeps
    leaks.reap_orphans()
    eventually(keeper.is_empty, "an empty store")


COMMANDS = {
    "run": ["run", "--name", "it", "busybox", "true"],
    "run -d": ["run", "-d", "--name", "it", "busybox", "sh", "-c", SCRIPT],
    "create": ["create", "--name", "it", "busybox", "true"],
    "start": ["start", "it"],
    "exec": ["exec", "it", "true"],
    "stop": ["stop", "-t", "5", "it"],
    "kill": ["kill", "it"],
    "restart": ["restart", "-t", "5", "it"],
    "rename": ["rename", "it", "it2"],
    "commit": ["commit", "it", "image"],
    "rm": ["rm", "it"],
    "rm -f": ["rm", "-f", "it"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_killed_at_each_step(keeper: Keeper, command: str) -> None:
    """Between any two system calls. Each increment takes its own share of the steps."""
    share = INCREMENTS.index(keeper.engine.increment)
    kills_at_each_step(keeper, command, range(share, MOST_STEPS, SHARES))


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("MYDOCKER_TEST_ALL_STEPS"), reason="takes minutes: MYDOCKER_TEST_ALL_STEPS=1")
@pytest.mark.parametrize("command", COMMANDS)
def test_killed_at_every_single_step(keeper: Keeper, command: str) -> None:
    kills_at_each_step(keeper, command, range(1, MOST_STEPS))


def kills_at_each_step(keeper: Keeper, command: str, steps: range) -> None:
    for kills, step in enumerate(steps):
        if command in ("start", "rm"):
            keeper.raw("create", "--name", "it", "busybox", "sh", "-c", SCRIPT)
        elif "--name" not in COMMANDS[command]:
            keeper.sh(SCRIPT, "--name", "it")
        was_killed = keeper.engine.kill_at(step, *COMMANDS[command])
        leaks.reap_orphans()
        check(keeper)
        clean(keeper)
        if not was_killed:
            assert kills or step <= SHARES  # `rename` takes fewer
            return
    raise AssertionError(f"more than {MOST_STEPS} steps")


def test_kill_everything_at_random(keeper: Keeper) -> None:
    """Engines and watchers die all the time, for some seconds; then all is listed, removed, and nothing is left."""
    random.seed(9)
    mutilate(keeper, seconds=6)


@pytest.mark.slow
def test_kill_everything_at_random_for_a_minute(keeper: Keeper) -> None:
    random.seed(10)
    mutilate(keeper, seconds=60)


def mutilate(keeper: Keeper, seconds: float) -> None:
    end = time.monotonic() + seconds
    number = 0
    running = []
    while time.monotonic() < end:
        number += 1
        name = f"it{random.randrange(8)}"
        words = random.choice(
            [
                ["run", "-d", "--name", name, "busybox", "sh", "-c", SCRIPT],
                ["run", "-d", "--rm", "busybox", "sh", "-c", SCRIPT],
                ["stop", "-t", "0.1", name],
                ["start", name],
                ["rm", "-f", name],
                ["exec", name, "true"],
                ["commit", name, "image"],
                ["ps", "-a"],
            ]
        )
        running.append(keeper.engine.host.spawn(keeper.engine.command_line(*words)))
        time.sleep(random.random() * 0.05)
        ours = [pid for pid in processes.descendants(os.getpid()) if is_engine(pid, keeper.engine.increment)]
        if ours and random.random() < 0.5:
            kill(random.choice(ours))
        leaks.reap_orphans_but([process.pid for process in running])
    for process in running:
        process.communicate(timeout=60)
        assert process.returncode in (0, -9, 125, 127, 137), process.args
    leaks.reap_orphans()
    check(keeper)
    clean(keeper)


def is_engine(pid: int, increment: str) -> bool:
    """Engine or watcher, as opposed to what runs in a container, and to the host's own process."""
    return processes.has_word(pid, f"\0-m\0{increment}\0")


def kill(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return


@pytest.mark.parametrize("count", [24, pytest.param(200, marks=pytest.mark.slow)])
def test_many_eight_at_a_time(keeper: Keeper, count: int) -> None:
    """Started, entered, stopped and removed; the machine is as it was."""
    engine = " ".join(map(str, keeper.engine.command_line()))
    one = (
        f'id=$({engine} run -d busybox sh -c "{SCRIPT}") && test "$({engine} exec $id echo $id)" = $id && '
        f"{engine} stop -t 5 $id >/dev/null && {engine} rm $id >/dev/null || echo failed"
    )
    script = f"seq {count} | xargs -P 8 -I N sh -c '{one.replace(chr(39), chr(39) + chr(92) + chr(39) * 2)}'"
    started = keeper.engine.host.spawn(["sh", "-c", script])
    result = finish(started, 600)
    assert (result.code, result.out, result.err) == (0, b"", b"")
    assert keeper.ids() == []
