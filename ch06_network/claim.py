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
from ch05_lifecycle.names import ALLOWED, LONGEST
from ch06_network.etcd import NOT_AS_EXPECTED, Etcd, EtcdError
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
    names: its containers' addresses and names."""

    def __init__(self, host: str, subnet: Subnet, address: Address, names: list[tuple[str, list[str]]]) -> None:
        self.host = host
        self.subnet = subnet
        self.address = address
        self.names = names

    def value(self) -> str:
        """For etcd: all but the subnet, which is in the key."""
        kept = {"host": self.host, "address": str(self.address), "names": self.names}
        return json.dumps(kept, sort_keys=True)


class Claims:
    """The keys of one network in etcd."""

    def __init__(self, etcd: Etcd, network: str) -> None:
        self.etcd = etcd
        self.network = network
        self.place = f"/mydocker/networks/{network}/"
        self._is_first = False

    @property
    def hosts(self) -> str:
        """The prefix of the claims."""
        return f"{self.place}hosts/"

    def agree(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """What all hosts must know of the network: what the first of them wanted. Raises EngineError, also if this host
        wants something else. wanted: None for what it does not care about."""
        record = f"{self.place}record"
        if wanted["span"] is not None:
            self._is_first = self.etcd.put_if({record: (json.dumps(wanted), "0")}, absent=[record], present=[])
        text = self.etcd.get(record)
        if text is None:
            raise EngineError(f"network {self.network}", "no host has made it yet", "--subnet makes it")
        agreed = _checked_record(self.network, text, wanted)
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
        """Put the claim that this host has under another lease, with what is to be known of it; False if it has none.
        Raises EtcdError."""
        key = self.hosts + key_of(subnet)
        was = self.etcd.get(key)
        if was is None or _host_in(was) != us.host:
            return False
        return self.etcd.put_if_ours(key, was, us.value(), lease)

    def says(self, us: Peer) -> bool:
        """Whether etcd has all that is to be known of this host. Raises EtcdError."""
        return self.etcd.get(self.hosts + key_of(us.subnet)) == us.value()

    def peers(self, span: Subnet, length: int) -> list[Peer]:
        """All hosts that have a part, as far as what they say makes sense. Raises EtcdError."""
        found = (_checked_peer(key, value, span, length) for key, value in self.etcd.find(self.hosts).items())
        return [peer for peer in found if peer is not None]

    def give_back(self, subnet: Subnet, lease: str) -> None:
        """End this host's claim; the last one to go takes the record along. Raises EtcdError."""
        self.etcd.revoke(lease)
        self.etcd.delete_if(f"{self.place}used/{key_of(subnet)}", host_id())
        self.etcd.delete_if_empty(self.place, self.hosts)

    def withdraw(self, lease: str) -> None:
        """Undo agree() and claim(), as far as they have come and etcd answers. lease: may be empty."""
        try:
            if lease:
                self.etcd.revoke(lease)
            if self._is_first:
                self.etcd.delete_if_empty(self.place, self.hosts)
        except EtcdError:
            return


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
    except NOT_AS_EXPECTED:
        return ""


def _checked_record(network: str, text: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """What the hosts have agreed on, if it makes sense; whole, if its driver is the wanted one. Raises EngineError."""
    try:
        told = json.loads(text)
        record = {name: told[name] for name in (wanted if told["driver"] == wanted["driver"] else told)}
        span = parse_subnet(record["span"])
        numbers = [value for name, value in record.items() if name not in ("span", "driver")]
        if not all(type(number) is int and number > 0 for number in numbers):
            raise EngineError("numbers", "they make no sense")
        if span.version != 4 or not span.length <= record["prefix"] <= 30:
            raise EngineError(f"span {span}", f"it has no parts of /{record['prefix']}")
        return record
    except (*NOT_AS_EXPECTED, EngineError) as error:
        reason = str(error) if isinstance(error, EngineError) else type(error).__name__
        raise EngineError(f"record of network {network} in etcd", f"it is damaged: {reason}") from None


def _checked_peer(key: str, value: str, span: Subnet, length: int) -> Peer | None:
    """What another host says of itself, if it makes sense; it may be anything."""
    try:
        subnet = parse_subnet(key.rpartition("/")[2].replace("-", "/"))
        told = json.loads(value)
        address = parse_address(told["address"])
        names = [(str(where), [str(name) for name in known_as]) for where, known_as in told["names"][:MOST_NAMES]]
        inside = all(parse_address(where) in subnet for where, _ in names)
        allowed = all(known_as and all(map(_is_name, known_as)) for _, known_as in names)
        host = str(told["host"])
    except (*NOT_AS_EXPECTED, EngineError):
        return None
    fits = subnet.length == length and subnet.first in span and is_of_host(address) and address not in span
    return Peer(host, subnet, address, names) if fits and inside and allowed else None


def _is_name(text: str) -> bool:
    return 0 < len(text) <= LONGEST and set(text) <= ALLOWED


def is_of_host(address: Address) -> bool:
    """Whether a host can be found at this address: not those that mean "this one" (0.0.0.0/8, 127.0.0.0/8), many, or
    all (224.0.0.0/4 and above)."""
    return address.version == 4 and 0 < address.packed[0] < 224 and address.packed[0] != 127


# ---------------------------------------------------------------- what this host knows of its claim


def write_lease(one: Network, lease: str, until: float) -> None:
    """Keep under which lease this host has its part, and until when at least: seconds since boot; 0 if another host may
    have it."""
    state.write_record(one.path("lease.json"), {"lease": lease, "until": until, "boot": _boot()})


def read_lease(one: Network) -> tuple[str, float]:
    """The same: an empty lease if none is known; and 0 if the clock has begun anew since, for nobody knows how long the
    host was off."""
    try:
        record = state.read_record(one.path("lease.json"))
        return str(record["lease"]), float(record["until"]) if record["boot"] == _boot() else 0.0
    except (*NOT_AS_EXPECTED, EngineError):
        return "", 0.0


def _boot() -> str:
    """Which boot of the machine this is: random(4)."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def seconds_since_boot() -> float:
    """A clock that nobody sets, and that goes on while the machine sleeps: CLOCK_BOOTTIME, clock_gettime(2)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def check_claim(one: Network) -> None:
    """Raise EngineError if another host may have this host's part by now, so that no address may be handed out."""
    _, until = read_lease(one)
    if seconds_since_boot() > until:
        hint = "when etcd answers again, so will this; what runs goes on"
        raise EngineError(f"network {one.name}", "this host's claim to its addresses has run out", hint)
