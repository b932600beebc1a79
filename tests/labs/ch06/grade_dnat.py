"""Task dnat."""

from __future__ import annotations

from typing import Any

from tests.labs import networks
from tests.labs.checks import Draw, equal, holds
from tests.labs.networks import HOST, NO_ANSWER, OUTSIDE
from tests.labs.sandbox import Sandbox

SCRIPT = """
from ch06_network import nat
from ch06_network.endpoints import Endpoint
from ch06_network.ports import PublishedPort
from ch06_network.subnets import parse_address

plugged = [
    Endpoint("c" * 64, "lab", "eth0", [parse_address(address)], [], [PublishedPort(*fields) for fields in ports])
    for address, ports in given["endpoints"]
]
maps = [nat.map_of(version, everywhere, plugged) for version in (4, 6) for everywhere in (True, False)]
answer(["\\n".join(maps), "\\n".join(nat._published(version) for version in (4, 6))])
"""
TABLE = """
table inet lab {{
{maps}
    chain published {{
{published}
    }}
    chain prerouting {{
        type nat hook prerouting priority dstnat; policy accept;
        fib daddr type local jump published
    }}
}}
"""
SECOND = "192.0.2.77"  # another address of the host


class Host:
    """A host with two addresses outside and two containers, .2 and .3; somebody outside asks."""

    def __init__(self, sandbox: Sandbox, draw: Draw) -> None:
        self._sandbox, self.subnet = sandbox, draw.subnet()
        self.containers = [networks.new_network(sandbox) for _ in range(2)]
        for number, pid in enumerate(self.containers, 2):
            networks.join(sandbox, pid, f"c{number}", "", f"{self.subnet}.{number}/24", f"{self.subnet}.1")
        networks.bridge(sandbox, "br0", f"{self.subnet}.1/24", "c2", "c3")
        self.outside = networks.new_network(sandbox)
        networks.join(sandbox, self.outside, "out", f"{HOST}/24", f"{OUTSIDE}/24")
        sandbox.shell(f"ip address add {SECOND}/24 dev out")

    def publish(self, *ports: list[list[Any]]) -> None:
        """Ports of the first container, of the second one: address, port of the host, port inside, protocol."""
        endpoints = [[f"{self.subnet}.{number}", listed] for number, listed in enumerate(ports, 2)]
        maps, published = self._sandbox.ask(SCRIPT, endpoints=endpoints)
        networks.nft(self._sandbox, TABLE.format(maps=maps, published=published))

    def ask(self, port: int, kind: str = "tcp", address: str = HOST, seconds: float = networks.ANSWER) -> str:
        return networks.ask(self._sandbox, self.outside, address, port, kind, seconds)


def test_leads_inside(sandbox: Sandbox, draw: Draw) -> None:
    """A port of the host leads to a port of a container, for TCP and UDP; the container sees who asks."""
    host, (outer, inner) = Host(sandbox, draw), draw.sample(range(2000, 30000), 2)
    host.publish([["0.0.0.0", outer, inner, "tcp"], ["0.0.0.0", outer, inner, "udp"]])
    for kind in ("tcp", "udp"):
        networks.serve(sandbox, host.containers[0], inner, kind)
        equal(host.ask(outer, kind), OUTSIDE, f"who asks by {kind}, as the container sees it")


def test_each_to_its_own(sandbox: Sandbox, draw: Draw) -> None:
    """Ports of two containers lead to each of them, also if both have the same port inside; others lead nowhere."""
    host, (first, second, third, inner) = Host(sandbox, draw), draw.sample(range(2000, 30000), 4)
    host.publish([["0.0.0.0", first, inner, "tcp"]], [["0.0.0.0", second, inner, "tcp"]])
    networks.serve(sandbox, host.containers[1], inner)
    equal(host.ask(second), OUTSIDE, "who asks, as the second container sees it")
    for port in (first, third):  # the first container does not listen
        found = host.ask(port, seconds=NO_ANSWER)
        holds(found.startswith("no answer"), f"no answer at port {port}", f"the answer {found!r}")


def test_at_one_address(sandbox: Sandbox, draw: Draw) -> None:
    """A port that is published at one address of the host leads inside there, and at no other."""
    host, (outer, inner) = Host(sandbox, draw), draw.sample(range(2000, 30000), 2)
    host.publish([[SECOND, outer, inner, "tcp"]])
    networks.serve(sandbox, host.containers[0], inner)
    equal(host.ask(outer, address=SECOND), OUTSIDE, "who asks, as the container sees it")
    found = host.ask(outer, seconds=NO_ANSWER)
    holds(found.startswith("no answer"), f"no answer at {HOST}", f"the answer {found!r}")
