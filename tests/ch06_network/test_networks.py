"""Networks as things that are made, shown, changed and removed, and who is in them. Sections 6.2 to 6.4."""

from __future__ import annotations

import json

import pytest

from tests.support.engines import ENGINE_FAILED, fails
from tests.support.hosts import Host, finish
from tests.support.networks import SLEEPS, NetKeeper, cannot_fetch, fetch

pytestmark = pytest.mark.kernel


# ---------------------------------------------------------------- made, shown, removed


def test_create_ls_inspect_rm(keeper: NetKeeper) -> None:
    id = keeper.raw("network", "create", "--subnet", "10.1.0.0/24", "--gateway", "10.1.0.7", "--mtu", "1400", "a").text
    keeper.network("b", "--internal")
    web = keeper.box("web", "--net", "a", "-p", "8080:80", "--network-alias", "site")
    assert "default via 10.1.0.7 dev eth0" in routes(keeper, "web")
    assert keeper.inside("web", "cat /sys/class/net/eth0/mtu") == "1400"
    assert keeper.raw("network", "ls", "-q").text.splitlines()[0] == id[:12]
    if not keeper.engine.is_full:  # which lists as Docker does: tests/final/engine
        lists_networks(keeper, id)
    record = keeper.network_record(id[:6])
    assert record["subnets"] == [["10.1.0.0/24", "10.1.0.7"]] and record["up"] is True and record["internal"] is False
    assert record["containers"][web]["names"] == ["web", web[:12], "site"]
    tree = keeper.raw("network", "inspect", "--tree", "a").text
    assert "eth0 of web, 10.1.0.1" in tree and "0.0.0.0:8080->80/tcp" in tree and "10.1.0.7" in tree
    assert len(json.loads(keeper.raw("network", "inspect", "a", "b").text)) == 2
    fails(keeper.raw("network", "rm", "a"), ENGINE_FAILED, "web", "disconnect")
    keeper.raw("stop", "-t", "0", "web")
    assert keeper.raw("network", "rm", "a", "b").text.split() == ["a", "b"]
    fails(keeper.raw("start", "web"), ENGINE_FAILED, "'a'")
    assert keeper.devices() == ["lo"]


def lists_networks(keeper: NetKeeper, id: str) -> None:
    table = keeper.raw("network", "ls").text.splitlines()
    assert table[0].split() == ["NETWORK", "ID", "NAME", "DRIVER", "SUBNET", "CONTAINERS"]
    assert table[1].split() == [id[:12], "a", "bridge", "10.1.0.0/24", "1"]
    assert table[2].split()[1:] == ["b", "bridge", "10.77.0.0/16", "0"]
    listed = keeper.raw("network", "ls", "--format", "json").text.splitlines()
    assert json.loads(listed[0]) == {
        "network id": id,
        "name": "a",
        "driver": "bridge",
        "subnet": "10.1.0.0/24",
        "containers": 1,
    }


