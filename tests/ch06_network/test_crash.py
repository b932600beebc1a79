"""Whoever is killed, whenever: addresses and ports come back, and lead to nobody else. Sections 6.2, 6.5."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable

import pytest

from tests.support import leaks, processes
from tests.support.hosts import Host, finish
from tests.support.networks import NetKeeper, cannot_fetch, fetch
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel
HOST = "192.0.2.1"
STRIDE = 47  # of the steps, one is taken
MOST_STEPS = 2000
SERVER = ["run", "--name", "it", "--net", "a", "--ip", "10.1.0.3", "-p", "8080:80", "busybox"]
WAITS = "trap 'exit 0' TERM; while :; do sleep 0.05; done"


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not processes.is_alive(pid), "its end")
    leaks.reap_orphans()


def kill_watcher(keeper: NetKeeper, container: str) -> None:
    """End an engine's watcher; the kernel ends the container."""
    pid = keeper.status(container)["pid"]
    kill(int(processes.status(pid, "PPid")))
    eventually(lambda: not processes.is_alive(pid), "the container's end")
    leaks.reap_orphans()


# ---------------------------------------------------------------- killed at each step


def after_run(keeper: NetKeeper) -> None:
    """The address and the port are there for another."""
    keeper.remove_all()
    assert keeper.raw(*SERVER[:1], "--rm", *SERVER[1:], "true").code == 0
    assert keeper.network_record("a")["containers"] == {}


def after_create(keeper: NetKeeper) -> None:
    """It is there, or it can be made; it works, and can be removed."""
    keeper.raw("network", "create", "b")
    assert keeper.raw("run", "--rm", "--net", "b", "busybox", "true").code == 0
    assert keeper.raw("network", "rm", "b").code == 0
    assert len(keeper.devices()) == 2


def before_rm(keeper: NetKeeper) -> None:
    keeper.network("b")


def before_connect(keeper: NetKeeper) -> None:
    if not keeper.ids():
        keeper.network("b", "--subnet", "10.2.0.0/24")
        keeper.box("it", "--net", "a")


def before_disconnect(keeper: NetKeeper) -> None:
    before_connect(keeper)
    keeper.raw("network", "connect", "b", "it")


def after_connect(keeper: NetKeeper) -> None:
    """It can leave, and come back."""
    keeper.raw("network", "disconnect", "b", "it")
    assert keeper.raw("network", "connect", "b", "it").code == 0
    assert keeper.pings("it", "10.2.0.1") and keeper.pings("it", "10.1.0.1")
    assert keeper.raw("network", "disconnect", "b", "it").code == 0
    assert keeper.inside("it", "ls /sys/class/net").split() == ["eth0", "lo"]


def before_stop(keeper: NetKeeper) -> None:
    if not keeper.ids():
        assert keeper.raw("run", "-d", *SERVER[1:], "sh", "-c", WAITS).code == 0


def after_stop(keeper: NetKeeper) -> None:
    assert keeper.raw("stop", "-t", "5", "it").code == 0
    assert keeper.raw("start", "it").code == 0
    assert keeper.address("it", "a") == "10.1.0.3" and keeper.pings("it", "10.1.0.1")
    assert keeper.raw("port", "it").text == "80/tcp -> 0.0.0.0:8080"


def nothing(keeper: NetKeeper) -> None:
    return


