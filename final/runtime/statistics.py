"""What a container uses, as `events --stats` prints it. Book section 7.3.

The names are those of runc, which engines read: there is no specification. Times are nanoseconds, sizes bytes.
"""

from __future__ import annotations

import os

from ch02_namespaces import cgroup_v2, syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ch02_namespaces.cgroups import Cgroup

UNBOUNDED = (1 << 64) - 1
TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
MICROSECOND = 1000


def statistics(group: Cgroup) -> dict[str, Any]:
    """All that the group's controllers count. Raises SyscallError."""
    found: dict[str, Any] = {}
    for hierarchy in group.hierarchies:
        directory = f"{hierarchy.mountpoint}/{group.path}"
        of_version = of_version_2 if hierarchy.version is cgroup_v2 else of_version_1
        for subject, values in of_version(directory, hierarchy.controllers):
            found.setdefault(subject, {}).update(values)  # cpu and cpuacct of version 1 are one subject
    return found


def of_version_1(directory: str, controllers: frozenset[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The subjects of a hierarchy of version 1."""
    if "cpuacct" in controllers:
        split = fields(f"{directory}/cpuacct.stat")
        yield (
            "cpu",
            {
                "usage": {
                    "total": number(f"{directory}/cpuacct.usage"),
                    "percpu": [int(word) for word in syscalls.read_file(f"{directory}/cpuacct.usage_percpu").split()],
                    "kernel": split["system"] * TICK,
                    "user": split["user"] * TICK,
                }
            },
        )
    if "cpu" in controllers:
        stat = fields(f"{directory}/cpu.stat")
        yield "cpu", {"throttling": throttling(stat, stat.get("throttled_time", 0))}
    if "memory" in controllers:
        raw = fields(f"{directory}/memory.stat")
        yield (
            "memory",
            {
                "cache": raw["cache"],
                "usage": memory_of_version_1(f"{directory}/memory"),
                "swap": memory_of_version_1(f"{directory}/memory.memsw"),
                "kernel": memory_of_version_1(f"{directory}/memory.kmem"),
                "kernelTCP": memory_of_version_1(f"{directory}/memory.kmem.tcp"),
                "raw": raw,
            },
        )
    if "pids" in controllers:
        yield "pids", pids(directory)
    if "io" in controllers:
        yield (
            "blkio",
            {
                "ioServiceBytesRecursive": io_of_version_1(f"{directory}/blkio.throttle.io_service_bytes_recursive"),
                "ioServicedRecursive": io_of_version_1(f"{directory}/blkio.throttle.io_serviced_recursive"),
            },
        )
    if "hugetlb" in controllers:
        yield "hugetlb", dict(huge_pages(directory, "usage_in_bytes", "max_usage_in_bytes", "failcnt"))


def memory_of_version_1(prefix: str) -> dict[str, int]:
    """Four files with the same beginning; nothing if this kernel does not count that."""
    files = {"limit": "limit_in_bytes", "usage": "usage_in_bytes", "max": "max_usage_in_bytes", "failcnt": "failcnt"}
    found = {name: f"{prefix}.{file}" for name, file in files.items() if os.path.exists(f"{prefix}.{file}")}
    return {name: number(path) for name, path in found.items()}


def io_of_version_1(path: str) -> list[dict[str, Any]]:
    """Lines such as `253:0 Read 4096`, as objects; the line with the sum over all devices is left out."""
    words = (line.split() for line in syscalls.read_file(path).splitlines())
    return [io_entry(line[0], line[1], int(line[2])) for line in words if len(line) == 3]


def of_version_2(directory: str, controllers: frozenset[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The subjects of version 2, as far as it has their controllers."""
    if "cpu" in controllers:
        stat = fields(f"{directory}/cpu.stat")
        usage = {"total": "usage_usec", "kernel": "system_usec", "user": "user_usec"}
        yield (
            "cpu",
            {
                "usage": {name: stat[key] * MICROSECOND for name, key in usage.items()},
                "throttling": throttling(stat, stat.get("throttled_usec", 0) * MICROSECOND),
            },
        )
    if "memory" in controllers:
        raw = fields(f"{directory}/memory.stat")
        yield (
            "memory",
            {
                "cache": raw["file"],
                "usage": memory_of_version_2(f"{directory}/memory"),
                "swap": memory_of_version_2(f"{directory}/memory.swap"),
                "raw": raw,
            },
        )
    if "pids" in controllers:
        yield "pids", pids(directory)
    if "io" in controllers:
        lines = [line.split() for line in syscalls.read_file(f"{directory}/io.stat").splitlines()]
        yield (
            "blkio",
            {
                "ioServiceBytesRecursive": list(io_of_version_2(lines, {"rbytes": "Read", "wbytes": "Write"})),
                "ioServicedRecursive": list(io_of_version_2(lines, {"rios": "Read", "wios": "Write"})),
            },
        )
    if "hugetlb" in controllers:
        yield "hugetlb", dict(huge_pages(directory, "current", "", ""))


def memory_of_version_2(prefix: str) -> dict[str, int]:
    """current, max and, since Linux 5.19, peak. Swap is counted by itself here; none without swap in the kernel."""
    files = {"limit": "max", "usage": "current", "max": "peak"}
    found = {name: f"{prefix}.{file}" for name, file in files.items() if os.path.exists(f"{prefix}.{file}")}
    return {name: number(path) for name, path in found.items()}


def io_of_version_2(lines: list[list[str]], operations: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Lines such as `253:0 rbytes=4096 wbytes=0 ...`, as an object for each operation."""
    for device, *pairs in lines:
        for pair in pairs:
            key, _, value = pair.partition("=")
            if key in operations:
                yield io_entry(device, operations[key], int(value))


def io_entry(device: str, operation: str, value: int) -> dict[str, Any]:
    """One number of one device."""
    major, minor = device.split(":")
    return {"major": int(major), "minor": int(minor), "op": operation, "value": value}


def throttling(stat: dict[str, int], nanoseconds: int) -> dict[str, int]:
    """How often the group has used up its quota of processor time, and how long it waited for the next."""
    return {
        "periods": stat.get("nr_periods", 0),
        "throttledPeriods": stat.get("nr_throttled", 0),
        "throttledTime": nanoseconds,
    }


def pids(directory: str) -> dict[str, int]:
    """A limit of 0 is none: runc has it so."""
    limit = number(f"{directory}/pids.max")
    return {"current": number(f"{directory}/pids.current"), "limit": 0 if limit == UNBOUNDED else limit}


def huge_pages(directory: str, usage: str, most: str, failures: str) -> Iterator[tuple[str, dict[str, int]]]:
    """By size of page, such as 2MB. The names of the files are those of the version; "" is one that it has not."""
    names = {"usage": usage, "max": most, "failcnt": failures}
    for file in sorted(os.listdir(directory)):
        prefix, size, *rest = file.split(".")
        if prefix == "hugetlb" and rest == [usage]:
            path = f"{directory}/hugetlb.{size}"
            yield size, {name: number(f"{path}.{file}") for name, file in names.items() if file}


def fields(path: str) -> dict[str, int]:
    """A file of `name number` lines."""
    words = (line.split() for line in syscalls.read_file(path).splitlines())
    return {line[0]: int(line[1]) for line in words if len(line) == 2}


def number(path: str) -> int:
    """A file with one number; "max" is more than anything could reach. Raises SyscallError."""
    text = syscalls.read_file(path)
    return UNBOUNDED if text == "max" else int(text)
