"""The root file system of a bundle becomes the container's /. Book sections 4.1.2 and 7.3.

OCI runtime-spec, config.md, "Root", and config-linux.md, "Rootfs Mount Propagation".
"""

from __future__ import annotations

import os
import sys

from ch02_namespaces import syscalls
from ch03_run.container import Container, Part
from ch07_practice.oci.bundle import Bundle
from ch07_practice.oci.namespaces import Namespaces
from ch07_practice.oci.state import Kept

PROPAGATION = {
    "": syscalls.MS_REC | syscalls.MS_PRIVATE,
    "private": syscalls.MS_PRIVATE,
    "rprivate": syscalls.MS_REC | syscalls.MS_PRIVATE,
    "slave": syscalls.MS_SLAVE,
    "rslave": syscalls.MS_REC | syscalls.MS_SLAVE,
    "shared": syscalls.MS_SHARED,
    "rshared": syscalls.MS_REC | syscalls.MS_SHARED,
    "unbindable": syscalls.MS_UNBINDABLE,
    "runbindable": syscalls.MS_REC | syscalls.MS_UNBINDABLE,
}


class BindRoot(Part):
    """The root file system becomes a mount of its own, which the host does not see: pivot_root(2) wants one.

    Until then, nothing may pass to the host: mounts of the host may come in (slave), if the configuration says so.
    """

    section = "7.3"

    def __init__(self, bundle: Bundle) -> None:
        self._rootfs = bundle.rootfs
        self._propagation = bundle.config["linux"]["rootfsPropagation"].one_of(PROPAGATION, "")

    def enter(self, container: Container) -> None:
        comes_in = "slave" in self._propagation or "shared" in self._propagation
        syscalls.mount(None, "/", None, syscalls.MS_REC | (syscalls.MS_SLAVE if comes_in else syscalls.MS_PRIVATE))
        syscalls.mount(self._rootfs, self._rootfs, None, syscalls.MS_BIND | syscalls.MS_REC)
        os.chdir(self._rootfs)


class PivotRoot(Part):
    """The bundle's root becomes /, and the host's is let go of: pivot_root(2). From now on nothing is imported."""

    section = "4.1.2, 7.3"

    def enter(self, container: Container) -> None:
        syscalls.pivot_root(".", ".")
        syscalls.mount(None, ".", None, syscalls.MS_REC | syscalls.MS_SLAVE)  # its end must not end the host's mounts
        syscalls.umount(".", syscalls.MNT_DETACH)
        os.chdir("/")
        sys.meta_path.clear()


class RootPropagation(Part):
    """Whether mounts below / pass on, to whoever copies this mount namespace: mount_namespaces(7)."""

    section = "7.3"

    def __init__(self, bundle: Bundle) -> None:
        self._flags = PROPAGATION[bundle.config["linux"]["rootfsPropagation"].one_of(PROPAGATION, "")]

    def enter(self, container: Container) -> None:
        syscalls.mount(None, "/", None, self._flags)


class ReadOnlyRoot(Part):
    """Nothing of the root can be changed; what is mounted below keeps its own rules."""

    section = "7.3"

    def enter(self, container: Container) -> None:
        flags = syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY
        syscalls.mount(None, "/", None, flags)


def root_of(bundle: Bundle, kept: Kept, namespaces: Namespaces) -> tuple[Part, Part]:
    """Who gives the root file system a mount, and who makes it the root: others, if there is no mount namespace."""
    if namespaces.has("mount"):
        return BindRoot(bundle), PivotRoot()
    from ch07_practice.oci.inherited_root import ChangeRoot, InheritedRoot

    return InheritedRoot(bundle, kept), ChangeRoot()
