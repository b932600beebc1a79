"""--mount volume-subpath=PATH: a directory or file in a volume in the place of all of it. Book section 4.3.

Whoever has the volume may put symbolic links in the way, at any moment. So the path is walked once, with the volume as
its root, openat2(2); from then on what was found is known by its descriptor.
"""

from __future__ import annotations

import errno
import os

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError, SyscallError
from ch03_run.container import Container
from ch07_practice.oci.mounts import Sources
from final.engine.container_root import DIRECTORY, Root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ch07_practice.oci.bundle import Bundle
    from ch07_practice.oci.mounts import Mounts
    from ch07_practice.oci.namespaces import Namespaces


def find(mount: dict[str, Any]) -> int:
    """A descriptor (O_PATH) of what a mount of the settings wants of its volume; -1 if it is not there. Raises
    SyscallError."""
    with Root(os.open(mount["source"], DIRECTORY | os.O_CLOEXEC)) as volume:
        try:
            return volume.open(mount["subpath"], os.O_PATH)
        except SyscallError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise
            return -1


def tree_of(mount: dict[str, Any]) -> int:
    """A copy of what is mounted there, attached nowhere: open_tree(2); -1 if it is not there. Raises SyscallError."""
    found = find(mount)
    if found < 0:
        return -1
    try:
        return syscalls.open_tree("", directory=found)
    finally:
        os.close(found)


class VolumePaths(Sources):
    """Opens what is to be bound, and of volumes only what is wanted: always before the container's process exists, as
    what a descriptor means can be copied in the mount namespace in which it was opened alone: open_tree(2), EINVAL."""

    def __init__(self, bundle: Bundle, mounts: Mounts, own: Namespaces, wanted: list[dict[str, Any]]) -> None:
        super().__init__(bundle, mounts, own)
        by_target = {mount["target"]: mount for mount in wanted}
        self._wanted = {mount: by_target[mount.target] for mount in mounts.mounts if mount.target in by_target}

    def prepare(self, container: Container) -> None:
        found: list[int] = []
        try:
            for mount, wanted in self._wanted.items():
                found.append(_found(wanted))
                mount.source = f"/proc/self/fd/{found[-1]}"
            super().prepare(container)
            self._open([mount for mount in self._wanted if mount not in self._all.trees])
        finally:
            for descriptor in found:
                os.close(descriptor)


def _found(wanted: dict[str, Any]) -> int:
    descriptor = find(wanted)
    if descriptor < 0:
        what, hint = f"volume-subpath={wanted['subpath']}", "it is not made by itself, and no link may lead out"
        raise EngineError(what, f"there is none in volume {wanted['name']}", hint)
    return descriptor
