"""Networks across hosts: what all drivers of that kind have in common. Book section 6.6.

    host A                                    etcd                                    host B
    network create ──── claims a part ────►  hosts/10.44.0.0-24
                                             hosts/10.44.1.0-24  ◄──── claims a part ──── network create
    agent ◄──────────── watches ───────────  hosts/              ──────── watches ───────────► agent
      │ routes to 10.44.1.0/24,                                          routes to 10.44.0.0/24, │
      ▼ names of its containers                                    names of its containers       ▼

The agents are in agent.py; what is agreed on in etcd, in claim.py.
"""

from __future__ import annotations

import fcntl

from pyroute2 import IPRoute

from ch02_namespaces.errors import EngineError
from ch02_namespaces.locks import locked
from ch04_images import state
from ch06_network import claim, nat, network
from ch06_network.agent import end_agent, is_agent_alive, start_agent, wake
from ch06_network.bridge import BridgeDriver
from ch06_network.claim import Claims, Peer
from ch06_network.etcd import Etcd, EtcdError
from ch06_network.netlink import is_up
from ch06_network.network import Network
from ch06_network.subnets import Address, Subnet, parse_address, parse_subnet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

DAY = 86400
SHORTEST_LEASE = 2  # seconds; etcd gives none that is shorter


class SpanningDriver(BridgeDriver):
    """A bridge on each host, and something between them. The classes below say what."""

    options: Sequence[str] = ("etcd", "underlay", "prefix", "lease")
    overhead = 0
    """Bytes that a packet grows by between the hosts."""

    def device_of(self, id: str) -> str:
        """The device that leads to the other hosts; no name if it may be any."""
        return ""

    def shared_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """What all hosts must agree on besides; None for what this host does not care about. Raises EngineError."""
        return {}

    def defaults(self, name: str) -> dict[str, Any]:
        """The shared options of a new network, as far as its first host does not care. name: the network's."""
        return {}

    def make_ways(self, kernel: IPRoute, one: Network) -> None:
        """Make what lies between the bridges, on this host. Raises EngineError."""

    def apply_peers(self, kernel: IPRoute, one: Network, peers: list[Peer]) -> None:
        """Let packets find the way to these hosts, and to no others. Raises EngineError; then to all but some."""
        raise NotImplementedError

    # ------------------------------------------------------------ making and removing

    def default_mtu(self, options: dict[str, Any]) -> int:
        """What the underlay carries, without what is added to each packet."""
        return underlay_mtu(underlay_of(options)) - self.overhead

    def create(
        self, name: str, subnets: Sequence[tuple[Subnet, Address]], mtu: int, internal: bool, options: dict[str, Any]
    ) -> Network:
        """Make the network, or join it if another host has; claim a part of it for this host. Raises EngineError."""
        network.check_name(name)
        underlay = underlay_of(options)
        underlay_mtu(underlay)
        claims = Claims(Etcd(options["etcd"]), name)
        with locked(state.make_place(), fcntl.LOCK_EX):  # two of one host would take each other's claim for their own
            if network.exists(name):
                raise EngineError(f"network {name!r}", "there is one already", "`network ls` lists them")
            return self._create(name, claims, self._wanted(name, subnets, mtu, options), underlay, internal, options)

    def _create(
        self,
        name: str,
        claims: Claims,
        wanted: dict[str, Any],
        underlay: Address,
        internal: bool,
        options: dict[str, Any],
    ) -> Network:
        lease, one = "", None
        try:
            agreed = claims.agree(wanted)
            self.shared_options(agreed)
            span = parse_subnet(agreed["span"])
            check_span(span, agreed["mtu"], underlay)
            until = claim.seconds_since_boot() + agreed["lease"]
            lease = claims.etcd.grant(agreed["lease"])
            subnet = claims.claim(Peer(claim.host_id(), span, underlay, []), span, agreed["prefix"], lease)
            id = state.new_id()
            kept = {**options, **agreed, "underlay": str(underlay), "device": self.device_of(id)}
            here = [(subnet, subnet.first_host())]
            one = network.create(name, self.name, here, agreed["mtu"], internal, kept, id)
            claim.write_lease(one, lease, until)
            self.up(one)
            return one
        except BaseException:
            if one is not None:
                self.remove(one)
            claims.withdraw(lease)
            raise

    def _wanted(
        self, name: str, subnets: Sequence[tuple[Subnet, Address]], mtu: int, options: dict[str, Any]
    ) -> dict[str, Any]:
        """What this host wants to agree on; None for what it does not care about. Raises EngineError."""
        if len(subnets) > 1 or any(subnet.version != 4 for subnet, _ in subnets):
            raise EngineError("--subnet", "a network across hosts has one of IPv4")
        span = subnets[0][0] if subnets else None
        prefix = whole_option(options, "prefix", min(30, span.length + 8) if span else None)
        if span and prefix is not None and not span.length <= prefix <= 30:
            raise EngineError(f"--opt prefix={prefix}", f"it is not from {span.length} to 30")
        lease = whole_option(options, "lease", DAY if span else None)
        if lease is not None and lease < SHORTEST_LEASE:
            raise EngineError(f"--opt lease={lease}", f"the shortest is {SHORTEST_LEASE} seconds")
        shared = self.shared_options(options)
        if span:
            shared = {key: self.defaults(name)[key] if value is None else value for key, value in shared.items()}
        return {
            "span": str(span) if span else None,
            "driver": self.name,
            "prefix": prefix,
            "lease": lease,
            "mtu": mtu if span else None,
            **shared,
        }

    def up(self, one: Network) -> None:
        """Make what is missing, start the agent if there is none. Raises EngineError, also if the claim is in doubt."""
        super().up(one)
        with network.held(one):  # whoever comes meanwhile waits until it has looked
            self._repair(one)
            if not is_agent_alive(one):
                start_agent(one, self)
        claim.check_claim(one)

    def _repair(self, one: Network) -> None:
        """Make the device between the hosts anew, if somebody has removed it."""
        device = one.options["device"]
        if device and not is_up(device):
            with IPRoute() as kernel:
                self.make_ways(kernel, one)
            wake(one)

    def make(self, one: Network) -> None:
        """Make the bridge, and what lies behind it. Raises EngineError."""
        with IPRoute() as kernel:
            self.make_ways(kernel, one)
        super().make(one)
        wake(one)

    def down(self, one: Network) -> None:
        """End the agent, and remove what the network consists of here. Raises EngineError."""
        end_agent(one)
        super().down(one)

    def remove(self, one: Network) -> None:
        """Remove the network from this host. If etcd does not answer, the claim ends with its lease. EngineError."""
        self.down(one)
        lease, _ = claim.read_lease(one)
        try:
            if lease:
                Claims(Etcd(one.options["etcd"]), one.name).give_back(one.subnets[0][0], lease)
        except EtcdError:
            pass
        network.forget(one)
        nat.apply()


