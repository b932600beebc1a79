"""IP address management (IPAM) over a bitmap: which addresses of a subnet are taken, and by whom. Book section 6.3.

    DIRECTORY/bitmap          8 bytes: where to look for the next free one; then a bit for each address
              leases/ADDRESS  who has it

The book keeps one string of zeros and ones for each subnet, and writes all of it for each address. Here the bitmap is
a file with holes, so that it takes no room where nothing was ever handed out, and a change is one byte.

What must hold: a bit that is set has a lease. So a lease is written before its bit is set, and removed after it was
cleared; whoever is killed in between leaves a lease without a bit, which says whose it was. An address is not handed
out again at once: others may still have its old owner in their caches (ARP, RFC 826).
"""

from __future__ import annotations

import fcntl
import os
from io import FileIO

from ch02_namespaces.errors import EngineError
from ch02_namespaces.locks import locked
from ch06_network.subnets import Address, Subnet, parse_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

HEAD = 8  # bytes before the bits
PIECE = 4096  # bytes that are looked through at a time
MOST = 1 << 24
"""So many addresses of a larger subnet are handed out, from the lowest. One beyond can be asked for: its lease is then
all that there is of it."""


class Pool:
    """The addresses of one subnet. directory: where it is kept; reserved: addresses that nobody gets."""

    def __init__(self, directory: str, subnet: Subnet, reserved: Iterable[Address] = ()) -> None:
        self.directory = directory
        self.subnet = subnet
        self._reserved = set(reserved)

    def allocate(
        self, owner: str, wanted: Address | None = None, is_alive: Callable[[str], bool] | None = None
    ) -> Address:
        """Give an address to an owner; any, if none is wanted.

        is_alive: tells of an owner whether it still is. When there is no free address, or not the one that is wanted,
        those of dead owners are taken back. Raises EngineError if there is none even then.
        """
        os.makedirs(f"{self.directory}/leases", exist_ok=True)
        with locked(self.directory, fcntl.LOCK_EX):
            found = self._try(owner, wanted)
            if found is None and is_alive is not None and self._reclaim(is_alive):
                found = self._try(owner, wanted)
        if found is not None:
            return found
        if wanted is None:
            raise EngineError(
                f"subnet {self.subnet}", "all its addresses are taken", "a larger one, or `rm` containers"
            )
        raise EngineError(f"address {wanted}", f"{self.owner_of(wanted)[:12]} has it", "leave the choice to us")

    def release(self, address: Address, owner: str) -> None:
        """Take an address back, with the lock of the directory. Nothing happens if the owner does not have it, nor is
        anything made where nothing was ever handed out.

        Example: after release(10.77.0.2, "web") of what web has, leases/10.77.0.2 is gone and bit 2 is clear.
        Raises OSError. Source: flock(2)."""
        if not os.path.isdir(self.directory):
            return
        with locked(self.directory, fcntl.LOCK_EX):
            if self.owner_of(address) == owner:
                self._release(address)

    def owner_of(self, address: Address) -> str:
        """Who has an address; empty if nobody has."""
        try:
            with open(self._lease(address)) as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def taken(self) -> list[Address]:
        """All addresses that somebody has, in order."""
        return sorted(self._leased(), key=lambda address: address.value)

    def reclaim(self, is_alive: Callable[[str], bool]) -> list[Address]:
        """Take back what dead owners have; these addresses."""
        if not os.path.isdir(self.directory):
            return []
        with locked(self.directory, fcntl.LOCK_EX):
            return self._reclaim(is_alive)

    # ------------------------------------------------------------ with the lock

    def _try(self, owner: str, wanted: Address | None) -> Address | None:
        """Take the address that is wanted, or any that is free and not reserved; None if there is none, or it is taken.

        The bits are looked through from where the last search ended (_from_the_last); where this one ends is written
        into the head of the bitmap. A bit alone is not enough: _take() says whether there was a lease. Beyond MOST,
        nothing is looked for. Raises EngineError for a wanted address that nobody may have (_check).
        Example: of 10.77.0.0/24, whose gateway is .1, the first is .2; when .2 is back, .3 is next.
        """
        if wanted is not None:
            self._check(wanted)
            return wanted if self._take(wanted, owner) else None
        with self._open_bitmap() as bitmap:
            end = min(self.subnet.size, MOST)
            for number in _from_the_last(bitmap, end):
                address = self.subnet.at(number)
                if not self._is_reserved(address) and self._take(address, owner):
                    bitmap.seek(0)
                    bitmap.write((number + 1).to_bytes(HEAD, "little"))
                    return address
        return None

    def _is_reserved(self, address: Address) -> bool:
        return self.subnet.is_reserved(address) or address in self._reserved

    def _check(self, wanted: Address) -> None:
        self.subnet.number_of(wanted)
        if self._is_reserved(wanted):
            raise EngineError(f"address {wanted}", f"it is reserved in {self.subnet}", "the gateway's, or no host's")

    def _take(self, address: Address, owner: str) -> bool:
        """Write a lease and set the bit. False if there is a lease; its bit is set then in any case."""
        try:
            lease = os.open(self._lease(address), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            self._set_bit(address, True)
            return False
        os.write(lease, owner.encode())
        os.close(lease)
        self._set_bit(address, True)
        return True

    def _release(self, address: Address) -> None:
        """Clear the bit and remove the lease, in the order that keeps what must hold: see above. Raises OSError."""
        self._set_bit(address, False)
        os.unlink(self._lease(address))

    def _reclaim(self, is_alive: Callable[[str], bool]) -> list[Address]:
        dead = [address for address in self._leased() if not is_alive(self.owner_of(address))]
        for address in dead:
            self._release(address)
        return dead

    def _set_bit(self, address: Address, is_set: bool) -> None:
        number = self.subnet.number_of(address)
        if number >= MOST:
            return
        with self._open_bitmap() as bitmap:
            bitmap.seek(HEAD + number // 8)
            byte = int.from_bytes(bitmap.read(1), "little")
            bit = 1 << number % 8
            bitmap.seek(HEAD + number // 8)
            bitmap.write(bytes([byte | bit if is_set else byte & ~bit]))

    def _open_bitmap(self) -> FileIO:
        path = f"{self.directory}/bitmap"
        return FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")

    def _lease(self, address: Address) -> str:
        return f"{self.directory}/leases/{address}"

    def _leased(self) -> list[Address]:
        try:
            return [parse_address(name) for name in os.listdir(f"{self.directory}/leases")]
        except FileNotFoundError:
            return []


def _from_the_last(bitmap: FileIO, end: int) -> Iterator[int]:
    """The numbers whose bit is not set: first those behind the last one handed out, then the others."""
    start = int.from_bytes(bitmap.read(HEAD), "little") % end
    yield from _clear_bits(bitmap, start, end)
    yield from _clear_bits(bitmap, 0, start)


def _clear_bits(bitmap: FileIO, start: int, end: int) -> Iterator[int]:
    """The numbers from start up to, but not with, end whose bit is not set, in order. Number n is bit n % 8 of byte
    HEAD + n // 8. What lies behind the end of the file is not set, either. PIECE bytes are read at a time.

    Example: with the byte 0b101 behind the head, start 0 and end 10: 1, 3, 4, 5, 6, 7, 8, 9."""
    while start < end:
        bitmap.seek(HEAD + start // 8)
        piece = int.from_bytes(bitmap.read(PIECE), "little") >> start % 8
        last = min(end, start - start % 8 + 8 * PIECE)
        clear = ~piece & ((1 << (last - start)) - 1)
        while clear:
            lowest = clear & -clear
            yield start + lowest.bit_length() - 1
            clear ^= lowest
        start = last
