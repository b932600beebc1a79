"""Networks across hosts: what all drivers of that kind have in common. Book section 6.6.

    host A                                    etcd                                    host B
    network create ──── claims a part ────►  hosts/10.44.0.0-24
                                             hosts/10.44.1.0-24  ◄──── claims a part ──── network create
    agent ◄──────────── watches ───────────  hosts/              ──────── watches ───────────► agent
      │ routes to 10.44.1.0/24,                                          routes to 10.44.0.0/24, │
      ▼ names of its containers                                    names of its containers       ▼

The agent is one small process for each such network on a host. It renews the lease, tells the others of this host's
containers, and does what the driver wants for each of the others. Whatever it is told, it looks at everything anew:
so nothing can be missed, and what a killed agent left is put right by the next one.
"""

from __future__ import annotations

import fcntl
import os
import select

from pyroute2 import IPRoute

from ch02_namespaces.errors import EngineError
from ch02_namespaces.locks import lock, locked
from ch04_images import state
from ch05_lifecycle.watcher import in_background
from ch06_network import claim, endpoints, hosts_file, nat, network
from ch06_network.bridge import BridgeDriver
from ch06_network.claim import Claims, Peer
from ch06_network.etcd import Etcd, EtcdError, Watch
from ch06_network.netlink import is_up
from ch06_network.network import Network
from ch06_network.subnets import Address, Subnet, parse_address, parse_subnet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

DAY = 86400
SHORTEST_LEASE = 2  # seconds; etcd gives none that is shorter
LOOK_AGAIN, TRY_AGAIN = 10.0, 1.0  # seconds
GOODBYE = 10.0  # seconds
WAKE, QUIT = b"w", b"q"


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
                start_agent(one)
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


# ---------------------------------------------------------------- the agent, from outside


