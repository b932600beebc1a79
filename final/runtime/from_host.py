"""What a container with a user namespace takes from the host while that can be seen. Book section 7.3.

The kernel gives no new proc or sysfs to somebody who sees none: it could show what a mount on top of the others hides.
mount_namespaces(7), "Restrictions on mount namespaces". It gives no device files to a user namespace at all.
"""

from __future__ import annotations

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError
from ch03_run.container import Container, Part
from ch07_practice.oci.mounts import Mounts
from final.runtime.devices import Devices

KERNEL_KINDS = ("proc", "sysfs")


class FromHost(Part):
    """Opens them; Mounts and Devices give them their places. It comes right before PivotRoot."""

    section = "2.1.6, 7.3"

    def __init__(self, mounts: Mounts, devices: Devices) -> None:
        self._mounts = mounts
        self._devices = devices

    def enter(self, container: Container) -> None:
        for mount in self._mounts.mounts:
            if mount.kind in KERNEL_KINDS and not mount.is_bind:
                try:
                    options = [f"source={mount.source or mount.kind}", *mount.data]
                    tree = syscalls.new_tree(mount.kind, options, mount.attributes(mount.set))
                except EngineError as error:
                    hint = "the user namespace must own the network namespace (sysfs) or the pid namespace (proc)"
                    raise mount.node.wrong(str(error), hint) from None
                self._mounts.trees[mount] = tree
        self._devices.open_mounted()
