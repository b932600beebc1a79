"""Internet addresses and subnets: IPv4 (RFC 791, RFC 4632) and IPv6 (RFC 4291). Book section 6.3.

Python's ipaddress does all this and more, and takes 3 ms to import: a seventh of a whole `run`.
"""

from __future__ import annotations

import _socket  # the part of socket that is written in C

from ch02_namespaces.errors import EngineError

FAMILIES = {4: _socket.AF_INET, 6: _socket.AF_INET6}
BITS = {4: 32, 6: 128}


class Address:
    """version: 4 or 6; value: the address as a number."""

    def __init__(self, version: int, value: int) -> None:
        self.version = version
        self.value = value

    @property
    def packed(self) -> bytes:
        """As the kernel wants it: 4 or 16 bytes, the highest first."""
        return self.value.to_bytes(BITS[self.version] // 8, "big")

    def __str__(self) -> str:
        return _socket.inet_ntop(FAMILIES[self.version], self.packed)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and (self.version, self.value) == (other.version, other.value)

    def __hash__(self) -> int:
        return hash((self.version, self.value))


def parse_address(text: str) -> Address:
    """Read an address such as 10.0.0.1 or fd00::1. Raises EngineError."""
    version = 6 if ":" in text else 4
    try:
        return Address(version, int.from_bytes(_socket.inet_pton(FAMILIES[version], text), "big"))
    except (OSError, ValueError):  # the second for a NUL or what is no ASCII
        raise EngineError(f"address {text!r}", "it is no IPv4 or IPv6 address", "such as 10.0.0.1 or fd00::1") from None


class Subnet:
    """All addresses that begin with the same bits. first: its lowest address; length: how many bits those are."""

    def __init__(self, first: Address, length: int) -> None:
        self.first = first
        self.length = length

    @property
    def version(self) -> int:
        """4 or 6."""
        return self.first.version

    @property
    def size(self) -> int:
        """How many addresses it has, usable or not."""
        return 1 << (BITS[self.version] - self.length)

    def __str__(self) -> str:
        return f"{self.first}/{self.length}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Subnet) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash((self.first, self.length))

    def __contains__(self, address: Address) -> bool:
        return address.version == self.version and 0 <= address.value - self.first.value < self.size

    def at(self, number: int) -> Address:
        """Its address with this number; the lowest is number 0. Raises EngineError if it has no such."""
        if not 0 <= number < self.size:
            raise EngineError(f"subnet {self}", f"it has no address number {number}")
        return Address(self.version, self.first.value + number)

    def number_of(self, address: Address) -> int:
        """The opposite of at(). Raises EngineError for an address of another subnet."""
        if address not in self:
            raise EngineError(f"address {address}", f"it does not belong to the subnet {self}")
        return address.value - self.first.value

    def overlaps(self, other: Subnet) -> bool:
        """Whether some address belongs to both."""
        return self.first in other or other.first in self

    def is_reserved(self, address: Address) -> bool:
        """Whether no host may have this address: the lowest (in IPv6 any router, RFC 4291 section 2.6.1), and the
        highest in IPv4 (broadcast, RFC 919). A subnet of one or two addresses has neither (RFC 3021, RFC 6164)."""
        if self.size <= 2:
            return False
        number = self.number_of(address)
        return number == 0 or (self.version == 4 and number == self.size - 1)

    def first_host(self) -> Address:
        """The lowest address that a host may have: by custom, the gateway's."""
        return self.first if self.size <= 2 else self.at(1)


SPECIAL = (
    *("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"),  # this network, loopback, link-local, multicast, …
    *("::/127", "fe80::/10", "ff00::/8"),
)
"""What no network can consist of: RFC 6890, RFC 4291."""


def check_usable(subnet: Subnet) -> None:
    """Raise EngineError for a subnet with addresses that mean something else to every kernel."""
    for text in SPECIAL:
        if subnet.overlaps(parse_subnet(text)):
            raise EngineError(
                f"subnet {subnet}", f"it has addresses of {text}, which are reserved", "such as 10.1.0.0/16"
            )


def parse_subnet(text: str) -> Subnet:
    """Read a subnet such as 10.1.0.0/16 or fd00:1::/64. Raises EngineError, also if it names a host in the subnet."""
    before, slash, after = text.partition("/")
    first = parse_address(before)
    most = BITS[first.version]
    if not slash or not (after.isascii() and after.isdecimal()) or int(after) > most:
        raise EngineError(f"subnet {text!r}", "it has no prefix length", f"such as {before}/{most * 3 // 4}")
    length = int(after)
    lowest = Address(first.version, first.value >> (most - length) << (most - length))
    if lowest != first:
        raise EngineError(f"subnet {text!r}", "it is an address in a subnet", f"{lowest}/{length}")
    return Subnet(lowest, length)
