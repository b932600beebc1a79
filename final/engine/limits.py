"""What a container may use of memory, processors, disks and pids: Docker's flags, and linux.resources of config.json.

OCI runtime-spec, config-linux.md, "Control groups". final/runtime/resources.py writes it into the cgroup.
"""

from __future__ import annotations

import os
import stat

from ch02_namespaces.command_line import Flag, whole_number
from ch02_namespaces.errors import EngineError
from ch02_namespaces.limits import parse_size
from ch03_run.cli import limits_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ch02_namespaces.command_line import Options

CPU_PERIOD = 100_000  # microseconds
RATES = {
    "device_read_bps": "throttleReadBpsDevice",
    "device_write_bps": "throttleWriteBpsDevice",
    "device_read_iops": "throttleReadIOPSDevice",
    "device_write_iops": "throttleWriteIOPSDevice",
}
"""Options, and their names in config.json."""


def within(least: int, most: int, unit: str = "") -> Callable[[str], int]:
    """A Flag.convert: a whole number within these bounds."""

    def convert(text: str) -> int:
        value = whole_number(text)
        if not least <= value <= most:
            raise EngineError(repr(text), f"it is not from {least} to {most}{unit}")
        return value

    return convert


def cpu_quota(text: str) -> int:
    """For Flag.convert: microseconds, or -1 for no limit. Raises EngineError."""
    value = whole_number(text)
    if value != -1 and value < 1000:
        raise EngineError(repr(text), "it is less than 1000 microseconds", "-1 is unlimited")
    return value


def of_device(convert: Callable[[str], int]) -> Callable[[str], list[object]]:
    """A Flag.convert: PATH:NUMBER, as the two. convert: reads the number."""

    def read(text: str) -> list[object]:
        path, colon, value = text.rpartition(":")
        if not colon or not path.startswith("/dev/"):
            raise EngineError(repr(text), "it is no device and number", "such as /dev/sda:100")
        return [path, convert(value)]

    return read


PERIOD = within(1000, 1_000_000, " microseconds")  # as the kernel takes them: sched-bwc.rst
WEIGHT = within(10, 1000)
COUNT = within(1, (1 << 63) - 1)
FLAGS = [
    Flag("--memory-reservation", value="SIZE", convert=parse_size, help="what it keeps when memory is short"),
    Flag("--memory-swappiness", value="N", convert=within(0, 100), help="how readily it is swapped out (cgroup v1)"),
    Flag("--oom-kill-disable", help="wait instead when memory is short (cgroup v1, with -m)"),
    Flag("--cpu-period", value="MICROSECONDS", convert=PERIOD, help="with --cpu-quota: instead of --cpus"),
    Flag("--cpu-quota", value="MICROSECONDS", convert=cpu_quota, help="processor time in each period"),
    Flag("--cpu-rt-period", value="MICROSECONDS", convert=COUNT, help="with --cpu-rt-runtime (cgroup v1)"),
    Flag("--cpu-rt-runtime", value="MICROSECONDS", convert=COUNT, help="realtime in each period (cgroup v1)"),
    Flag("--cpuset-mems", value="LIST", help="memory nodes it may use, such as 0-1"),
    Flag("--blkio-weight", value="N", convert=WEIGHT, help="weight of reads and writes, 10 to 1000"),
    Flag(
        "--blkio-weight-device", value="DEVICE:N", convert=of_device(WEIGHT), many=True, help="the same for one device"
    ),
    Flag("--device-read-bps", value="DEVICE:SIZE", convert=of_device(parse_size), many=True, help="bytes a second"),
    Flag("--device-write-bps", value="DEVICE:SIZE", convert=of_device(parse_size), many=True, help="bytes a second"),
    Flag("--device-read-iops", value="DEVICE:N", convert=of_device(COUNT), many=True, help="reads a second"),
    Flag("--device-write-iops", value="DEVICE:N", convert=of_device(COUNT), many=True, help="writes a second"),
]


def resources_of(options: Options) -> dict[str, Any]:
    """The limits, as linux.resources. Raises EngineError for what no kernel takes, or what contradicts itself."""
    limits = limits_of(options)
    _check(options)
    memory = {
        "limit": limits.memory,
        "swap": limits.swap_total(),
        "reservation": options.memory_reservation,
        "swappiness": options.memory_swappiness,
        "disableOOMKiller": options.oom_kill_disable or None,
    }
    quota = options.cpu_quota if limits.cpus is None else int(limits.cpus * CPU_PERIOD)
    cpu = {
        "shares": limits.cpu_shares,
        "quota": quota,
        "period": options.cpu_period or (CPU_PERIOD if quota else None),
        "realtimePeriod": options.cpu_rt_period,
        "realtimeRuntime": options.cpu_rt_runtime,
        "cpus": limits.cpuset_cpus,
        "mems": options.cpuset_mems,
    }
    return {
        "memory": _said(memory),
        "cpu": _said(cpu),
        **({"pids": {"limit": limits.pids}} if limits.pids is not None else {}),
        "blockIO": _disks(options),
    }


def _check(options: Options) -> None:
    for flag, other in (("--cpu-quota", options.cpu_quota), ("--cpu-period", options.cpu_period)):
        if options.cpus is not None and other is not None:
            raise EngineError("--cpus", f"it does not go together with {flag}")
    if options.memory is not None and (options.memory_reservation or 0) > options.memory:
        raise EngineError("--memory-reservation", "it is more than the limit (-m)")
    if options.oom_kill_disable and options.memory is None:
        raise EngineError("--oom-kill-disable", "without a limit this machine could stand still", "-m SIZE")


def _said(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _disks(options: Options) -> dict[str, Any]:
    weights = [_of_device("--blkio-weight-device", path, "weight", n) for path, n in options.blkio_weight_device]
    rates = {
        name: [_of_device(f"--{option.replace('_', '-')}", path, "rate", n) for path, n in getattr(options, option)]
        for option, name in RATES.items()
    }
    found = {"weight": options.blkio_weight, "weightDevice": weights or None}
    return _said({**found, **{name: several or None for name, several in rates.items()}})


def _of_device(flag: str, path: str, what: str, number: int) -> dict[str, int]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise EngineError(f"{flag} {path}", str(error.strerror)) from None
    if not stat.S_ISBLK(status.st_mode):
        raise EngineError(f"{flag} {path}", "it is no block device", "such as /dev/sda")
    return {"major": os.major(status.st_rdev), "minor": os.minor(status.st_rdev), what: number}
