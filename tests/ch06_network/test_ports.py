"""Published ports, the way out, and who may talk to whom: what a second machine sees of containers. Section 6.5."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from ch04_images import busybox
from ch06_network import nat
from tests.support.engines import ENGINE_FAILED, fails, state_root
from tests.support.hosts import Host, read_line
from tests.support.networks import NetKeeper, ask, cannot_fetch, fetch, join, join6
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel
HOST, CLIENT = "192.0.2.1", "192.0.2.2"
RAW_SYN = """
import socket, struct, sys
def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~((total & 0xffff) + (total >> 16)) & 0xffff
device, mac, source, target, port = sys.argv[1:]
source, target = socket.inet_aton(source), socket.inet_aton(target)
tcp = struct.pack("!HHIIBBHHH", 4242, int(port), 1, 0, 5 << 4, 2, 1000, 0, 0)
pseudo = source + target + struct.pack("!BBH", 0, 6, len(tcp))
tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0, source, target)
ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0x0800)
wire.bind((device, 0x0800))
answers = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
answers.bind((device, 0x0800))
answers.settimeout(1)
wire.sendto(ip + tcp, (device, 0x0800, 0, 0, bytes.fromhex(mac.replace(":", ""))))
try:
    while True:
        packet = answers.recv(2000)
        if packet[9] == 6 and packet[20:24] == struct.pack("!HH", int(port), 4242):
            print("answered", packet[33])
            break
except TimeoutError:
    print("silence")
"""
"""Writes a connection's first packet on the wire by hand, to any address at any machine; prints whether one answers."""


@pytest.mark.vm
def test_from_a_client(keeper: NetKeeper, client: Host) -> None:
    keeper.serve("web", "-p", "8080:80")
    assert fetch(client, f"http://{HOST}:8080/").text == "web"
    assert CLIENT in fetch(client, f"http://{HOST}:8080/cgi-bin/who").text  # as it is, not the host's
    assert keeper.raw("port", "web").text == "80/tcp -> 0.0.0.0:8080"
    keeper.raw("stop", "-t", "0", "web")
    assert cannot_fetch(client, f"http://{HOST}:8080/")
    assert keeper.raw("port", "web").text == ""
    assert keeper.raw("start", "web").code == 0
    eventually(
        lambda: fetch(client, f"http://{HOST}:8080/", 1).code == 0, "the page of the container that started again"
    )


def test_from_the_host_itself(keeper: NetKeeper, client: Host) -> None:
    keeper.serve("web", "-p", "8080:80")
    for address in ("127.0.0.1", "127.1.2.3", HOST, "10.77.0.1", "localhost"):
        assert fetch(keeper.engine.host, f"http://{address}:8080/").text == "web", address


def test_for_the_host_alone(keeper: NetKeeper, client: Host) -> None:
    """127.0.0.1 means this machine, whatever a neighbour writes on the wire."""
    keeper.serve("web", "-p", "127.0.0.1:8080:80")
    keeper.serve("public", "-p", "8081:80")
    assert fetch(keeper.engine.host, "http://127.0.0.1:8080/").text == "web"
    assert cannot_fetch(client, f"http://{HOST}:8080/")
    mac = json.loads(keeper.engine.host.run(["ip", "-j", "link", "show", "to2"]).text)[0]["address"]
    raw = [sys.executable, "-c", RAW_SYN, "eth0", mac, CLIENT]
    assert client.run([*raw, HOST, "8081"]).text == "answered 18"  # SYN and ACK: the packet is as it should be
    assert client.run([*raw, "127.0.0.1", "8081"]).text == "silence"
    assert client.run([*raw, "127.0.0.1", "8080"]).text == "silence"


