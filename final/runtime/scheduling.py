"""Which processors, how much of them, and whose reads come first: sched(7), ioprio_set(2). Book section 7.3.

OCI runtime-spec, config.md, "Linux Process".
"""

from __future__ import annotations

import os

from ch03_run.container import Container, Part
from ch07_practice.oci.document import Node
from final.runtime import kernel
from final.runtime.number_list import numbers_of

POLICIES = {  # linux/sched.h; SCHED_ISO has a number, and no kernel that knows it
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
REAL_TIME = ("SCHED_FIFO", "SCHED_RR")
FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}
CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}  # linux/ioprio.h
MOST_CPUS = 8192


class Scheduler(Part):
    """process.scheduler: policy, nice value, priority among the real-time ones, time of the deadline policy.

    Must stand behind the part that takes the process into its cgroup: version 1 lets in no process that is real-time
    already, unless it has time for such.
    """

    section = "7.3"

    def __init__(self, node: Node) -> None:
        policy = node["policy"].one_of(POLICIES)
        self._policy = POLICIES[policy]
        self._nice = node["nice"].number(0, least=-20, most=19)
        self._priority = node["priority"].number(0, most=99)
        if (policy in REAL_TIME) != bool(self._priority):
            raise node["priority"].wrong(
                f"{self._priority} is none for {policy}", "1 to 99 for SCHED_FIFO and SCHED_RR"
            )
        self._flags = sum({FLAGS[flag.one_of(FLAGS)] for flag in node["flags"].items()})
        runtime, deadline, period = (node[name].number(0) for name in ("runtime", "deadline", "period"))
        for name, value in (("runtime", runtime), ("deadline", deadline), ("period", period)):
            if value and policy != "SCHED_DEADLINE":
                raise node[name].wrong(f"there is none for {policy}", "SCHED_DEADLINE")
        if policy == "SCHED_DEADLINE" and not 0 < runtime <= deadline <= (period or deadline):
            raise node.wrong("it must be that 0 < runtime <= deadline <= period", "sched(7)")
        self._times = runtime, deadline, period

    def enter(self, container: Container) -> None:
        kernel.sched_setattr(0, self._policy, self._flags, self._nice, self._priority, self._times)


class IoPriority(Part):
    """process.ioPriority: class and priority of reads and writes; those that the process forks have it, too."""

    section = "7.3"

    def __init__(self, node: Node) -> None:
        self._kind = CLASSES[node["class"].one_of(CLASSES)]
        self._level = node["priority"].number(most=7)

    def attach(self, container: Container) -> None:
        assert container.process is not None
        kernel.ioprio_set(container.process.pid, self._kind, self._level)


class ExecAffinity(Part):
    """process.execCPUAffinity: for a process that joins a container, not for the container's first.

    initial: where it runs until it is in the container's cgroup: it is born there, for the runtime itself goes there.
    final: where it runs afterwards; must stand behind the part that takes it into the cgroup.
    """

    section = "7.3"

    def __init__(self, node: Node) -> None:
        self._initial, self._final = cpus_of(node["initial"]), cpus_of(node["final"])
        self._before: set[int] = set()

    def prepare(self, container: Container) -> None:
        if self._initial:
            self._before = os.sched_getaffinity(0)
            kernel.sched_setaffinity(0, self._initial)

    def attach(self, container: Container) -> None:
        self._return()

    def enter(self, container: Container) -> None:
        if self._final:
            kernel.sched_setaffinity(0, self._final)

    def cleanup(self, container: Container) -> None:
        self._return()

    def _return(self) -> None:
        if self._before:
            kernel.sched_setaffinity(0, self._before)
            self._before = set()


def cpus_of(node: Node) -> set[int]:
    """The processors of a list such as 0-3,7. Empty if it is missing or empty. Raises EngineError."""
    return numbers_of(node, MOST_CPUS, "processor")
