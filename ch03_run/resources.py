"""The part that limits a container's resources: book sections 2.2.3 and 3.2."""

from __future__ import annotations

import os

from ch02_namespaces.cgroups import Cgroup, default_parent, sweep, usable_hierarchies
from ch02_namespaces.errors import EngineError
from ch02_namespaces.limits import Limits
from ch03_run.container import Container, Part


class Resources(Part):
    """A cgroup for the container, with its limits.

    The process is in its cgroup before it does anything: on version 2 it is born there, on version 1 to join is the
    first thing that it does. So this is the first part in the list.
    """

    section = "2.2.3, 3.2"

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.cgroup: Cgroup | None = None

    def prepare(self, container: Container) -> None:
        """Make the cgroup PARENT/ID in all hierarchies that we may use, set its limits, and open it for the process.

        Groups that killed engines left below the parent are swept before. What is made is kept in self.cgroup at once,
        so that cleanup() finds it if something fails later. The process is born in it where the kernel can do so
        (container.birth_cgroup), and joins elsewhere (open_doors). Without a usable hierarchy: _do_without().
        Raises EngineError, SyscallError. Source: cgroups(7).
        Example: for the container x with pids=100, /sys/fs/cgroup/mydocker/x/pids.max is 100, on version 2.
        """
        parent = default_parent()
        usable = usable_hierarchies(parent)
        if not usable:
            self._do_without()
            return
        sweep(parent, usable)
        cgroup = Cgroup(f"{parent}/{container.id}", usable)
        cgroup.create()
        self.cgroup = cgroup
        cgroup.set(self.limits)
        cgroup.open_doors()
        container.birth_cgroup = cgroup.open_birthplace()

    def _do_without(self) -> None:
        """Without the right to make a cgroup a container still runs, but it can't be limited."""
        for controller in self.limits.controllers():
            raise EngineError(
                f"{controller} limit",
                "no cgroup is delegated to you",
                "run as root, or below `systemd-run --user --scope`",
            )

    def enter(self, container: Container) -> None:
        if self.cgroup is not None:
            self.cgroup.join()

    def cleanup(self, container: Container) -> None:
        if container.birth_cgroup is not None:
            os.close(container.birth_cgroup)
            container.birth_cgroup = None
        if self.cgroup is None:
            return
        container.out_of_memory = self.cgroup.oom_kills() > 0
        if self.cgroup.processes():
            self.cgroup.kill()
        self.cgroup.remove()
        self.cgroup = None
