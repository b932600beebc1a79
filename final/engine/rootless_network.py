"""The network of an ordinary user's container: a process of his own passes on what it sends. Book sections 2.1.6, 6.5.

    container: eth0 (a tap device) ◄──► pasta ◄──► sockets of the host

Bridges and NAT would be the machine's, so only its root may have them. pasta(1) reads the container's packets and makes
connections of them, as any program may; published ports are its listening sockets. It ends with the engine that has
started it, or the watcher.
"""

from __future__ import annotations

import os
import select

from ch02_namespaces import namespaces, syscalls
from ch02_namespaces.errors import EngineError
from ch03_run.container import Container, Part
from ch04_images import state
from ch06_network import wishes
from ch06_network.network import DEFAULT
from ch06_network.plug import Endpoints
from ch06_network.ports import ANY, PublishedPort, Reservation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch05_lifecycle.store import Stored

PROGRAM = "pasta"
PLAIN = (
    *("--foreground", "--quiet", "--no-netns-quit", "--config-net", "--ns-ifname", "eth0"),
    *("--no-map-gw", "-T", "none", "-U", "none"),
)
"""eth0 is configured, and nothing of the host can be reached by way of the container's gateway or loopback."""
RECORD, READY, NAMESPACE = "pasta.json", "pasta.pid", "pasta.net"  # in the container's directory
HINT = "it needs /dev/net/tun, and a way out of this host; --net none and --net host do without it"
OTHERS = "--net none, host or container:NAME; without --net it has one of its own"


def rootless(parts: list[Part], stored: Stored) -> list[Part]:
    """The same parts, with what an ordinary user can have in place of bridges. Raises EngineError."""
    return [Pasta(stored) if isinstance(part, Endpoints) else part for part in parts]


def ports_of(stored: Stored) -> list[PublishedPort]:
    """Where the published ports of a container that runs are."""
    path = stored.record.path(RECORD)
    return [PublishedPort(*fields) for fields in state.read_record(path)["ports"]] if os.path.exists(path) else []


class Pasta(Part):
    """A way out, and the published ports."""

    section = "6.5"

    def __init__(self, stored: Stored) -> None:
        for wish in wishes.of(stored):
            named = wish.network != DEFAULT
            if named or wish.addresses or wish.aliases:
                flag = f"--net {wish.network}" if named else "--ip" if wish.addresses else "--network-alias"
                raise EngineError(flag, "an ordinary user has no networks with addresses", OTHERS)
        self._stored = stored
        self._ports: list[PublishedPort] = []
        self._process: namespaces.Process | None = None

    def prepare(self, container: Container) -> None:
        reservation = Reservation(for_server=True)
        try:
            self._ports = reservation.take(wishes.ports_of(self._stored))
        finally:
            reservation.close()  # pasta binds them itself
        state.write_record(self._stored.record.path(RECORD), {"ports": [port.fields for port in self._ports]}, False)

    def attach(self, container: Container) -> None:
        """Start pasta, and wait until the network is configured. It drops the rights that it would take to look into
        /proc/PID of the container: so the namespace gets a path for a moment, in our own mount namespace."""
        assert container.process is not None
        ready, namespace = (self._stored.record.path(name) for name in (READY, NAMESPACE))
        if not os.path.exists(ready):
            os.mkfifo(ready, 0o600)
        os.close(os.open(namespace, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        reader = os.open(ready, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        errors = os.memfd_create(PROGRAM, os.MFD_CLOEXEC)
        words = [PROGRAM, *PLAIN, "--pid", ready, *forwarded(self._ports), "--netns", namespace]
        syscalls.mount(f"/proc/{container.process.pid}/ns/net", namespace, None, syscalls.MS_BIND)
        try:
            self._process = namespaces.spawn(0, lambda: execute(words, errors))
            self._await(reader, errors)
        finally:
            syscalls.umount(namespace, syscalls.MNT_DETACH)
            os.close(reader)
            os.close(errors)

    def _await(self, reader: int, errors: int) -> None:
        """Wait until it has configured the network: then it writes its pid. Raises EngineError if it ends instead."""
        assert self._process is not None
        poll = select.poll()
        for descriptor in (reader, self._process.pidfd):
            poll.register(descriptor, select.POLLIN)
        if any(descriptor == reader for descriptor, events in poll.poll() if events & select.POLLIN):
            return
        code = self._process.wait()
        said = os.pread(errors, 1 << 16, 0).decode(errors="replace").splitlines()
        why = [line for line in said if line and "syslog" not in line]
        raise EngineError(PROGRAM, why[-1] if why else f"exit code {code}", HINT)

    def cleanup(self, container: Container) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None
        for name in (RECORD, READY, NAMESPACE):
            if os.path.exists(self._stored.record.path(name)):
                os.unlink(self._stored.record.path(name))


def execute(words: list[str], errors: int) -> int:
    """Become pasta, whose end comes with ours, and not by the terminal's Ctrl-C. errors: where it tells them."""
    syscalls.setsid()
    syscalls.die_with_parent()
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for stream, target in enumerate((nothing, nothing, errors)):
        os.dup2(target, stream)
    try:
        os.execvp(words[0], words)
    except OSError as error:
        os.write(2, f"{error.strerror} (Debian has it in the package passt)\n".encode())
        return 127


def forwarded(ports: list[PublishedPort]) -> list[str]:
    """pasta's words for published ports."""
    found = []
    for flag, protocol in (("-t", "tcp"), ("-u", "udp")):
        mine = [port for port in ports if port.protocol == protocol]
        found += [word for port in mine for word in (flag, specified(port))] or [flag, "none"]
    return found


def specified(port: PublishedPort) -> str:
    """One port, as pasta(1) has it: ADDRESS/HOST:CONTAINER."""
    address = "" if port.address == ANY[0] else f"{port.address}/"
    return f"{address}{port.host}:{port.container}"
