"""A cgroup hierarchy of version 1: one or a few controllers each, mounted apart. cgroups(7), kernel docs cgroup-v1."""

from __future__ import annotations

import os
import time

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError
from ch02_namespaces.limits import Limits, make_directory, write_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

DOOR = "tasks"  # the file by which a single thread moves itself in
CPU_PERIOD = 100_000  # microseconds, the kernel's default
UNLIMITED = -1


def settings(limits: Limits) -> Iterator[tuple[str, str, str]]:
    """The limits as (controller, file, value), to be written in this order; nothing for one that is None.

    Controllers go by their version 2 names ("io" for blkio). Memory comes before memory and swap together
    (swap_total), which is never the smaller one; cpus is a quota of CPU_PERIOD; pids -1 is "max"; io_weight is BFQ's
    (blkio.bfq.weight); a rate is a line "MAJOR:MINOR RATE".
    Example: memory=64 << 20 gives ("memory", "memory.limit_in_bytes", "67108864"), and twice as much for
    "memory.memsw.limit_in_bytes". Raises OSError for a device that is missing. Source: cgroup-v1 in the kernel's docs.
    """
    if limits.memory is not None:
        yield "memory", "memory.limit_in_bytes", str(limits.memory)
    if limits.swap_total() is not None:
        yield "memory", "memory.memsw.limit_in_bytes", str(limits.swap_total())
    if limits.cpu_shares is not None:
        yield "cpu", "cpu.shares", str(limits.cpu_shares)
    if limits.cpus is not None:
        yield "cpu", "cpu.cfs_period_us", str(CPU_PERIOD)
        yield "cpu", "cpu.cfs_quota_us", str(round(limits.cpus * CPU_PERIOD))
    if limits.cpuset_cpus is not None:
        yield "cpuset", "cpuset.cpus", limits.cpuset_cpus
    if limits.cpuset_mems is not None:
        yield "cpuset", "cpuset.mems", limits.cpuset_mems
    if limits.pids is not None:
        yield "pids", "pids.max", "max" if limits.pids == UNLIMITED else str(limits.pids)
    if limits.io_weight is not None:
        yield "io", "blkio.bfq.weight", str(limits.io_weight)
    for kind, rates in (("read", limits.read_bps), ("write", limits.write_bps)):
        for device, rate in rates.items():
            number = os.stat(device).st_rdev
            line = f"{os.major(number)}:{os.minor(number)} {rate}"
            yield "io", f"blkio.throttle.{kind}_bps_device", line


def apply(directory: str, controllers: frozenset[str], limits: Limits) -> None:
    """Write those of the limits that this hierarchy's controllers have. Raises EngineError, SyscallError."""
    wanted = [setting for setting in settings(limits) if setting[0] in controllers]
    if "memory" in controllers and _grows(directory, limits):
        wanted.sort(key=lambda setting: "memsw" not in setting[1])
    for _, file, value in wanted:
        write_limit(f"{directory}/{file}", value, optional="memsw" in file and limits.memory_swap is None)


def _grows(directory: str, limits: Limits) -> bool:
    """Memory may never exceed memory and swap together, not even between two writes."""
    together = f"{directory}/memory.memsw.limit_in_bytes"
    return os.path.exists(together) and (limits.memory or 0) > int(syscalls.read_file(together))


def ensure_parent(root: str, directory: str, controllers: frozenset[str]) -> None:
    """Make a cgroup that may be there already, and those above it up to the hierarchy's root.

    A new cpuset is empty and takes no process ("no space left on device"): it gets its parent's processors and
    memory nodes. cpuset(7).
    """
    if directory == root:
        return
    parent = os.path.dirname(directory)
    ensure_parent(root, parent, controllers)
    if not os.path.isdir(directory):
        make_directory(directory, for_groups=True)
    if "cpuset" in controllers:
        inherit_cpuset(parent, directory)


def make(root: str, directory: str, controllers: frozenset[str]) -> None:
    """Make a cgroup that must be new; those above it as far as they are missing. Raises SyscallError (EEXIST)."""
    parent = os.path.dirname(directory)
    ensure_parent(root, parent, controllers)
    make_directory(directory)
    if "cpuset" in controllers:
        inherit_cpuset(parent, directory)


def inherit_cpuset(parent: str, directory: str) -> None:
    """Give a cpuset that is still empty its parent's processors and memory nodes."""
    for file in ("cpuset.cpus", "cpuset.mems"):
        if not syscalls.read_file(f"{directory}/{file}"):
            syscalls.write_file(f"{directory}/{file}", syscalls.read_file(f"{parent}/{file}"))


def statistics(directory: str, controllers: frozenset[str]) -> Iterator[tuple[str, float]]:
    """What the group uses now: (name, value), bytes and seconds."""
    if "memory" in controllers:
        yield "memory", int(syscalls.read_file(f"{directory}/memory.usage_in_bytes"))
        yield "memory_peak", int(syscalls.read_file(f"{directory}/memory.max_usage_in_bytes"))
        yield "oom_kills", oom_kills(directory)
    if "cpuacct" in controllers:
        yield "cpu_seconds", int(syscalls.read_file(f"{directory}/cpuacct.usage")) / 1e9
    if "pids" in controllers:
        yield "pids", int(syscalls.read_file(f"{directory}/pids.current"))
    if "io" in controllers:
        lines = syscalls.read_file(f"{directory}/blkio.throttle.io_service_bytes").splitlines()
        for kind in ("Read", "Write"):
            total = sum(int(line.split()[2]) for line in lines if f" {kind} " in line)
            yield f"io_{kind.lower()}", total


def oom_kills(directory: str) -> int:
    """How many processes of the group were killed at its memory limit."""
    for line in syscalls.read_file(f"{directory}/memory.oom_control").splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill":
            return int(value)
    return 0


def freeze(directory: str, frozen: bool, timeout: float = 10.0) -> None:
    """Stop all processes of a group where they are, or let them go on: freezer in the cgroup-v1 docs.

    The kernel may need several tries ("FREEZING"). Raises EngineError after `timeout` seconds, thawed again.
    """
    wanted = "FROZEN" if frozen else "THAWED"
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        syscalls.write_file(f"{directory}/freezer.state", wanted)
        if syscalls.read_file(f"{directory}/freezer.state") == wanted:
            return
        time.sleep(0.002)
    syscalls.write_file(f"{directory}/freezer.state", "THAWED")
    raise EngineError(
        f"freezing {directory}", f"not frozen after {timeout:g} seconds", "a process sleeps in the kernel"
    )


def is_frozen(directory: str) -> bool:
    """Whether freeze() has stopped the processes of a group, or is about to. Raises SyscallError."""
    return syscalls.read_file(f"{directory}/freezer.state") != "THAWED"


def kill(directory: str) -> None:
    """SIGKILL every process of a group and of those below it; frozen meanwhile, so that none can fork away."""
    freeze(directory, True)
    try:
        for group, _, _ in os.walk(directory):
            kill_processes(group)
    finally:
        freeze(directory, False)


def kill_processes(directory: str) -> None:
    """SIGKILL the processes that are in a group now, those that end meanwhile excepted."""
    for pid in syscalls.read_file(f"{directory}/cgroup.procs").split():
        try:
            os.kill(int(pid), syscalls.SIGKILL)
        except ProcessLookupError:
            continue
