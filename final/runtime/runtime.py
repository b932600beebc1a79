"""The runtime with all its parts: chapter 7's list, and what production needs in it. Book sections 7.3 and 7.4.

The order is the meaning. What the host must do comes before PivotRoot; what would take away rights that others need
comes last.
"""

from __future__ import annotations

from ch02_namespaces import syscalls
from ch03_run.container import Part
from ch07_practice.oci import hooks, process, root, state
from ch07_practice.oci.bundle import Bundle
from ch07_practice.oci.cgroup_mount import cgroup_filesystem
from ch07_practice.oci.create import Creator
from ch07_practice.oci.document import Node
from ch07_practice.oci.mounts import DefaultDevices, Sources
from ch07_practice.oci.namespaces import Namespaces
from ch07_practice.oci.state import Kept
from final.runtime import optional
from final.runtime.attributes import attributes_of
from final.runtime.cgroup_path import path_of
from final.runtime.device_rules import DeviceRules
from final.runtime.devices import Devices
from final.runtime.mapped_mounts import MappedMounts
from final.runtime.paths import MaskedPaths, ReadonlyPaths
from final.runtime.procfs import GenuineKernelFilesystems
from final.runtime.resources import Resources


class FullRuntime(Creator):
    """All of the specification that this machine can do; the rest is refused clearly."""

    def cgroup_path(self, config: Node, id: str) -> str:
        """Also as systemd's users write it."""
        return path_of(config, id)

    def parts_of(self, bundle: Bundle, kept: Kept, namespaces: Namespaces, streams: Part) -> list[Part]:
        """What the container consists of, in order. Raises EngineError for what makes no sense."""
        config, linux = bundle.config, bundle.config["linux"]
        described = config["process"]
        optional.exec_affinity(described["execCPUAffinity"])  # for `exec` alone; what is wrong with it is told now
        now = lambda pid: kept.state(state.CREATED) | {"pid": pid}  # noqa: E731
        early = lambda pid: kept.state(state.CREATING) | {"pid": pid}  # noqa: E731
        limited = Resources(config, self.cgroup_path(config, kept.id))
        mounts = MappedMounts(config, cgroup_filesystem(namespaces, limited.group))
        kernel = GenuineKernelFilesystems(mounts)
        takes_from_host = namespaces.has("user") or syscalls.in_user_namespace()
        devices = Devices(linux["devices"], takes_from_host)
        own_root, change_root = root.root_of(bundle, kept, namespaces)
        return [
            limited,
            DeviceRules(linux["resources"]["devices"], limited.group),
            namespaces,
            *optional.time_offsets(linux["timeOffsets"], namespaces),
            *optional.user_mappings(config, namespaces),
            *optional.network_devices(linux["netDevices"], namespaces),
            hooks.RuntimeHooks(config, now),
            *optional.oom_score(described["oomScoreAdj"]),
            own_root,
            *optional.root_inside(namespaces),
            hooks.ContainerHooks(config, now),
            Sources(bundle, mounts, namespaces),
            *optional.from_host(mounts, devices, takes_from_host),
            *optional.labels(described, linux["mountLabel"]),
            change_root,
            root.RootPropagation(bundle),
            mounts,
            kernel,
            devices,
            DefaultDevices(),
            process.Hostname(config, namespaces.has("uts")),
            *optional.sysctl(config, namespaces),
            streams,
            process.MakeWorkingDirectory(described),
            *([root.ReadOnlyRoot()] if config["root"]["readonly"].flag() else []),
            ReadonlyPaths(linux["readonlyPaths"], kernel),
            MaskedPaths(linux["maskedPaths"], kernel),
            process.WorkingDirectory(described),
            process.Findable(),
            *attributes_of(described, linux, early, kept.root, self.keeps_keyring),
        ]
