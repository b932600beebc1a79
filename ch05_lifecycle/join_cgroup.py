"""How one more process gets into a container's cgroup. Book section 5.4."""

from __future__ import annotations

import os

from ch02_namespaces.cgroups import Cgroup
from ch03_run.container import Container, Part


class JoinCgroup(Part):
    """What the container may use counts for this process, too."""

    section = "5.4"

    def __init__(self, group: Cgroup) -> None:
        self._group = group

    def prepare(self, container: Container) -> None:
        if self._group.hierarchies:
            self._group.open_doors()
            container.birth_cgroup = self._group.open_birthplace()

    def enter(self, container: Container) -> None:
        if self._group.hierarchies:
            self._group.join()

    def cleanup(self, container: Container) -> None:
        self._group.close()
        if container.birth_cgroup is not None:
            os.close(container.birth_cgroup)
            container.birth_cgroup = None
