"""The container's cgroup, and what it may use. Book sections 2.2 and 7.3.

OCI runtime-spec, config-linux.md, "Cgroups path" and "Control groups".
"""

from __future__ import annotations

import os

from ch02_namespaces.cgroups import Cgroup, hierarchies
from ch02_namespaces.limits import Limits
from ch03_run.container import Container, Part
from ch07_practice.oci.document import Node

PARENT = "mydocker-runtime"
UNLIMITED = -1


def group_of(path: str) -> Cgroup:
    """The cgroup at a path below each hierarchy's own."""
    return Cgroup(path, hierarchies())


def path_of(config: Node, id: str) -> str:
    """Where the container's cgroup is: as the document says, or ours. Raises EngineError for a path that leads out."""
    node = config["linux"]["cgroupsPath"]
    path = os.path.normpath("/" + node.text("").lstrip("/")).strip("/")
    if node.text("") and not path:
        raise node.wrong("it is the root of all cgroups")
    return path or f"{PARENT}/{id}"


class OwnCgroup(Part):
    """A cgroup; the container's process is in it before it does anything. What limits it, others say."""

    section = "2.2.3, 7.3"

    def __init__(self, path: str) -> None:
        self.group = group_of(path)
        self._is_ours = False

    def limit(self) -> None:
        """Set the group's limits. Raises EngineError."""

    def prepare(self, container: Container) -> None:
        if not self.group.hierarchies:
            return
        self.group.create()
        self._is_ours = True
        self.limit()
        self.group.open_doors()
        container.birth_cgroup = self.group.open_birthplace()

    def enter(self, container: Container) -> None:
        if self.group.hierarchies:
            self.group.join()

    def cleanup(self, container: Container) -> None:
        if container.birth_cgroup is not None:
            os.close(container.birth_cgroup)
            container.birth_cgroup = None
        if not self._is_ours:  # one that was there before belongs to somebody, with the processes in it
            return
        container.out_of_memory = self.group.oom_kills() > 0
        if self.group.processes():
            self.group.kill()
        self.group.remove()


class Resources(OwnCgroup):
    """The cgroup with those limits that chapter 2 knows."""

    def __init__(self, config: Node, path: str) -> None:
        super().__init__(path)
        self._limits = limits_of(config["linux"]["resources"])

    def limit(self) -> None:
        """Set those that chapter 2 knows."""
        self.group.set(self._limits)


def limits_of(resources: Node) -> Limits:
    """The limits that chapter 2 knows. Raises EngineError."""
    memory, cpu = resources["memory"], resources["cpu"]
    quota = cpu["quota"].number(UNLIMITED, least=-1)
    period = cpu["period"].number(100_000, least=1)
    return Limits(
        memory=_limit(memory["limit"]),
        memory_swap=memory["swap"].number(least=-1) if memory["swap"] else None,
        cpu_shares=cpu["shares"].number() or None if cpu["shares"] else None,
        cpus=quota / period if quota > 0 else None,
        cpuset_cpus=cpu["cpus"].text("") or None,
        pids=_limit(resources["pids"]["limit"]),
    )


def _limit(node: Node) -> int | None:
    found = node.number(UNLIMITED, least=-1)
    return found if found > 0 else None
