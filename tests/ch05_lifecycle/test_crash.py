"""Every command may be killed at every moment: what is left is understood and repaired by the next one. Section 5.2."""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.ch05_lifecycle.conftest import Keeper
from tests.support import leaks, processes
from tests.support.hosts import finish
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel
SCRIPT = "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done"
ROUNDS = 20


def kill_after(keeper: Keeper, seconds: float, *words: str) -> None:
    """Run a command and SIGKILL it, whatever it is doing then."""
    victim = keeper.engine.host.spawn(keeper.engine.command_line(*words))
    time.sleep(seconds)
    victim.kill()
    victim.wait(60)
    leaks.reap_orphans()


def check(keeper: Keeper) -> None:
    """What ps says of each container is true, and each can be inspected."""
    assert keeper.raw("ps", "-a").code == 0
    for id in keeper.raw("ps", "-a", "-q").text.split():
        state = keeper.status(id)
        if state["status"] == "running":
            assert processes.is_alive(state["pid"])


def clean(keeper: Keeper) -> None:
    """rm -f of everything, and what a container had is gone."""
    ids = keeper.raw("ps", "-a", "-q").text.split()
    if ids:
        keeper.remove(*ids)
    assert keeper.raw("run", "--rm", "busybox", "true").code == 0  # sweeps
    leaks.reap_orphans()
    eventually(lambda: keeper.ids() == [], "an empty store")
    assert os.listdir(keeper.root / "names") == []


@pytest.mark.parametrize("command", ["run", "run -d", "create", "start", "stop", "rm", "exec", "restart", "kill"])
def test_killed_at_random_moments(keeper: Keeper, command: str) -> None:
    random.seed(command)
    for number in range(ROUNDS):
        name = f"it{number}"
        moment = random.random() * 0.15
        if command.startswith("run"):
            kill_after(keeper, moment, *command.split(), "--name", name, "busybox", "sh", "-c", SCRIPT)
        elif command == "create":
            kill_after(keeper, moment, "create", "--name", name, "busybox", "true")
        else:
            stopped = command in ("start", "rm")
            keeper.raw(*(["create"] if stopped else ["run", "-d"]), "--name", name, "busybox", "sh", "-c", SCRIPT)
            kill_after(keeper, moment, command, name, *(["true"] if command == "exec" else []))
        if number % 5 == 4:
            check(keeper)
    clean(keeper)


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
        ours = [pid for pid in processes.descendants(os.getpid()) if is_engine(pid)]
        if ours and random.random() < 0.5:
            kill(random.choice(ours))
        leaks.reap_orphans_but([process.pid for process in running])
    for process in running:
        process.communicate(timeout=60)
        assert process.returncode in (0, -9, 125, 127, 137), process.args
    leaks.reap_orphans()
    check(keeper)
    clean(keeper)


def is_engine(pid: int) -> bool:
    """Engine or watcher, as opposed to what runs in a container, and to the host's own process."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"ch0" in file.read()
    except (FileNotFoundError, ProcessLookupError):
        return False


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
