"""The parts that mount what the kernel offers: /proc, /sys, /dev and /sys/fs/cgroup, each the container's own.

They come after PivotRoot, so their paths mean the container's files. Book section 4.1.2; OCI runtime-spec,
config-linux.md, "Default Filesystems" and "Default Devices".
"""

from __future__ import annotations

import os
import stat

from ch02_namespaces import cgroup_v2, cgroups, syscalls
from ch03_run.container import Container, Part
from ch04_images import inside

INERT = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
READ_ONLY = INERT | syscalls.MS_RDONLY
NODES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}


def mount(kind: str, target: str, flags: int, options: str | None = None) -> None:
    """Mount a file system without a disk behind it; the directory is made if the image lacks it."""
    os.close(inside.make_directory(target))
    syscalls.mount(kind, target, kind, flags, options)


class KernelFilesystems(Part):
    """/proc with the container's processes, and /sys, which describes the whole machine and so is read-only."""

    section = "3.1.1, 4.1.2"

    def enter(self, container: Container) -> None:
        mount("proc", "/proc", INERT)
        mount("sysfs", "/sys", READ_ONLY)


class Devices(Part):
    """A /dev with the devices that every program expects, terminals and shared memory of its own: tmpfs(5), pts(4)."""

    section = "4.1.2"

    def enter(self, container: Container) -> None:
        mount("tmpfs", "/dev", syscalls.MS_NOSUID | syscalls.MS_NOEXEC, "mode=755,size=64m")
        make_nodes()
        no_programs = syscalls.MS_NOSUID | syscalls.MS_NOEXEC
        mount("devpts", "/dev/pts", no_programs, "newinstance,ptmxmode=0666,mode=0620,gid=5")
        mount("tmpfs", "/dev/shm", INERT, "mode=1777,size=64m")
        mount("mqueue", "/dev/mqueue", INERT)


def make_nodes() -> None:
    """The devices and links that every program expects in /dev, as far as they are missing there. Raises OSError."""
    directory = inside.make_directory("/dev")
    os.umask(0)
    for name, (major, minor) in NODES.items():
        try:  # noqa: SIM105  # contextlib takes a millisecond to import
            os.mknod(name, stat.S_IFCHR | 0o666, os.makedev(major, minor), dir_fd=directory)
        except FileExistsError:
            pass
    os.umask(0o022)  # and so it stays for the command, whatever the engine's caller had
    for name, target in LINKS.items():
        try:  # noqa: SIM105
            os.symlink(target, name, dir_fd=directory)
        except FileExistsError:
            pass
    os.close(directory)


class CgroupNamespace(Part):
    """The container's cgroup is the root of all that it can see: cgroup_namespaces(7).

    The root is where the process is when it unshares; so this comes after it has joined its group, not with clone3.
    """

    section = "2.2.2"

    def enter(self, container: Container) -> None:
        syscalls.unshare(syscalls.CLONE_NEWCGROUP)


class CgroupFilesystem(Part):
    """/sys/fs/cgroup with the container's own groups, read-only: its limits can be read there, and not be changed."""

    section = "2.2.2"

    def __init__(self) -> None:
        self.hierarchies: list[cgroups.Hierarchy] = []

    def prepare(self, container: Container) -> None:
        self.hierarchies = cgroups.hierarchies()

    def enter(self, container: Container) -> None:
        self.mount_at("/sys/fs/cgroup", READ_ONLY)
        if self.hierarchies:
            syscalls.mount(None, "/sys/fs/cgroup", None, syscalls.MS_REMOUNT | syscalls.MS_BIND | READ_ONLY)

    def mount_at(self, target: str, flags: int) -> None:
        """Mount them in a directory; one mount, or a tmpfs with one for each hierarchy, in which more can be mounted.

        Raises SyscallError.
        """
        if [hierarchy.version for hierarchy in self.hierarchies] == [cgroup_v2]:
            self.mount_one(self.hierarchies[0], target, flags)
        elif self.hierarchies:
            self._mount_several(target, flags)

    def mount_one(self, hierarchy: cgroups.Hierarchy, target: str, flags: int) -> None:
        """Mount one. Its root is that of our cgroup namespace. Raises SyscallError."""
        names = hierarchy.mount_options()
        kind = "cgroup" if names else "cgroup2"
        syscalls.mount(kind, target, kind, flags, names or None)

    def _mount_several(self, top: str, flags: int) -> None:
        syscalls.mount("tmpfs", top, "tmpfs", INERT, "mode=755,size=64k")
        for hierarchy in self.hierarchies:
            names = hierarchy.mount_options()
            target = f"{top}/{names or 'unified'}"
            os.mkdir(target)
            self.mount_one(hierarchy, target, flags)
            for name in names.split(","):
                if name != names:  # cpu -> cpu,cpuacct, as every program expects
                    os.symlink(names, f"{top}/{name}")