def is_agent_alive(one: Network) -> bool:
    """Whether somebody holds the agent's lock."""
    try:
        os.close(lock(one.path("agent"), fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def start_agent(one: Network) -> None:
    """Leave the network to an agent; returns when it has looked at everything once. Raises EngineError."""
    if not os.path.isdir(one.path("agent")):
        os.mkdir(one.path("agent"))  # not its parents: they are gone if the network is
    in_background(lambda started: Agent(one).run(started))


def wake(one: Network) -> None:
    """Tell the agent that something has changed here."""
    _say(one, WAKE)


def end_agent(one: Network) -> None:
    """End the agent, and wait for its end. Raises EngineError."""
    if not os.path.isdir(one.path("agent")):
        return
    end = claim.seconds_since_boot() + GOODBYE
    while is_agent_alive(one):
        if claim.seconds_since_boot() > end:
            raise EngineError(f"network {one.name}", "its agent does not end", "look for it in `ps`")
        _say(one, QUIT)
        select.select([], [], [], 0.02)


def _say(one: Network, word: bytes) -> None:
    try:
        descriptor = os.open(one.path("wake"), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # there is no agent: the next one looks at everything
        return
    try:
        os.write(descriptor, word)
    except BlockingIOError:  # it has enough to read
        return
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------- the agent


class Agent:
    """Keeps this host in a network."""

    def __init__(self, one: Network) -> None:
        from ch06_network.drivers import driver_of

        self.one = one
        driver = driver_of(one.driver)
        assert isinstance(driver, SpanningDriver)
        self._driver = driver
        self._claims = Claims(Etcd(one.options["etcd"]), one.name)
        self._span, self._length = parse_subnet(one.options["span"]), one.options["prefix"]
        self._subnet = one.subnets[0][0]
        self._host = claim.host_id()
        self._lease, self._until = claim.read_lease(one)
        self._claimed_under = ""
        self._told: dict[str, Any] = {}
        self._watch: Watch | None = None
        self._kernel = IPRoute()

    def run(self, started: Callable[[], None]) -> None:
        """Look at everything, again and again, until somebody says QUIT or the network is gone."""
        try:
            held = lock(self.one.path("agent"), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody else was quicker
            return
        ears = _open_fifo(self.one.path("wake"))
        try:
            self._look(started)
            while self._listen(ears) and network.exists(self.one.name):
                self._look(lambda: None)
        finally:
            os.close(held)

    def _look(self, started: Callable[[], None]) -> None:
        """Do what is to be done. An etcd that does not answer, or not as it should, changes nothing here."""
        try:
            self._claims.etcd.begin()
            if self._watch is None:
                self._watch = self._claims.etcd.watch(self._claims.hosts)
            self._hold_claim()
            peers = self._claims.peers(self._span, self._length)
            self._follow([peer for peer in peers if peer.host != self._host and peer.subnet != self._subnet])
        except EtcdError:
            self._forget_watch()
        except EngineError:  # the next look may find it better
            pass
        started()

    def _listen(self, ears: int) -> bool:
        """Wait until there is a reason to look again. False: it is time to go."""
        poll = select.poll()
        poll.register(ears, select.POLLIN)
        if self._watch is not None:
            poll.register(self._watch.fileno(), select.POLLIN)
        patience = TRY_AGAIN if self._watch is None else min(LOOK_AGAIN, self.one.options["lease"] / 3)
        for descriptor, _ in poll.poll(patience * 1000):
            if descriptor == ears:
                if QUIT in os.read(ears, 4096):
                    return False
            elif self._watch is not None and not self._watch.drain():
                self._forget_watch()
                return self._listen(ears)  # etcd has ended it: so not at once
        return True

    def _forget_watch(self) -> None:
        if self._watch is not None:
            self._watch.close()
        self._watch = None

    def _hold_claim(self) -> None:
        """See to it that etcd says that this host has its part, for another while, and who is in it."""
        now = claim.seconds_since_boot()
        if not (self._lease and self._claims.etcd.renew(self._lease)):
            self._lease = self._claims.etcd.grant(self.one.options["lease"])
        us = Peer(self._host, self._subnet, parse_address(self.one.options["underlay"]), self._names())
        if self._claims.says(us) and self._claimed_under == self._lease:
            self._keep(now + self.one.options["lease"])
        elif self._claims.take_again(us, self._subnet, self._lease) or self._take(us):
            self._claimed_under = self._lease
            self._keep(now + self.one.options["lease"])
        else:  # another host has it: until that goes, this one hands out nothing
            self._keep(0)

    def _take(self, us: Peer) -> bool:
        self._claims.agree(self._agreed())
        return self._claims.take(us, self._subnet, self._lease)

    def _keep(self, until: float) -> None:
        """Write down until when the claim holds, unless what is written there says so nearly."""
        least = self.one.options["lease"] / 6
        if not 0 <= until - self._until <= least or self._lease != claim.read_lease(self.one)[0]:
            self._until = until
            claim.write_lease(self.one, self._lease, until)

    def _agreed(self) -> dict[str, Any]:
        """What all hosts had agreed on; for an etcd that has forgotten it."""
        wanted = {name: self.one.options[name] for name in ("span", "prefix", "lease", "mtu")}
        shared = self._driver.shared_options(self.one.options)
        return {**wanted, "driver": self.one.driver, **{name: self.one.options[name] for name in shared}}

    def _names(self) -> list[tuple[str, list[str]]]:
        members = [endpoint for endpoint in endpoints.every(self.one) if endpoints.is_alive(endpoint.container)]
        return sorted((str(address), endpoint.names) for endpoint in members for address in endpoint.addresses)

    def _follow(self, others: list[Peer]) -> None:
        """Let packets and names find the other hosts."""
        try:
            self._driver.apply_peers(self._kernel, self.one, others)
        finally:
            names = sorted((address, known_as) for peer in others for address, known_as in peer.names)
            hosts = sorted([str(peer.subnet), str(peer.address)] for peer in others)
            record = {"names": [[address, known_as] for address, known_as in names], "hosts": hosts}
            if record != self._told:
                state.write_record(self.one.path("remote.json"), record, durable=False)
                hosts_file.refresh(self.one)
                self._told = record


def _open_fifo(path: str) -> int:
    """Open both ends, so that it does not end when those who write go."""
    if not os.path.exists(path):
        os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
