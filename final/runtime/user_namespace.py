"""Who the container's users are on the host: linux.uidMappings and linux.gidMappings. Book sections 2.1.6 and 7.3.

OCI runtime-spec, config-linux.md, "User namespace mappings"; user_namespaces(7). Root of a user namespace may mount and
change what belongs to the container's namespaces, and is an ordinary user to the rest of the machine.
"""

from __future__ import annotations

import os

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError
from ch02_namespaces.namespaces import write_id_maps
from ch03_run.container import Container, Part
from ch07_practice.oci.document import Node
from ch07_practice.oci.namespaces import Namespaces

MOST_LINES = 340  # since Linux 4.15
LARGEST = (1 << 32) - 1
HELPERS = ("newuidmap", "newgidmap")


class Mapping:
    """inside: the first id in the container; outside: the first on the host; size: how many."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.inside = node["containerID"].number(most=LARGEST)
        self.outside = node["hostID"].number(most=LARGEST)
        self.size = node["size"].number(least=1, most=LARGEST)
        for name, first in (("containerID", self.inside), ("hostID", self.outside)):
            if first + self.size - 1 >= LARGEST:  # the last one, -1, is nobody's
                raise node[name].wrong(f"{first} and {self.size - 1} more go beyond {LARGEST - 1}")

    def line(self) -> str:
        """As /proc/PID/uid_map has it."""
        return f"{self.inside} {self.outside} {self.size}"


def mappings_of(listed: Node) -> list[Mapping]:
    """A list of mappings. Raises EngineError for an empty one, and for ranges that overlap."""
    found = [Mapping(node) for node in listed.items()]
    if not found:
        raise listed.wrong("a user namespace needs at least one mapping")
    if len(found) > MOST_LINES:
        raise listed.wrong(f"there are more than {MOST_LINES}, which is the most that the kernel takes")
    for number, mapping in enumerate(found):
        for other in found[:number]:
            for name in ("inside", "outside"):
                one, two = getattr(mapping, name), getattr(other, name)
                if one < two + other.size and two < one + mapping.size:
                    raise mapping.node.wrong(f"its ids {name} overlap those of {other.node.place}")
    return found


def text_of(mappings: list[Mapping]) -> str:
    """As /proc/PID/uid_map takes it, in one write."""
    return "".join(f"{mapping.line()}\n" for mapping in mappings)


class UserMappings(Part):
    """The mappings of a new user namespace, written while the process waits.

    Root writes them itself. An ordinary user may map nobody but himself; more than that newuidmap(1) does for him, as
    far as /etc/subuid gives him others.
    """

    section = "2.1.6, 7.3"

    def __init__(self, config: Node, own: Namespaces) -> None:
        linux = config["linux"]
        self._uids, self._gids = list[Mapping](), list[Mapping]()
        if "user" in own.new:
            self._uids, self._gids = mappings_of(linux["uidMappings"]), mappings_of(linux["gidMappings"])
            return
        for name in ("uidMappings", "gidMappings"):
            if linux[name].items():
                raise linux[name].wrong("there is no new user namespace", "linux.namespaces")

    def attach(self, container: Container) -> None:
        assert container.process is not None
        if not self._uids:
            return
        if os.geteuid() == 0 or (maps_self(self._uids, os.geteuid()) and maps_self(self._gids, os.getegid())):
            write_id_maps(container.process.pid, text_of(self._uids), text_of(self._gids))
            return
        for helper, mappings in zip(HELPERS, (self._uids, self._gids), strict=True):
            run_helper(helper, container.process.pid, mappings)


def maps_self(mappings: list[Mapping], id: int) -> bool:
    """Whether nobody but one id is mapped."""
    return [(mapping.outside, mapping.size) for mapping in mappings] == [(id, 1)]


def run_helper(program: str, pid: int, mappings: list[Mapping]) -> None:
    """newuidmap(1) or newgidmap(1), which may write what an ordinary user may not. Raises EngineError."""
    import subprocess

    words = [word for mapping in mappings for word in mapping.line().split()]
    try:
        done = subprocess.run([program, str(pid), *words], capture_output=True, text=True)
    except OSError as error:
        raise EngineError(program, str(error.strerror), "Debian has it in the package uidmap") from None
    if done.returncode:
        raise EngineError(program, done.stderr.strip(), "/etc/subuid and /etc/subgid say who may map whom")


class RootInside(Part):
    """In a user namespace, the process becomes its root: until then it is nobody there, and its files would be, too.

    It comes when the root file system has been reached (BindRoot), the way to which may be the host's root's alone.
    """

    section = "2.1.6, 7.3"

    def __init__(self) -> None:
        self._groups: list[int] | None = [] if os.geteuid() == 0 else None

    def enter(self, container: Container) -> None:
        syscalls.become_user(0, 0, self._groups)
