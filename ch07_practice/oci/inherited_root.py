"""The root of a container without a mount namespace of its own: it has the runtime's. Book section 7.3.

OCI runtime-spec, config-linux.md, "Namespaces": what is not listed is inherited. So there is no root to be pivoted: the
container's is a directory, chroot(2), and its mounts are the host's as well. All of them lie below one, on the bundle's
root file system, that passes nothing on; when this one is taken off, they are gone. A container with CAP_SYS_CHROOT
leaves such a root whenever it likes: it is for whoever wants the order of a container, and not its walls.
"""

from __future__ import annotations

import os
import sys

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError
from ch03_run.container import Container, Part
from ch07_practice.oci.bundle import Bundle
from ch07_practice.oci.state import MOUNT, Kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class InheritedRoot(Part):
    """The root file system becomes a mount that the host sees, written down before it has its place."""

    section = "7.3"

    def __init__(self, bundle: Bundle, kept: Kept) -> None:
        self._rootfs = os.path.realpath(bundle.rootfs)
        self._kept = kept

    def prepare(self, container: Container) -> None:
        tree = syscalls.open_tree(self._rootfs)
        place = os.open(self._rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            syscalls.mount_setattr(tree, 0, syscalls.MS_PRIVATE)
            self._kept.write(**{MOUNT: {"id": mount_id(tree), "path": self._rootfs}})
            syscalls.move_mount(tree, place)
        finally:
            os.close(place)
            os.close(tree)

    def enter(self, container: Container) -> None:
        os.chdir(self._rootfs)

    def cleanup(self, container: Container) -> None:
        take_off(self._kept.record())


class ChangeRoot(Part):
    """The directory that we are in becomes /. From now on nothing is imported."""

    section = "7.3"

    def enter(self, container: Container) -> None:
        syscalls.chroot(".")
        os.chdir("/")
        sys.meta_path.clear()


def take_off(record: dict[str, Any]) -> None:
    """Take the mount of a container off the host, with all below it; what else is mounted at its place is not touched.

    record: what is kept of the container. Raises SyscallError.
    """
    mount = record.get(MOUNT)
    if not mount:
        return
    try:
        top = os.open(mount["path"], os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # the bundle is gone
    try:
        if mount_id(top) == mount["id"]:
            syscalls.umount(f"/proc/self/fd/{top}", syscalls.MNT_DETACH)
    finally:
        os.close(top)


def mount_id(descriptor: int) -> int:
    """The number of the mount in which a file was opened: proc_pid_fdinfo(5). Raises EngineError without /proc."""
    try:
        with open(f"/proc/self/fdinfo/{descriptor}") as lines:
            fields = dict(line.split(":", 1) for line in lines)
    except OSError as error:
        raise EngineError("/proc/self/fdinfo", str(error.strerror)) from None
    return int(fields["mnt_id"])
