"""The driver `bridge`: a virtual switch, bridge(8), whose own port is the containers' gateway. Book section 6.4.

Made by pyroute2, which speaks rtnetlink(7) and knows every message of it.
"""

from __future__ import annotations

import errno
import os

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError, SyscallError
from ch06_network import nat, network
from ch06_network.netlink import Netlink
from ch06_network.network import Network
from ch06_network.subnets import Address, Subnet, parse_subnet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pyroute2 import IPRoute

DEFAULT_SUBNETS = [
    *(f"10.{number}.0.0/16" for number in range(77, 97)),
    *(f"192.168.{number}.0/24" for number in range(77, 247)),
]
"""What a network gets that nobody has chosen one for: the first that no route of this host leads to."""


class BridgeDriver:
    """The driver of networks on one host, and what those of networks across hosts have in common."""

    name = "bridge"
    options: Sequence[str] = ()
    """The options that it knows."""

    def default_mtu(self, options: dict[str, Any]) -> int:
        """What packets fit, in bytes, if nobody says."""
        return network.MTU

    def create(
        self, name: str, subnets: Sequence[tuple[Subnet, Address]], mtu: int, internal: bool, options: dict[str, Any]
    ) -> Network:
        """Put a network of this kind into the store, and bring it up. Raises EngineError; then there is none."""
        one = self._choose(name, subnets, mtu, internal, options)
        try:
            self.up(one)
        except BaseException:
            self.down(one)
            network.forget(one)
            raise
        return one

    def _choose(
        self, name: str, subnets: Sequence[tuple[Subnet, Address]], mtu: int, internal: bool, options: dict[str, Any]
    ) -> Network:
        """Put it into the store. Without subnets it gets one that is free; if somebody else takes that just now, the
        next one."""
        while True:
            chosen = subnets or [self.free_subnet()]
            try:
                return network.create(name, self.name, chosen, mtu, internal, options)
            except network.OverlapError:
                if subnets:
                    raise

    def free_subnet(self) -> tuple[Subnet, Address]:
        """A subnet that neither a route of this host nor another network has, and its gateway. Raises EngineError."""
        known = [subnet for one in network.every() for subnet, _ in [*one.subnets, *one.elsewhere]]
        taken = [*routed_subnets(), *known]
        for text in DEFAULT_SUBNETS:
            subnet = parse_subnet(text)
            if not any(subnet.overlaps(other) for other in taken):
                return subnet, subnet.first_host()
        raise EngineError("network", "this host has routes to all subnets that we would choose from", "--subnet")

    def up(self, one: Network) -> None:
        """Make what the network consists of, unless it is there. Raises EngineError."""
        if one.is_up():
            return
        with network.held(one):
            if not one.is_up():
                self.make(one)

    def make(self, one: Network) -> None:
        """Make the bridge. It is set up as the last of all, so one that is up is complete. Raises EngineError."""
        from pyroute2 import IPRoute

        with IPRoute() as kernel:
            make_bridge(kernel, one)
            nat.apply()
            kernel.link("set", ifname=one.bridge, state="up")

    def down(self, one: Network) -> None:
        """Remove what the network consists of, as far as it is there. Raises EngineError."""
        remove_link(one.bridge)

    def remove(self, one: Network) -> None:
        """Remove the network with all that it consists of. Raises EngineError."""
        self.down(one)
        network.forget(one)
        nat.apply()


def make_bridge(kernel: IPRoute, one: Network) -> None:
    """Make a bridge that is not up yet, with the gateways' addresses. What is there of it is made anew."""
    remove_link(one.bridge)
    mac = ":".join(f"{byte:02x}" for byte in b"\x02\x42" + one.subnets[0][1].packed[-4:])
    kernel.link("add", ifname=one.bridge, kind="bridge", address=mac, mtu=one.mtu, br_stp_state=0)
    (index,) = kernel.link_lookup(ifname=one.bridge)
    for subnet, gateway in one.subnets:
        kernel.addr("add", index=index, address=str(gateway), prefixlen=subnet.length, flags=NODAD[subnet.version])
    set_forwarding(one)


NODAD = {4: 0, 6: 0x2}  # linux/if_addr.h, IFA_F_NODAD: nobody else can have it


def set_forwarding(one: Network) -> None:
    """Let this host pass packets on, ip_forward; and let its own loopback addresses reach the containers,
    route_localnet. Linux kernel, Documentation/networking/ip-sysctl.rst."""
    set_sysctl("ipv4/ip_forward", "1")
    set_sysctl(f"ipv4/conf/{one.bridge}/route_localnet", "1")
    if any(subnet.version == 6 for subnet, _ in one.subnets):
        set_sysctl("ipv6/conf/all/forwarding", "1")
        set_sysctl(f"ipv6/conf/{one.bridge}/accept_ra", "0")  # no container tells this host where to send packets


def set_sysctl(name: str, value: str) -> None:
    """Set a setting of our network namespace, if it is not so already. Raises SyscallError."""
    path = f"/proc/sys/net/{name}"
    if os.path.exists(path) and syscalls.read_file(path).strip() != value:
        syscalls.write_file(path, value)


def remove_link(name: str) -> None:
    """Remove a network device, if there is one of this name. Raises SyscallError."""
    with Netlink() as host:
        try:
            host.delete_link(name)
        except SyscallError as error:
            if error.errno != errno.ENODEV:
                raise


def remove_strays() -> None:
    """Remove the bridges that belong to no network of this store, nor to one of another. Raises EngineError."""
    from pyroute2 import IPRoute

    known = {one.bridge for one in network.every()}
    with IPRoute() as kernel:
        found = {link.get_attr("IFLA_IFNAME") for link in kernel.get_links(kind="bridge")}
    for name in found - known - nat.bridges_of_others():
        if name.startswith(network.PREFIX):
            remove_link(name)


def routed_subnets() -> list[Subnet]:
    """Where this host has routes to, but for the default ones."""
    from pyroute2 import IPRoute

    found = []
    with IPRoute() as kernel:
        for version in (4, 6):
            family = {4: 2, 6: 10}[version]
            for route in kernel.get_routes(family=family):
                target = route.get_attr("RTA_DST")
                if target is not None and route["dst_len"]:
                    found.append(parse_subnet(f"{target}/{route['dst_len']}"))
    return found
