"""The cgroup hierarchy of version 2: one tree for all controllers. cgroups(7), cgroup-v2 in the kernel's docs."""

from __future__ import annotations

import os
import time

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError
from ch02_namespaces.limits import Limits, make_directory, write_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

DOOR = "cgroup.procs"  # the file by which a single thread moves itself in
CPU_PERIOD = 100_000  # microseconds, the kernel's default
UNLIMITED = -1


def settings(limits: Limits) -> Iterator[tuple[str, str, str]]:
    """The limits as (controller, file, value), to be written in this order; nothing for one that is None.

    memory.swap.max counts swap alone (swap_total is both), and takes "max" for what has no limit, as pids.max does;
    cpu.weight is weight_of_shares(); cpu.max has quota and period in one line, in microseconds; io_weight is io.weight;
    a rate is a line "MAJOR:MINOR rbps=RATE" (wbps for writing) of io.max.
    Example: cpus=0.5 gives ("cpu", "cpu.max", "50000 100000"). Raises OSError for a device that is missing.
    Source: cgroup-v2.rst in the kernel's docs, "Controllers".
    """
    if limits.memory is not None:
        yield "memory", "memory.max", str(limits.memory)
    if (total := limits.swap_total()) is not None:
        swap = "max" if total == UNLIMITED else str(total - (limits.memory or 0))
        yield "memory", "memory.swap.max", swap
    if limits.cpu_shares is not None:
        yield "cpu", "cpu.weight", str(weight_of_shares(limits.cpu_shares))
    if limits.cpus is not None:
        yield "cpu", "cpu.max", f"{round(limits.cpus * CPU_PERIOD)} {CPU_PERIOD}"
    if limits.cpuset_cpus is not None:
        yield "cpuset", "cpuset.cpus", limits.cpuset_cpus
    if limits.cpuset_mems is not None:
        yield "cpuset", "cpuset.mems", limits.cpuset_mems
    if limits.pids is not None:
        yield "pids", "pids.max", "max" if limits.pids == UNLIMITED else str(limits.pids)
    if limits.io_weight is not None:
        yield "io", "io.weight", str(limits.io_weight)
    for kind, rates in (("rbps", limits.read_bps), ("wbps", limits.write_bps)):
        for device, rate in rates.items():
            number = os.stat(device).st_rdev
            yield "io", "io.max", f"{os.major(number)}:{os.minor(number)} {kind}={rate}"


def weight_of_shares(shares: int) -> int:
    """Version 1's cpu.shares (2 to 262144) on version 2's scale (1 to 10000), as the OCI runtimes map them."""
    return 1 + (shares - 2) * 9999 // 262142


def apply(directory: str, controllers: frozenset[str], limits: Limits) -> None:
    """Write those of the limits that this hierarchy's controllers have. Raises EngineError, SyscallError."""
    for controller, file, value in settings(limits):
        if controller in controllers:
            path = f"{directory}/{file}"
            if file == "io.weight" and not os.path.exists(path):  # one scheduler offers this name, BFQ the other
                path = f"{directory}/io.bfq.weight"
            write_limit(path, value, optional="swap" in file and limits.memory_swap is None)


def make(root: str, directory: str, controllers: frozenset[str]) -> None:
    """Make a cgroup that must be new; those above it as far as they are missing. Raises SyscallError.

    A controller works in a group only when its parent hands it down in cgroup.subtree_control. A parent (but for
    the root) that has processes of its own can't: EBUSY, the "no internal processes" rule.
    """
    parent = os.path.dirname(directory)
    ensure_parent(root, parent, controllers)
    make_directory(directory)


def ensure_parent(root: str, directory: str, controllers: frozenset[str]) -> None:
    """Make the groups from the root to `directory` where missing, and enable the controllers for what is below."""
    if directory != root and not os.path.isdir(directory):
        ensure_parent(root, os.path.dirname(directory), controllers)
        make_directory(directory, for_groups=True)
    available = set(syscalls.read_file(f"{directory}/cgroup.controllers").split()) & controllers
    enabled = set(syscalls.read_file(f"{directory}/cgroup.subtree_control").split())
    if available - enabled:
        wanted = " ".join(f"+{name}" for name in sorted(available - enabled))
        syscalls.write_file(f"{directory}/cgroup.subtree_control", wanted)


def statistics(directory: str, controllers: frozenset[str]) -> Iterator[tuple[str, float]]:
    """What the group uses now: (name, value), bytes and seconds."""
    if "memory" in controllers:
        yield "memory", int(syscalls.read_file(f"{directory}/memory.current"))
        if os.path.exists(f"{directory}/memory.peak"):  # since Linux 5.19
            yield "memory_peak", int(syscalls.read_file(f"{directory}/memory.peak"))
        yield "oom_kills", oom_kills(directory)
    if "cpu" in controllers:
        yield "cpu_seconds", _fields(f"{directory}/cpu.stat")["usage_usec"] / 1e6
    if "pids" in controllers:
        yield "pids", int(syscalls.read_file(f"{directory}/pids.current"))
    if "io" in controllers:
        words = syscalls.read_file(f"{directory}/io.stat").split()
        for name, key in (("io_read", "rbytes="), ("io_write", "wbytes=")):
            yield name, sum(int(word.removeprefix(key)) for word in words if word.startswith(key))


def oom_kills(directory: str) -> int:
    """How many processes of the group were killed at its memory limit."""
    return _fields(f"{directory}/memory.events").get("oom_kill", 0)


def _fields(path: str) -> dict[str, int]:
    """A file of `name number` lines."""
    lines = (line.split() for line in syscalls.read_file(path).splitlines())
    return {name: int(value) for name, value in lines}


def freeze(directory: str, frozen: bool, timeout: float = 10.0) -> None:
    """Stop all processes of a group where they are, or let them go on: cgroup.freeze.

    Raises EngineError after `timeout` seconds, thawed again.
    """
    syscalls.write_file(f"{directory}/cgroup.freeze", str(int(frozen)))
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if _fields(f"{directory}/cgroup.events")["frozen"] == frozen:
            return
        time.sleep(0.002)
    syscalls.write_file(f"{directory}/cgroup.freeze", "0")
    raise EngineError(
        f"freezing {directory}", f"not frozen after {timeout:g} seconds", "a process sleeps in the kernel"
    )


def is_frozen(directory: str) -> bool:
    """Whether freeze() has stopped the processes of a group. Raises SyscallError."""
    return bool(_fields(f"{directory}/cgroup.events").get("frozen"))


def kill(directory: str) -> None:
    """SIGKILL every process of a group and of those below it: cgroup.kill, since Linux 5.14. It wins against fork."""
    syscalls.write_file(f"{directory}/cgroup.kill", "1")