def test_prune_leaves_what_a_container_wants(keeper: NetKeeper) -> None:
    keeper.network("used")
    keeper.network("stopped")
    id = keeper.raw("network", "create", "by-id").text
    keeper.network("unused")
    keeper.box("up", "--net", "used")
    keeper.raw("create", "--name", "down", "--net", "stopped", "--net", id[:10], "busybox", *SLEEPS)
    assert keeper.prune() == ["unused"]
    assert keeper.raw("start", "down").code == 0
    fails(keeper.raw("network", "connect", "by-id", "down"), ENGINE_FAILED, "already")
    assert keeper.raw("network", "disconnect", "by-id", "down").code == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a"], ["'a'", "already"]),
        (["host"], ["host", "another"]),
        (["none"], ["none"]),
        (["container"], ["container"]),
        (["../x"], ["../x"]),
        ([".x"], [".x"]),
        ([""], ["name"]),
        (["x" * 129], ["128"]),
        (["--subnet", "10.1.0.0/25", "b"], ["overlaps", "network a"]),
        (["--subnet", "10.0.0.0/8", "b"], ["overlaps", "network a"]),
        (["--subnet", "10.1.0.5/24", "b"], ["10.1.0.0/24"]),
        (["--subnet", "10.2.0.0/33", "b"], ["10.2.0.0"]),
        (["--subnet", "ten/8", "b"], ["ten"]),
        (["--subnet", "10.2.0.0/24", "--subnet", "10.3.0.0/24", "b"], ["one of IPv4"]),
        (["--subnet", "10.2.0.0/24", "--gateway", "10.3.0.1", "b"], ["10.3.0.1"]),
        (["--subnet", "10.2.0.0/24", "--gateway", "10.2.0.255", "b"], ["10.2.0.255"]),
        (["--gateway", "10.2.0.1", "b"], ["10.2.0.1"]),
        (["--subnet", "127.0.0.0/8", "b"], ["127.0.0.0/8"]),
        (["--subnet", "224.0.0.0/4", "b"], ["224.0.0.0/4"]),
        (["--subnet", "0.0.0.0/0", "b"], ["0.0.0.0/0"]),
        (["--subnet", "169.254.0.0/16", "b"], ["169.254.0.0/16"]),
        (["--subnet", "fe80::/64", "b"], ["fe80::/64"]),
        (["--subnet", "ff00::/8", "b"], ["ff00::/8"]),
        (["--subnet", "::/0", "b"], ["::/0"]),
        (["--mtu", "67", "b"], ["67"]),
        (["--mtu", "-1", "b"], ["-1"]),
        (["--mtu", "65536", "b"], ["65536"]),
        (["--mtu", "1279", "--subnet", "fd00:5::/64", "b"], ["1280"]),
        (["--mtu", "much", "b"], ["much"]),
        (["--driver", "nosuch", "b"], ["nosuch", "vxlan"]),
        (["--opt", "a=b", "b"], ["'a'"]),
        (["--opt", "a", "b"], ["KEY=VALUE"]),
    ],
)
def test_what_cannot_be_made(keeper: NetKeeper, words: list[str], expected: list[str]) -> None:
    keeper.network("a", "--subnet", "10.1.0.0/24")
    devices = keeper.devices()
    fails(keeper.raw("network", "create", *words), ENGINE_FAILED, *expected)
    assert len(keeper.raw("network", "ls", "-q").text.split()) == 1
    assert keeper.devices() == devices


@pytest.mark.parametrize("mtu", ["68", "9000", "65535"])
def test_packets_of_any_size(keeper: NetKeeper, mtu: str) -> None:
    keeper.network("a", "--mtu", mtu)
    keeper.box("one", "--net", "a")
    keeper.box("two", "--net", "a")
    assert keeper.inside("one", "cat /sys/class/net/eth0/mtu") == mtu
    assert keeper.pings("one", "two", "-s", str(min(int(mtu) - 28, 60000)))


@pytest.mark.parametrize("command", [["inspect"], ["rm"], ["connect"], ["disconnect"]])
def test_an_unknown_network(keeper: NetKeeper, command: list[str]) -> None:
    keeper.box("it")
    operands = ["nosuch", "it"] if "connect" in command[0] else ["nosuch"]
    fails(keeper.raw("network", *command, *operands), ENGINE_FAILED, "'nosuch'", "network ls")


@pytest.mark.parametrize("text", ["", "{", '"text"', "{}", '{"id": 5}', "null", "\0"])
def test_a_damaged_record_is_in_nobodys_way(keeper: NetKeeper, text: str) -> None:
    keeper.network("good")
    keeper.network("bad")
    keeper.box("one", "--net", "good", "-p", "8080:80")
    keeper.box("two", "--net", "bad")
    record = keeper.root / "networks/bad/network.json"
    kept = json.loads(record.read_text())
    record.write_text(json.dumps({**kept, **json.loads(text)}) if text == '{"id": 5}' else text)
    keeper.box("three", "--net", "good")
    assert keeper.pings("three", "one")
    assert keeper.raw("ps", "-q").text.count("\n") == 2
    shown = keeper.raw("network", "ls")
    assert "good" in shown.text and "bad" in shown.error
    fails(keeper.raw("network", "inspect", "bad"), ENGINE_FAILED, "bad")
    fails(keeper.raw("run", "--net", "bad", "busybox", "true"), ENGINE_FAILED, "bad")
    fails(keeper.raw("network", "create", "bad"), ENGINE_FAILED, "bad", "already")
    keeper.remove(keeper.inspect("two")["id"])
    assert keeper.raw("network", "rm", "bad").text == "bad"
    assert len([name for name in keeper.devices() if name.startswith("md-")]) == 1
    assert keeper.network("bad") == "bad"


def test_damaged_records_of_endpoints(keeper: NetKeeper) -> None:
    """As a loss of power leaves them, for they are not written through to the disk."""
    one = keeper.box("one")
    keeper.box("two")
    for id, name in ((one, ".json"), ("f" * 64, ".json"), ("e" * 64, ".json.7.new")):
        (keeper.root / "networks/bridge/endpoints" / f"{id}{name}").write_text("")
    keeper.box("three")
    assert keeper.pings("three", "two")
    assert keeper.raw("restart", "-t", "0", "one").code == 0
    assert keeper.pings("three", "one")
    assert len(list((keeper.root / "networks/bridge/endpoints").iterdir())) == 3


