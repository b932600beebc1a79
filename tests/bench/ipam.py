"""What an address costs: our bitmap beside `host-local` of the CNI plugins, which has a file for each address, too.

In an empty subnet of 65,536 addresses, and in one that has given away nearly all of them.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from ch06_network.ipam import HEAD, Pool
from ch06_network.subnets import Address, parse_address, parse_subnet
from tests.bench.wiring import CNI, milliseconds, missing, quietly, report, run_cni
from tests.support.hosts import REPOSITORY

SUBNET = parse_subnet("10.91.0.0/16")
GATEWAY = SUBNET.first_host()
ADDRESSES, TAKEN, MORE = 200, 59_999, 8
PROGRAM = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from ch06_network.ipam import Pool
from ch06_network.subnets import parse_address, parse_subnet
subnet = parse_subnet({str(SUBNET)!r})
pool = Pool(sys.argv[2], subnet, [subnet.first_host()])
if sys.argv[1] == "ADD":
    print(pool.allocate(sys.argv[3]))
else:
    pool.release(parse_address(sys.argv[4]), sys.argv[3])
"""


class Ours:
    """A pool in this process. directory: where it is kept."""

    name = "mydocker, in a process that runs"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._pool = Pool(str(directory), SUBNET, [GATEWAY])

    def fill(self, addresses: list[Address]) -> None:
        """As if these had been given away, one after the other."""
        leases = self.directory / "leases"
        leases.mkdir(parents=True)
        for address in addresses:
            (leases / str(address)).write_text("somebody")
        numbers = [SUBNET.number_of(address) for address in addresses]
        bits = sum(1 << number for number in numbers).to_bytes(SUBNET.size // 8, "little")
        (self.directory / "bitmap").write_bytes((numbers[-1] + 1).to_bytes(HEAD, "little") + bits)

    def allocate(self, owner: str) -> str:
        return str(self._pool.allocate(owner))

    def release(self, owner: str, address: str) -> None:
        self._pool.release(parse_address(address), owner)


class OursAlone(Ours):
    """The same pool, and for each address a process of its own: as host-local is called."""

    name = "mydocker, a process each"

    def allocate(self, owner: str) -> str:
        return quietly(sys.executable, "-IS", "-c", PROGRAM, "ADD", str(self.directory), owner).strip()

    def release(self, owner: str, address: str) -> None:
        quietly(sys.executable, "-IS", "-c", PROGRAM, "DEL", str(self.directory), owner, address)


class HostLocal(Ours):
    """The CNI plugin."""

    name = "host-local, a process each"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        ipam = {"type": "host-local", "subnet": str(SUBNET), "gateway": str(GATEWAY), "dataDir": str(directory)}
        self._config = json.dumps({"cniVersion": "1.0.0", "name": "bench", "ipam": ipam})

    def fill(self, addresses: list[Address]) -> None:
        place = self.directory / "bench"
        place.mkdir(parents=True)
        for address in addresses:
            (place / str(address)).write_text(f"{address}\r\neth0")
        (place / "last_reserved_ip.0").write_text(str(addresses[-1]))

    def allocate(self, owner: str) -> str:
        found = json.loads(run_cni("host-local", "ADD", self._config, owner))
        return str(found["ips"][0]["address"]).partition("/")[0]

    def release(self, owner: str, address: str) -> None:
        run_cni("host-local", "DEL", self._config, owner)


def main() -> None:
    if missing(f"{CNI}/host-local"):
        return
    kinds = (Ours, OursAlone, HostLocal)
    rows, seconds = [], {}
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="mydocker-bench-") as top:
        for what, taken, more in ((f"the first {ADDRESSES}", 0, ADDRESSES), (f"number {TAKEN + 1}", TAKEN, MORE)):
            allocators = [kind(Path(top) / f"{kind.__name__}{taken}") for kind in kinds]
            if taken:
                for allocator in allocators:
                    allocator.fill([SUBNET.at(number) for number in range(2, taken + 2)])
            measured = one_after_the_other(allocators, more) if not taken else again_and_again(allocators, more)
            seconds[what] = measured
            rows += [{"address": what, **row} for row in rows_of(measured)]
    report("ipam", f"addresses of {SUBNET}, in memory; medians", rows, seconds)


Measured = dict[str, dict[str, list[float]]]


def one_after_the_other(allocators: list[Ours], many: int) -> Measured:
    """Seconds of each: first all are allocated, then all released. Rounds alternate between the allocators."""
    seconds: Measured = {allocator.name: {"allocate": [], "release": []} for allocator in allocators}
    given: dict[str, list[str]] = {allocator.name: [] for allocator in allocators}
    for number in range(many):
        for allocator in allocators:
            given[allocator.name].append(allocate(allocator, number, seconds))
    for number in range(many):
        for allocator in allocators:
            release(allocator, number, given[allocator.name][number], seconds)
    assert len({tuple(addresses) for addresses in given.values()}) == 1, "they do not agree"
    return seconds


def again_and_again(allocators: list[Ours], many: int) -> Measured:
    """Seconds of one and the same number of addresses: each is released before the next."""
    seconds: Measured = {allocator.name: {"allocate": [], "release": []} for allocator in allocators}
    for number in range(many):
        for allocator in allocators:
            release(allocator, number, allocate(allocator, number, seconds), seconds)
    return seconds


def allocate(allocator: Ours, number: int, seconds: Measured) -> str:
    start = time.perf_counter()
    address = allocator.allocate(f"container{number}")
    seconds[allocator.name]["allocate"].append(time.perf_counter() - start)
    return address


def release(allocator: Ours, number: int, address: str, seconds: Measured) -> None:
    start = time.perf_counter()
    allocator.release(f"container{number}", address)
    seconds[allocator.name]["release"].append(time.perf_counter() - start)


def rows_of(seconds: Measured) -> list[dict[str, object]]:
    return [
        {"by": name, **{f"{step} ms": milliseconds(statistics.median(taken)) for step, taken in steps.items()}}
        for name, steps in seconds.items()
    ]


if __name__ == "__main__":
    main()
