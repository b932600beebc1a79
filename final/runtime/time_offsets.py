"""Clocks of the container's own: linux.timeOffsets. Book section 7.3.

OCI runtime-spec, config-linux.md, "Offset for Time Namespace"; time_namespaces(7).
"""

from __future__ import annotations

import os

from ch02_namespaces import syscalls
from ch02_namespaces.errors import SyscallError
from ch03_run.container import Container, Part
from ch07_practice.oci.document import Node
from ch07_practice.oci.namespaces import Namespaces

CLOCKS = ("monotonic", "boottime")
FURTHEST = (1 << 63) - 1
NANOSECONDS = 1_000_000_000


class TimeOffsets(Part):
    """A time namespace whose clocks go before or after the host's.

    A namespace's clocks are set before anybody is in it, and clone3(2) puts the process into it at once. So the process
    makes it by unshare(2), which acts on children alone, sets the clocks, and then enters it by setns(2). It comes
    before PivotRoot and before the process changes its user: the host's /proc is needed.
    """

    section = "7.3"

    def __init__(self, offsets: Node, own: Namespaces) -> None:
        self._lines = ""
        self._node = offsets
        for name, node in offsets.fields().items():
            if name not in CLOCKS:
                raise node.wrong(f"there is no such clock, only {' and '.join(CLOCKS)}")
            seconds = node["secs"].number(0, least=-FURTHEST, most=FURTHEST)
            self._lines += f"{name} {seconds} {node['nanosecs'].number(0, most=NANOSECONDS - 1)}\n"
        if self._lines and "time" not in own.new:
            raise offsets.wrong("there is no new time namespace", "linux.namespaces")
        if self._lines:
            own.leave_to_part("time")

    def enter(self, container: Container) -> None:
        if not self._lines:
            return
        syscalls.unshare(syscalls.CLONE_NEWTIME)
        try:
            syscalls.write_file("/proc/self/timens_offsets", self._lines)
        except SyscallError as error:
            raise self._node.wrong(error.why, "clocks do not go below zero, nor too far") from None
        descriptor = os.open("/proc/self/ns/time_for_children", os.O_RDONLY | os.O_CLOEXEC)
        syscalls.setns(descriptor, syscalls.CLONE_NEWTIME)
        os.close(descriptor)