def test_twenty_processes_make_one(keeper: NetKeeper) -> None:
    words = keeper.engine.command_line("network", "create", "it")
    results = [finish(started) for started in [keeper.engine.host.spawn(words) for _ in range(20)]]
    assert sorted(result.code for result in results) == [0] + 19 * [ENGINE_FAILED]
    for result in results:
        if result.code:
            fails(result, ENGINE_FAILED, "'it'")
    assert len(keeper.devices()) == 2
    keeper.box("one", "--net", "it")


def test_twenty_processes_make_the_default_one(keeper: NetKeeper) -> None:
    words = keeper.engine.command_line("run", "--rm", "busybox", "hostname", "-i")
    results = [finish(started) for started in [keeper.engine.host.spawn(words) for _ in range(20)]]
    assert {(result.code, result.error) for result in results} == {(0, "")}
    assert len({result.text for result in results}) == 20


def test_making_and_removing_networks_disturbs_nobody(keeper: NetKeeper) -> None:
    engine = " ".join(map(str, keeper.engine.command_line()))
    other = (
        f"for n in 1 2 3 4 5 6; do {engine} network create --subnet 10.1.0.0/24 x >&2; {engine} network rm x >&2; done"
    )
    making = keeper.engine.host.spawn(["sh", "-c", other])
    while making.poll() is None:
        assert keeper.raw("run", "--rm", "-p", "8080:80", "busybox", "true").code == 0
        assert keeper.raw("network", "ls").code == 0
    assert finish(making).error.count("\n") == 12


def test_chosen_subnets_avoid_the_routes_of_the_host(keeper: NetKeeper) -> None:
    host = keeper.engine.host
    host.run(["ip", "link", "add", "mine", "type", "bridge"])
    host.run(["ip", "link", "set", "mine", "up"])
    host.run(["ip", "route", "add", "10.64.0.0/11", "dev", "mine"])
    keeper.network("a")
    assert keeper.network_record("a")["subnets"][0][0] == "10.96.0.0/16"
    host.run(["ip", "link", "del", "mine"])


def test_subnets_chosen_at_one_time_are_different(keeper: NetKeeper) -> None:
    """And one that somebody has asked for is his, or an error."""
    host, words = keeper.engine.host, keeper.engine.command_line("network", "create")
    names = [f"n{number}" for number in range(12)]
    for started in [host.spawn([*words, name]) for name in names]:
        assert finish(started).code == 0
    subnets = {keeper.network_record(name)["subnets"][0][0] for name in names}
    assert subnets == {f"10.{number}.0.0/16" for number in range(77, 89)}
    fails(keeper.raw("network", "create", "--subnet", "10.77.4.0/24", "x"), ENGINE_FAILED, "overlaps 10.77.0.0/16")


# ---------------------------------------------------------------- addresses


def test_a_wanted_address(keeper: NetKeeper) -> None:
    keeper.network("a", "--subnet", "10.1.0.0/24", "--subnet", "fd00:5::/64")
    keeper.box("one", "--net", "a", "--ip", "10.1.0.77", "--ip6", "fd00:5::77")
    assert [keeper.address("one", "a", which) for which in (0, 1)] == ["10.1.0.77", "fd00:5::77"]
    for address, word in {
        "10.1.0.77": "has it",
        "10.1.0.1": "reserved",
        "10.1.0.255": "reserved",
        "10.2.0.1": "10.1.0.0/24",
        "fd00:5::77": "has it",
        "fd00:6::1": "fd00:5::/64",
        "one": "one",
    }.items():
        fails(keeper.raw("run", "-d", "--net", "a", "--ip", address, "busybox", *SLEEPS), ENGINE_FAILED, address, word)
    assert len(keeper.network_record("a")["containers"]) == 1
    keeper.raw("restart", "-t", "0", "one")
    assert keeper.address("one", "a") == "10.1.0.77"


def test_all_addresses_of_a_29(keeper: NetKeeper) -> None:
    keeper.network("small", "--subnet", "10.1.0.0/29")
    for number in range(2, 7):
        keeper.box(f"it{number}", "--net", "small")
        assert keeper.address(f"it{number}", "small") == f"10.1.0.{number}"
    fails(keeper.raw("run", "--net", "small", "busybox", "true"), ENGINE_FAILED, "all its addresses are taken")
    assert len(keeper.ids()) == 5
    keeper.remove(keeper.inspect("it4")["id"])
    assert keeper.raw("run", "--rm", "--net", "small", "busybox", "hostname", "-i").text == "10.1.0.4"


