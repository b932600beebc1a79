"""The driver `vxlan`: packets between hosts travel inside UDP packets, RFC 7348. Book section 6.6, "overlay".

    container ── bridge ── routing ── mx-… ══ UDP, port 4789 ══ mx-… ── routing ── bridge ── container
                              │         │
       route         10.44.1.0/24  via 10.44.1.0 dev mx-…       the other host's part of the network
       neighbour     10.44.1.0     is at 02:42:0a:2c:01:00      its end of the tunnel
       forwarding    02:42:…:01:00 is behind 192.0.2.2          the host itself

Three entries for each other host, and nothing is ever flooded or learned: the kernel asks nobody, so an unknown
destination is an error at once.
"""

from __future__ import annotations

import errno
import socket
import zlib

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ch02_namespaces.errors import EngineError
from ch06_network.bridge import remove_link
from ch06_network.claim import Peer
from ch06_network.network import Network
from ch06_network.span import SpanningDriver, whole_option
from ch06_network.subnets import Subnet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OVERHEAD = 50  # bytes: Ethernet 14, IPv4 20, UDP 8, VXLAN 8
PORT = 4789  # RFC 7348, section 8
MOST_VNI, MOST_PORT = (1 << 24) - 1, 65535
NUD_PERMANENT, NTF_SELF, RTNH_F_ONLINK = 0x80, 0x02, 0x04  # linux/neighbour.h, linux/rtnetlink.h


class VxlanDriver(SpanningDriver):
    """Bridges of several hosts, joined by tunnels."""

    name = "vxlan"
    options = (*SpanningDriver.options, "vni", "port")
    overhead = OVERHEAD

    def device_of(self, id: str) -> str:
        """The tunnel's end on this host."""
        return f"mx-{id[:10]}"

    def shared_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """The number of the network in each packet (VNI), and the UDP port. Raises EngineError."""
        vni, port = whole_option(options, "vni", None), whole_option(options, "port", None)
        for name, value, most in (("vni", vni, MOST_VNI), ("port", port, MOST_PORT)):
            if value is not None and not 1 <= value <= most:
                raise EngineError(f"--opt {name}={value}", f"it is not from 1 to {most}")
        return {"vni": vni, "port": port}

    def defaults(self, name: str) -> dict[str, Any]:
        """A number made of the network's name, so that two networks hardly ever have the same; the usual port."""
        return {"vni": zlib.crc32(name.encode()) % MOST_VNI + 1, "port": PORT}

    def make_ways(self, kernel: IPRoute, one: Network) -> None:
        """Make this host's end of the tunnel. Its address is the lowest of this host's part: no container has it."""
        device, (subnet, _) = one.options["device"], one.subnets[0]
        remove_link(device)
        try:
            kernel.link(
                "add",
                ifname=device,
                kind="vxlan",
                vxlan_id=one.options["vni"],
                vxlan_port=one.options["port"],
                vxlan_local=one.options["underlay"],
                vxlan_learning=False,
                address=mac_of(subnet),
                mtu=one.mtu,
            )
        except NetlinkError as error:
            hint = "does another network have this vni? --opt vni=NUMBER"
            raise EngineError(f"network {one.name}", f"the tunnel, vni {one.options['vni']}: {error}", hint) from None
        (index,) = kernel.link_lookup(ifname=device)
        kernel.addr("add", index=index, address=str(subnet.first), prefixlen=32)
        kernel.link("set", index=index, state="up")

    def down(self, one: Network) -> None:
        """Remove the tunnel's end, too."""
        super().down(one)
        remove_link(one.options["device"])

    def apply_peers(self, kernel: IPRoute, one: Network, peers: list[Peer]) -> None:
        """Three entries for each host; none for others. Raises EngineError."""
        try:
            (index,) = kernel.link_lookup(ifname=one.options["device"])
            _apply_routes(kernel, index, peers)
            _apply_neighbours(kernel, index, peers)
            _apply_forwarding(kernel, index, peers)
        except (NetlinkError, ValueError) as error:
            raise EngineError(f"network {one.name}", f"the ways to other hosts: {error}") from None


