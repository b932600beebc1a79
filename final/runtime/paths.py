"""Paths that the container's processes cannot read, and those that they cannot change. Book section 7.3.

OCI runtime-spec, config-linux.md, "Masked Paths" and "Readonly Paths". All is done by descriptors: what has been looked
at is what is mounted, whatever happens to its path meanwhile. What is missing needs no protection.
"""

from __future__ import annotations

import errno
import os
import stat

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError, SyscallError
from ch03_run.container import Container, Part
from ch03_run.null import is_null
from ch07_practice.oci.document import Node
from final.runtime.procfs import PLAIN, GenuineKernelFilesystems

MISSING = (errno.ENOENT, errno.ENOTDIR)


class MaskedPaths(Part):
    """Files that are always empty, and directories without anything in them.

    The device /dev/null lies over a file. That it is this device is checked: the image may have something else there,
    and would have masked files replaced by it (CVE-2025-31133).
    """

    section = "7.3"

    def __init__(self, paths: Node, kernel: GenuineKernelFilesystems) -> None:
        self._kernel = kernel
        self._paths = [(node, node.path()) for node in paths.items()]

    def enter(self, container: Container) -> None:
        for node, path in self._paths:
            target = open_target(self._kernel, node, path)
            if target is None:
                continue
            if stat.S_ISDIR(os.fstat(target).st_mode):
                cover_directory(target)
            else:
                cover_file(target)
            os.close(target)


class ReadonlyPaths(Part):
    """Files and directories that cannot be changed, though what they are part of can be."""

    section = "7.3"

    def __init__(self, paths: Node, kernel: GenuineKernelFilesystems) -> None:
        self._kernel = kernel
        self._paths = [(node, node.path()) for node in paths.items()]

    def enter(self, container: Container) -> None:
        for node, path in self._paths:
            target = open_target(self._kernel, node, path)
            if target is None:
                continue
            tree = syscalls.open_tree("", directory=target)
            syscalls.mount_setattr(tree, syscalls.MOUNT_ATTR_RDONLY, recursive=False)
            syscalls.move_mount(tree, target)
            os.close(tree)
            os.close(target)


def open_target(kernel: GenuineKernelFilesystems, node: Node, path: str) -> int | None:
    """A descriptor of a path of the container; None if there is none. Raises EngineError, also for one that leads
    through /proc/self/fd and the like."""
    try:
        return kernel.open_path(os.path.normpath(path))
    except SyscallError as error:
        if error.errno in MISSING:
            return None
        raise node.wrong(f"{path}: {error.why}", error.hint) from None


def cover_directory(target: int) -> None:
    """Mount an empty directory over one, that cannot be changed."""
    os.fchdir(target)
    syscalls.mount("tmpfs", ".", "tmpfs", syscalls.MS_RDONLY, "size=4k,nr_inodes=1")
    os.chdir("/")


def cover_file(target: int) -> None:
    """Mount the device /dev/null over a file. Raises EngineError if what is there is not this device."""
    null = open_null()
    tree = syscalls.open_tree("", directory=null)
    os.close(null)
    syscalls.move_mount(tree, target)
    os.close(tree)


def open_null() -> int:
    """A descriptor of the device /dev/null, good to be mounted. Raises EngineError for anything else at that path."""
    try:
        descriptor = syscalls.openat2(syscalls.AT_FDCWD, "/dev/null", os.O_PATH, PLAIN)
    except SyscallError as error:
        raise EngineError("/dev/null", f"it cannot mask a path: {error.why}") from None
    if not is_null(os.fstat(descriptor)):
        os.close(descriptor)
        raise EngineError("/dev/null", "it cannot mask a path: it is not the device 1:3")
    return descriptor