def test_an_address_is_not_handed_out_again_at_once(keeper: NetKeeper) -> None:
    found = [keeper.raw("run", "--rm", "busybox", "hostname", "-i").text for _ in range(3)]
    assert found == ["10.77.0.2", "10.77.0.3", "10.77.0.4"]


def test_one_network_of_two_is_missing(keeper: NetKeeper) -> None:
    """What was prepared in the first is undone."""
    keeper.network("a")
    words = ["--net", "a", "--net", "nosuch", "-p", "8080:80", "busybox", "true"]
    for detach in ([], ["-d"]):
        fails(keeper.raw("run", *detach, *words), ENGINE_FAILED, "nosuch")
    assert keeper.network_record("a")["containers"] == {} and "8080" not in keeper.ruleset()
    assert list((keeper.root / "networks/a/pool4/leases").iterdir()) == []


# ---------------------------------------------------------------- connect and disconnect


def routes(keeper: NetKeeper, container: str) -> list[str]:
    return [line.strip() for line in keeper.inside(container, "ip route").splitlines()]


def test_connect_and_disconnect_one_that_runs(keeper: NetKeeper, client: Host) -> None:
    keeper.network("a", "--subnet", "10.1.0.0/24")
    keeper.network("b", "--subnet", "10.2.0.0/24")
    keeper.box("near", "--net", "a")
    keeper.box("far", "--net", "b")
    keeper.box("it", "--net", "a", "-p", "8080:80")
    assert keeper.raw("network", "connect", "--alias", "bridgehead", "--ip", "10.2.0.9", "b", "it").code == 0
    assert keeper.pings("it", "far") and keeper.pings("it", "near")
    assert keeper.pings("far", "bridgehead") and keeper.pings("far", "it") and keeper.pings("near", "it")
    assert not keeper.knows("near", "bridgehead")
    assert "10.2.0.9/24" in keeper.inside("it", "ip -o addr show eth1")
    assert "default via 10.1.0.1 dev eth0" in routes(keeper, "it")
    fails(keeper.raw("network", "connect", "b", "it"), ENGINE_FAILED, "already")
    assert keeper.raw("network", "disconnect", "a", "it").code == 0
    assert "default via 10.2.0.1 dev eth1" in routes(keeper, "it")
    assert keeper.pings("it", "192.0.2.2")
    assert not keeper.knows("near", "it") and not keeper.knows("it", "near") and keeper.pings("far", "it")
    fails(keeper.raw("network", "disconnect", "a", "it"), ENGINE_FAILED, "not in network a")
    assert keeper.raw("network", "rm", "a").code != 0  # near is in it
    assert keeper.raw("network", "connect", "a", "it").code == 0
    assert "default via 10.2.0.1 dev eth1" in routes(keeper, "it")  # as it was
    keeper.raw("restart", "-t", "0", "it")
    assert "default via 10.2.0.1 dev eth0" in routes(keeper, "it")
    assert keeper.pings("it", "near") and keeper.pings("it", "far") and keeper.pings("far", "bridgehead")


def test_disconnected_from_all(keeper: NetKeeper) -> None:
    keeper.network("a")
    keeper.box("it", "--net", "a")
    assert keeper.raw("network", "disconnect", "a", "it").code == 0
    assert keeper.inside("it", "ls /sys/class/net") == "lo"
    assert keeper.raw("network", "rm", "a").code == 0
    assert keeper.raw("restart", "-t", "0", "it").code == 0
    assert keeper.inside("it", "ls /sys/class/net") == "lo"
    keeper.network("b", "--subnet", "10.2.0.0/24")
    assert keeper.raw("network", "connect", "b", "it").code == 0
    assert "default via 10.2.0.1 dev eth0" in routes(keeper, "it")


def test_connect_one_that_is_stopped(keeper: NetKeeper) -> None:
    keeper.network("a", "--subnet", "10.1.0.0/24")
    keeper.network("b", "--subnet", "10.2.0.0/24")
    keeper.raw("create", "--name", "it", "--net", "a", "busybox", *SLEEPS)
    assert keeper.raw("network", "connect", "--alias", "head", "b", "it").code == 0
    keeper.box("far", "--net", "b")
    assert keeper.raw("start", "it").code == 0
    assert keeper.pings("far", "head")
    keeper.raw("stop", "-t", "0", "it")
    assert keeper.raw("network", "disconnect", "a", "it").code == 0
    assert keeper.raw("start", "it").code == 0
    assert routes(keeper, "it") == ["default via 10.2.0.1 dev eth0", "10.2.0.0/24 dev eth0 scope link  src 10.2.0.4"]


