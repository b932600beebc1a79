"""The model: a network, its driver, and the endpoints of containers in it. Book section 6.2.

    networks/NAME/network.json        what it is; written once
                  pool4, pool6        who has which address: ipam
                  endpoints/ID.json   a container that is plugged in, as long as it runs

        network ──────────── driver             makes and removes what the network is made of:
           │  one for each     bridge, vxlan,    create, up, down, remove
           │  container        host-routes
        endpoint ─────────── veth, address, names, published ports

A network is a bridge on this host, whatever its driver: those that span hosts add what lies between the bridges.
"""

from __future__ import annotations

import fcntl
import os
import time

from ch02_namespaces.errors import EngineError
from ch02_namespaces.locks import lock, locked
from ch04_images import state
from ch05_lifecycle import names
from ch06_network.ipam import Pool
from ch06_network.netlink import is_up
from ch06_network.subnets import Address, Subnet, check_usable, parse_address, parse_subnet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

DEFAULT = "bridge"
MODES = ("none", "host", "container")
MTU = 1500
SMALLEST_MTU = {4: 68, 6: 1280}  # RFC 791, RFC 8200
LARGEST_MTU = 65535
PREFIX = "md-"


class Network:
    """name: unique; id: 64 hexadecimal digits; driver: its name; subnets: at most one of IPv4 and one of IPv6, each
    with its gateway; mtu: bytes; internal: nothing leads out of it; created: seconds since 1970; options: the
    driver's own."""

    def __init__(self, name: str, record: dict[str, Any]) -> None:
        self.name = name
        self.record = record
        try:
            self.id: str = record["id"]
            self.driver: str = record["driver"]
            self.mtu: int = record["mtu"]
            self.internal: bool = record["internal"]
            self.created: int = record["created"]
            self.options: dict[str, Any] = record["options"]
            self.bridge = PREFIX + self.id[:10]
            """The name of its bridge on this host."""
            self.subnets = [(parse_subnet(subnet), parse_address(gateway)) for subnet, gateway in record["subnets"]]
        except KeyError as missing:
            raise EngineError(f"record of network {name}", f"it lacks {missing}", "`network rm` removes it") from None
        except (TypeError, ValueError, AttributeError) as error:
            raise EngineError(
                f"record of network {name}", f"it is damaged: {error}", "`network rm` removes it"
            ) from None

    def path(self, *names: str) -> str:
        """Something in its directory."""
        return state.place("networks", self.name, *names)

    def pools(self) -> list[Pool]:
        """Who has which of its addresses: a pool for each subnet."""
        return [Pool(self.path(f"pool{subnet.version}"), subnet, [gateway]) for subnet, gateway in self.subnets]

    @property
    def elsewhere(self) -> list[tuple[Subnet, str]]:
        """Where its containers on other hosts are: the addresses of all hosts, and the device that leads there; no name
        if it may be any. Empty for a network of this host alone."""
        return [(parse_subnet(self.options["span"]), self.options["device"])] if "span" in self.options else []

    def lets_in(self, version: int) -> bool:
        """Whether published ports of this version of the Internet protocol can lead into it."""
        return not self.internal and any(subnet.version == version for subnet, _ in self.subnets)

    def is_up(self) -> bool:
        """Whether all that it is made of is there: its bridge is set up last."""
        return is_up(self.bridge)


def every() -> list[Network]:
    """All networks, by name; but for those whose record is damaged, which are in nobody's way."""
    return [one for name in _names() if (one := _read_if_possible(name)) is not None]


def damaged() -> list[str]:
    """The names of networks whose record cannot be read."""
    unreadable = [name for name in _names() if _read_if_possible(name) is None]
    return [name for name in unreadable if os.path.isdir(state.place("networks", name))]


def _read_if_possible(name: str) -> Network | None:
    try:
        return read(name)
    except EngineError:  # damaged, or removed just now
        return None


def _names() -> list[str]:
    try:
        return sorted(name for name in os.listdir(state.place("networks")) if not name.startswith("."))
    except FileNotFoundError:
        return []


def exists(name: str) -> bool:
    """Whether there is a network of this name."""
    return os.path.exists(state.place("networks", name, "network.json"))


def read(name: str) -> Network:
    """The network of this name. Raises EngineError."""
    return Network(name, state.read_record(state.place("networks", name, "network.json")))


