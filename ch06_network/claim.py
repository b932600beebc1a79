"""What the hosts of a network agree on in etcd: its addresses, and which host has which part of them. Section 6.6.

    /mydocker/networks/NAME/record         what all hosts must know: the subnet of all, how it is divided, …
                            hosts/SUBNET   who has this part, and where; lives as long as its owner's lease
                            used/SUBNET    who had it last; so that a part is not given away while there are fresh ones

A host claims a part in one transaction: if nobody has it. From then on it hands out addresses by itself, so that a
network goes on when etcd does not. A lease that is not renewed for its whole time (a day, unless --opt lease=SECONDS)
ends the claim; a host that cannot be sure of its claim any more hands out no new addresses.
"""

from __future__ import annotations

import json
import os
import time

from ch02_namespaces.errors import EngineError
from ch04_images import state
from ch05_lifecycle.names import ALLOWED
from ch06_network.etcd import Etcd
from ch06_network.subnets import BITS, Address, Subnet, parse_address, parse_subnet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ch06_network.network import Network

MOST_PARTS = 1 << 16
MOST_NAMES = 1 << 16


class Peer:
    """A host of the network as the others see it. host: its id; subnet: its part; address: where it can be reached;
    mac: that of its end of the tunnel; names: its containers' addresses and names."""

    def __init__(
        self, host: str, subnet: Subnet, address: Address, mac: str, names: list[tuple[str, list[str]]]
    ) -> None:
        self.host = host
        self.subnet = subnet
        self.address = address
        self.mac = mac
        self.names = names

    def value(self) -> str:
        """For etcd: all but the subnet, which is in the key."""
        kept = {"host": self.host, "address": str(self.address), "mac": self.mac, "names": self.names}
        return json.dumps(kept, sort_keys=True)


