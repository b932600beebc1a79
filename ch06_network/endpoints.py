"""Endpoints: a container's place in a network. Book sections 6.2 and 6.5.

What must hold: as long as a container has an address, its endpoint's record or at least the lease says so. A record
goes before what it tells of, and is written before that is made. So whatever a killed engine leaves has an owner that
is not alive any more, and the next one that comes to the network takes it away.
"""

from __future__ import annotations

import errno
import os

from ch02_namespaces.errors import EngineError, SyscallError
from ch04_images import state
from ch04_images.containers import ContainerRecord
from ch05_lifecycle.store import GoneError, Stored
from ch06_network import network
from ch06_network.netlink import Netlink, index_of
from ch06_network.network import Network
from ch06_network.ports import PublishedPort
from ch06_network.subnets import Address, parse_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

LOOPBACK = 1  # the index of lo in every network namespace


class Endpoint:
    """container: its id; network: the network's name; interface: inside, such as eth0; cable: the end of the veth on
    the host; addresses: one for each subnet; names: by which the others find it; ports: published ones."""

    def __init__(
        self,
        container: str,
        network: str,
        interface: str,
        addresses: Sequence[Address],
        names: Sequence[str],
        ports: Sequence[PublishedPort],
    ) -> None:
        self.container = container
        self.network = network
        self.interface = interface
        self.addresses = list(addresses)
        self.names = list(names)
        self.ports = list(ports)

    @property
    def number(self) -> int:
        """That of its interface: 0 for eth0."""
        return int(self.interface.removeprefix("eth"))

    @property
    def cable(self) -> str:
        """The end of its veth on the host, named after the container."""
        return f"v{self.container[:10]}.{self.number}"

    @property
    def mac(self) -> bytes:
        """The hardware address, made of the address: whoever has that in its cache (ARP) is right about this, too.
        Locally administered, unicast: IEEE 802."""
        return b"\x02\x42" + self.addresses[0].packed[-4:]

    def address_of(self, version: int) -> Address | None:
        """Its IPv4 or IPv6 address, if it has one."""
        return next((address for address in self.addresses if address.version == version), None)

    def record(self) -> dict[str, Any]:
        """For the store; read() makes an endpoint of it again."""
        return {
            "container": self.container,
            "interface": self.interface,
            "addresses": [str(address) for address in self.addresses],
            "names": self.names,
            "ports": [port.fields for port in self.ports],
        }


def read(one: Network, id: str) -> Endpoint | None:
    """The endpoint of a container in a network, if it has one. These records do not survive a loss of power: one that
    cannot be read was of a container that is dead now."""
    try:
        record = state.read_record(one.path("endpoints", f"{id}.json"))
        addresses = [parse_address(text) for text in record["addresses"]]
        ports = [PublishedPort(*fields) for fields in record["ports"]]
        return Endpoint(record["container"], one.name, record["interface"], addresses, record["names"], ports)
    except (EngineError, KeyError, TypeError):
        return None


def every(one: Network) -> list[Endpoint]:
    """All endpoints of a network, also of dead containers."""
    found = (read(one, name.removesuffix(".json")) for name in _entries(one) if name.endswith(".json"))
    return [endpoint for endpoint in found if endpoint is not None]


def of_container(id: str) -> list[Endpoint]:
    """All endpoints of a container, by interface."""
    found = (read(one, id) for one in network.every())
    return sorted((endpoint for endpoint in found if endpoint is not None), key=lambda endpoint: endpoint.number)


def _entries(one: Network) -> list[str]:
    try:
        return os.listdir(one.path("endpoints"))
    except FileNotFoundError:
        return []


def is_alive(id: str) -> bool:
    """Whether a container runs, or is on its way up or down."""
    try:
        return Stored(ContainerRecord(id, "", [], "", 0)).is_watched()
    except GoneError:
        return False


def allocate(
    one: Network,
    id: str,
    interface: str,
    names: Sequence[str],
    wanted: Sequence[Address] = (),
    ports: Sequence[PublishedPort] = (),
) -> Endpoint:
    """Give a container addresses in a network, and write that down. For whoever holds the container's lock.

    wanted: addresses that it must get. Raises EngineError; then it has none.
    """
    with network.held(one):
        if read(one, id) is not None:
            raise EngineError(f"network {one.name}", f"container {state.short(id)} is in it already")
        remove_dead(one)
        addresses = _addresses(one, id, wanted)
        endpoint = Endpoint(id, one.name, interface, addresses, names, ports)
        try:
            _write(one, endpoint)
        except BaseException:
            _release(one, id, addresses)
            raise
        return endpoint


