"""Task vxlan-entries."""

from __future__ import annotations

import json
from typing import Any

from tests.labs.checks import Draw, equal
from tests.labs.networks import HOST
from tests.labs.sandbox import Sandbox

SCRIPT = """
from pyroute2 import IPRoute
from ch06_network import vxlan
from ch06_network.claim import Peer
from ch06_network.subnets import parse_address, parse_subnet

with IPRoute() as kernel:
    (index,) = kernel.link_lookup(ifname="vx")
    for listed in given["steps"]:
        peers = [Peer(host, parse_subnet(subnet), parse_address(address), []) for host, subnet, address in listed]
        vxlan._apply_routes(kernel, index, peers)
        vxlan._apply_neighbours(kernel, index, peers)
        vxlan._apply_forwarding(kernel, index, peers)
answer("done")
"""


class Tunnel:
    """This host's end of a tunnel, and other hosts."""

    def __init__(self, sandbox: Sandbox, draw: Draw) -> None:
        self._sandbox = sandbox
        span = f"10.{draw.randint(100, 250)}"
        parts = draw.sample(range(1, 250), 4)
        self.others = [[draw.name(), f"{span}.{part}.0/24", f"192.0.2.{draw.randint(2, 99)}"] for part in parts[1:]]
        sandbox.shell(
            f"""
            ip link add out type veth peer name far; ip link set far up
            ip address add {HOST}/24 dev out; ip link set out up
            ip link add vx type vxlan id {draw.randint(1, 9999)} dstport 4789 local {HOST} nolearning
            ip address add {span}.{parts[0]}.0/32 dev vx; ip link set vx up"""
        )

    def apply(self, *steps: list[list[str]]) -> dict[str, Any]:
        """Routes, neighbours and forwarding entries after the last step."""
        self._sandbox.ask(SCRIPT, steps=steps)
        routes = json.loads(self._sandbox.shell("ip -json route show dev vx"))
        neighbours = json.loads(self._sandbox.shell("ip -json neigh show dev vx"))
        entries = json.loads(self._sandbox.shell("bridge -json fdb show dev vx"))
        return {
            "routes": {
                route["dst"]: [route["gateway"], "onlink" in route["flags"]] for route in routes if "gateway" in route
            },
            "neighbours": {entry["dst"]: entry["lladdr"] for entry in neighbours if "PERMANENT" in entry["state"]},
            "forwarding": sorted([entry["mac"], entry["dst"]] for entry in entries if "dst" in entry),
        }


def wanted(others: list[list[str]]) -> dict[str, Any]:
    """What should be there for these hosts."""
    first = {subnet: subnet.partition("/")[0] for _, subnet, _ in others}
    macs = {subnet: "02:42:" + ":".join(f"{int(part):02x}" for part in first[subnet].split(".")) for subnet in first}
    return {
        "routes": {subnet: [first[subnet], True] for subnet in first},
        "neighbours": {first[subnet]: macs[subnet] for subnet in first},
        "forwarding": sorted([macs[subnet], address] for _, subnet, address in others),
    }


def test_three_entries_each(sandbox: Sandbox, draw: Draw) -> None:
    """For each other host: a route to its part, who that gateway is, and behind which host that is."""
    tunnel = Tunnel(sandbox, draw)
    equal(tunnel.apply(tunnel.others), wanted(tunnel.others), "the entries")


def test_hosts_that_go(sandbox: Sandbox, draw: Draw) -> None:
    """Those of a host that has gone are removed, all three, and the others stay."""
    tunnel = Tunnel(sandbox, draw)
    left = tunnel.others[1:]
    equal(tunnel.apply(tunnel.others, left), wanted(left), "the entries")


def test_a_host_that_moves(sandbox: Sandbox, draw: Draw) -> None:
    """A host that can be reached somewhere else now is sent to there, and not to both; nothing happens twice."""
    tunnel = Tunnel(sandbox, draw)
    host, subnet, _ = tunnel.others[0]
    moved = [[host, subnet, f"192.0.2.{draw.randint(100, 250)}"], *tunnel.others[1:]]
    equal(tunnel.apply(tunnel.others, moved, moved), wanted(moved), "the entries")
