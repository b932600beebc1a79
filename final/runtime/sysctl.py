"""Kernel parameters of the container's own namespaces: linux.sysctl. Book section 7.3.

OCI runtime-spec, config-linux.md, "Sysctl"; namespaces(7), sysctl(8). A parameter that belongs to no namespace, or to
one that is the host's, would change the machine: it is refused.
"""

from __future__ import annotations

import os

from ch02_namespaces import namespaces
from ch02_namespaces.errors import EngineError
from ch03_run.container import Container, Part
from ch07_practice.oci.document import Node
from ch07_practice.oci.namespaces import Namespaces
from final.runtime import procfs

IPC = (
    *("kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/msg_next_id"),
    *("kernel/sem", "kernel/sem_next_id"),
    *("kernel/shmall", "kernel/shmmax", "kernel/shmmni", "kernel/shm_rmid_forced", "kernel/shm_next_id"),
)
FIELDS = {"kernel/hostname": "hostname", "kernel/domainname": "domainname"}
KINDS = {"network": "net", "ipc": "ipc", "uts": "uts"}


class Sysctl(Part):
    """Parameters and their values, written by the container's process into its own /proc/sys."""

    section = "7.3"

    def __init__(self, config: Node, own: Namespaces) -> None:
        self._own = own
        self._parameters: list[tuple[Node, str, str]] = []
        self._needs: dict[str, Node] = {}
        for name, node in config["linux"]["sysctl"].fields().items():
            path = path_of(name, node)
            kind = kind_of(path, node)
            if not own.has(kind):
                raise node.wrong(f"without a new {kind} namespace it would be the host's", "linux.namespaces")
            if path == "kernel/hostname" or (path in FIELDS and config[FIELDS[path]].text("")):
                raise node.wrong(f"the field {FIELDS[path]!r} of config.json says so already", FIELDS[path])
            self._needs.setdefault(kind, node)
            self._parameters.append((node, path, node.text()))

    def prepare(self, container: Container) -> None:
        """A namespace that is joined may be the host's own."""
        joined = {os.fstat(descriptor).st_ino for descriptor in self._own.join}
        if not joined:
            return
        ours = namespaces.of_process()
        for kind, node in self._needs.items():
            if ours.get(KINDS[kind]) in joined:
                raise node.wrong(f"the {kind} namespace is the host's", "linux.namespaces")

    def enter(self, container: Container) -> None:
        for node, path, value in self._parameters:
            try:
                procfs.write(f"sys/{path}", value)
            except EngineError as error:
                raise node.wrong(error.why, error.what) from None


def path_of(name: str, node: Node) -> str:
    """The path below /proc/sys: net.ipv4.conf.eth0/1.mtu is net/ipv4/conf/eth0.1/mtu. sysctl(8).

    The first separator, a dot or a slash, is that of directories; the other one is part of a name.
    """
    first = next((character for character in name if character in "./"), "")
    path = name if first == "/" else name.translate(str.maketrans("./", "/."))
    if any(part in ("", ".", "..") for part in path.split("/")) or "\0" in path or "/" not in path:
        raise node.wrong(f"{name!r} is no kernel parameter", "net.ipv4.ip_forward")
    return path


def kind_of(path: str, node: Node) -> str:
    """The kind of namespace that a parameter belongs to. Raises EngineError if it is none."""
    if path.startswith("net/"):
        return "network"
    if path in IPC or path.startswith("fs/mqueue/"):
        return "ipc"
    if path in FIELDS:
        return "uts"
    raise node.wrong("it belongs to the whole machine, not to a namespace")