class Claims:
    """The keys of one network in etcd."""

    def __init__(self, etcd: Etcd, network: str) -> None:
        self.etcd = etcd
        self.network = network
        self.place = f"/mydocker/networks/{network}/"

    @property
    def hosts(self) -> str:
        """The prefix of the claims."""
        return f"{self.place}hosts/"

    def agree(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """What all hosts must know of the network: what the first of them wanted. Raises EngineError, also if this host
        wants something else. wanted: None for what it does not care about."""
        record = f"{self.place}record"
        if wanted["span"] is not None:
            self.etcd.put_if({record: (json.dumps(wanted), "0")}, absent=[record], present=[])
        text = self.etcd.get(record)
        if text is None:
            raise EngineError(f"network {self.network}", "no host has made it yet", "--subnet makes it")
        agreed = _checked_record(self.network, text)
        for name, value in wanted.items():
            if value is not None and agreed.get(name) != value:
                raise EngineError(f"network {self.network}", f"its {name} is {agreed.get(name)}, not {value}")
        return agreed

    def claim(self, us: Peer, span: Subnet, length: int, lease: str) -> Subnet:
        """Get a part of the network for this host: the one that it had, or a fresh one. Raises EngineError.

        us: its subnet does not matter.
        """
        taken = {peer.subnet: peer.host for peer in self.peers(span, length)}
        used = {key.rpartition("/")[2]: host for key, host in self.etcd.find(f"{self.place}used/").items()}
        for subnet in sorted(_parts(span, length), key=lambda subnet: _reluctance(subnet, us.host, used)):
            if subnet not in taken and self.take(us, subnet, lease):
                return subnet
            if taken.get(subnet) == us.host and self.take_again(us, subnet, lease):
                return subnet
        raise EngineError(f"network {self.network}", f"other hosts have all /{length} of {span}", "a larger --subnet")

    def take(self, us: Peer, subnet: Subnet, lease: str) -> bool:
        """Claim a part that nobody has; whether that was so. Raises EtcdError."""
        key = self.hosts + key_of(subnet)
        puts = {key: (us.value(), lease), f"{self.place}used/{key_of(subnet)}": (us.host, "0")}
        return self.etcd.put_if(puts, absent=[key], present=[f"{self.place}record"])

    def take_again(self, us: Peer, subnet: Subnet, lease: str) -> bool:
        """Put the claim that this host has under another lease, with what is to be known of it. Raises EtcdError."""
        key = self.hosts + key_of(subnet)
        was = self.etcd.get(key)
        if was is None or _host_in(was) != us.host:
            return False
        return self.etcd.put_if_ours(key, was, us.value(), lease)

    def peers(self, span: Subnet, length: int) -> list[Peer]:
        """All hosts that have a part, as far as what they say makes sense. Raises EtcdError."""
        found = (_checked_peer(key, value, span, length) for key, value in self.etcd.find(self.hosts).items())
        return [peer for peer in found if peer is not None]

    def give_back(self, subnet: Subnet, lease: str) -> None:
        """End this host's claim; the last one to go takes the record along. Raises EtcdError."""
        self.etcd.revoke(lease)
        self.etcd.delete(f"{self.place}used/{key_of(subnet)}")
        self.etcd.delete_if_empty(self.place, self.hosts)


def key_of(subnet: Subnet) -> str:
    """A subnet as part of a key: 10.1.2.0-24."""
    return str(subnet).replace("/", "-")


def host_id() -> str:
    """Who this host is, for as long as it keeps its state directory."""
    path = state.place("host-id")
    try:
        return str(state.read_record(path)["id"])
    except EngineError:
        if os.path.exists(path):
            raise
    state.make_place("networks")
    fresh = f"{path}.{os.getpid()}.first"
    state.write_record(fresh, {"id": state.new_id()})
    try:
        os.link(fresh, path)
    except FileExistsError:  # somebody else was quicker
        pass
    finally:
        os.unlink(fresh)
    return host_id()


def _parts(span: Subnet, length: int) -> Iterator[Subnet]:
    step = 1 << (BITS[span.version] - length)
    for number in range(min(span.size // step, MOST_PARTS)):
        yield Subnet(span.at(number * step), length)


def _reluctance(subnet: Subnet, host: str, used: dict[str, str]) -> int:
    """0 for a part that this host had, 1 for one that nobody had, 2 for the others."""
    owner = used.get(key_of(subnet))
    return 0 if owner == host else 1 if owner is None else 2


def _host_in(value: str) -> str:
    try:
        return str(json.loads(value)["host"])
    except (ValueError, KeyError, TypeError):
        return ""


def _checked_record(network: str, text: str) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(text)
        span = parse_subnet(record["span"])
        numbers = [record["prefix"], record["mtu"], record["lease"]]
        if not all(isinstance(number, int) for number in numbers) or not span.length <= record["prefix"] <= 30:
            raise EngineError("numbers", "they make no sense")
        return record
    except (ValueError, KeyError, TypeError, EngineError) as error:
        raise EngineError(f"record of network {network} in etcd", f"it is damaged: {error}") from None


def _checked_peer(key: str, value: str, span: Subnet, length: int) -> Peer | None:
    """What another host says of itself, if it makes sense; it may be anything."""
    try:
        subnet = parse_subnet(key.rpartition("/")[2].replace("-", "/"))
        told = json.loads(value)
        address = parse_address(told["address"])
        mac = ":".join(f"{int(byte, 16):02x}" for byte in str(told["mac"]).split(":")[:6]) if told["mac"] else ""
        names = [(str(where), [str(name) for name in known_as]) for where, known_as in told["names"][:MOST_NAMES]]
        inside = all(parse_address(where) in subnet for where, _ in names)
        allowed = all(name and set(name) <= ALLOWED for _, known_as in names for name in known_as)
        host = str(told["host"])
    except (ValueError, KeyError, TypeError, AttributeError, EngineError):
        return None
    fits = subnet.length == length and subnet.first in span and address.version == 4 and address not in span
    return Peer(host, subnet, address, mac, names) if fits and inside and allowed else None


# ---------------------------------------------------------------- what this host knows of its claim


def write_lease(one: Network, lease: str, until: float) -> None:
    """Keep under which lease this host has its part, and until when at least: seconds since boot. For its agent."""
    state.write_record(one.path("lease.json"), {"lease": lease, "until": until})


def read_lease(one: Network) -> tuple[str, float]:
    """The same: an empty lease when there is none any more."""
    path = one.path("lease.json")
    if not os.path.exists(path):
        return "", 0.0
    record = state.read_record(path)
    return record["lease"], record["until"]


def seconds_since_boot() -> float:
    """A clock that nobody sets, and that goes on while the machine sleeps: CLOCK_BOOTTIME, clock_gettime(2)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def check_claim(one: Network) -> None:
    """Raise EngineError if another host may have this host's part by now, so that no address may be handed out."""
    _, until = read_lease(one)
    if seconds_since_boot() > until:
        hint = "when etcd answers again, so will this; what runs goes on"
        raise EngineError(f"network {one.name}", "this host's claim to its addresses has run out", hint)