def find(text: str) -> Network:
    """The network of this name, or whose id begins so. Raises EngineError when there is none, or more than one."""
    known = _names()
    if text in known:
        return read(text)
    found = [network for network in every() if text and network.id.startswith(text)]
    if len(found) == 1:
        return found[0]
    if found:
        raise EngineError(f"network {text!r}", f"{len(found)} ids begin so", "give more of it")
    raise EngineError(f"network {text!r}", "there is none with this name or id", "`network ls` lists them")


def name_of(text: str) -> str:
    """The name of the network that is meant, which may be given by its id; as it is if there is none."""
    if exists(text):
        return text
    try:
        return find(text).name
    except EngineError:
        return text


class OverlapError(EngineError):
    """A subnet that another network has, perhaps since a moment ago."""


class held:  # noqa: N801
    """`with held(one)`: nobody else changes who is in a network, nor removes it. Raises EngineError if it is gone."""

    def __init__(self, one: Network) -> None:
        gone = EngineError(f"network {one.name}", "it has just been removed")
        try:
            self._descriptor = lock(one.path(), fcntl.LOCK_EX)
        except FileNotFoundError:
            raise gone from None
        if not exists(one.name) or read(one.name).id != one.id:  # while we waited
            os.close(self._descriptor)
            raise gone

    def __enter__(self) -> None:
        return

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def check_name(name: str) -> None:
    """Raise EngineError for a name that is not allowed."""
    names.check(name)
    if name in MODES:
        raise EngineError(f"network {name!r}", "--net has another meaning for this word", "another name")


def create(
    name: str,
    driver: str,
    subnets: Sequence[tuple[Subnet, Address]],
    mtu: int = MTU,
    internal: bool = False,
    options: dict[str, Any] | None = None,
    id: str = "",
) -> Network:
    """Put a network into the store. id: a fresh one if it is empty. Raises EngineError if there is one of this name."""
    check_name(name)
    for subnet, _ in subnets:
        check_usable(subnet)
    check_mtu(mtu, [subnet for subnet, _ in subnets])
    id = id or state.new_id()
    record = {
        "id": id,
        "driver": driver,
        "subnets": [[str(subnet), str(gateway)] for subnet, gateway in subnets],
        "mtu": mtu,
        "internal": internal,
        "created": int(time.time()),
        "options": options or {},
    }
    above = state.make_place("networks")
    with locked(above, fcntl.LOCK_EX):
        if name in _names():
            raise EngineError(f"network {name!r}", "there is one already", "`network ls` lists them")
        for other in every():
            check_overlap([subnet for subnet, _ in subnets], other)
        temporary = f"{above}/.{id}"
        os.mkdir(temporary, 0o700)
        state.write_record(f"{temporary}/network.json", record)
        os.rename(temporary, f"{above}/{name}")
    return Network(name, record)


def check_mtu(mtu: int, subnets: Sequence[Subnet]) -> None:
    """Raise EngineError for a size that packets of these subnets cannot have."""
    least = max(SMALLEST_MTU[subnet.version] for subnet in subnets)
    if not least <= mtu <= LARGEST_MTU:
        raise EngineError(f"--mtu {mtu}", f"it is not from {least} to {LARGEST_MTU} bytes")


def check_overlap(subnets: Sequence[Subnet], other: Network) -> None:
    """Raise OverlapError if one of these subnets has addresses of another network, here or on other hosts."""
    for subnet in subnets:
        for theirs, _ in [*other.subnets, *other.elsewhere]:
            if subnet.overlaps(theirs):
                raise OverlapError(f"subnet {subnet}", f"it overlaps {theirs} of network {other.name}", "another one")


def forget(network: Network) -> None:
    """Take a network out of the store, with all that it knows. If we are killed in here, sweep() goes on."""
    remove_directory(network.name)


def remove_directory(name: str) -> None:
    """The same for one whose record may be damaged."""
    above = state.place("networks")
    gone = f"{above}/.{state.new_id()}"
    with locked(above, fcntl.LOCK_EX):
        try:
            os.rename(f"{above}/{name}", gone)
        except FileNotFoundError:  # by somebody else, just now
            return
        state.remove_tree(gone)


def sweep() -> None:
    """Remove half-made and half-removed directories of networks."""
    try:
        with locked(state.place("networks"), fcntl.LOCK_EX):
            for name in os.listdir(state.place("networks")):
                if name.startswith("."):
                    state.remove_tree(state.place("networks", name))
    except FileNotFoundError:
        return
