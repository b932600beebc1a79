"""The runtime with all its parts: chapter 7's list, and what production needs in it. Book sections 7.3 and 7.4.

The order is the meaning. What the host must do comes before PivotRoot; what would take away rights that others need
comes last, and the user last of all, with one exception: a process that may gain no privileges needs none to load a
seccomp filter, so that it comes even later, and judges fewer calls of ours.
"""

from __future__ import annotations

from ch03_run.container import Part
from ch07_practice.oci import hooks, process, root, state
from ch07_practice.oci.bundle import Bundle
from ch07_practice.oci.cgroup_mount import cgroup_filesystem
from ch07_practice.oci.create import Creator
from ch07_practice.oci.document import Node
from ch07_practice.oci.mounts import DefaultDevices
from ch07_practice.oci.namespaces import Namespaces
from ch07_practice.oci.state import Kept
from final.runtime.capabilities import Credentials
from final.runtime.cgroup_path import path_of
from final.runtime.device_rules import DeviceRules
from final.runtime.devices import Devices
from final.runtime.from_host import FromHost
from final.runtime.labels import AppArmorProfile, SelinuxLabel, check_mount_label
from final.runtime.mapped_mounts import MappedMounts
from final.runtime.no_new_privileges import NoNewPrivileges
from final.runtime.oom_score import OomScore
from final.runtime.paths import MaskedPaths, ReadonlyPaths
from final.runtime.personality import Personality
from final.runtime.procfs import GenuineKernelFilesystems
from final.runtime.resources import Resources
from final.runtime.rlimits import ResourceLimits
from final.runtime.scheduling import ExecAffinity, IoPriority, Scheduler
from final.runtime.seccomp import Seccomp
from final.runtime.sysctl import Sysctl
from final.runtime.time_offsets import TimeOffsets
from final.runtime.user_namespace import RootInside, UserMappings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class FullRuntime(Creator):
    """All of the specification that this machine can do; the rest is refused clearly."""

    def cgroup_path(self, config: Node, id: str) -> str:
        """Also as systemd's users write it."""
        return path_of(config, id)

    def parts_of(self, bundle: Bundle, kept: Kept, namespaces: Namespaces, streams: Part) -> list[Part]:
        """What the container consists of, in order. Raises EngineError for what makes no sense."""
        config, linux = bundle.config, bundle.config["linux"]
        described = config["process"]
        check_mount_label(linux["mountLabel"])
        ExecAffinity(described["execCPUAffinity"])  # for `exec` alone; what is wrong with it is told now
        now = lambda pid: kept.state(state.CREATING) | {"pid": pid}  # noqa: E731
        limited = Resources(config, self.cgroup_path(config, kept.id))
        mounts = MappedMounts(config, cgroup_filesystem(namespaces, limited.group))
        devices = Devices(linux["devices"], namespaces.has("user"))
        return [
            limited,
            DeviceRules(linux["resources"]["devices"], limited.group),
            namespaces,
            TimeOffsets(linux["timeOffsets"], namespaces),
            UserMappings(config, namespaces),
            hooks.RuntimeHooks(config, now),
            OomScore(described["oomScoreAdj"]),
            root.BindRoot(bundle),
            RootInside(namespaces),
            hooks.ContainerHooks(config, now),
            FromHost(mounts, devices, namespaces),
            AppArmorProfile(described["apparmorProfile"]),
            SelinuxLabel(described["selinuxLabel"]),
            root.PivotRoot(),
            root.RootPropagation(bundle),
            mounts,
            GenuineKernelFilesystems(mounts),
            devices,
            DefaultDevices(),
            process.Hostname(config, namespaces.has("uts")),
            Sysctl(config, namespaces),
            streams,
            *([root.ReadOnlyRoot()] if config["root"]["readonly"].flag() else []),
            ReadonlyPaths(linux["readonlyPaths"]),
            MaskedPaths(linux["maskedPaths"]),
            process.WorkingDirectory(described),
            process.Findable(),
            *attributes_of(described, linux, now),
        ]


def attributes_of(described: Node, linux: Node, state_of: Callable[[int], dict[str, Any]]) -> list[Part]:
    """The parts that change nothing but the process itself, also of one that `exec` starts. state_of: of a container
    whose process has this pid. Raises EngineError."""
    seccomp: list[Part] = [Seccomp(linux["seccomp"], state_of)] if linux["seccomp"] else []
    gains_nothing = described["noNewPrivileges"].flag()
    return [
        *([Scheduler(described["scheduler"])] if described["scheduler"] else []),
        *([IoPriority(described["ioPriority"])] if described["ioPriority"] else []),
        *([Personality(linux["personality"])] if linux["personality"] else []),
        NoNewPrivileges(described["noNewPrivileges"]),
        ResourceLimits(described["rlimits"]),
        *([] if gains_nothing else seccomp),
        Credentials(described),
        *(seccomp if gains_nothing else []),
    ]
