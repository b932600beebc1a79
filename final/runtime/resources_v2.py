"""linux.resources as files of cgroup version 2. Book section 7.3; Documentation/admin-guide/cgroup-v2.rst.

The document speaks version 1's language: its values are converted as runc and crun do. What version 2 has not
is refused.
"""

from __future__ import annotations

from ch02_namespaces.cgroup_v2 import CPU_PERIOD, weight_of_shares
from final.runtime.setting import Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ch07_practice.oci.document import Node
    from final.runtime.wishes import BlockIo, Cpu, Memory, Wishes

UNLIMITED = -1
FEWEST_SHARES, MOST_SHARES = 2, 262144


def settings(wishes: Wishes) -> Iterator[Setting]:
    """What is asked for, to be written in this order."""
    yield from memory_settings(wishes.memory)
    yield from cpu_settings(wishes.cpu)
    for name in ("cpus", "mems"):
        if text := wishes.cpuset.get(name):
            yield Setting("cpuset", wishes.node["cpu"][name], (f"cpuset.{name}", text))
    if wishes.pids:
        yield Setting("pids", wishes.node["pids"]["limit"], ("pids.max", bound(wishes.pids)))
    yield from io_settings(wishes.io)
    for size, limit, node in wishes.huge_pages:
        yield Setting("hugetlb", node, (f"hugetlb.{size}.max", str(limit)))
        yield Setting("hugetlb", node, (f"hugetlb.{size}.rsvd.max", str(limit)), optional=True)
    for line, node in wishes.rdma:
        yield Setting("rdma", node, ("rdma.max", line))


def bound(number: int) -> str:
    """A number as an upper bound, of which -1 is none."""
    return "max" if number == UNLIMITED else str(number)


def memory_settings(memory: Memory) -> Iterator[Setting]:
    """Swap is counted by itself here. Raises EngineError if it cannot be found out how much that is."""
    node = memory.node
    if memory.swap or memory.limit == UNLIMITED:
        swap = swap_alone(memory, node["swap"])
        place = node["swap"] if memory.swap else node["limit"]
        # without swap there is no such file, and nothing to be limited
        yield Setting("memory", place, ("memory.swap.max", swap), optional=swap in ("0", "max"))
    if memory.limit:
        yield Setting("memory", node["limit"], ("memory.max", bound(memory.limit)))
    if memory.reservation:
        yield Setting("memory", node["reservation"], ("memory.low", bound(memory.reservation)))
    if memory.swappiness is not None:
        yield Setting("memory", node["swappiness"])
    if memory.no_killer:
        yield Setting("memory", node["disableOOMKiller"])


def swap_alone(memory: Memory, node: Node) -> str:
    """What may be swapped out: the document's number is memory and swap together."""
    if memory.swap in (0, UNLIMITED):
        return "max"
    if not memory.limit:
        raise node.wrong("it counts memory and swap together, and there is no memory limit beside it")
    return str(memory.swap if memory.limit == UNLIMITED else memory.swap - memory.limit)


def cpu_settings(cpu: Cpu) -> Iterator[Setting]:
    """Time of processors. Version 2 has no realtime budgets."""
    node, numbers = cpu.node, cpu.numbers
    if "idle" in numbers:
        yield Setting("cpu", node["idle"], ("cpu.idle", str(numbers["idle"])))
    if "shares" in numbers:
        shares = min(max(numbers["shares"], FEWEST_SHARES), MOST_SHARES)
        yield Setting("cpu", node["shares"], ("cpu.weight", str(weight_of_shares(shares))))
    if "quota" in numbers or "period" in numbers:
        quota, period = numbers.get("quota", UNLIMITED), numbers.get("period", CPU_PERIOD)
        place = node["quota" if "quota" in numbers else "period"]
        yield Setting("cpu", place, ("cpu.max", f"{bound(quota)} {period}"))
    if "burst" in numbers:
        yield Setting("cpu", node["burst"], ("cpu.max.burst", str(numbers["burst"])))
    for name in ("realtimePeriod", "realtimeRuntime"):
        if name in numbers:
            yield Setting("cpu", node[name])


def io_settings(io: BlockIo) -> Iterator[Setting]:
    """Weights and rates of block devices. BFQ takes the document's weights as they are, io.cost on its own scale."""
    if io.weight:
        choices = ("io.bfq.weight", str(io.weight)), ("io.weight", str(io_weight(io.weight)))
        yield Setting("io", io.node["weight"], *choices)
    if io.leaf_weight:
        yield Setting("io", io.node["leafWeight"])
    for device, weight, node in io.device_weights:
        choices = ("io.bfq.weight", f"{device} {weight}"), ("io.weight", f"{device} {io_weight(weight)}")
        yield Setting("io", node, *choices)
    for _, _, node in io.device_leaf_weights:
        yield Setting("io", node)
    for (action, unit), device, rate, node in io.rates:
        yield Setting("io", node, ("io.max", f"{device} {action[0]}{unit}={rate or 'max'}"))


def io_weight(weight: int) -> int:
    """Version 1's 10 to 1000 on the scale from 1 to 10000."""
    return 1 + (weight - 10) * 9999 // 990
