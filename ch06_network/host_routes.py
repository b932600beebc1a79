"""The driver `host-routes`: each host routes to the parts of the others. Book section 6.6, "route".

    container ── bridge ── routing ── eth0 ────────────────── eth0 ── routing ── bridge ── container
                              │
       route         10.44.1.0/24  via 192.0.2.2         the other host's part of the network

No packet is wrapped, so nothing is lost; but what lies between the hosts must be one link, and let such addresses pass.
"""

from __future__ import annotations

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ch02_namespaces.errors import EngineError
from ch06_network.claim import Peer
from ch06_network.network import Network
from ch06_network.span import SpanningDriver
from ch06_network.subnets import parse_subnet

PROTOCOL = 77  # marks our routes: rtnetlink(7), rtm_protocol; numbers above 4 are free for programs


class HostRoutesDriver(SpanningDriver):
    """Bridges of several hosts, joined by plain routes."""

    name = "host-routes"

    def down(self, one: Network) -> None:
        """Remove the routes, too."""
        super().down(one)
        with IPRoute() as kernel:
            self.apply_peers(kernel, one, [])

    def apply_peers(self, kernel: IPRoute, one: Network, peers: list[Peer]) -> None:
        """A route for each host, to its part by its address, and no other of ours into the network (_found). Ours have
        PROTOCOL.

        Each change is tried, also if one before has failed. Raises EngineError, at the end, for the first that failed.
        Example: 10.44.1.0/24 via 192.0.2.2. Source: ip-route(8).
        """
        wanted = {str(peer.subnet): str(peer.address) for peer in peers}
        changes = [("del", {"dst": subnet}) for subnet in self._found(kernel, one) - set(wanted)]
        changes += [("replace", {"dst": subnet, "gateway": gateway}) for subnet, gateway in wanted.items()]
        failures = []
        for what, fields in changes:
            try:
                kernel.route(what, **fields, proto=PROTOCOL)
            except NetlinkError as error:
                failures.append(f"{fields['dst']}: {error}")
        if failures:
            hint = "with host-routes, all hosts must be on one link; vxlan needs none"
            raise EngineError(f"network {one.name}", f"no way to {failures[0]}", hint)

    def _found(self, kernel: IPRoute, one: Network) -> set[str]:
        span = parse_subnet(one.options["span"])
        ours = [route for route in kernel.get_routes(family=2, proto=PROTOCOL) if route.get_attr("RTA_DST")]
        subnets = [parse_subnet(f"{route.get_attr('RTA_DST')}/{route['dst_len']}") for route in ours]
        return {str(subnet) for subnet in subnets if subnet.first in span}