def test_no_container_reaches_the_hosts_loopback(keeper: NetKeeper, client: Host) -> None:
    """CVE-2020-8558: route_localnet lets the host reach published ports by 127.0.0.1, and must not let others in."""
    keeper.serve("web", "-p", "127.0.0.1:8080:80")
    keeper.box("it")
    server = keeper.engine.host.spawn(["busybox", "httpd", "-f", "-p", "127.0.0.1:9090", "-h", "/"])
    eventually(lambda: fetch(keeper.engine.host, "http://127.0.0.1:9090/etc/hostname").code == 0, "the host's server")
    gateway = json.loads(keeper.engine.host.run(["ip", "-j", "link", "show", "type", "bridge"]).text)[0]["address"]
    raw = [sys.executable, "-c", RAW_SYN, "eth0", gateway, keeper.address("it")]
    for target, port, expected in (("10.77.0.1", 9090, 20), ("127.0.0.1", 9090, None), ("127.0.0.1", 8080, None)):
        attempt = keeper.in_its_network("it", [*raw, target, str(port)])
        answer = f"answered {expected}\n" if expected else "silence\n"  # RST and ACK: nothing listens at the gateway's
        assert read_line(attempt).decode() == answer, (target, port)
    server.kill()


def test_by_the_hosts_address_from_containers(keeper: NetKeeper, client: Host) -> None:
    """The container itself (hairpin), another in its network, and one in another network."""
    keeper.network("away")
    keeper.serve("web", "-p", "8080:80")
    keeper.box("near")
    keeper.box("far", "--net", "away")
    for container in ("web", "near", "far"):
        for address in (HOST, "10.77.0.1"):
            assert keeper.get(container, f"http://{address}:8080/").text == "web", (container, address)
    assert keeper.get("near", "http://web/").text == "web"
    assert keeper.get("far", f"http://{keeper.address('web')}/", 1).code != 0


def test_ranges_exposed_and_random_ports(keeper: NetKeeper, client: Host) -> None:
    keeper.serve("web", "-p", "8000-8002:79-81", "-p", "80", "-p", ":80", "-P", "--expose", "80", "--expose", "53/udp")
    lines = keeper.raw("port", "web").text.splitlines()
    assert lines[:3] == [f"{79 + number}/tcp -> 0.0.0.0:{8000 + number}" for number in range(3)]
    random = [int(line.rpartition(":")[2]) for line in lines[3:] if line.startswith("80/tcp")]
    assert len(set(random)) == 3 and [line.partition(" ")[0] for line in lines[3:]] == 3 * ["80/tcp"] + ["53/udp"]
    for port in (8001, *random):
        assert fetch(client, f"http://{HOST}:{port}/").text == "web"
    assert cannot_fetch(client, f"http://{HOST}:8000/")


def test_one_port_on_two_addresses(keeper: NetKeeper, client: Host, new_host: Callable[[], Host]) -> None:
    other = new_host()
    join(keeper.engine.host, other, number=3, subnet="198.51.100")
    keeper.serve("one", "-p", f"{HOST}:8080:80")
    keeper.serve("two", "-p", "198.51.100.1:8080:80")
    assert fetch(client, f"http://{HOST}:8080/").text == "one"
    assert fetch(other, "http://198.51.100.1:8080/").text == "two"
    assert fetch(keeper.engine.host, "http://198.51.100.1:8080/").text == "two"
    assert fetch(keeper.engine.host, "http://127.0.0.1:8080/").code != 0
    fails(keeper.raw("run", "-d", "-p", "203.0.113.7:80:80", "busybox", "true"), ENGINE_FAILED, "no such address")


def test_ports_that_are_taken(keeper: NetKeeper, client: Host) -> None:
    keeper.serve("web", "-p", "8080:80")
    server = keeper.engine.host.spawn(["busybox", "httpd", "-f", "-p", "127.0.0.1:9090", "-h", "/etc"])
    eventually(lambda: fetch(keeper.engine.host, "http://127.0.0.1:9090/hostname").code == 0, "the host's server")
    for detach in ([], ["-d"]):
        for port in ("8080", "9090", "127.0.0.1:8080"):
            words = ["run", *detach, "-p", "8070:80", "-p", f"{port}:80", "busybox", "true"]
            fails(keeper.raw(*words), ENGINE_FAILED, port[-4:], "in use")
    assert len(keeper.ids()) == 1 and len(keeper.network_record("bridge")["containers"]) == 1
    assert "8070" not in keeper.ruleset()
    assert keeper.raw("run", "--rm", "-p", "8080:80/udp", "busybox", "true").code == 0  # that is another port
    assert fetch(client, f"http://{HOST}:8080/").text == "web"
    taken = keeper.engine.host.run(["timeout", "5", "busybox", "nc", "-l", "-p", "8080"])
    assert b"in use" in taken.err  # nobody else can take what is published
    server.kill()


