"""Task limits-v2."""

from __future__ import annotations

from typing import Any

from tests.labs.checks import Draw, equal
from tests.labs.sandbox import Sandbox

SCRIPT = """
from ch02_namespaces import cgroup_v2
from ch02_namespaces.limits import Limits

answer([list(setting) for setting in cgroup_v2.settings(Limits(**given))])
"""


def settings(sandbox: Sandbox, **limits: Any) -> dict[str, tuple[str, str]]:
    """By file: controller and value."""
    return {file: (controller, value) for controller, file, value in sandbox.ask(SCRIPT, **limits)}


def test_memory(sandbox: Sandbox, draw: Draw) -> None:
    """Swap is counted apart from memory here; -1 is `max`."""
    memory, swap = draw.randint(8, 900) << 20, draw.randint(8, 900) << 20
    for limits, wanted in (
        ({"memory": memory}, str(memory)),
        ({"memory": memory, "memory_swap": memory + swap}, str(swap)),
        ({"memory": memory, "memory_swap": -1}, "max"),
    ):
        both = {"memory.max": ("memory", str(memory)), "memory.swap.max": ("memory", wanted)}
        equal(settings(sandbox, **limits), both, f"settings for {limits}")


def test_processors(sandbox: Sandbox, draw: Draw) -> None:
    """A weight on version 2's scale; quota and period in one file; which processors."""
    shares, cpus, processors = draw.randint(2, 200_000), draw.randint(5, 95) / 100, f"0-{draw.randint(1, 7)}"
    found = settings(sandbox, cpu_shares=shares, cpus=cpus, cpuset_cpus=processors)
    wanted = {
        "cpu.weight": ("cpu", str(1 + (shares - 2) * 9999 // 262142)),
        "cpu.max": ("cpu", f"{round(cpus * 100_000)} 100000"),
        "cpuset.cpus": ("cpuset", processors),
    }
    equal(found, wanted, "the settings")


def test_processes_and_disks(sandbox: Sandbox, draw: Draw) -> None:
    """A number of processes; a rate for a device, which the kernel knows by its numbers."""
    rate, major, minor = draw.randint(1 << 20, 1 << 30), draw.randint(7, 250), draw.randint(0, 250)
    device = str(sandbox.directory / draw.name())
    sandbox.shell(f"mknod {device} b {major} {minor}")
    pids = draw.randint(3, 5000)
    found = settings(sandbox, pids=pids, read_bps={device: rate})
    equal(found, {"pids.max": ("pids", str(pids)), "io.max": ("io", f"{major}:{minor} rbps={rate}")}, "the settings")
    equal(settings(sandbox, pids=-1), {"pids.max": ("pids", "max")}, "the settings for pids=-1")