def rename(one: Network, endpoint: Endpoint, name: str) -> None:
    """Give an endpoint another first name. Raises EngineError."""
    with network.held(one):
        if read(one, endpoint.container) is not None:
            endpoint.names[0] = name
            _write(one, endpoint)


def _write(one: Network, endpoint: Endpoint) -> None:
    os.makedirs(one.path("endpoints"), exist_ok=True)
    state.write_record(one.path("endpoints", f"{endpoint.container}.json"), endpoint.record(), durable=False)


def _addresses(one: Network, id: str, wanted: Sequence[Address]) -> list[Address]:
    for address in wanted:
        if not any(address in subnet for subnet, _ in one.subnets):
            known = " and ".join(str(subnet) for subnet, _ in one.subnets)
            raise EngineError(f"--ip {address}", f"network {one.name} has {known}")
    found: list[Address] = []
    try:
        for pool in one.pools():
            here = next((address for address in wanted if address in pool.subnet), None)
            found.append(pool.allocate(id, here, is_alive))
    except BaseException:
        _release(one, id, found)
        raise
    return found


def _release(one: Network, id: str, addresses: Sequence[Address]) -> None:
    for pool in one.pools():
        for address in addresses:
            if address in pool.subnet:
                pool.release(address, id)


def remove_dead(one: Network) -> None:
    """Take away the endpoints of containers that were killed with their engines."""
    for name in _entries(one):
        id = name.partition(".")[0]
        if is_alive(id):
            continue
        endpoint = read(one, id)
        if endpoint is not None:
            remove(one, endpoint)
        _unlink(one.path("endpoints", name))  # one that was never finished, or cannot be read


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:  # somebody else was quicker
        return


def remove(one: Network, endpoint: Endpoint) -> None:
    """Take an endpoint away: its record, published ports, veth and addresses. Raises EngineError."""
    from ch06_network import conntrack, nat

    _unlink(one.path("endpoints", f"{endpoint.container}.json"))
    if endpoint.ports:
        nat.apply()
        conntrack.forget(endpoint.ports)
    unplug(endpoint)
    _release(one, endpoint.container, endpoint.addresses)


def unplug(endpoint: Endpoint) -> None:
    """Remove the veth, unless the kernel has: it goes with the container's network namespace."""
    with Netlink() as host:
        try:
            host.delete_link(endpoint.cable)
        except SyscallError as error:
            if error.errno != errno.ENODEV:
                raise


def plug(one: Network, endpoint: Endpoint, namespace: int, is_default: bool) -> None:
    """Connect a network namespace to a network: a veth into the bridge, addresses, and the way out.

    namespace: its descriptor; is_default: the way to everywhere else leads through this network. Raises SyscallError.
    """
    with Netlink() as host:
        bridge = index_of(one.bridge)
        try:
            host.add_veth(endpoint.cable, bridge, one.mtu, endpoint.interface, namespace, endpoint.mac)
        except SyscallError as error:
            if error.errno != errno.EEXIST:
                raise
            host.delete_link(endpoint.cable)  # left by an engine that was killed
            host.add_veth(endpoint.cable, bridge, one.mtu, endpoint.interface, namespace, endpoint.mac)
        if endpoint.ports:  # it may reach itself by its published port
            host.reflect(endpoint.cable)
    with Netlink(namespace) as inside:
        index = inside.index_of(endpoint.interface)
        inside.set_up(LOOPBACK)
        inside.set_up(index)
        for address, (subnet, _) in zip(endpoint.addresses, one.subnets, strict=True):
            inside.add_address(index, address, subnet.length)
        if is_default:
            lead_out(inside, one, index)


def lead_out(inside: Netlink, one: Network, index: int) -> None:
    """Make this network, which the device `index` leads to, the way to everywhere else. Raises SyscallError."""
    for _, gateway in one.subnets:
        inside.add_default_route(index, gateway)