@pytest.mark.parametrize(
    "words",
    [
        "x:80",
        "80:x",
        "80:0",
        "65536:80",
        "80:65536",
        "8000-8001:80",
        "9-8:8-9",
        "80/sctp",
        "1.2.3:80:80",
        "",
        ":",
    ],
)
def test_what_is_no_port(keeper: NetKeeper, words: str) -> None:
    fails(keeper.raw("run", "-p", words, "busybox", "true"), ENGINE_FAILED, words.partition("/")[0])
    assert keeper.ids() == []


def test_udp(keeper: NetKeeper, client: Host) -> None:
    keeper.box("dns", "-p", "5353:53/udp")
    keeper.serve_udp("dns", 53)
    assert ask(client, HOST, 5353) == "dns hello"
    assert ask(keeper.engine.host, "127.0.0.1", 5353) == "dns hello"
    assert cannot_fetch(client, f"http://{HOST}:5353/")


def test_who_keeps_asking_is_led_anew(keeper: NetKeeper, client: Host) -> None:
    """The kernel remembers where packets between two UDP ports went; it must not when that has gone, or come."""
    assert ask(client, HOST, 5353, own_port=4242, seconds=0.3) == ""
    keeper.network("small", "--subnet", "10.1.0.0/29")
    keeper.box("first", "--net", "small", "-p", "5353:53/udp")
    keeper.serve_udp("first", 53)
    assert ask(client, HOST, 5353, own_port=4242) == "first hello"
    address = keeper.address("first", "small")
    keeper.remove(keeper.inspect("first")["id"])
    keeper.box("private", "--net", "small", "--ip", address)
    keeper.serve_udp("private", 53)
    assert ask(client, HOST, 5353, own_port=4242, seconds=0.5) == ""
    keeper.box("second", "--net", "small", "-p", "5353:53/udp")
    keeper.serve_udp("second", 53)
    assert ask(client, HOST, 5353, own_port=4242) == "second hello"


def test_what_is_not_published_cannot_be_reached(keeper: NetKeeper, client: Host) -> None:
    """Not even by who knows the way: the host passes on nothing but what it has translated."""
    keeper.serve("web", "-p", "8080:80")
    keeper.serve("hidden")
    client.run(["ip", "route", "add", "10.77.0.0/16", "via", HOST])
    assert client.run(["busybox", "ping", "-c1", "-W1", "10.77.0.1"]).code == 0  # the way is right
    for name in ("web", "hidden"):
        assert cannot_fetch(client, f"http://{keeper.address(name)}/")
        assert client.run(["busybox", "ping", "-c1", "-W1", keeper.address(name)]).code != 0
    assert fetch(client, f"http://{HOST}:8080/").text == "web"


def serve_at(client: Host) -> str:
    """A web server on the client that tells who asks; its URL."""
    script = client.root / "www/cgi-bin/who"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\necho; echo $REMOTE_ADDR\n")
    script.chmod(0o755)
    client.may_stay.add("www")
    client.spawn(["busybox", "httpd", "-f", "-p", "80", "-h", str(client.root / "www")])
    eventually(lambda: fetch(client, "http://127.0.0.1/cgi-bin/who").code == 0, "the client's server")
    return f"http://{CLIENT}/cgi-bin/who"


def test_the_way_out(keeper: NetKeeper, client: Host) -> None:
    """Others see the host's address: masquerade."""
    url = serve_at(client)
    keeper.box("it")
    keeper.network("away")
    keeper.box("far", "--net", "away")
    for name in ("it", "far"):
        assert HOST in keeper.get(name, url).text
        assert keeper.pings(name, CLIENT)


