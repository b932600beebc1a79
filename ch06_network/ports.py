"""Published ports: `-p [IP:]HOST:CONTAINER[/tcp|udp]`. Book section 6.5.

A published port is a socket, too: bound on the host as long as the container lives, and never used. So a port that is
taken is refused, and nobody else can take it later; the kernel gives it back when its holder ends, however it ends.
"""

from __future__ import annotations

import _socket
import errno as errnos
import os

from ch02_namespaces.errors import EngineError
from ch06_network.subnets import FAMILIES, Address, parse_address

PROTOCOLS = {"tcp": _socket.SOCK_STREAM, "udp": _socket.SOCK_DGRAM}
ANY = ("0.0.0.0", "::")
SYNTAX = "-p [IP:]HOST:CONTAINER[/tcp|udp], such as -p 8080:80 or -p 127.0.0.1:8080:80"
MOST = 65535


class PublishedPort:
    """address: of the host, or 0.0.0.0 or :: for all of one version; host: port there, 0 for any that is free;
    container: port inside; protocol: "tcp" or "udp"."""

    def __init__(self, address: str, host: int, container: int, protocol: str) -> None:
        self.address = address
        self.host = host
        self.container = container
        self.protocol = protocol

    @property
    def version(self) -> int:
        """Of the Internet protocol: 4 or 6."""
        return parse_address(self.address).version

    @property
    def fields(self) -> list[object]:
        """For a record; PublishedPort(*fields) is the same again."""
        return [self.address, self.host, self.container, self.protocol]

    def __str__(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.host}->{self.container}/{self.protocol}"


def parse_ports(text: str) -> list[PublishedPort]:
    """Read what -p says; ranges such as 8000-8002:80-82 are several ports. Raises EngineError."""
    before, _, protocol = text.partition("/")
    address, host, container = _split(before)
    protocol = protocol or "tcp"
    if protocol not in PROTOCOLS:
        raise EngineError(repr(text), f"{protocol!r} is neither tcp nor udp", SYNTAX)
    inside = _range(container, text)
    outside = _range(host, text) if host not in ("", "0") else [0] * len(inside)
    if len(inside) != len(outside):
        raise EngineError(repr(text), f"{len(outside)} ports lead to {len(inside)}", SYNTAX)
    where = str(parse_address(address)) if address else ANY[0]
    return [PublishedPort(where, a, b, protocol) for a, b in zip(outside, inside, strict=True)]


def parse_exposed(text: str) -> list[PublishedPort]:
    """Read a port that an image or --expose names, such as 80 or 53/udp. Raises EngineError."""
    if ":" in text.partition("/")[0]:
        raise EngineError(repr(text), "it is no port", "such as 80 or 53/udp")
    return parse_ports(text)


def _split(text: str) -> tuple[str, str, str]:
    """Address, host port, container port; the first two may be empty. An IPv6 address stands in brackets."""
    address = ""
    if text.startswith("["):
        address, _, text = text[1:].partition("]:")
    rest, _, container = text.rpartition(":")
    before, _, host = rest.rpartition(":")
    return address or before, host, container


def _range(text: str, all_of_it: str) -> list[int]:
    first, dash, last = text.partition("-")
    numbers = [first, last if dash else first]
    if not all(number.isascii() and number.isdecimal() and 1 <= int(number) <= MOST for number in numbers):
        raise EngineError(repr(all_of_it), f"{text!r} is no port from 1 to {MOST}", SYNTAX)
    if int(numbers[1]) < int(numbers[0]):
        raise EngineError(repr(all_of_it), f"{text!r} runs backwards", SYNTAX)
    return list(range(int(numbers[0]), int(numbers[1]) + 1))


class Reservation:
    """Ports of the host that nobody else can have as long as it is open.

    for_server: they are given back at once to somebody who listens there: what is left of ended connections (TIME_WAIT)
    does not take them, then. socket(7), SO_REUSEADDR.
    """

    def __init__(self, for_server: bool = False) -> None:
        self._for_server = for_server
        self._sockets: list[_socket.socket] = []

    def take(self, wanted: list[PublishedPort]) -> list[PublishedPort]:
        """Bind them; the same ports, with numbers for those that could be any. Raises EngineError if one is taken."""
        return [self._bind(port) for port in wanted]

    def close(self) -> None:
        """Give them back; twice does no harm."""
        while self._sockets:
            self._sockets.pop().close()

    def _bind(self, port: PublishedPort) -> PublishedPort:
        address = parse_address(port.address)
        kind = PROTOCOLS[port.protocol] | _socket.SOCK_CLOEXEC
        bound = _socket.socket(FAMILIES[address.version], kind)
        self._sockets.append(bound)
        if address.version == 6:
            bound.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
        if self._for_server and port.protocol == "tcp":
            bound.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        try:
            _bind_to(bound, port)
        except OSError as error:
            raise _refused(port, error) from None
        return PublishedPort(port.address, bound.getsockname()[1], port.container, port.protocol)


def _bind_to(bound: _socket.socket, port: PublishedPort) -> None:
    """What is left of a server's ended connections (TIME_WAIT) holds its port for a minute: who listens can have it
    meanwhile, and nobody beside him. Raises OSError."""
    place = (port.address, port.host)
    try:
        bound.bind(place)
    except OSError as error:
        if error.errno != errnos.EADDRINUSE or port.protocol != "tcp":
            raise
        bound.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        bound.bind(place)
        bound.listen(0)


def _refused(port: PublishedPort, error: OSError) -> EngineError:
    hints = {
        errnos.EADDRINUSE: f"`ss -{port.protocol[0]}lnp` and `ps` say who has it; choose another",
        errnos.EADDRNOTAVAIL: "this host has no such address",
        errnos.EACCES: "root may, or all from N on: sysctl net.ipv4.ip_unprivileged_port_start=N",
    }
    what = f"port {port.host} of {port.address} ({port.protocol})"
    return EngineError(what, os.strerror(error.errno or 0).lower(), hints.get(error.errno or 0, ""))


def is_any(address: Address) -> bool:
    """Whether it stands for all addresses of the host."""
    return address.value == 0
