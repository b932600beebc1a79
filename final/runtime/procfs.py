"""Files of /proc, reached so that nothing can pretend to be them. Book section 7.3.

An image may have a link at /proc, or a race with another container's volume may put something over it; a runtime that
writes its settings there would write them elsewhere, or not at all (CVE-2019-19921, CVE-2023-27561, CVE-2025-52881).
"""

from __future__ import annotations

import os

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError, SyscallError
from ch03_run.container import Container, Part
from ch04_images import inside
from ch07_practice.oci.mounts import Mounts

ROOT_INODE = 1  # of every procfs: linux/proc_ns.h, PROC_ROOT_INO
PLAIN = syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_MAGICLINKS
NOTHING_ELSE = syscalls.RESOLVE_NO_MAGICLINKS | syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_XDEV
BELOW = syscalls.RESOLVE_NO_MAGICLINKS | syscalls.RESOLVE_BENEATH
MAGIC = {"proc": syscalls.PROC_SUPER_MAGIC, "sysfs": syscalls.SYSFS_MAGIC}


def open_root(path: str = "/proc") -> int:
    """A descriptor of the procfs that is mounted at /proc. Raises EngineError for anything else that is there."""
    descriptor = open_genuine(path, "proc")
    if os.fstat(descriptor).st_ino != ROOT_INODE:
        os.close(descriptor)
        raise EngineError(path, "only a part of a procfs is mounted there")
    return descriptor


def open_genuine(path: str, kind: str) -> int:
    """A descriptor of a directory, if it is of this file system and no link leads there. Raises EngineError."""
    try:
        descriptor = syscalls.openat2(syscalls.AT_FDCWD, path, os.O_PATH | os.O_DIRECTORY, PLAIN)
    except SyscallError as error:
        raise EngineError(path, f"it is no directory with a {kind} file system: {error.why}") from None
    if syscalls.filesystem_kind(descriptor) != MAGIC[kind]:
        os.close(descriptor)
        raise EngineError(path, f"there is no {kind} file system", "an entry of `mounts`")
    return descriptor


def write(path: str, text: str) -> None:
    """Write a file of /proc, such as sys/net/ipv4/ip_forward: of procfs itself, not of what may be mounted over it.

    path: relative to /proc; a link in it is procfs's own, such as self. Raises EngineError, SyscallError.
    """
    root = open_root()
    try:
        descriptor = syscalls.openat2(root, path, os.O_WRONLY, NOTHING_ELSE)
    finally:
        os.close(root)
    try:
        syscalls.write(descriptor, f"/proc/{path}", text)
    finally:
        os.close(descriptor)


class GenuineKernelFilesystems(Part):
    """Where the bundle mounts proc and sysfs, there they are: no link of the image has led them elsewhere.

    What else is said of /proc and /sys (masked and read-only paths) would else be of no effect. So their paths start
    from the descriptors that were looked at: a directory on which something is mounted can still get another name, in
    the mount namespace of somebody who has the same root file system.
    """

    section = "7.3"

    def __init__(self, mounts: Mounts) -> None:
        self._mounts = [mount for mount in mounts.mounts if mount.kind in MAGIC and not mount.is_bind]
        self._tops: dict[str, int] = {}

    def enter(self, container: Container) -> None:
        for mount in self._mounts:
            try:
                self._tops[mount.target] = open_genuine(mount.target, mount.kind)
            except EngineError as error:
                raise mount.node["destination"].wrong(error.why, "is it a link in the image?") from None

    def open_path(self, path: str) -> int:
        """A descriptor of a path of the container, as inside.open_path() has it. Raises SyscallError."""
        for top, descriptor in self._tops.items():
            if path.startswith(f"{top}/"):
                rest = path.removeprefix(f"{top}/")
                return syscalls.openat2(descriptor, rest, os.O_PATH, BELOW)
        return inside.open_path(path)
