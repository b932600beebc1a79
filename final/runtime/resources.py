"""What the container may use: all of linux.resources, on both versions of cgroups. Book sections 2.2.3 and 7.3.

OCI runtime-spec, config-linux.md, "Control groups". Each controller of the machine belongs to version 1 or to
version 2; so each limit is written as that version has it. A controller that is missing is missed only by who asks
for it.
"""

from __future__ import annotations

import errno
import os

from ch02_namespaces import cgroup_v2, syscalls
from ch02_namespaces.cgroups import Cgroup, Hierarchy, usable_hierarchies
from ch02_namespaces.errors import SyscallError
from ch07_practice.oci.document import Node
from ch07_practice.oci.resources import OwnCgroup
from final.runtime import resources_v1, resources_v2
from final.runtime.setting import RefusedError, Setting
from final.runtime.wishes import Wishes

CORE = "cgroup"  # files such as cgroup.max.descendants belong to no controller


class Resources(OwnCgroup):
    """A cgroup with everything that the document limits; an ordinary user has it where he may make groups."""

    def __init__(self, config: Node, path: str) -> None:
        super().__init__(path)
        if os.geteuid() != 0 or syscalls.in_user_namespace():
            self.group = Cgroup(path, usable_hierarchies(os.path.dirname(path)))
        linux = config["linux"]
        if linux["intelRdt"]:
            raise linux["intelRdt"].wrong("bounds for caches and memory bandwidth are not supported", "leave it out")
        self._wishes = Wishes(linux["resources"])
        plan(self._wishes, self.group)

    def limit(self) -> None:
        """Set all of them."""
        write(plan(self._wishes, self.group))


def update(group: Cgroup, resources: Node) -> None:
    """Change what a running container may use; what is not there stays as it is. Device rules stay as well.

    resources: as linux.resources. Raises EngineError; some limits may be changed then.
    """
    wishes = Wishes(resources)
    wanted = plan(wishes, group)
    if wishes.memory.checks_before and wishes.memory.limit > 0:
        check_memory(group, wishes)
    write(wanted)


def check_memory(group: Cgroup, wishes: Wishes) -> None:
    """Raise EngineError for a memory limit that would end processes at once."""
    used = int(group.statistics()["memory"])
    if used >= wishes.memory.limit:
        raise wishes.memory.node["limit"].wrong(f"{used} bytes are in use already", "checkBeforeUpdate")


def plan(wishes: Wishes, group: Cgroup) -> list[tuple[str, list[Setting]]]:
    """What to write: (the group's directory in a hierarchy, settings in order).

    Raises EngineError for what no hierarchy of this machine has.
    """
    versions = {
        hierarchy: list((resources_v2 if hierarchy.version is cgroup_v2 else resources_v1).settings(wishes))
        for hierarchy in group.hierarchies
    }
    known = {name for hierarchy in group.hierarchies for name in hierarchy.controllers}
    for setting in [*resources_v1.settings(wishes), *(setting for each in versions.values() for setting in each)]:
        if setting.controller not in known:
            raise setting.node.wrong(f"there is no cgroup controller {setting.controller!r} here", _hint())
    found = []
    for hierarchy, settings in versions.items():
        mine = [setting for setting in settings if setting.controller in hierarchy.controllers]
        for setting in mine:
            if not setting.choices:
                raise setting.node.wrong(f"cgroup version {hierarchy.number()} has no such limit", "leave it out")
        if hierarchy.version is cgroup_v2:
            mine += unified(wishes, hierarchy)
        found.append((f"{hierarchy.mountpoint}/{group.path}", mine))
    if wishes.unified and not any(hierarchy.version is cgroup_v2 for hierarchy in versions):
        raise wishes.node["unified"].wrong("there is no cgroup version 2 here")
    return found


def _hint() -> str:
    if syscalls.in_user_namespace():
        return "run as root, or on cgroup version 2 below `systemd-run --user --scope`: no cgroup is delegated to you"
    return "`doctor` lists the controllers"


def unified(wishes: Wishes, hierarchy: Hierarchy) -> list[Setting]:
    """Files of version 2 by their own names. Raises EngineError for one of a controller that version 2 has not here."""
    for controller, key, node in wishes.unified:
        if controller not in {*hierarchy.controllers, CORE}:
            raise node.wrong(f"{key}: cgroup version 2 has no controller {controller!r} here")
    return [Setting(controller, node, (key, node.text())) for controller, key, node in wishes.unified]


def write(wanted: list[tuple[str, list[Setting]]]) -> None:
    """Write what is planned. Raises EngineError.

    Some values depend on each other (a quota's period, its burst): those that the kernel calls invalid are tried again
    after the others.
    """
    for directory, settings in wanted:
        later = []
        for setting in resources_v1.in_order(directory, settings):
            try:
                setting.write(directory)
            except RefusedError as refused:
                if refused.errno != errno.EINVAL:
                    raise
                later.append(setting)
        for setting in later:
            setting.write(directory)


def processes(group: Cgroup) -> list[int]:
    """The pids of a group and of those below it, which its processes may have made. Raises SyscallError."""
    found: set[int] = set()
    for directory, _, _ in os.walk(group.directory()):
        found.update(map(int, syscalls.read_file(f"{directory}/cgroup.procs").split()))
    return sorted(found)


def signal_all(group: Cgroup, number: int) -> None:
    """Send a signal to all processes of a group, those of groups below it left out; nobody else is hit."""
    from ch02_namespaces import namespaces

    for pid in group.processes():
        try:
            pidfd = syscalls.pidfd_open(pid)
        except SyscallError:  # it has ended
            continue
        if pid in group.processes():  # the number has meant it all the time
            namespaces.Process(pid, pidfd).send_signal(number)
        os.close(pidfd)
