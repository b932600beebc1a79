"""The parts that give a container its network. Book section 6.5.

    NAME              bridge ═══ veth ═══ eth0      Endpoints: one for each network
    none                                   lo       Loopback
    container:OTHER   what that one has             JoinNetwork
    host              what this host has            none of these parts

On the left stands what `--net` says.
"""

from __future__ import annotations

import os

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError
from ch03_run.container import Container, Part
from ch04_images import state
from ch05_lifecycle.process import open_process
from ch05_lifecycle.store import Stored
from ch06_network import conntrack, drivers, endpoints, hosts_file, nat, network, wishes
from ch06_network.netlink import Netlink
from ch06_network.ports import PublishedPort, Reservation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ch06_network.endpoints import Endpoint
    from ch06_network.network import Network
    from ch06_network.wishes import Wish


FORWARDING = "/proc/sys/net/ipv4/ip_forward"  # of whoever looks: here the host's /proc still, and the network our own


class Loopback(Part):
    """A network namespace without any way out: lo alone, and up."""

    section = "6.1.1"

    def enter(self, container: Container) -> None:
        with Netlink() as inside:
            inside.set_up(endpoints.LOOPBACK)


class JoinNetwork(Part):
    """The network namespace of another container, with its addresses and ports: setns(2)."""

    section = "6.5"

    def __init__(self, other: Stored) -> None:
        self._other = other

    def prepare(self, container: Container) -> None:
        self.join = [open_namespace(self._other)]

    def cleanup(self, container: Container) -> None:
        for descriptor in self.join:
            os.close(descriptor)
        self.join = ()


class NetworkFiles(Part):
    """The files that tell names: /etc/hosts, /etc/resolv.conf and /etc/hostname."""

    section = "6.5"

    def __init__(
        self, id: str, hostname: str | None, servers: Sequence[str], extra: Sequence[str], of_host: bool
    ) -> None:
        self._id = id
        self._hostname = hostname or state.short(id)
        self._servers = servers
        self._extra = extra
        self._of_host = of_host

    def prepare(self, container: Container) -> None:
        hosts_file.write_fixed_files(self._id, self._hostname, self._servers, self._extra, self._of_host)


class Endpoints(Part):
    """A place in each of the container's networks, and its published ports on the host."""

    section = "6.2, 6.5"

    def __init__(self, stored: Stored) -> None:
        self._stored = stored
        self._reservation = Reservation()

    def prepare(self, container: Container) -> None:
        self._leave()  # what an engine that was killed has left of an earlier run
        ports = self._reservation.take(wishes.ports_of(self._stored))
        for number, wish in enumerate(wishes.of(self._stored)):
            one = drivers.ready(wish.network)
            leads_in = [port for port in ports if one.lets_in(port.version)]
            allocate(one, self._stored, f"eth{number}", wish, leads_in)
            ports = [port for port in ports if port not in leads_in]
        if ports:
            hint = f"--net one that is not internal and has a subnet of IPv{ports[0].version}"
            raise EngineError(f"-p {ports[0]}", "it leads into none of the container's networks", hint)

    def attach(self, container: Container) -> None:
        assert container.process is not None
        namespace = os.open(f"/proc/{container.process.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            for endpoint in endpoints.of_container(self._stored.id):
                connect(endpoint, namespace)
        finally:
            os.close(namespace)

    def enter(self, container: Container) -> None:
        """A container in two networks is no way from one to the other. A new network namespace begins with what the
        first one of the machine has: devinet.c of the kernel, ip-sysctl.rst on devconf_inherit_init_net."""
        syscalls.write_file(FORWARDING, "0")

    def cleanup(self, container: Container) -> None:
        self._leave()
        self._reservation.close()

    def _leave(self) -> None:
        for endpoint in endpoints.of_container(self._stored.id):
            leave(endpoint)


def allocate(
    one: Network, stored: Stored, interface: str, wish: Wish, ports: list[PublishedPort] | None = None
) -> Endpoint:
    """Give a container its addresses and names in a network. Raises EngineError."""
    known_as = [stored.name, state.short(stored.id), *wishes.hostname_of(stored), *wish.aliases]
    return endpoints.allocate(one, stored.id, interface, list(dict.fromkeys(known_as)), wish.addresses, ports or [])


def connect(endpoint: Endpoint, namespace: int) -> None:
    """Plug an endpoint in, and let others know of it. namespace: descriptor of the container's. Raises EngineError."""
    one = network.read(endpoint.network)
    endpoints.plug(one, endpoint, namespace, endpoint.interface == default_interface(endpoint.container))
    if endpoint.ports:
        nat.apply()
        conntrack.forget(endpoint.ports)
    tell(one)


def leave(endpoint: Endpoint) -> None:
    """Take an endpoint away, and let others know. Raises EngineError."""
    one = network.read(endpoint.network)
    endpoints.remove(one, endpoint)
    tell(one)


def rename(stored: Stored) -> None:
    """Let the others know a container by its new name. Raises EngineError."""
    for endpoint in endpoints.of_container(stored.id):
        one = network.read(endpoint.network)
        endpoints.rename(one, endpoint, stored.name)
        tell(one)


def tell(one: Network) -> None:
    """Let all who are in a network know who else is: here by their files, elsewhere by the network's agent."""
    hosts_file.refresh(one)
    if "span" in one.options:
        from ch06_network.agent import wake

        wake(one)


def default_interface(id: str) -> str:
    """The interface that leads a container to everywhere else: that of its first network that has a way out."""
    for endpoint in endpoints.of_container(id):
        if not network.read(endpoint.network).internal:
            return endpoint.interface
    return ""


def open_namespace(stored: Stored) -> int:
    """A descriptor of the network namespace of a container that runs. Raises EngineError."""
    pidfd = open_process(stored)
    try:
        descriptor = os.open(f"/proc/{stored.state()['pid']}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        os.close(open_process(stored))  # it runs still: so the number has meant it all the time
        return descriptor
    except FileNotFoundError:
        raise EngineError(f"container {state.short(stored.id)}", "it has just ended") from None
    finally:
        os.close(pidfd)