# ---------------------------------------------------------------- IPv6


def test_both_versions(keeper: NetKeeper, client: Host) -> None:
    host6, client6 = join6(keeper.engine.host, client)
    keeper.network("both", "--subnet", "10.5.0.0/24", "--subnet", "fd00:5::/64")
    keeper.serve("web", "--net", "both", "-p", "[::]:8080:80", "-p", "8080:80")
    keeper.box("it", "--net", "both")
    six = keeper.address("web", "both", 1)
    assert (keeper.address("web", "both"), six) == ("10.5.0.2", "fd00:5::2")
    assert keeper.pings("it", six, "-6") and keeper.pings("it", "web", "-6") and keeper.pings("it", "web", "-4")
    assert keeper.get("it", f"http://[{six}]/").text == "web"
    assert fetch(client, f"http://{HOST}:8080/").text == "web"
    assert fetch(client, f"http://[{host6}]:8080/").text == "web"
    assert client6 in fetch(client, f"http://[{host6}]:8080/cgi-bin/who").text
    assert "[::]:8080" in keeper.raw("port", "web").text
    assert keeper.pings("it", client6, "-6")  # masqueraded
    client.run(["ip", "route", "add", "fd00:5::/64", "via", host6])
    assert client.run(["busybox", "ping", "-6", "-c1", "-W1", six]).code != 0


def test_version_6_alone(keeper: NetKeeper, client: Host) -> None:
    host6, client6 = join6(keeper.engine.host, client)
    keeper.network("six", "--subnet", "fd00:5::/64")
    keeper.serve("web", "--net", "six", "-p", f"[{host6}]:8080:80")
    keeper.box("it", "--net", "six")
    assert keeper.inside("it", "ip -4 -o addr show eth0") == ""
    assert "default via fd00:5::1 dev eth0" in keeper.inside("it", "ip -6 route")
    assert keeper.pings("it", "web", "-6") and keeper.pings("it", "fd00:5::1", "-6") and keeper.pings("it", client6)
    assert fetch(client, f"http://[{host6}]:8080/").text == "web"
    fails(keeper.raw("run", "-p", "80:80", "--net", "six", "busybox", "true"), ENGINE_FAILED, "-p 0.0.0.0:80", "IPv4")
    assert len(keeper.network_record("six")["containers"]) == 2


# ---------------------------------------------------------------- others who filter packets


FOREIGN = """
table ip filter {
    chain FORWARD { type filter hook forward priority 0; policy drop; }
}
table inet theirs {
    chain guard { type filter hook forward priority 10; policy drop; ip saddr 203.0.113.9 counter packets 0 bytes 0; }
    chain input { type filter hook input priority 0; policy accept; tcp dport 9999 drop; }
}
"""


def table_of(keeper: NetKeeper) -> str:
    """The name of the engine's own table, that of its state directory."""
    with state_root(keeper.root):
        return nat.name_of_table()


def works(keeper: NetKeeper, client: Host) -> None:
    """A port is published, and there is a way out."""
    keeper.serve("web", "-p", "8080:80")
    assert fetch(client, f"http://{HOST}:8080/").text == "web"
    assert keeper.pings("web", CLIENT)


def test_others_who_drop_what_is_forwarded(keeper: NetKeeper, client: Host) -> None:
    keeper.nft(FOREIGN)
    before = keeper.ruleset()
    works(keeper, client)
    keeper.raw("run", "--rm", "-p", "8081:80", "busybox", "true")
    assert keeper.ruleset().count(f'comment "{table_of(keeper)}"') == 4
    keeper.remove_all()
    keeper.nft("chain inet theirs guard { policy accept; }")  # they change their mind: our rules go all the same
    keeper.prune()
    assert keeper.ruleset() == before.replace(
        "priority filter + 10; policy drop", "priority filter + 10; policy accept"
    )
    keeper.nft("flush ruleset")


