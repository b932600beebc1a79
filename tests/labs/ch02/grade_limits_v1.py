"""Task limits-v1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

SCRIPT = """
from ch02_namespaces import cgroup_v1
from ch02_namespaces.limits import Limits

answer([list(setting) for setting in cgroup_v1.settings(Limits(**given))])
"""
APPLY = """
from ch02_namespaces import cgroup_v1
from ch02_namespaces.limits import Limits

cgroup_v1.apply(given["directory"], frozenset([given["controller"]]), Limits(**given["limits"]))
answer("done")
"""


def settings(sandbox: Sandbox, **limits: Any) -> list[list[str]]:
    found: list[list[str]] = sandbox.ask(SCRIPT, **limits)
    return found


def megabytes(draw: Draw) -> int:
    return draw.randint(8, 900) << 20


def test_memory(sandbox: Sandbox, draw: Draw) -> None:
    """Memory first, then memory and swap together: as asked for, else twice the memory."""
    memory = megabytes(draw)
    total = memory + megabytes(draw)
    for limits, together in (({"memory": memory}, 2 * memory), ({"memory": memory, "memory_swap": total}, total)):
        wanted = [["memory", "memory.limit_in_bytes", str(memory)]]
        wanted += [["memory", "memory.memsw.limit_in_bytes", str(together)]]
        equal(settings(sandbox, **limits), wanted, f"settings for {limits}")


def test_processors(sandbox: Sandbox, draw: Draw) -> None:
    """A weight; a share of processors as microseconds of a period of 100,000; which processors."""
    shares, cpus, processors = draw.randint(2, 9000), draw.randint(5, 95) / 100, f"0-{draw.randint(1, 7)}"
    found = settings(sandbox, cpu_shares=shares, cpus=cpus, cpuset_cpus=processors, cpuset_mems="0")
    wanted = [["cpu", "cpu.shares", str(shares)], ["cpu", "cpu.cfs_period_us", "100000"]]
    wanted += [["cpu", "cpu.cfs_quota_us", str(round(cpus * 100_000))]]
    wanted += [["cpuset", "cpuset.cpus", processors], ["cpuset", "cpuset.mems", "0"]]
    equal(sorted(found), sorted(wanted), "the settings")


def test_processes_and_disks(sandbox: Sandbox, draw: Draw) -> None:
    """A number of processes, -1 for any; a rate for a device, which the kernel knows by its numbers."""
    rate, major, minor = draw.randint(1 << 20, 1 << 30), draw.randint(7, 250), draw.randint(0, 250)
    device = str(sandbox.directory / draw.name())
    sandbox.shell(f"mknod {device} b {major} {minor}")
    pids = draw.randint(3, 5000)
    found = settings(sandbox, pids=pids, write_bps={device: rate})
    line = f"{major}:{minor} {rate}"
    equal(
        sorted(found),
        [["io", "blkio.throttle.write_bps_device", line], ["pids", "pids.max", str(pids)]],
        "the settings",
    )
    equal(settings(sandbox, pids=-1), [["pids", "pids.max", "max"]], "the settings for pids=-1")


def test_the_kernel_takes_them(sandbox: Sandbox, draw: Draw) -> None:
    """What is written into a group of this machine is what the kernel says afterwards."""
    place = hierarchy_of("pids")
    if place is None:
        pytest.skip("no version 1 here")
    group, pids = place / f"mydocker-lab-{draw.name()}", draw.randint(3, 5000)
    sandbox.shell(f"mkdir {group}")
    sandbox.ask(APPLY, directory=str(group), controller="pids", limits={"pids": pids})
    equal(sandbox.shell(f"cat {group}/pids.max"), str(pids), "pids.max")


def hierarchy_of(controller: str) -> Path | None:
    """Where version 1 has a controller on this machine."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.startswith("cgroup ") and controller in right.split()[2].split(","):
            return Path(left.split()[4])
    return None


def test_nothing_unasked(sandbox: Sandbox, draw: Draw) -> None:
    """What is None is not written: the group keeps what it has."""
    found = settings(sandbox, cpu_shares=draw.randint(2, 9000))
    holds(len(found) == 1, "one setting for one limit", f"{found}")
