"""What packets have to pass: throughput and round trips between containers, through a published port, across hosts.

Ours beside the same thing wired by hand with `ip` and `nft`. The kernel carries all of it; what may differ is the rules
that a packet passes, and how packets come from one host to the other.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from ch03_run.launcher import write_launcher
from ch04_images import busybox
from tests.bench.wiring import add_bridge, inside, missing, plug_by_hand, quietly, report
from tests.support.hosts import Host, read_line
from tests.support.networks import join
from tests.support.polling import eventually

ROUNDS, SECONDS, ROUND_TRIPS = 3, 3, 5000
WAYS = LAN, PUBLISHED, FAR = "container to container", "host to published port", "VXLAN to another host"
TUNNELLED = 1450  # bytes: what is left of 1500
IPERF, PING_PONG = "5201", "5202"
SERVER = """
import socket, sys
with socket.create_server(("", int(sys.argv[1]))) as listening:
    print("ready", flush=True)
    while True:
        connection, _ = listening.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := connection.recv(100):
            connection.send(data)
"""
CLIENT = """
import socket, statistics, sys, time
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as connection:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    taken = []
    for _ in range(int(sys.argv[3])):
        start = time.perf_counter()
        connection.send(b"ping")
        connection.recv(100)
        taken.append(time.perf_counter() - start)
    print(statistics.median(taken))
"""
PYTHON = [sys.executable, "-IS", "-c"]
DNAT = f"""
table ip byhand {{
    chain output {{
        type nat hook output priority -100; policy accept;
        ip daddr 192.0.2.1 tcp dport {{ {IPERF}, {PING_PONG} }} dnat to 10.91.0.3
    }}
}}
"""


class Way(NamedTuple):
    """client, server: network namespaces, as paths; address: where the one finds the other."""

    name: str
    wired: str
    client: str
    server: str
    address: str


def main() -> None:
    if missing("iperf3"):
        return
    with contextlib.ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mydocker-bench-")))
        hosts = [stack.enter_context(contextlib.closing(Host(top / name))) for name in ("one", "two", "three", "four")]
        ways = [*stack.enter_context(ours(top, *hosts[:2])), *stack.enter_context(by_hand(top, *hosts[2:]))]
        ways.sort(key=lambda way: WAYS.index(way.name))
        for network in {way.server for way in ways}:
            serve(hosts[0], network)
        measured = measure(ways)
    rows = [
        {
            "way": way.name,
            "wired by": way.wired,
            "Gbit/s": f"{statistics.median(values['bits per second']) / 1e9:.1f}",
            "round trip us": f"{statistics.median(values['round trip']) * 1e6:.1f}",
        }
        for way, values in measured.items()
    ]
    raw = [{**way._asdict(), **values} for way, values in measured.items()]
    report("network", f"TCP, {ROUNDS} times {SECONDS} s and {ROUND_TRIPS} round trips; medians", rows, raw)


# ---------------------------------------------------------------- wired by us


class Engine:
    """The engine on a host."""

    def __init__(self, host: Host, program: str) -> None:
        self.host = host
        self.program = program
        with mock.patch.dict(os.environ, MYDOCKER_ROOT=str(host.root)):
            busybox.make_image()

    def __call__(self, *words: str) -> str:
        return self.host.run([self.program, *words]).text

    def box(self, name: str, *flags: str) -> str:
        """A container that sleeps; its network namespace."""
        self("run", "-d", "--name", name, *flags, "busybox", "sleep", "1000")
        return f"/proc/{json.loads(self('inspect', name))[0]['state']['pid']}/ns/net"

    def address(self, network: str, name: str) -> str:
        """The address of a container in a network."""
        (found,) = json.loads(self("network", "inspect", network))
        (address,) = (box["addresses"][0] for box in found["containers"].values() if name in box["names"])
        return str(address)


@contextlib.contextmanager
def ours(top: Path, one: Host, two: Host) -> Iterator[list[Way]]:
    """Three ways over networks of ours; one less without etcd."""
    program = str(top / "mydocker")
    write_launcher("ch06_network", program)
    with contextlib.ExitStack() as stack:
        engines = [Engine(host, program) for host in (one, two)]
        for engine in engines:
            stack.callback(remove_all, engine)
        join(one, two)
        yield [*on_one_host(engines[0]), *across_hosts(top, *engines)]


def remove_all(engine: Engine) -> None:
    """Containers, networks, and the networks' agents with them."""
    for words in (["ps", "-aq"], ["network", "ls", "-q"]):
        if ids := engine(*words).split():
            engine(*(["rm", "-f"] if words[0] == "ps" else ["network", "rm"]), *ids)


def on_one_host(engine: Engine) -> list[Way]:
    engine("network", "create", "--subnet", "10.91.0.0/16", "lan")
    client = engine.box("client", "--net", "lan")
    server = engine.box("server", "--net", "lan", "-p", f"{IPERF}:{IPERF}", "-p", f"{PING_PONG}:{PING_PONG}")
    return [
        Way(LAN, "mydocker", client, server, engine.address("lan", "server")),
        Way(PUBLISHED, "mydocker", engine.host.network, server, "192.0.2.1"),
    ]


