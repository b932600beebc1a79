"""Task ipam-release."""

from __future__ import annotations

from typing import Any

from tests.labs.checks import Draw, equal
from tests.labs.sandbox import Sandbox

SCRIPT = """
import os
from ch06_network.ipam import Pool
from ch06_network.subnets import parse_address, parse_subnet

pool = Pool(given["directory"], parse_subnet(given["subnet"]))
if given["taken"]:
    os.makedirs(f"{given['directory']}/leases")
for address, owner in given["taken"].items():
    pool._take(parse_address(address), owner)

def bits():
    try:
        data = int.from_bytes(open(f"{given['directory']}/bitmap", "rb").read()[8:], "little")
    except FileNotFoundError:
        return []
    return [number for number in range(256) if data >> number & 1]

real, seen = os.unlink, []
def unlink(path, **options):
    seen.append(bits())
    real(path, **options)
os.unlink = os.remove = unlink
pool.release(parse_address(given["address"]), given["owner"])
os.unlink = real
leases = sorted(os.listdir(f"{given['directory']}/leases")) if os.path.exists(given["directory"]) else None
answer({"leases": leases, "bits": bits(), "seen": seen})
"""


def release(sandbox: Sandbox, subnet: str, taken: dict[str, str], address: str, owner: str) -> dict[str, Any]:
    """Leases and bits afterwards; the bits when the lease was removed."""
    given = {"directory": str(sandbox.directory / "pool"), "subnet": f"{subnet}.0/24"}
    found: dict[str, Any] = sandbox.ask(SCRIPT, taken=taken, address=address, owner=owner, **given)
    return found


def drawn(draw: Draw) -> tuple[str, list[int], list[str]]:
    """A subnet, three numbers in it, one after the other so that their bits are in one byte, and three owners."""
    first = 8 * draw.randint(1, 30) + draw.randint(0, 5)
    return draw.subnet(), [first, first + 1, first + 2], draw.names(3)


def test_gives_back(sandbox: Sandbox, draw: Draw) -> None:
    """The lease is gone and its bit is clear; those of others stay, bits of the same byte too."""
    subnet, numbers, owners = drawn(draw)
    taken = {f"{subnet}.{number}": owner for number, owner in zip(numbers, owners, strict=True)}
    found = release(sandbox, subnet, taken, f"{subnet}.{numbers[1]}", owners[1])
    equal(found["leases"], sorted([f"{subnet}.{numbers[0]}", f"{subnet}.{numbers[2]}"]), "the leases")
    equal(found["bits"], [numbers[0], numbers[2]], "the bits that are set")


def test_somebody_elses(sandbox: Sandbox, draw: Draw) -> None:
    """Nothing happens if the owner does not have it, be it another's or nobody's."""
    subnet, numbers, owners = drawn(draw)
    taken = {f"{subnet}.{numbers[0]}": owners[0]}
    found = release(sandbox, subnet, taken, f"{subnet}.{numbers[0]}", owners[1])
    equal([found["leases"], found["bits"]], [[*taken], [numbers[0]]], "leases and bits after another's release")
    found = release(sandbox, f"{subnet}", {}, f"{subnet}.{numbers[1]}", owners[1])
    equal([found["leases"], found["bits"]], [[*taken], [numbers[0]]], "leases and bits after that of a free one")


def test_the_bit_goes_first(sandbox: Sandbox, draw: Draw) -> None:
    """A bit that is set has a lease, also for who looks in between: the bit is cleared before the lease is removed."""
    subnet, numbers, owners = drawn(draw)
    found = release(sandbox, subnet, {f"{subnet}.{numbers[0]}": owners[0]}, f"{subnet}.{numbers[0]}", owners[0])
    equal(found["seen"], [[]], "the bits that were set when the lease was removed")


def test_no_pool_yet(sandbox: Sandbox, draw: Draw) -> None:
    """Where nothing was ever given, nothing is made."""
    subnet, numbers, owners = drawn(draw)
    equal(release(sandbox, subnet, {}, f"{subnet}.{numbers[0]}", owners[0])["leases"], None, "the pool's directory")