def test_connect_that_fails_changes_nothing(keeper: NetKeeper) -> None:
    keeper.network("a", "--subnet", "10.1.0.0/24")
    keeper.box("it")
    keeper.box("none", "--net", "none")
    fails(keeper.raw("network", "connect", "--ip", "10.9.0.1", "a", "it"), ENGINE_FAILED, "10.9.0.1")
    fails(keeper.raw("network", "connect", "--alias", "a b", "a", "it"), ENGINE_FAILED, "a b")
    fails(keeper.raw("network", "connect", "--alias", "a\n10.0.0.1 x", "a", "it"), ENGINE_FAILED, "10.0.0.1")
    fails(keeper.raw("network", "connect", "a", "none"), ENGINE_FAILED, "none")
    fails(keeper.raw("network", "connect", "a", "nosuch"), ENGINE_FAILED, "nosuch")
    assert keeper.network_record("a")["containers"] == {}
    assert keeper.raw("network", "connect", "a", "it").code == 0


def test_ten_networks_connected_at_the_same_time(keeper: NetKeeper) -> None:
    keeper.box("it")
    for number in range(6):
        keeper.network(f"n{number}")
    words = [keeper.engine.command_line("network", "connect", f"n{number}", "it") for number in range(6)]
    results = [finish(started) for started in [keeper.engine.host.spawn(each) for each in words]]
    assert {(result.code, result.error) for result in results} == {(0, "")}
    assert len(keeper.inside("it", "ls /sys/class/net").split()) == 8
    keeper.raw("restart", "-t", "0", "it")
    assert len(keeper.inside("it", "ls /sys/class/net").split()) == 8


# ---------------------------------------------------------------- who reaches whom


def test_two_networks_are_apart(keeper: NetKeeper) -> None:
    """Not by address, not through the other's gateway, and not through a container that is in both."""
    keeper.network("a", "--subnet", "10.1.0.0/24", "--subnet", "fd00:1::/64")
    keeper.network("b", "--subnet", "10.2.0.0/24", "--subnet", "fd00:2::/64")
    keeper.serve("one", "--net", "a", *keeper.engine.rights)
    keeper.serve("two", "--net", "b")
    keeper.box("both", "--net", "a", "--net", "b")
    assert keeper.get("both", "http://one/").text == "one" and keeper.get("both", "http://two/").text == "two"
    for address, six in ((keeper.address("two", "b"), keeper.address("two", "b", 1)),):
        assert not keeper.pings("one", address) and not keeper.pings("one", six)
        assert keeper.get("one", f"http://{address}/", 1).code != 0
        for way in ("10.2.0.1", keeper.address("both", "a")):
            keeper.inside("one", f"ip route del 10.2.0.0/24 2>/dev/null; ip route add {way} dev eth0 2>/dev/null; true")
            assert keeper.inside("one", f"ip route add 10.2.0.0/24 via {way}") == ""
            assert not keeper.pings("one", address), way
    assert not keeper.knows("one", "two") and not keeper.knows("two", "one")
    assert keeper.knows("one", "both") and keeper.knows("two", "both")


def test_an_internal_network(keeper: NetKeeper, client: Host) -> None:
    keeper.network("in", "--internal")
    keeper.serve("one", "--net", "in")
    keeper.box("two", "--net", "in", *keeper.engine.rights)
    keeper.serve("out", "-p", "8080:80")
    assert keeper.get("two", "http://one/").text == "one"
    assert not any(line.startswith("default") for line in routes(keeper, "two"))
    gateway, address = keeper.network_record("in")["subnets"][0][1], keeper.address("one", "in")
    keeper.inside("two", f"ip route add default via {gateway}")  # and it does not help
    for target in ("192.0.2.2", keeper.address("out")):
        assert not keeper.pings("two", target)
    assert keeper.get("two", "http://192.0.2.1:8080/", 1).code != 0
    client.run(["ip", "route", "add", "default", "via", "192.0.2.1"])
    assert cannot_fetch(client, f"http://{address}/")
    assert not keeper.pings("out", address)
    fails(keeper.raw("run", "--net", "in", "-p", "8081:80", "busybox", "true"), ENGINE_FAILED, "-p", "internal")
    keeper.serve("both", "--net", "in", "--net", "bridge", "-p", "8081:80")
    assert "default via 10.78.0.1 dev eth1" in routes(keeper, "both")
    assert fetch(client, "http://192.0.2.1:8081/").text == "both"