def whole_option(options: dict[str, Any], name: str, default: int | None) -> int | None:
    """An option that is a whole number; the default if it is not given. Raises EngineError."""
    text = str(options.get(name, ""))
    if not text:
        return default
    if not (text.isascii() and text.isdecimal()):
        raise EngineError(f"--opt {name}={text}", "it is not a whole number")
    return int(text)


def underlay_of(options: dict[str, Any]) -> Address:
    """Where other hosts find this one: what --underlay says, or the address that etcd sees. Raises EngineError."""
    if not options.get("etcd"):
        raise EngineError("--etcd", "it is missing: the hosts must find each other", "--etcd http://192.0.2.1:2379")
    if "underlay" in options:
        given = parse_address(options["underlay"])
        if not claim.is_of_host(given):
            raise EngineError(f"--underlay {given}", "it is no IPv4 address that other hosts could find", "another one")
        return given
    import socket
    import urllib.parse

    where = urllib.parse.urlsplit(Etcd(options["etcd"]).urls[0])
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # nothing is sent
            probe.connect((where.hostname, where.port or 2379))
            found = str(probe.getsockname()[0])
    except OSError as error:
        raise EngineError(f"etcd {where.geturl()}", str(error), "--underlay says where this host is") from None
    if found.startswith("127."):
        raise EngineError("--underlay", "it is missing: etcd is on this host", "the address that other hosts see")
    return parse_address(found)


def check_span(span: Subnet, mtu: int, underlay: Address) -> None:
    """Raise EngineError for a network that this host cannot be in."""
    network.check_mtu(mtu, [span])
    if underlay in span:
        raise EngineError(f"subnet {span}", f"this host's own address {underlay} is in it", "another one")
    for other in network.every():
        network.check_overlap([span], other)


def underlay_mtu(address: Address) -> int:
    """The largest packet of the device that has this address, in bytes. Raises EngineError if none has."""
    with IPRoute() as kernel:
        for found in kernel.get_addr(address=str(address)):
            (link,) = kernel.get_links(found["index"])
            return int(link.get_attr("IFLA_MTU"))
    raise EngineError(f"--underlay {address}", "this host has no such address", "`ip address` lists them")