def across_hosts(top: Path, one: Engine, two: Engine) -> list[Way]:
    if missing("etcd"):
        return []
    url = start_etcd(one.host, top)
    one("network", "create", "-d", "vxlan", "--etcd", url, "--subnet", "10.92.0.0/16", "far")
    two("network", "create", "-d", "vxlan", "--etcd", url, "far")
    client, server = one.box("near", "--net", "far"), two.box("there", "--net", "far")
    return [Way(FAR, "mydocker", client, server, two.address("far", "there"))]


def start_etcd(host: Host, top: Path) -> str:
    """The store by which hosts find each other; where it is."""
    url, peers = "http://192.0.2.1:2379", "http://127.0.0.1:2380"
    words = ["etcd", "--data-dir", str(top / "etcd"), "--listen-client-urls", url, "--advertise-client-urls", url]
    words += ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]
    host.spawn([*words, "--initial-cluster", f"default={peers}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ask = ["busybox", "wget", "-qO-", f"{url}/health"]
    eventually(lambda: b'"true"' in host.run(ask).out, "etcd answers")
    return url


# ---------------------------------------------------------------- wired by hand


@contextlib.contextmanager
def by_hand(top: Path, one: Host, two: Host) -> Iterator[list[Way]]:
    """The same three ways: two bridges that a tunnel joins, and a rule of nft."""
    with contextlib.ExitStack() as stack:
        boxes = [stack.enter_context(contextlib.closing(Host(top / f"box{number}"))) for number in range(4)]
        client, server, near, there = boxes
        join(one, two)
        add_lan(one, "lan", {"10.91.0.2": client, "10.91.0.3": server})
        quietly("nsenter", f"--net={one.network}", "nft", "-f", "-", input=DNAT)
        add_lan(one, "far", {"10.92.0.2": near}, TUNNELLED)
        add_lan(two, "far", {"10.92.0.3": there}, TUNNELLED)
        for host, other in ((one, "192.0.2.2"), (two, "192.0.2.1")):
            add_tunnel(host, other)
        yield [
            Way(LAN, "hand", client.network, server.network, "10.91.0.3"),
            Way(PUBLISHED, "hand", one.network, server.network, "192.0.2.1"),
            Way(FAR, "hand", near.network, there.network, "10.92.0.3"),
        ]


def add_lan(host: Host, bridge: str, boxes: dict[str, Host], mtu: int = 1500) -> None:
    """A bridge with some namespaces plugged in."""
    gateway = f"{next(iter(boxes)).rpartition('.')[0]}.1"
    add_bridge(host, bridge, f"{gateway}/16")
    with inside(host):
        for address, box in boxes.items():
            plug_by_hand(bridge, f"{bridge}{address[-1]}", box, f"{address}/16", gateway, mtu)


def add_tunnel(host: Host, other: str) -> None:
    """One end, in the bridge."""
    device = f"link add tunnel mtu {TUNNELLED} up master far up type vxlan id 42 dstport 4789 remote {other}"
    with inside(host):
        quietly("ip", *device.split())


# ---------------------------------------------------------------- measuring


def serve(host: Host, network: str) -> None:
    """Let both servers listen in a network namespace; they end with the host."""
    there = ["nsenter", f"--net={network}"]
    iperf = host.spawn([*there, "iperf3", "-s", "-p", IPERF, "--forceflush"])
    while b"listening" not in read_line(iperf):
        assert iperf.poll() is None, "iperf3 has ended"
    assert read_line(host.spawn([*there, *PYTHON, SERVER, PING_PONG])) == b"ready\n"


def measure(ways: list[Way]) -> dict[Way, dict[str, list[float]]]:
    """Rounds alternate between the ways, so that a busy moment hits all of them."""
    found: dict[Way, dict[str, list[float]]] = {way: {"bits per second": [], "round trip": []} for way in ways}
    for _ in range(ROUNDS):
        for way in ways:
            found[way]["bits per second"].append(throughput(way))
            found[way]["round trip"].append(round_trip(way))
    return found


def throughput(way: Way) -> float:
    """Bits per second that the server gets."""
    words = ["iperf3", "-c", way.address, "-p", IPERF, "-t", str(SECONDS), "-J"]
    answer = json.loads(quietly("nsenter", f"--net={way.client}", *words))
    return float(answer["end"]["sum_received"]["bits_per_second"])


def round_trip(way: Way) -> float:
    """Seconds, the median of many on one connection."""
    words = [*PYTHON, CLIENT, way.address, PING_PONG, str(ROUND_TRIPS)]
    return float(quietly("nsenter", f"--net={way.client}", *words))


if __name__ == "__main__":
    main()
