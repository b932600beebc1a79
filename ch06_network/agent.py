"""The agent: one small process for each network across hosts, on each host. Book section 6.6.

It renews the lease, tells the others of this host's containers, and does what the driver wants for each of the others.
Whatever it is told, it looks at everything anew: so nothing can be missed, and what a killed agent left is put right by
the next one.
"""

from __future__ import annotations

import fcntl
import os
import select

from pyroute2 import IPRoute

from ch02_namespaces.errors import EngineError
from ch02_namespaces.locks import lock
from ch04_images import state
from ch05_lifecycle.watcher import in_background
from ch06_network import claim, endpoints, hosts_file, network
from ch06_network.claim import Claims, Peer
from ch06_network.etcd import Etcd, EtcdError, Watch
from ch06_network.network import Network
from ch06_network.subnets import parse_address, parse_subnet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ch06_network.span import SpanningDriver

LOOK_AGAIN, TRY_AGAIN = 10.0, 1.0  # seconds
GOODBYE = 10.0  # seconds
WAKE, QUIT = b"w", b"q"


def is_agent_alive(one: Network) -> bool:
    """Whether somebody holds the agent's lock."""
    try:
        os.close(lock(one.path("agent"), fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def start_agent(one: Network, driver: SpanningDriver) -> None:
    """Leave the network to an agent; returns when it has looked at everything once. Raises EngineError."""
    if not os.path.isdir(one.path("agent")):
        os.mkdir(one.path("agent"))  # not its parents: they are gone if the network is
    in_background(lambda started: Agent(one, driver).run(started))


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


class Agent:
    """Keeps this host in a network."""

    def __init__(self, one: Network, driver: SpanningDriver) -> None:
        self.one = one
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
