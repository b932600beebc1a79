"""Which cgroups a container sees at its mount of type `cgroup`: its own, whether it has a namespace for them or not.

Book sections 2.2.2 and 7.3; cgroup_namespaces(7).
"""

from __future__ import annotations

import os

from ch02_namespaces import syscalls
from ch02_namespaces.cgroups import Cgroup, Hierarchy
from ch03_run.container import Container
from ch04_images import inside
from ch04_images.filesystems import CgroupFilesystem
from ch07_practice.oci.namespaces import Namespaces


class BoundCgroups(CgroupFilesystem):
    """Without a cgroup namespace a new mount would show those of the whole machine, so the container's own is bound."""

    def __init__(self, group: Cgroup) -> None:
        super().__init__()
        self._group = group
        self._trees: dict[Hierarchy, int] = {}

    def prepare(self, container: Container) -> None:
        self.hierarchies = self._group.hierarchies
        for hierarchy in self.hierarchies:
            path = f"{hierarchy.mountpoint}/{self._group.path}"
            self._trees[hierarchy] = syscalls.open_tree(path, recursive=False)

    def mount_one(self, hierarchy: Hierarchy, target: str, flags: int) -> None:
        """Give the container's group in one hierarchy its place. Raises SyscallError."""
        tree, place = self._trees.pop(hierarchy), inside.open_path(target)
        syscalls.move_mount(tree, place)
        os.close(place)
        os.close(tree)
        syscalls.mount(None, target, None, syscalls.MS_REMOUNT | syscalls.MS_BIND | flags)

    def cleanup(self, container: Container) -> None:
        for tree in self._trees.values():
            os.close(tree)
        self._trees.clear()


def cgroup_filesystem(namespaces: Namespaces, group: Cgroup) -> CgroupFilesystem:
    """For Mounts. An ordinary user has his namespace, or is refused."""
    is_bound = not namespaces.has("cgroup") and os.geteuid() == 0
    return BoundCgroups(group) if is_bound else CgroupFilesystem()