def test_a_firewall_made_by_iptables(keeper: NetKeeper, client: Host) -> None:
    host = keeper.engine.host
    if host.run(["sh", "-c", "command -v iptables-nft"]).code:
        pytest.skip("no iptables-nft")
    assert host.run(["iptables-nft", "-P", "FORWARD", "DROP"]).code == 0
    assert host.run(["iptables-nft", "-A", "FORWARD", "-s", "203.0.113.9", "-j", "DROP"]).code == 0
    before = host.run(["iptables-nft", "-S"]).text
    works(keeper, client)
    shown = host.run(["iptables-nft", "-S"])
    assert shown.code == 0 and "-i md-+" in shown.text and shown.err == b""
    assert host.run(["iptables-nft", "-A", "FORWARD", "-s", "203.0.113.8", "-j", "DROP"]).code == 0
    assert fetch(client, f"http://{HOST}:8080/").text == "web"
    host.run(["iptables-nft", "-D", "FORWARD", "-s", "203.0.113.8", "-j", "DROP"])
    keeper.remove_all()
    keeper.prune()
    assert host.run(["iptables-nft", "-S"]).text == before
    keeper.nft("flush ruleset")


def test_somebody_flushes_everything(keeper: NetKeeper, client: Host) -> None:
    works(keeper, client)
    keeper.nft("flush ruleset")
    assert cannot_fetch(client, f"http://{HOST}:8080/")
    keeper.nft(FOREIGN)
    assert keeper.raw("run", "--rm", "-p", "8081:80", "busybox", "true").code == 0
    assert fetch(client, f"http://{HOST}:8080/").text == "web"
    assert keeper.pings("web", CLIENT)
    keeper.remove_all()
    keeper.prune()
    assert 'comment "mydocker' not in keeper.ruleset()
    keeper.nft("flush ruleset")


def test_tables_of_others_are_left_alone(keeper: NetKeeper) -> None:
    keeper.nft(FOREIGN.replace("policy drop", "policy accept"))
    before = keeper.ruleset()
    keeper.serve("web", "-p", "8080:80")
    ours = keeper.engine.host.run(["nft", "list", "table", "inet", table_of(keeper)]).text
    assert keeper.ruleset().replace(ours, "").split() == before.split()
    keeper.remove_all()
    keeper.prune()
    assert keeper.ruleset() == before
    keeper.nft("flush ruleset")


# ---------------------------------------------------------------- several state directories on one host


def elsewhere(keeper: NetKeeper, root: Path) -> NetKeeper:
    """The same engine on the same host, with another state directory."""
    other = NetKeeper(keeper.engine)
    other.root, other.raw = root, partial(keeper.engine.raw, env={"MYDOCKER_ROOT": str(root)})
    with state_root(root):
        busybox.make_image()
    return other


def test_state_directories_keep_out_of_each_others_way(keeper: NetKeeper, client: Host, tmp_path: Path) -> None:
    """Each has its own networks and rules. What one does, and its end, changes nothing for the others."""
    keeper.nft(FOREIGN)
    before = keeper.ruleset()
    one, two = (elsewhere(keeper, tmp_path / name) for name in ("one", "two"))
    for state, name, port in ((keeper, "web", 8080), (one, "first", 8081), (two, "second", 8082)):
        state.serve(name, "-p", f"{port}:80")
    assert [fetch(client, f"http://{HOST}:{port}/").text for port in (8080, 8081, 8082)] == ["web", "first", "second"]
    assert one.get("first", f"http://{HOST}:8082/").text == "second"
    assert one.get("first", f"http://{two.inside('second', 'hostname -i')}/", 1).code != 0
    one.network("broken")
    (one.root / "networks/broken/network.json").write_text("{")
    assert one.raw("network", "rm", "broken").code == 0
    assert two.pings("second", HOST)
    one.raw("rm", "-f", "first")
    one.prune()
    keeper.remove_all()
    keeper.prune()
    assert fetch(client, f"http://{HOST}:8082/").text == "second"
    assert two.pings("second", CLIENT)
    assert cannot_fetch(client, f"http://{HOST}:8081/")
    two.raw("rm", "-f", "second")
    two.prune()
    assert keeper.ruleset() == before
    keeper.nft("flush ruleset")