Step = Callable[[NetKeeper], None]
COMMANDS: dict[str, tuple[list[str], Step, Step]] = {
    "run": ([*SERVER, "true"], nothing, after_run),
    "run -d": ([*SERVER[:1], "-d", *SERVER[1:], "sleep", "1000"], nothing, after_run),
    "create": (["network", "create", "b"], nothing, after_create),
    "rm": (["network", "rm", "b"], before_rm, after_create),
    "connect": (["network", "connect", "b", "it"], before_connect, after_connect),
    "disconnect": (["network", "disconnect", "b", "it"], before_disconnect, after_connect),
    "stop": (["stop", "-t", "5", "it"], before_stop, after_stop),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_killed_at_each_step(keeper: NetKeeper, command: str) -> None:
    words, before, after = COMMANDS[command]
    keeper.network("a", "--subnet", "10.1.0.0/24")
    for step in itertools.count(3, STRIDE):
        assert step < MOST_STEPS
        before(keeper)
        was_killed = keeper.engine.kill_at(step, *words)
        leaks.reap_orphans()
        assert keeper.raw("ps", "-a").code == 0 and keeper.raw("network", "ls").code == 0
        after(keeper)
        if not was_killed:
            return


# ---------------------------------------------------------------- watchers that die


def test_a_stale_port_leads_nowhere(keeper: NetKeeper, client: Host) -> None:
    """A watcher is killed; another container gets the address, and the old port does not lead to it."""
    keeper.network("small", "--subnet", "10.1.0.0/29")
    keeper.serve("old", "--net", "small", "-p", "8080:80")
    address = keeper.address("old", "small")
    assert fetch(client, f"http://{HOST}:8080/").text == "old"
    kill_watcher(keeper, "old")
    assert keeper.raw("port", "old").text == ""
    keeper.serve("new", "--net", "small", "--ip", address)
    assert cannot_fetch(client, f"http://{HOST}:8080/")
    keeper.serve("taker", "--net", "small", "-p", "8080:80")
    assert fetch(client, f"http://{HOST}:8080/").text == "taker"
    keeper.remove(keeper.inspect("taker")["id"])
    assert keeper.raw("start", "old").code == 0
    assert keeper.address("old", "small") != address
    eventually(lambda: fetch(client, f"http://{HOST}:8080/", 1).code == 0, "the container that started again")
    assert fetch(client, f"http://{HOST}:8080/").text == "old"
    assert not keeper.knows("new", "taker") and keeper.knows("new", "old")


def test_addresses_of_the_dead_come_back(keeper: NetKeeper) -> None:
    keeper.network("small", "--subnet", "10.1.0.0/29")
    for number in range(5):
        keeper.box(f"it{number}", "--net", "small")
    for number in range(5):
        kill_watcher(keeper, f"it{number}")
    assert keeper.network_record("small")["containers"] == {}
    for number in range(5):
        keeper.box(f"new{number}", "--net", "small")
    assert len(keeper.network_record("small")["containers"]) == 5


def test_a_network_of_dead_containers_can_be_removed(keeper: NetKeeper) -> None:
    keeper.network("a")
    keeper.box("it", "--net", "a", "-p", "8080:80")
    kill_watcher(keeper, "it")
    assert keeper.raw("network", "rm", "a").code == 0
    assert keeper.devices() == ["lo"] and keeper.ruleset() == ""


def test_the_engine_in_the_foreground_is_killed(keeper: NetKeeper) -> None:
    started = keeper.engine.host.spawn(
        keeper.engine.command_line("run", "--rm", "-p", "8080:80", "busybox", "sleep", "1000")
    )
    eventually(lambda: keeper.raw("ps", "-q").text, "the container")
    kill(started.pid)
    eventually(lambda: keeper.raw("run", "--rm", "-p", "8080:80", "busybox", "true").code == 0, "the port")


# ---------------------------------------------------------------- many at the same time


@pytest.mark.parametrize("count", [16, pytest.param(100, marks=pytest.mark.slow)])
def test_many_in_one_network(keeper: NetKeeper, count: int) -> None:
    engine = " ".join(map(str, keeper.engine.command_line()))
    keeper.network("a", "--subnet", "10.1.0.0/24")
    started = f"seq {count} | xargs -P 8 -I N {engine} run -d --name boxN --net a -p 127.0.0.1::80 busybox sleep 1000"
    result = keeper.engine.host.run(["sh", "-c", started], timeout=300)
    assert (result.code, result.error) == (0, "")
    inside = keeper.network_record("a")["containers"].values()
    assert len({endpoint["addresses"][0] for endpoint in inside}) == len(inside) == count
    assert len({endpoint["ports"][0][1] for endpoint in inside}) == count
    assert all(keeper.knows("box1", f"box{number}") for number in (1, 2, count))
    assert keeper.pings("box1", f"box{count}") and keeper.pings(f"box{count}", "box1")
    keeper.remove_all()
    assert keeper.network_record("a")["containers"] == {}
    assert [
        path for path in (keeper.root / "networks/a").rglob("*") if path.is_file() and path.parent.name == "leases"
    ] == []
    assert len(keeper.devices()) == 2


def test_short_lives_at_the_same_time(keeper: NetKeeper) -> None:
    """As many addresses as containers that run at a time, and each is enough."""
    keeper.network("small", "--subnet", "10.1.0.0/29")
    words = keeper.engine.command_line("run", "--rm", "--net", "small", "busybox", "hostname", "-i")
    lines = [" ".join(map(str, words))] * 25
    xargs = ["xargs", "-P", "4", "-I", "L", "sh", "-c", "L"]
    result = keeper.engine.host.run(xargs, input="\n".join(lines).encode(), timeout=300)
    assert (result.code, result.error) == (0, "")
    assert set(result.text.split()) == {f"10.1.0.{number}" for number in range(2, 7)}


# ---------------------------------------------------------------- the machine starts again


def test_a_reboot(keeper: NetKeeper, client: Host) -> None:
    """What the kernel had is gone, the files are there: the next container finds all made again."""
    keeper.network("a", "--subnet", "10.1.0.0/24")
    keeper.serve("web", "--net", "a", "-p", "8080:80")
    bridge = keeper.network_record("a")["bridge"]
    kill_watcher(keeper, "web")
    keeper.engine.host.run(["ip", "link", "del", bridge])
    keeper.nft("flush ruleset")
    assert keeper.network_record("a")["up"] is False
    assert keeper.raw("start", "web").code == 0
    assert keeper.network_record("a")["up"] is True
    eventually(lambda: fetch(client, f"http://{HOST}:8080/", 1).code == 0, "its page")
    assert keeper.pings("web", "192.0.2.2")


def test_a_half_made_bridge_is_made_anew(keeper: NetKeeper) -> None:
    keeper.network("a", "--subnet", "10.1.0.0/24")
    bridge = keeper.network_record("a")["bridge"]
    keeper.engine.host.run(["ip", "link", "set", bridge, "down"])
    keeper.engine.host.run(["ip", "address", "flush", "dev", bridge])
    assert keeper.raw("run", "--rm", "--net", "a", "busybox", "ping", "-c1", "-W1", "10.1.0.1").code == 0


def test_nothing_is_left(keeper: NetKeeper, client: Host) -> None:
    keeper.network("a", "--subnet", "10.1.0.0/24", "--subnet", "fd00:5::/64")
    keeper.serve("web", "--net", "a", "--net", "bridge", "-p", "8080:80", "-p", "[::]:8080:80")
    keeper.box("it")
    assert finish(keeper.engine.host.spawn(keeper.engine.command_line("run", "--rm", "busybox", "true"))).code == 0
    keeper.remove_all()
    assert keeper.prune() == ["a", "bridge"]
    assert keeper.devices() == ["lo", "to2"]
    assert keeper.ruleset() == ""
    assert keeper.engine.host.leftovers() == []
    assert list((keeper.root / "networks").iterdir()) == []
