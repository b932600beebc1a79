"""From which nodes of a large machine memory comes: linux.memoryPolicy. Book section 7.3.

OCI runtime-spec, config-linux.md, "Memory policy"; set_mempolicy(2), numa(7).
"""

from __future__ import annotations

import errno

from ch02_namespaces.errors import SyscallError
from ch03_run.container import Container, Part
from ch07_practice.oci.document import Node
from final.runtime import kernel
from final.runtime.number_list import numbers_of

MODES = {  # linux/mempolicy.h
    "MPOL_DEFAULT": 0,
    "MPOL_PREFERRED": 1,
    "MPOL_BIND": 2,
    "MPOL_INTERLEAVE": 3,
    "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5,
    "MPOL_WEIGHTED_INTERLEAVE": 6,
}
FLAGS = {
    "MPOL_F_NUMA_BALANCING": 1 << 13,
    "MPOL_F_RELATIVE_NODES": 1 << 14,
    "MPOL_F_STATIC_NODES": 1 << 15,
}
MOST_NODES = 1024


class MemoryPolicy(Part):
    """linux.memoryPolicy: whatever the process, and those that it starts, allocate."""

    section = "7.3"

    def __init__(self, node: Node) -> None:
        self._node = node
        self._mode = MODES[node["mode"].one_of(MODES)] | sum(
            {FLAGS[flag.one_of(FLAGS)] for flag in node["flags"].items()}
        )
        self._nodes = numbers_of(node["nodes"], MOST_NODES, "memory node")

    def enter(self, container: Container) -> None:
        try:
            kernel.set_mempolicy(self._mode, self._nodes)
        except SyscallError as error:
            fits = error.errno == errno.EINVAL
            raise self._node.wrong(
                error.why, "do mode, nodes and flags fit, and are the nodes there?" if fits else ""
            ) from None
