"""Task host-routes."""

from __future__ import annotations

import json
from typing import Any

from tests.labs.checks import Draw, equal, holds
from tests.labs.networks import HOST
from tests.labs.sandbox import Sandbox

SCRIPT = """
from pyroute2 import IPRoute
from ch02_namespaces.errors import EngineError
from ch06_network.claim import Peer
from ch06_network.host_routes import HostRoutesDriver
from ch06_network.network import Network
from ch06_network.subnets import parse_address, parse_subnet

record = {"id": "1" * 64, "driver": "host-routes", "mtu": 1500, "internal": False, "created": 1,
          "options": {"span": given["span"], "device": ""}, "subnets": []}
error = ""
with IPRoute() as kernel:
    for listed in given["steps"]:
        peers = [Peer("", parse_subnet(subnet), parse_address(address), []) for subnet, address in listed.items()]
        try:
            HostRoutesDriver().apply_peers(kernel, Network("lab", record), peers)
        except EngineError as failed:
            error = str(failed)
answer(error)
"""


class Host:
    """A host on the link 192.0.2.0/24, with routes of others: one into the network, one of ours to another network."""

    def __init__(self, sandbox: Sandbox, draw: Draw) -> None:
        self._sandbox = sandbox
        self.span, self.elsewhere = (f"10.{number}" for number in draw.sample(range(100, 250), 2))
        parts = draw.sample(range(1, 250), 5)
        self.others = {f"{self.span}.{part}.0/24": f"192.0.2.{draw.randint(2, 250)}" for part in parts[:3]}
        self.foreign = {f"{self.span}.{parts[3]}.0/24": "192.0.2.99", f"{self.elsewhere}.{parts[4]}.0/24": "192.0.2.98"}
        static, ours = self.foreign.items()
        sandbox.shell(
            f"""
            ip link add out type veth peer name far; ip link set far up
            ip address add {HOST}/24 dev out; ip link set out up
            ip route add {static[0]} via {static[1]}; ip route add {ours[0]} via {ours[1]} proto 77"""
        )

    def apply(self, *steps: dict[str, str]) -> tuple[dict[str, Any], str]:
        """Gateways by subnet afterwards, and the error."""
        error: str = self._sandbox.ask(SCRIPT, span=f"{self.span}.0.0/16", steps=steps)
        routes = json.loads(self._sandbox.shell("ip -json route show"))
        return {route["dst"]: route["gateway"] for route in routes if "gateway" in route}, error


def test_a_route_each(sandbox: Sandbox, draw: Draw) -> None:
    """There is a route to the part of each other host, by that host; routes of others stay."""
    host = Host(sandbox, draw)
    equal(host.apply(host.others), (host.others | host.foreign, ""), "gateways by subnet, and the error")


def test_hosts_that_go_and_move(sandbox: Sandbox, draw: Draw) -> None:
    """The route to a host that has gone is removed; that to one which has moved leads there now."""
    host = Host(sandbox, draw)
    gone, moved, _ = host.others
    later = {subnet: gateway for subnet, gateway in host.others.items() if subnet != gone} | {moved: "192.0.2.251"}
    equal(host.apply(host.others, later), (later | host.foreign, ""), "gateways by subnet, and the error")


def test_one_that_cannot_be_reached(sandbox: Sandbox, draw: Draw) -> None:
    """A host that is not on the link is an EngineError that names its part; the others have their routes."""
    host = Host(sandbox, draw)
    far = f"{host.span}.251.0/24"
    routes, error = host.apply({far: "198.51.100.7"} | host.others)
    equal(routes, host.others | host.foreign, "gateways by subnet")
    holds(far in error, f"an error about {far}", error or "no error")
