"""The parts of a container with users of its own: --userns=auto. Book sections 2.1.6 and 4.2.

On the disk, all files of images, containers and volumes have the owners that the container sees, so that images, commit
and the like need not know of it. It sees them through idmapped mounts, mount_setattr(2), and their owners there are ids
of its range: on the disk 0, for the kernel 2147483648, and in the container 0 again.
"""

from __future__ import annotations

import os
import stat

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError, SyscallError
from ch02_namespaces.unionfs import mount_overlay
from ch03_run.container import Container
from ch04_images import state
from ch04_images.mounted_apart import MountedApart
from ch05_lifecycle.execute import JoinNamespaces
from ch05_lifecycle.streams import LoggedStreams
from ch07_practice.oci.document import Node
from final.engine.user_ranges import Users
from final.runtime import kernel
from final.runtime.mapped_mounts import make_user_namespace
from final.runtime.user_namespace import mappings_of, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch04_images.rootfs import ContainerDirectory


class MappedOverlay(MountedApart):
    """The union of the layers and of the container's own, in which the owners are the container's. Only the host's root
    may see layers through mappings."""

    section = "4.2"
    what, hint = "the container's users", "--userns host"

    def __init__(self, directory: ContainerDirectory, users: Users) -> None:
        super().__init__(directory)
        self._users = users

    def mount(self) -> list[int]:
        """With mappings on all that it is made of; nothing has to be kept."""
        record = self.directory.record
        user_namespace = namespace_of(self._users)
        for path in (state.place("layers"), record.path()):
            map_in_place(path, user_namespace)
        os.chdir(state.place("layers"))
        become_owner(self._users)
        own = f"../containers/{record.id}"
        mount_overlay(record.layers[::-1], record.path("rootfs"), f"{own}/upper", f"{own}/work")
        return []


def namespace_of(users: Users) -> int:
    """A descriptor of a user namespace with these users, and nobody in it."""
    mappings = Node(users.mappings(), "linux")
    uids, gids = (text_of(mappings_of(mappings[name])) for name in ("uidMappings", "gidMappings"))
    return make_user_namespace(uids, gids)


def map_in_place(path: str, user_namespace: int) -> None:
    """Cover a directory with a mount of itself, in which owners are mapped. Raises EngineError."""
    tree = syscalls.open_tree(path, recursive=False)
    try:
        syscalls.mount_setattr(tree, syscalls.MOUNT_ATTR_IDMAP, recursive=False, user_namespace=user_namespace)
    except SyscallError as error:
        raise EngineError(f"{path} with users of its own", error.why, "its file system may not allow it") from None
    target = os.open(path, os.O_PATH | os.O_CLOEXEC)
    syscalls.move_mount(tree, target)
    os.close(target)
    os.close(tree)


def become_owner(users: Users) -> None:
    """What we make from now on belongs to the container's root; all rights are kept: setfsuid(2), capabilities(7).

    What overlayfs makes for itself belongs to whoever mounts it, and through a mapping nobody else can have any."""
    kernel.set_owner_of_new_files(users.uid, users.gid)
    _, permitted, inheritable = kernel.capget()
    kernel.capset(permitted, permitted, inheritable)


class MappedStreams(LoggedStreams):
    """Pipes that belong to the container's root: else nobody inside could open /dev/stdout anew."""

    section = "5.3"

    def __init__(self, fifo: str | None, users: Users) -> None:
        super().__init__(fifo)
        self._users = users

    def prepare(self, container: Container) -> None:
        super().prepare(container)
        for descriptor in self._ends:
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                os.fchown(descriptor, self._users.uid, self._users.gid)


class JoinMapped(JoinNamespaces):
    """All that the container sees, and its users first: only as one of them there are rights in there."""

    section = "5.4"

    def prepare(self, container: Container) -> None:
        super().prepare(container)
        pid = self.stored.state()["pid"]
        self.join = [os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC), *self.join]
