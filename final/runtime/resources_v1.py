"""linux.resources as files of cgroup version 1. Book section 7.3; Documentation/admin-guide/cgroup-v1."""

from __future__ import annotations

import os

from ch02_namespaces import syscalls
from final.runtime.setting import Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from final.runtime.wishes import BlockIo, Cpu, Memory, Wishes

MEMORY, TOGETHER = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
UNLIMITED = -1


def settings(wishes: Wishes) -> Iterator[Setting]:
    """What is asked for, to be written in this order."""
    yield from memory_settings(wishes.memory)
    yield from cpu_settings(wishes.cpu)
    for name in ("cpus", "mems"):
        if text := wishes.cpuset.get(name):
            yield Setting("cpuset", wishes.node["cpu"][name], (f"cpuset.{name}", text))
    if wishes.pids:
        value = "max" if wishes.pids == UNLIMITED else str(wishes.pids)
        yield Setting("pids", wishes.node["pids"]["limit"], ("pids.max", value))
    yield from io_settings(wishes.io)
    for size, limit, node in wishes.huge_pages:
        yield Setting("hugetlb", node, (f"hugetlb.{size}.limit_in_bytes", str(limit)))
        yield Setting("hugetlb", node, (f"hugetlb.{size}.rsvd.limit_in_bytes", str(limit)), optional=True)
    for line, node in wishes.rdma:
        yield Setting("rdma", node, ("rdma.max", line))
    if wishes.class_id:
        yield Setting("net_cls", wishes.node["network"]["classID"], ("net_cls.classid", str(wishes.class_id)))
    for line, node in wishes.priorities:
        yield Setting("net_prio", node, ("net_prio.ifpriomap", line))


def memory_settings(memory: Memory) -> Iterator[Setting]:
    """Swap counts together with memory here; without memory's bound it has none, either."""
    node = memory.node
    if memory.limit:
        yield Setting("memory", node["limit"], (MEMORY, str(memory.limit)))
    if memory.swap:
        yield Setting("memory", node["swap"], (TOGETHER, str(memory.swap)))
    elif memory.limit == UNLIMITED:
        yield Setting("memory", node["limit"], (TOGETHER, str(UNLIMITED)), optional=True)
    if memory.reservation:
        yield Setting("memory", node["reservation"], ("memory.soft_limit_in_bytes", str(memory.reservation)))
    if memory.tcp:
        yield Setting("memory", node["kernelTCP"], ("memory.kmem.tcp.limit_in_bytes", str(memory.tcp)), optional=True)
    if memory.swappiness is not None:
        yield Setting("memory", node["swappiness"], ("memory.swappiness", str(memory.swappiness)))
    if memory.no_killer is not None:
        yield Setting("memory", node["disableOOMKiller"], ("memory.oom_control", str(int(memory.no_killer))))


def cpu_settings(cpu: Cpu) -> Iterator[Setting]:
    """Time of processors."""
    files = {
        "shares": "cpu.shares",
        "period": "cpu.cfs_period_us",
        "quota": "cpu.cfs_quota_us",
        "burst": "cpu.cfs_burst_us",
        "idle": "cpu.idle",
        "realtimePeriod": "cpu.rt_period_us",
        "realtimeRuntime": "cpu.rt_runtime_us",
    }
    for name, file in files.items():
        if (number := cpu.numbers.get(name)) is not None:
            yield Setting("cpu", cpu.node[name], (file, str(number)))


def io_settings(io: BlockIo) -> Iterator[Setting]:
    """Weights and rates of block devices. The name of the weight says which scheduler takes it."""
    if io.weight:
        value = str(io.weight)
        yield Setting("io", io.node["weight"], ("blkio.bfq.weight", value), ("blkio.weight", value))
    if io.leaf_weight:
        yield Setting("io", io.node["leafWeight"], ("blkio.leaf_weight", str(io.leaf_weight)))
    for device, weight, node in io.device_weights:
        line = f"{device} {weight}"
        yield Setting("io", node, ("blkio.bfq.weight_device", line), ("blkio.weight_device", line))
    for device, weight, node in io.device_leaf_weights:
        yield Setting("io", node, ("blkio.leaf_weight_device", f"{device} {weight}"))
    for (action, unit), device, rate, node in io.rates:
        yield Setting("io", node, (f"blkio.throttle.{action}_{unit}_device", f"{device} {rate}"))


def in_order(directory: str, wanted: list[Setting]) -> list[Setting]:
    """Memory may never exceed memory and swap together, not even between two writes."""
    known = {file: value for setting in wanted for file, value in setting.choices}
    together = f"{directory}/{TOGETHER}"
    if MEMORY not in known or TOGETHER not in known or not os.path.exists(together):
        return wanted
    new = int(known[MEMORY])
    if new != UNLIMITED and new <= int(syscalls.read_file(together)):
        return wanted
    return sorted(wanted, key=lambda setting: setting.name != TOGETHER)
