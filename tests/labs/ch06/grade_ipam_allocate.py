"""Task ipam-allocate."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

SCRIPT = """
from ch02_namespaces.errors import EngineError
from ch06_network.ipam import Pool
from ch06_network.subnets import parse_address, parse_subnet

found = []
for owner, wanted in given["wishes"]:
    pool = Pool(given["directory"], parse_subnet(given["subnet"]), [parse_address(given["gateway"])])
    try:
        found.append(str(pool.allocate(owner, parse_address(wanted) if wanted else None)))
    except EngineError as error:
        found.append(f"error: {error}")
answer(found)
"""


class Addresses:
    """A subnet whose gateway is reserved, and its pool in the sandbox."""

    def __init__(self, sandbox: Sandbox, subnet: str) -> None:
        self._sandbox = sandbox
        self.subnet = ipaddress.ip_network(subnet)
        self.hosts = [str(self.subnet[number]) for number in range(2, min(self.subnet.num_addresses - 1, 500))]
        self.directory = sandbox.directory / "pool"

    def allocate(self, *wishes: tuple[str, str | None]) -> list[Any]:
        """The address for each owner, or the error; an address may be wanted."""
        gateway = str(self.subnet[1])
        given = {"directory": str(self.directory), "subnet": str(self.subnet), "gateway": gateway}
        found: list[Any] = self._sandbox.ask(SCRIPT, wishes=wishes, **given)
        return found

    def forget(self, address: str) -> None:
        """Take one back, by hand."""
        (self.directory / "leases" / address).unlink()
        number = int(ipaddress.ip_address(address)) - int(self.subnet[0])
        data = bytearray((self.directory / "bitmap").read_bytes())
        data[8 + number // 8] &= ~(1 << number % 8)
        (self.directory / "bitmap").write_bytes(data)


def test_every_address_once(sandbox: Sandbox, draw: Draw) -> None:
    """All addresses of a subnet are given, each once; not the lowest, the highest and the gateway's; then no more."""
    pool = Addresses(sandbox, f"{draw.subnet()}.{16 * draw.randint(0, 15)}/28")
    *found, error = pool.allocate(*((draw.name(), None) for _ in range(len(pool.hosts) + 1)))
    equal(sorted(found), sorted(pool.hosts), "the addresses")
    holds(str(error).startswith("error: "), "an EngineError when all are taken", str(error))


def test_kept_on_the_disk(sandbox: Sandbox, draw: Draw) -> None:
    """An address has a lease with its owner, and its bit is set; so another process goes on from there."""
    pool, owners = Addresses(sandbox, f"{draw.subnet()}.0/24"), draw.names(3)
    found = pool.allocate(*((owner, None) for owner in owners[:2])) + pool.allocate((owners[2], None))
    leases = {path.name: path.read_text() for path in (pool.directory / "leases").iterdir()}
    equal(leases, dict(zip(found, owners, strict=True)), "the leases")
    bits = int.from_bytes((pool.directory / "bitmap").read_bytes()[8:], "little")
    numbers = sorted(int(address.rpartition(".")[2]) for address in found)
    equal([number for number in range(256) if bits >> number & 1], numbers, "the bits that are set")


def test_not_at_once_again(sandbox: Sandbox, draw: Draw) -> None:
    """An address that was given back is the last to be given again: others may still think of its old owner."""
    pool = Addresses(sandbox, f"{draw.subnet()}.0/28")
    first, second = pool.allocate(*((name, None) for name in draw.names(2)))
    pool.forget(first)
    later = pool.allocate(*((draw.name(), None) for _ in range(len(pool.hosts) - 1)))
    equal(sorted([second, *later]), sorted(pool.hosts), "the addresses")
    equal(later[-1], first, "the last of them")


def test_a_wanted_address(sandbox: Sandbox, draw: Draw) -> None:
    """Who wants a certain address gets it, if it is free; the gateway's and the broadcast address are refused."""
    pool = Addresses(sandbox, f"{draw.subnet()}.0/24")
    wanted, owner = draw.choice(pool.hosts), draw.name()
    reserved = [str(pool.subnet[number]) for number in (0, 1, -1)]
    found = pool.allocate((owner, wanted), (draw.name(), wanted), *((draw.name(), address) for address in reserved))
    equal(found[0], wanted, "the address")
    refused = [str(result).startswith("error: ") for result in found[1:]]
    equal(refused, [True] * 4, "whether the same again, the lowest, the gateway's and the highest are refused")


def test_many_are_taken(sandbox: Sandbox, draw: Draw) -> None:
    """In a large subnet, the first free address is found behind tens of thousands that are taken."""
    pool = Addresses(sandbox, f"10.{draw.randint(100, 250)}.0.0/16")
    taken = draw.randint(33_000, 60_000)
    (pool.directory / "leases").mkdir(parents=True)
    bits = (1 << taken) - 1
    Path(pool.directory / "bitmap").write_bytes(bytes(8) + bits.to_bytes(taken // 8 + 1, "little"))
    equal(pool.allocate((draw.name(), None)), [str(pool.subnet[taken])], "the address")
