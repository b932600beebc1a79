"""Networks across hosts: both drivers, names, and all that can go wrong with hosts, cables and etcd. Section 6.6."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path

import pytest

from tests.ch06_network.across import (
    BOUND,
    HOSTS,
    LIES,
    NETWORK,
    OUTSIDE,
    OVERHEAD,
    RECORD,
    SPAN,
    Etcd,
    Lan,
    Site,
)
from tests.support import leaks
from tests.support.engines import ENGINE_FAILED, Engine, fails
from tests.support.hosts import PATH, Host, finish
from tests.support.networks import SERVES, fetch
from tests.support.polling import eventually

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("etcd", path=PATH), reason="no etcd here: `make setup` installs Debian's"),
]


@pytest.fixture
def lan(engine: Engine, new_host: Callable[[], Host], tmp_path: Path) -> Iterator[Lan]:
    """Hosts on a switch. After the test, they can remove all that they have, and take it out of etcd."""
    lan = Lan(engine, new_host, tmp_path)
    yield lan
    lan.clear()
    assert lan.etcd.keys() == {}


both = pytest.mark.parametrize("driver", ["vxlan", "host-routes"])


# ---------------------------------------------------------------- what it is for


@both
def test_three_hosts(lan: Lan, driver: str) -> None:
    """Containers reach each other by name, whatever host they are on; names come and go."""
    sites = lan.network(driver, 3)
    assert len({site.part() for site in sites}) == 3
    assert all(site.part().startswith("10.44.") and site.part().endswith("/24") for site in sites)
    names = ["one", "two", "three"]
    for site, name in zip(sites, names, strict=True):
        site.on(name)
    for (site, name), (_, other) in permutations(zip(sites, names, strict=True), 2):
        site.reaches(name, other)
    for site in sites:
        assert site.leads_to(*(other for other in sites if other is not site))
    one, two, three = sites
    two.raw("rename", "two", "zwei")
    eventually(lambda: one.knows("one", "zwei") and not one.knows("one", "two"), "the other name")
    two.raw("run", "--rm", "--net", NETWORK, "--net-alias", "fleeting", "busybox", "true")
    three.remove("three")
    eventually(lambda: not any(site.knows(name, "three") for site, name in ((one, "one"), (two, "zwei"))), "its end")
    assert not one.knows("one", "fleeting")


@both
def test_full_size_packets(lan: Lan, driver: str) -> None:
    """What is added to each packet is left free: none is cut in pieces on the way."""
    one, two = lan.network(driver, 2)
    mtu = 1500 - OVERHEAD[driver]
    assert one.network_record(NETWORK)["mtu"] == two.network_record(NETWORK)["mtu"] == mtu
    one.serve("web", "--net", NETWORK)
    two.on("two")
    two.reaches("two", "web")
    one.inside("web", "head -c 5000000 /dev/zero > /www/big")
    before = pieces(one), pieces(two)
    assert two.inside("two", "wget -qO- http://web/big | wc -c") == "5000000"
    assert two.pings("two", "web", "-s", str(mtu - 28))
    assert (pieces(one), pieces(two)) == before
    if driver == "vxlan":
        (link,) = one.listed("ip", "-d", "link", "show", "dev", one.tunnel())
        assert not link["linkinfo"]["info_data"]["learning"]


def pieces(site: Site) -> str:
    """How often the host has had to cut a packet: proc(5), /proc/net/snmp."""
    names, values = (line.split() for line in site.host.run(["cat", "/proc/net/snmp"]).text.splitlines()[:2])
    return dict(zip(names, values, strict=True))["FragCreates"]


@both
def test_ways_in_and_out(lan: Lan, driver: str) -> None:
    """Ports are published, the world outside sees the host's address, containers see each other's."""
    one, two = lan.network(driver, 2)
    one.serve("web", "--net", NETWORK, "-p", "8080:80")
    two.on("two")
    assert fetch(lan.switch, f"http://{one.underlay}:8080/").text == "web"
    two.reaches("two", "web")
    assert two.get("two", f"http://{one.underlay}:8080/").text == "web"
    assert seen_by("http://web", two) == two.address("two", NETWORK)
    serve_outside(lan)
    assert seen_by(f"http://{OUTSIDE}", two) == two.underlay


def seen_by(server: str, site: Site) -> str:
    """Which address a server takes the container `two` to have."""
    return site.get("two", f"{server}/cgi-bin/who").text.strip("[]").removeprefix("::ffff:")


def serve_outside(lan: Lan) -> None:
    """A web server on the switch."""
    lan.switch.spawn(["busybox", "sh", "-c", SERVES.replace("/www", str(lan.switch.root)), "outside"])
    lan.switch.may_stay |= {"cgi-bin", "index.html"}
    eventually(lambda: fetch(lan.switch, f"http://{OUTSIDE}/").code == 0, "the server")


@both
def test_other_networks_stay_out(lan: Lan, driver: str) -> None:
    """A container of another network reaches none of this one, here or there, nor the other way."""
    one, two = lan.network(driver, 2)
    one.network("local")
    one.box("stranger", "--net", "local")
    one.on("one")
    two.on("two")
    one.reaches("one", "two")
    stranger = one.address("stranger", "local")
    assert not one.pings("stranger", two.address("two", NETWORK))
    assert not two.pings("two", stranger)
    assert one.raw("network", "create", "--subnet", "10.44.200.0/24", "inside").code == ENGINE_FAILED


# ---------------------------------------------------------------- etcd


@both
def test_life_without_etcd(lan: Lan, driver: str) -> None:
    """What runs goes on, and containers can join; when etcd is back, the others hear of them."""
    one, two = lan.network(driver, 2)
    one.on("one")
    two.on("two")
    one.reaches("one", "two")
    lan.etcd.kill()
    assert one.pings("one", "two")
    one.on("late")
    two.on("later")
    assert one.pings("late", "one")
    assert one.pings("late", "two")
    assert not two.knows("two", "late")
    lan.etcd.start()
    two.reaches("two", "late")
    one.reaches("late", "later")


def test_etcd_has_forgotten_all(lan: Lan) -> None:
    """The hosts tell it again what they are, and others can join."""
    one, two = lan.network("vxlan", 2)
    one.on("one")
    two.on("two")
    before = {one.part(), two.part()}
    lan.etcd.wipe()
    eventually(lambda: len(lan.etcd.keys(HOSTS)) == 2, "their claims")
    three = lan.site()
    assert three.create("vxlan").code == 0
    assert three.part() not in before
    three.on("three")
    one.reaches("one", "three")
    three.reaches("three", "two")


@pytest.mark.parametrize("answers", range(7))
def test_etcd_ends_while_a_network_is_made(lan: Lan, answers: int) -> None:
    """At each question that it is asked: one clear line, and nothing is left; so it can be made later."""
    site = lan.site()
    lan.etcd.lie(str(answers))
    result = site.create("vxlan", "--subnet", SPAN, url=Etcd.liar)
    if result.code:
        fails(result, ENGINE_FAILED, "etcd")
        assert site.is_clean()
        assert site.create("vxlan", "--subnet", SPAN).code == 0
    else:
        lan.etcd.lie("honest")


# ---------------------------------------------------------------- hosts that go and come


@both
def test_host_loses_its_power(lan: Lan, driver: str) -> None:
    """It comes back with the part that it had, and its containers can be reached again."""
    one, two = lan.network(driver, 2)
    one.on("one")
    two.on("two")
    part = two.part()
    lan.lose_power(two)
    assert one.pings("one", one.address("one", NETWORK))
    lan.boot(two)
    assert two.raw("start", "two").code == 0
    assert two.part() == part
    one.reaches("one", "two")
    two.reaches("two", "one")
    assert one.leads_to(two)
    assert two.leads_to(one)


def test_host_that_has_forgotten_all(lan: Lan) -> None:
    """It is another host: it gets another part, and the address of nobody."""
    one, two = lan.network("vxlan", 2)
    one.on("one")
    two.on("two")
    part, address = two.part(), two.address("two", NETWORK)
    lan.lose_power(two)
    for name in ("host-id", "networks", "containers", "names"):
        subprocess.run(["rm", "-rf", two.root / name], check=True)
    lan.boot(two)
    assert two.create("vxlan").code == 0
    assert two.part() != part
    two.on("two")
    assert two.address("two", NETWORK) not in (address, one.address("one", NETWORK))
    eventually(lambda: one.pings("one", two.address("two", NETWORK)), "the way")
    lan.etcd.delete(f"{HOSTS}{part.replace('/', '-')}")  # as when its lease has run out


@both
def test_partitions(lan: Lan, driver: str) -> None:
    """From etcd alone, and from all others: what happened meanwhile is made up for."""
    one, two = lan.network(driver, 2)
    one.on("one")
    two.on("two")
    one.reaches("one", "two")
    two.cut_off_from_etcd()
    one.on("late")
    two.on("later")
    assert one.pings("late", "two")
    two.heal()
    two.reaches("two", "late")
    one.reaches("one", "later")
    two.cut_off()
    one.remove("late")
    two.remove("later")
    one.on("latest")
    two.heal()
    two.reaches("two", "latest")
    eventually(lambda: not two.knows("two", "late") and not one.knows("one", "later"), "their end")
    assert one.leads_to(two)
    assert two.leads_to(one)


def test_a_claim_runs_out(lan: Lan) -> None:
    """Cut off for longer than its lease, a host hands out nothing more; what runs goes on. Nobody gets its part."""
    one, two = lan.network("vxlan", 2, "--opt", "lease=6")
    one.on("one")
    two.on("two")
    one.reaches("one", "two")
    parts = [one.part(), two.part()]
    two.cut_off_from_etcd()
    eventually(lambda: two.refusal().code == ENGINE_FAILED, "the end of its claim")
    fails(two.refusal(), ENGINE_FAILED, "claim", "run out")
    eventually(lambda: len(lan.etcd.keys(HOSTS)) == 1, "the end of its lease")
    assert two.pings("two", "two")
    three = lan.site()
    assert three.create("vxlan").code == 0
    assert three.part() not in parts
    two.heal()
    eventually(lambda: two.refusal().code == 0, "its claim again")
    assert two.part() == parts[1]
    two.on("new")
    three.on("three")
    three.reaches("three", "new")
    assert two.leads_to(one, three)


def test_no_address_twice(lan: Lan) -> None:
    """Containers are started on all hosts at once while etcd comes and goes: each has an address of its own."""
    sites = lan.network("vxlan", 3)
    started = []
    for number in range(5):
        for site in sites:
            words = ("run", "-d", "--net", NETWORK, "--name", f"c{number}", "busybox", "sleep", "1000")
            started.append(site.host.spawn(site.engine.command_line(*words)))
        if number == 1:
            lan.etcd.kill()
        if number == 3:
            lan.etcd.start()
    for process in started:
        result = finish(process)
        assert result.code == 0, result
    addresses = [address for site in sites for address in site.addresses()]
    assert len(addresses) == len(set(addresses)) == 15
    for site in sites:
        eventually(lambda site=site: len(elsewhere(site)) == 10, "the names of the others")  # type: ignore[misc]
        assert {address for address, _ in elsewhere(site)} == set(addresses) - set(site.addresses())


def elsewhere(site: Site) -> list[tuple[str, list[str]]]:
    return [(entry["address"], entry["names"]) for entry in site.network_record(NETWORK)["elsewhere"]]


# ---------------------------------------------------------------- claims

MANY_CLAIMS = """
import json, multiprocessing, sys
from ch06_network.claim import Claims, Peer
from ch06_network.etcd import Etcd
from ch06_network.subnets import parse_address, parse_subnet