def mac_of(subnet: Subnet) -> str:
    """The hardware address of the tunnel's end at the host that has this part. Made of the address, as an endpoint's
    is: so nobody needs to be told."""
    return ":".join(f"{byte:02x}" for byte in b"\x02\x42" + subnet.first.packed)


def _apply_routes(kernel: IPRoute, index: int, peers: list[Peer]) -> None:
    """A route through the device `index` to each peer's part, by the lowest address of that; no other with a gateway.

    The gateway is on no link that the kernel knows of: RTNH_F_ONLINK. Raises NetlinkError. Source: ip-route(8).
    Example: for the part 10.44.1.0/24 of the host 192.0.2.2, 10.44.1.0/24 via 10.44.1.0 onlink.
    """
    wanted = {str(peer.subnet): str(peer.subnet.first) for peer in peers}
    found = {
        f"{route.get_attr('RTA_DST')}/{route['dst_len']}"
        for route in kernel.get_routes(family=2, oif=index)
        if route.get_attr("RTA_GATEWAY")
    }
    for subnet in found - set(wanted):
        kernel.route("del", dst=subnet, oif=index)
    for subnet, gateway in wanted.items():
        kernel.route("replace", dst=subnet, gateway=gateway, oif=index, flags=RTNH_F_ONLINK)


def _apply_neighbours(kernel: IPRoute, index: int, peers: list[Peer]) -> None:
    """A permanent neighbour entry for each of these gateways: its hardware address is mac_of() its part. No others that
    are permanent. What is to be removed may be gone already (_forgiving). Raises NetlinkError. Source: ip-neighbour(8).
    Example: 10.44.1.0 lladdr 02:42:0a:2c:01:00 PERMANENT."""
    wanted = {str(peer.subnet.first): mac_of(peer.subnet) for peer in peers}
    for entry in kernel.get_neighbours(family=socket.AF_INET, ifindex=index):
        if entry["state"] & NUD_PERMANENT and entry.get_attr("NDA_DST") not in wanted:
            _forgiving(kernel.neigh, "del", dst=entry.get_attr("NDA_DST"), ifindex=index)
    for address, mac in wanted.items():
        kernel.neigh("replace", dst=address, lladdr=mac, ifindex=index, state=NUD_PERMANENT)


def _apply_forwarding(kernel: IPRoute, index: int, peers: list[Peer]) -> None:
    """A forwarding entry for each of these hardware addresses: the peer's address, to which its packets are sent; no
    others with an address. Entries are of the device itself (NTF_SELF) and permanent; one hardware address may have
    several, so what is there is not added again. Raises NetlinkError. Source: bridge(8), fdb.
    Example: 02:42:0a:2c:01:00 dst 192.0.2.2 self permanent."""
    wanted = {(mac_of(peer.subnet), str(peer.address)) for peer in peers}
    found = {
        (entry.get_attr("NDA_LLADDR"), entry.get_attr("NDA_DST"))
        for entry in kernel.get_neighbours(family=socket.AF_BRIDGE, ifindex=index)
        if entry.get_attr("NDA_DST")
    }
    for mac, address in found - wanted:
        _forgiving(kernel.fdb, "del", lladdr=mac, dst=address, ifindex=index, flags=NTF_SELF)
    for mac, address in wanted - found:
        kernel.fdb("append", lladdr=mac, dst=address, ifindex=index, flags=NTF_SELF, state=NUD_PERMANENT)


def _forgiving(call: Any, what: str, **fields: Any) -> None:
    """Remove what somebody else may have removed."""
    try:
        call(what, **fields)
    except NetlinkError as error:
        if error.code != errno.ENOENT:
            raise
