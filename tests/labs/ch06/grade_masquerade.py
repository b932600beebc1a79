"""Task masquerade."""

from __future__ import annotations

from typing import Any

from tests.labs import networks
from tests.labs.checks import Draw, equal, holds
from tests.labs.networks import HOST, OUTSIDE
from tests.labs.sandbox import Sandbox

SCRIPT = """
from ch06_network import nat
from ch06_network.network import Network

answer("\\n".join(nat._postrouting(Network("lab", given["record"]))))
"""
TABLE = """
table inet lab {{
    chain prerouting {{
        type nat hook prerouting priority dstnat; policy accept;
        ip daddr {host} tcp dport {port} dnat ip to {target}
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
{rules}
    }}
}}
"""


class Host:
    """A host with a bridge, two containers on it, .2 and .3, and somebody outside who knows the way to them."""

    def __init__(self, sandbox: Sandbox, draw: Draw, **record: Any) -> None:
        self._sandbox, self.subnet, self.port = sandbox, draw.subnet(), draw.port()
        id = "".join(draw.choices("0123456789abcdef", k=64))
        self._record = {"id": id, "driver": "bridge", "mtu": 1500, "internal": False, "created": 1, "options": {}}
        self._record |= {"subnets": [[f"{self.subnet}.0/24", f"{self.subnet}.1"]]} | record
        self.one, self.other, self.outside = (networks.new_network(sandbox) for _ in range(3))
        networks.join(sandbox, self.one, "one", "", f"{self.subnet}.2/24", f"{self.subnet}.1")
        networks.join(sandbox, self.other, "other", "", f"{self.subnet}.3/24", f"{self.subnet}.1")
        networks.bridge(sandbox, f"md-{id[:10]}", f"{self.subnet}.1/24", "one", "other")
        networks.join(sandbox, self.outside, "out", f"{HOST}/24", f"{OUTSIDE}/24", HOST)

    def apply(self) -> None:
        """Load the rules, and one that leads a port of the host to the second container."""
        rules = self._sandbox.ask(SCRIPT, record=self._record)
        target = f"{self.subnet}.3:{self.port}"
        networks.nft(self._sandbox, TABLE.format(rules=rules, host=HOST, port=self.port, target=target))


def test_outside_sees_the_host(sandbox: Sandbox, draw: Draw) -> None:
    """Who is asked from inside the network sees the address of the host, and its answer comes back."""
    host = Host(sandbox, draw)
    host.apply()
    networks.serve(sandbox, host.outside, host.port)
    equal(networks.ask(sandbox, host.one, OUTSIDE, host.port), HOST, "who asks, as the outside sees it")


def test_inside_sees_the_container(sandbox: Sandbox, draw: Draw) -> None:
    """Containers of the network see each other's own addresses, and that of who asks from outside."""
    host = Host(sandbox, draw)
    host.apply()
    networks.serve(sandbox, host.other, host.port)
    found = [networks.ask(sandbox, pid, f"{host.subnet}.3", host.port) for pid in (host.one, host.outside)]
    equal(found, [f"{host.subnet}.2", OUTSIDE], "who asks, from the same network and from outside")


def test_internal(sandbox: Sandbox, draw: Draw) -> None:
    """A network that is internal gets no address of the host for what it sends out."""
    host = Host(sandbox, draw, internal=True)
    host.apply()
    networks.serve(sandbox, host.outside, host.port, "udp")
    found = networks.ask(sandbox, host.one, OUTSIDE, host.port, "udp")
    equal(found, f"{host.subnet}.2", "who asks, as the outside sees it")


def test_by_a_published_port(sandbox: Sandbox, draw: Draw) -> None:
    """A container that reaches its neighbour by a port of the host is seen as the host: else the answer would take the
    short way, from an address that was not asked."""
    host = Host(sandbox, draw)
    host.apply()
    networks.serve(sandbox, host.other, host.port)
    equal(networks.ask(sandbox, host.one, HOST, host.port), f"{host.subnet}.1", "who asks, as its neighbour sees it")


def test_other_hosts_of_the_network(sandbox: Sandbox, draw: Draw) -> None:
    """What goes to the part of the network on other hosts keeps its address."""
    options = {"span": "192.0.2.0/24", "device": "out"}
    host = Host(sandbox, draw, options=options)
    host.apply()
    networks.serve(sandbox, host.outside, host.port)
    found = networks.ask(sandbox, host.one, OUTSIDE, host.port)
    holds(found == f"{host.subnet}.2", f"{host.subnet}.2, the container's own", found)