def claim(number):
    claims = Claims(Etcd([sys.argv[1]]), "many")
    us = Peer(f"host{number}", span, parse_address("192.0.2.1"), [])
    try:
        return str(claims.claim(us, span, int(sys.argv[3]), claims.etcd.grant(60)))
    except Exception as error:
        return str(error)

span = parse_subnet(sys.argv[2])
Etcd([sys.argv[1]]).put("/mydocker/networks/many/record", "{}")
with multiprocessing.get_context("fork").Pool(20) as pool:
    print(json.dumps(pool.map(claim, range(20), 1)))
"""


@pytest.mark.parametrize(("span", "length", "count"), [(SPAN, 24, 20), ("10.44.0.0/24", 28, 16)])
def test_twenty_claims_at_once(lan: Lan, span: str, length: int, count: int) -> None:
    """Each gets a part of its own; when there are no more, it is told so."""
    claimed = json.loads(lan.switch.python(MANY_CLAIMS, Etcd.url, span, str(length)).text)
    parts = [text for text in claimed if text.endswith(f"/{length}")]
    assert len(parts) == len(set(parts)) == count
    for error in set(claimed) - set(parts):
        assert error == f"network many: other hosts have all /{length} of {span} (a larger --subnet)"
    lan.etcd.delete(*lan.etcd.keys("/mydocker/networks/many/"))


# ---------------------------------------------------------------- agents


def test_agent_is_killed(lan: Lan) -> None:
    """The next `run` starts another, and only one; it repairs what is wrong meanwhile."""
    one, two = lan.network("vxlan", 2)
    one.on("one")
    two.on("two")
    one.reaches("one", "two")
    one.kill_agent()
    assert one.pings("one", "two")
    device, (subnet, _), (mac, host) = one.tunnel(), *one.routes(), *one.forwarding()
    assert one.host.run(["ip", "route", "del", subnet]).code == 0
    assert one.host.run(["bridge", "fdb", "del", mac, "dev", device, "dst", host]).code == 0
    assert one.host.run(["bridge", "fdb", "add", "02:42:0a:2c:09:09", "dev", device, "dst", "192.0.2.9"]).code == 0
    assert one.host.run(["ip", "route", "add", "10.44.99.0/24", "via", subnet[:-3], "dev", device, "onlink"]).code == 0
    assert not one.pings("one", "two")
    words = one.engine.command_line("run", "--rm", "--net", NETWORK, "busybox", "ping", "-c1", "two")
    for started in [one.host.spawn(words) for _ in range(4)]:
        result = finish(started)
        assert result.code == 0, result
    assert one.agent()
    assert one.leads_to(two)
    assert one.host.run(["ip", "link", "del", device]).code == 0
    assert one.refusal().code == 0
    eventually(lambda: one.leads_to(two), "a way again")
    assert one.pings("one", "two")


def test_what_the_agent_knows_is_lost(lan: Lan) -> None:
    """After a boot, nobody knows how long the host was off: so only etcd can tell that its claim holds."""
    (one,) = lan.network("vxlan", 1)
    lease = one.root / "networks" / NETWORK / "lease.json"
    for text in (json.dumps(json.loads(lease.read_text()) | {"boot": "another"}), "damaged"):
        one.kill_agent()
        lan.etcd.kill()
        lease.write_text(text)
        fails(one.refusal(), ENGINE_FAILED, "claim", "run out")
        lan.etcd.start()
        eventually(lambda: one.refusal().code == 0, "its claim")


@both
def test_network_is_removed(lan: Lan, driver: str) -> None:
    """Nothing is left of it on the host; the others hear of it; the last one takes what all had agreed on along."""
    one, two = lan.network(driver, 2)
    two.on("two")
    fails(two.raw("network", "rm", NETWORK), ENGINE_FAILED, "two")
    one.raw("network", "rm", NETWORK)
    assert one.is_clean()
    eventually(lambda: two.leads_to(), "the end of the way")
    assert len(lan.etcd.keys(HOSTS)) == 1
    two.remove("two")
    two.raw("network", "rm", NETWORK)
    assert two.is_clean()
    assert lan.etcd.keys() == {}


@both
def test_network_is_removed_without_etcd(lan: Lan, driver: str) -> None:
    """The claim stays until the lease ends; whoever comes back before has it again."""
    one, two = lan.network(driver, 2)
    part = two.part()
    lan.etcd.kill()
    assert two.raw("network", "rm", NETWORK, timeout=BOUND).code == 0
    assert two.is_clean()
    lan.etcd.start()
    assert two.create(driver).code == 0
    assert two.part() == part
    assert one.leads_to(two)


def test_network_is_made_by_many(lan: Lan) -> None:
    """One of the commands that run at once makes it; and it keeps its claim."""
    site = lan.site()
    words = site.engine.command_line(
        *("network", "create", "-d", "vxlan", "--etcd", Etcd.url, "--subnet", SPAN, NETWORK)
    )
    results = [finish(started) for started in [site.host.spawn(words) for _ in range(4)]]
    assert sorted(result.code for result in results) == [0, *[ENGINE_FAILED] * 3]
    assert list(lan.etcd.keys(HOSTS)) == [HOSTS + site.part().replace("/", "-")]
    assert site.agent()


# ---------------------------------------------------------------- what is in etcd may be anything

GOOD = {"host": "good", "address": "192.0.2.50", "names": [["10.44.50.2", ["good"]]]}
BAD: list[tuple[str, str | dict[str, object]]] = [
    ("10.44.51.0-24", "no JSON"),
    ("10.44.52.0-24", "[" * 100000),
    ("10.44.53.0-24", "[1]"),
    ("10.44.54.0-24", "{}"),
    ("10.45.0.0-24", {}),
    ("10.44.55.0-25", {}),
    ("10.44.0.0-16", {}),
    ("nonsense", {}),
    ("10.44.56.0-24", {"address": "10.44.0.2"}),
    ("10.44.57.0-24", {"address": "127.0.0.1"}),
    ("10.44.58.0-24", {"address": "0.0.0.0"}),
    ("10.44.59.0-24", {"address": "224.0.0.1"}),
    ("10.44.60.0-24", {"address": "255.255.255.255"}),
    ("10.44.61.0-24", {"address": "fe80::1"}),
    ("10.44.62.0-24", {"address": 5}),
    ("10.44.63.0-24", {"names": [["10.44.63.2", ["evil\n127.0.0.1"]]]}),
    ("10.44.64.0-24", {"names": [["10.44.64.2", ["evil two"]]]}),
    ("10.44.65.0-24", {"names": [["10.44.65.2", [""]]]}),
    ("10.44.66.0-24", {"names": [["10.44.66.2", []]]}),
    ("10.44.67.0-24", {"names": [["10.44.1.2", ["evil"]]]}),
    ("10.44.68.0-24", {"names": [["10.44.68.2\n10.44.68.3", ["evil"]]]}),
    ("10.44.69.0-24", {"names": {"evil": 1}}),
    ("10.44.70.0-24", {"names": [["10.44.70.2", ["evil" * 100]]]}),
]


@both
def test_nonsense_from_other_hosts(lan: Lan, driver: str) -> None:
    """It is ignored, and what makes sense is not: no route, no name comes of it."""
    (one,) = lan.network(driver, 1)
    one.on("one")
    bad = {key: json.dumps(GOOD | {"names": []} | value) if isinstance(value, dict) else value for key, value in BAD}
    many = [[f"10.44.71.{number % 256}", [f"name{number}"]] for number in range(20000)]
    good = {
        "10.44.71.0-24": GOOD | {"mac": "mac\n", "names": many},
        "10.44.50.0-24": GOOD | {"mac": "00:00:00:00:00:00"},
    }
    told = bad | {key: json.dumps(value) for key, value in good.items()}
    lan.etcd.put({HOSTS + key: value for key, value in told.items()})
    eventually(lambda: one.knows("one", "good"), "the one that makes sense")
    assert {subnet for subnet, _ in one.routes()} == {"10.44.50.0/24", "10.44.71.0/24"}
    assert "evil" not in one.inside("one", "cat /etc/hosts")
    assert one.knows("one", "name19999")
    lan.etcd.delete(*(HOSTS + key for key in told))
    eventually(lambda: not one.routes(), "their end")


def test_one_unreachable_host_harms_no_other(lan: Lan) -> None:
    """With plain routes, a host must be on the link; one that is not has no way, the others have."""
    one, two = lan.network("host-routes", 2)
    lan.etcd.put({f"{HOSTS}10.44.9.0-24": json.dumps(GOOD | {"address": "203.0.113.1", "names": []})})
    two.on("two")
    one.on("one")
    one.reaches("one", "two")
    lan.etcd.delete(f"{HOSTS}10.44.9.0-24")


def test_another_host_has_our_part(lan: Lan) -> None:
    """This one hands out nothing more, until the other goes."""
    (one,) = lan.network("vxlan", 1)
    one.on("one")
    ours = HOSTS + one.part().replace("/", "-")
    lan.etcd.put({ours: json.dumps(GOOD | {"names": []})})
    eventually(lambda: one.refusal().code == ENGINE_FAILED, "the refusal")
    fails(one.refusal(), ENGINE_FAILED, "claim")
    assert one.routes() == set()
    lan.etcd.delete(ours)
    eventually(lambda: one.refusal().code == 0, "its claim again")


AGREED = {"span": SPAN, "driver": "vxlan", "prefix": 24, "lease": 60, "mtu": 1450, "vni": 5, "port": 4789}
DAMAGED = [
    "no JSON",
    "[]",
    "{" * 100000,
    json.dumps({name: value for name, value in AGREED.items() if name != "vni"}),
    *(json.dumps(AGREED | change) for change in ({"vni": 1 << 24}, {"port": "x"}, {"mtu": 5}, {"mtu": True})),
    *(json.dumps(AGREED | change) for change in ({"lease": -1}, {"prefix": 8}, {"prefix": 31}, {"span": "fd00::/16"})),
    *(json.dumps(AGREED | change) for change in ({"span": "192.0.2.0/24"}, {"span": 7}, {"driver": None})),
]


def test_damaged_record(lan: Lan) -> None:
    """What the hosts have agreed on makes no sense: one line, and nothing is left here, or changed there."""
    site = lan.site()
    for text in DAMAGED:
        lan.etcd.put({RECORD: text})
        fails(site.create("vxlan"), ENGINE_FAILED)
        assert site.is_clean()
    assert lan.etcd.keys() == {RECORD: DAMAGED[-1]}
    lan.etcd.delete(RECORD)


def test_other_wishes(lan: Lan) -> None:
    """A host that wants something else than the others is told what they have; and what cannot be is refused."""
    lan.network("vxlan", 1)
    site = lan.site()
    for flags, words in [
        (["--subnet", "10.45.0.0/16"], ["span", SPAN]),
        (["--opt", "prefix=25"], ["prefix", "24"]),
        (["--opt", "lease=5"], ["lease", "86400"]),
        (["--opt", "vni=5"], ["vni"]),
        (["--opt", "port=5"], ["port", "4789"]),
        (["--opt", "vni=0"], ["vni=0"]),
        (["--opt", "lease=1"], ["lease=1", "shortest"]),
        (["--opt", "prefix=x"], ["prefix=x"]),
        (["--opt", "colour=red"], ["colour"]),
        (["--underlay", "192.0.2.77"], ["192.0.2.77", "no such address"]),
        (["--underlay", "::1"], ["::1", "IPv4"]),
        (["--subnet", "fd00::/48"], ["IPv4"]),
    ]:
        fails(site.create("vxlan", *flags), ENGINE_FAILED, *words)
    fails(site.create("host-routes"), ENGINE_FAILED, "driver", "vxlan")
    fails(site.create("vxlan", name="another"), ENGINE_FAILED, "no host has made it", "--subnet")
    fails(site.create("vxlan", "--subnet", "192.0.0.0/16", name="another"), ENGINE_FAILED, site.underlay)
    for url in ("192.0.2.200", "http://", "http://x:99999", "ftp://x", "http://[::1"):
        fails(site.create("vxlan", url=url), ENGINE_FAILED, "--etcd")
    assert site.is_clean()
    assert list(lan.etcd.keys("/mydocker/networks/another")) == []


def test_two_networks_with_one_number(lan: Lan) -> None:
    """A host cannot tell their packets apart; so the second is refused, and nothing of it is left."""
    (one,) = lan.network("vxlan", 1, "--opt", "vni=7")
    result = one.create("vxlan", "--subnet", "10.45.0.0/16", "--opt", "vni=7", name="second")
    fails(result, ENGINE_FAILED, "vni")
    assert [line.split()[1] for line in one.raw("network", "ls").text.splitlines()[1:]] == [NETWORK]
    assert list(lan.etcd.keys("/mydocker/networks/second")) == []


def test_etcd_lies(lan: Lan) -> None:
    """Whatever answers at the URL: one line before long, and nothing is left."""
    site = lan.site()
    for lie in LIES:
        lan.etcd.lie(lie)
        begin = time.monotonic()
        fails(site.create("vxlan", "--subnet", SPAN, url=Etcd.liar), ENGINE_FAILED, "etcd")
        assert time.monotonic() - begin < BOUND
        assert site.is_clean()


def test_etcd_begins_to_lie(lan: Lan) -> None:
    """Hosts take no notice: containers come and go, and the network can be removed."""
    lan.etcd.lie("honest")
    one, two = lan.network("vxlan", 2, url=Etcd.liar)
    one.on("one")
    two.on("two")
    one.reaches("one", "two")
    for lie in ("html", "wrong"):
        lan.etcd.lie(lie)
        one.kill_agent()
        one.raw("rm", "-f", one.on("another"))
        assert one.pings("one", "two")
        assert one.leads_to(two)
    lan.etcd.lie("drips")
    one.remove("one")
    assert one.refusal().code == 0
    assert one.raw("network", "rm", NETWORK, timeout=2 * BOUND).code == 0
    assert one.is_clean()
    lan.etcd.lie("honest")
    assert one.create("vxlan", url=Etcd.liar).code == 0


# ---------------------------------------------------------------- killed


STRIDE, MOST_STEPS = 53, 1000


@pytest.mark.parametrize("command", ["create", "rm"])
def test_killed_at_each_step(lan: Lan, command: str) -> None:
    """The next command understands what is left of `network create` and `network rm`."""
    site = lan.site()
    create = ("network", "create", "--driver", "vxlan", "--etcd", Etcd.url, "--subnet", SPAN, NETWORK)
    remove = ("network", "rm", NETWORK)
    for step in range(1, MOST_STEPS, STRIDE):
        if command == "rm":
            assert site.raw(*create).code == 0
        was_killed = site.engine.kill_at(step, *(create if command == "create" else remove))
        leaks.reap_orphans()
        if site.raw("network", "ls", "-q").text == "":
            assert site.raw(*create).code == 0
        assert site.refusal().code == 0
        assert site.raw(*remove).code == 0
        assert site.is_clean()
        assert lan.etcd.keys() == {}
        if not was_killed:
            return
    raise AssertionError(f"more than {MOST_STEPS} steps")
