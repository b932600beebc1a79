"""Parts for what most documents leave out: each function gives those for one field, or none. Book section 7.3.

A module is imported only if its field is there: each takes a tenth of a millisecond of every start.
"""

from __future__ import annotations

from ch03_run.container import Part
from ch07_practice.oci.document import Node
from ch07_practice.oci.namespaces import Namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ch07_practice.oci.mounts import Mounts
    from final.runtime.devices import Devices


def home(described: Node) -> list[Part]:
    """HOME, unless it is among the variables of process.env; an empty one counts as none."""
    if any(variable.text().startswith("HOME=") and variable.text() != "HOME=" for variable in described["env"].items()):
        return []
    from final.runtime.home import Home

    return [Home(described["user"])]


def time_offsets(node: Node, own: Namespaces) -> list[Part]:
    """linux.timeOffsets."""
    if not node:
        return []
    from final.runtime.time_offsets import TimeOffsets

    return [TimeOffsets(node, own)]


def network_devices(node: Node, own: Namespaces) -> list[Part]:
    """linux.netDevices."""
    if not node:
        return []
    from final.runtime.network_devices import NetworkDevices

    return [NetworkDevices(node, own)]


def user_mappings(config: Node, own: Namespaces) -> list[Part]:
    """linux.uidMappings and gidMappings; a new user namespace must have them, and nobody else may."""
    if not (own.has("user") or config["linux"]["uidMappings"] or config["linux"]["gidMappings"]):
        return []
    from final.runtime.user_namespace import UserMappings

    return [UserMappings(config, own)]


def root_inside(own: Namespaces) -> list[Part]:
    """In a user namespace, the process becomes its root."""
    if not own.has("user"):
        return []
    from final.runtime.user_namespace import RootInside

    return [RootInside()]


def from_host(mounts: Mounts, devices: Devices, takes_from_host: bool) -> list[Part]:
    """In a user namespace, the container's or ours, what only the host has."""
    if not takes_from_host:
        return []
    from final.runtime.from_host import FromHost

    return [FromHost(mounts, devices)]


def oom_score(node: Node) -> list[Part]:
    """process.oomScoreAdj."""
    if not node:
        return []
    from final.runtime.oom_score import OomScore

    return [OomScore(node)]


def labels(described: Node, mount_label: Node) -> list[Part]:
    """process.apparmorProfile, process.selinuxLabel and linux.mountLabel."""
    profile, context = described["apparmorProfile"], described["selinuxLabel"]
    if not (profile.text("") or context.text("") or mount_label.text("")):
        return []
    from final.runtime.labels import AppArmorProfile, SelinuxLabel, check_mount_label

    check_mount_label(mount_label)
    return [AppArmorProfile(profile), SelinuxLabel(context)]


def sysctl(config: Node, own: Namespaces) -> list[Part]:
    """linux.sysctl."""
    if not config["linux"]["sysctl"]:
        return []
    from final.runtime.sysctl import Sysctl

    return [Sysctl(config, own)]


def scheduling(described: Node) -> list[Part]:
    """process.scheduler and process.ioPriority."""
    scheduler, priority = described["scheduler"], described["ioPriority"]
    if not (scheduler or priority):
        return []
    from final.runtime.scheduling import IoPriority, Scheduler

    return [*([Scheduler(scheduler)] if scheduler else []), *([IoPriority(priority)] if priority else [])]


def exec_affinity(node: Node) -> list[Part]:
    """process.execCPUAffinity."""
    if not node:
        return []
    from final.runtime.scheduling import ExecAffinity

    return [ExecAffinity(node)]


def memory_policy(node: Node) -> list[Part]:
    """linux.memoryPolicy."""
    if not node:
        return []
    from final.runtime.memory_policy import MemoryPolicy

    return [MemoryPolicy(node)]


def personality(node: Node) -> list[Part]:
    """linux.personality."""
    if not node:
        return []
    from final.runtime.personality import Personality

    return [Personality(node)]


def no_new_privileges(node: Node) -> list[Part]:
    """process.noNewPrivileges."""
    if not node.flag():
        return []
    from final.runtime.no_new_privileges import NoNewPrivileges

    return [NoNewPrivileges()]


def resource_limits(node: Node) -> list[Part]:
    """process.rlimits."""
    if not node.items():
        return []
    from final.runtime.rlimits import ResourceLimits

    return [ResourceLimits(node)]


def seccomp(node: Node, state_of: Callable[[int], dict[str, Any]], root: str) -> list[Part]:
    """linux.seccomp. state_of, root: see attributes_of()."""
    if not node:
        return []
    from final.runtime.seccomp import Seccomp

    return [Seccomp(node, state_of, root)]
