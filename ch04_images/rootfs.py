"""The parts that give a container a root file system of its own. Book sections 4.1.2 and 4.2.

The union of the image's layers and the container's own is mounted inside the container's mount namespace. The host
never sees it, and when the container's last process is gone, so is the mount, whatever way the two of them ended.
"""

from __future__ import annotations

import os
import select
import stat
import sys

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError
from ch02_namespaces.unionfs import mount_overlay
from ch03_run.container import Container, Part
from ch04_images import containers, images, state
from ch04_images.mounted_apart import MountedApart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch04_images.containers import ContainerRecord
    from ch04_images.images import Image

SECONDS_TO_END = 5
MOST_ATTEMPTS = 20


class ContainerDirectory(Part):
    """A directory for what the container changes.

    driver: which kind of union is to be mounted there; temporary: the directory is removed with the container. That of
    one that never started leaves nothing in any case.
    """

    section = "4.2"

    def __init__(self, image: Image, driver: str, temporary: bool) -> None:
        self.image = image
        self.driver = driver
        self.temporary = temporary
        self._record: ContainerRecord | None = None
        self._lock = -1

    @property
    def record(self) -> ContainerRecord:
        """The container's record; there is one from prepare to cleanup."""
        assert self._record is not None
        return self._record

    def prepare(self, container: Container) -> None:
        containers.sweep()
        self._record, self._lock = self._create(container.id)
        copy_root(self.record)

    def _create(self, id: str) -> tuple[ContainerRecord, int]:
        for _ in range(MOST_ATTEMPTS):
            try:
                return containers.create(id, self.image.name, self.image.layers, self.driver, self.temporary)
            except containers.LayerGoneError:
                self.image = images.find(self.image.name)  # it was replaced: then the new one is wanted
        raise EngineError(f"image {self.image.name}", "it is replaced again and again")

    def cleanup(self, container: Container) -> None:
        if self._record is None:
            return
        os.close(self._lock)
        if self.temporary or not container.started:
            containers.remove(self._record, wait=True)
        self._record = None


def copy_root(record: ContainerRecord) -> None:
    """The root directory of a union is that of its topmost layer: so the container's must look like the image's."""
    source, target = state.place("layers", record.layers[-1]), record.path("upper")
    status = os.stat(source)
    os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(source):
        if not name.startswith(("trusted.overlay.", "user.overlay.")):
            os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


class Overlay(Part):
    """The image's layers, read only, and the container's own on top of them: overlayfs."""

    section = "4.2"

    def __init__(self, directory: ContainerDirectory) -> None:
        self.directory = directory

    def enter(self, container: Container) -> None:
        """Mount the union at the record's `rootfs`: its layers, which are told the lowest first, below its own `upper`.

        Its `upper` and `work` are in the container's directory (record.path), the layers in state.place("layers").
        Afterwards the process may stand anywhere. Raises EngineError, SyscallError. Source: unionfs.mount_overlay.
        Example: of record.layers ["1f", "2e"], it is the file of 2e that shows where both have one.
        """
        os.chdir(state.place("layers"))  # with short names many layers fit into the one page that mount(2) takes
        record = self.directory.record
        own = f"../containers/{record.id}"
        mount_overlay(record.layers[::-1], record.path("rootfs"), f"{own}/upper", f"{own}/work")


class Aufs(MountedApart):
    """The same by our own union file system of chapter 2: its processes must live outside the container."""

    section = "2.3.4, 4.2"
    what = "the union file system"

    def mount(self) -> list[int]:
        """The pidfd of the process that ends when the file system does, with all written."""
        from ch02_namespaces import aufs

        record = self.directory.record
        return [syscalls.pidfd_open(aufs.mount(aufs_options(record), record.path("rootfs")))]

    def let_go(self, kept: list[int]) -> None:
        """Wait until all is written to the container's layer."""
        select.select(kept, [], [], SECONDS_TO_END)


def aufs_options(record: ContainerRecord, permission: str = "rw") -> str:
    """The branches of a container's union. permission: of the container's own, "ro" to look at it only.

    Layers on the disk are in overlayfs' form, so where there are several it is overlayfs that merges the image's, in
    our mount namespace; the union is between that and the container's own.
    """
    lower = state.place("layers", record.layers[0])
    if len(record.layers) > 1:
        os.chdir(state.place("layers"))
        lower = record.path("work")
        mount_overlay(record.layers[::-1], lower)
    return f"br:{_escaped(record.path('upper'))}={permission}:{_escaped(lower)}=ro"


def _escaped(path: str) -> str:
    return "".join(f"\\{character}" if character in "\\:=," else character for character in path)


DRIVERS = {"overlay": Overlay, "aufs": Aufs}


class PivotRoot(Part):
    """The container's root file system becomes /, and the host's is let go of: pivot_root(2).

    chroot(2) would only change where this process looks for /, and root can undo that. Here the old root is gone from
    the mount namespace. From now on nothing is imported, either: Python would look for it in the image.
    """

    section = "4.1.2"

    def __init__(self, directory: ContainerDirectory) -> None:
        self.directory = directory

    def enter(self, container: Container) -> None:
        """Make the mount at the record's `rootfs` the root, detach the old one, and stand in the new /.

        MNT_DETACH lets go of the old root though it is in use. At the end, nothing can be imported (sys.meta_path).
        Raises SyscallError. Source: pivot_root(2), the example "pivot_root(\".\", \".\")" of its NOTES.
        Example: afterwards /proc/self/mountinfo has no mount of the host, and os.getcwd() is "/".
        """
        os.chdir(self.directory.record.path("rootfs"))
        syscalls.pivot_root(".", ".")  # the man page's way without a directory for the old root, which lies on top now
        syscalls.umount(".", syscalls.MNT_DETACH)
        os.chdir("/")
        sys.meta_path.clear()


class ReadOnlyRoot(Part):
    """Nothing can be changed but in volumes and in /dev: --read-only."""

    section = "4.2"

    def enter(self, container: Container) -> None:
        flags = syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY
        syscalls.mount(None, "/", None, flags)
