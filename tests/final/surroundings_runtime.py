"""A runtime with the parts that concern file systems, devices, namespaces and cgroups, and no others of production."""

from __future__ import annotations

import sys

from ch02_namespaces.command_line import leave
from ch03_run.container import Part
from ch07_practice.oci import hooks, process, root, runtime, state
from ch07_practice.oci.bundle import Bundle
from ch07_practice.oci.cli import Commands, main
from ch07_practice.oci.document import Node
from ch07_practice.oci.mounts import DefaultDevices
from ch07_practice.oci.namespaces import Namespaces
from final.runtime.cgroup_path import path_of
from final.runtime.device_rules import DeviceRules
from final.runtime.devices import Devices
from final.runtime.from_host import FromHost
from final.runtime.mapped_mounts import MappedMounts
from final.runtime.paths import MaskedPaths, ReadonlyPaths
from final.runtime.procfs import GenuineKernelFilesystems
from final.runtime.resources import Resources
from final.runtime.sysctl import Sysctl
from final.runtime.time_offsets import TimeOffsets
from final.runtime.user_namespace import RootInside, UserMappings


class Runtime(runtime.Runtime):
    """Chapter 7's, with these parts."""

    def cgroup_path(self, config: Node, id: str) -> str:
        """Also as systemd's users write it."""
        return path_of(config, id)

    def parts_of(self, bundle: Bundle, kept: state.Kept, namespaces: Namespaces, streams: Part) -> list[Part]:
        """The list as final has it, as far as the surroundings go."""
        config, linux = bundle.config, bundle.config["linux"]
        limited = Resources(config, self.cgroup_path(config, kept.id))
        mounts = MappedMounts(config, namespaces.has("cgroup"))
        devices = Devices(linux["devices"], namespaces.has("user"))
        now = lambda pid: kept.state(state.CREATING) | {"pid": pid}  # noqa: E731
        return [
            limited,
            DeviceRules(linux["resources"]["devices"], limited.group),
            namespaces,
            TimeOffsets(linux["timeOffsets"], namespaces),
            UserMappings(config, namespaces),
            hooks.RuntimeHooks(config, now),
            root.BindRoot(bundle),
            RootInside(namespaces),
            hooks.ContainerHooks(config, now),
            FromHost(mounts, devices, namespaces),
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
            process.WorkingDirectory(config["process"]),
            process.Findable(),
            ReadonlyPaths(linux["readonlyPaths"]),
            MaskedPaths(linux["maskedPaths"]),
            process.User(config["process"]),
        ]


if __name__ == "__main__":
    leave(main(Commands(Runtime), sys.argv[1:]))
