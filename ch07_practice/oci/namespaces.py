"""The namespaces that config.json lists: new ones, and existing ones by path. Book section 7.3.

OCI runtime-spec, config-linux.md, "Namespaces".
"""

from __future__ import annotations

import os

from ch02_namespaces import syscalls
from ch03_run.container import Container, Part
from ch07_practice.oci.document import Node

KINDS = {
    "pid": syscalls.CLONE_NEWPID,
    "network": syscalls.CLONE_NEWNET,
    "mount": syscalls.CLONE_NEWNS,
    "ipc": syscalls.CLONE_NEWIPC,
    "uts": syscalls.CLONE_NEWUTS,
    "user": syscalls.CLONE_NEWUSER,
    "cgroup": syscalls.CLONE_NEWCGROUP,
    "time": syscalls.CLONE_NEWTIME,
}
BY_PART = ("cgroup",)
"""Not made with the process: the cgroup namespace is unshared by it, when it is in its cgroup (chapter 4)."""


class Namespaces(Part):
    """New namespaces, and those that are joined: namespaces(7)."""

    section = "7.3"

    def __init__(self, listed: Node) -> None:
        self.new: set[str] = set()
        self._paths: list[tuple[str, Node]] = []
        for item in listed.items():
            kind = item["type"].one_of(KINDS)
            if kind in self.new or any(kind == known for known, _ in self._paths):
                raise item.wrong(f"{kind} is there twice")
            if item["path"]:
                item["path"].path()
                self._paths.append((kind, item["path"]))
            else:
                self.new.add(kind)
        for kind in self.new - set(BY_PART):
            self.clone_flags |= KINDS[kind]

    def has(self, kind: str) -> bool:
        """Whether the container has one of this kind that is not the runtime's, new or joined."""
        return kind in self.new or any(kind == joined for joined, _ in self._paths)

    def leave_to_part(self, kind: str) -> None:
        """Do not make a new namespace of this kind: another part does, in its own way."""
        self.clone_flags &= ~KINDS[kind]

    def prepare(self, container: Container) -> None:
        """Open the namespaces that have a path into self.join, where the loop finds them: the user namespace first, as
        it gives the right to enter the others, then in the order of KINDS.

        Each must be of the kind that the document says. Raises EngineError that names the path's place; what was opened
        before is in self.join, for cleanup(). Source: config-linux.md, "Namespaces"; setns(2).
        Example: of {"type": "network", "path": "/proc/77/ns/net"} a descriptor; of {"type": "uts"}, which is new, none.
        """
        order = list(KINDS)  # the user namespace first: it gives the right to enter the others
        self.join = []
        for kind, node in sorted(self._paths, key=lambda pair: (pair[0] != "user", order.index(pair[0]))):
            try:
                descriptor = os.open(node.path(), os.O_RDONLY | os.O_CLOEXEC)
                self.join.append(descriptor)
                found = syscalls.namespace_kind(descriptor)
            except OSError as error:
                raise node.wrong(f"{node.value}: {error.strerror}") from None
            if found != KINDS[kind]:
                raise node.wrong(f"{node.value} is no {kind} namespace")

    def enter(self, container: Container) -> None:
        if "cgroup" in self.new:
            syscalls.unshare(syscalls.CLONE_NEWCGROUP)

    def cleanup(self, container: Container) -> None:
        for descriptor in self.join:
            os.close(descriptor)
        self.join = ()
