"""Mounts whose files belong to other users than on the disk: idmapped mounts. Book section 7.3.

OCI runtime-spec, config.md, "Mounts" (uidMappings, gidMappings, idmap, ridmap); mount_setattr(2), MOUNT_ATTR_IDMAP.
The kernel takes the mapping from a user namespace, which is made for nothing else.
"""

from __future__ import annotations

import os

from ch02_namespaces import namespaces, syscalls
from ch02_namespaces.errors import SyscallError
from ch04_images.filesystems import CgroupFilesystem
from ch07_practice.oci.document import Node
from ch07_practice.oci.mounts import Mount, Mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from final.runtime.user_namespace import Mapping

OPTIONS = ("idmap", "ridmap")
FIELDS = ("uidMappings", "gidMappings")


class MappedMount(Mount):
    """One mount of the list. mapping: the option that asks for one, "" without."""

    def __init__(self, node: Node) -> None:
        self.mapping = ""
        super().__init__(node)
        given = [bool(node[name]) for name in FIELDS]
        if any(given):
            self.mapping = self.mapping or "idmap"
            if not all(given):
                raise node.wrong("it has only one of uidMappings and gidMappings")
        if self.mapping and not self.is_bind:
            raise node.wrong("only a bind mount can have a mapping of users")

    def take(self, node: Node) -> None:
        """Sort one option in. Raises EngineError."""
        if node.text() in OPTIONS:
            self.mapping = node.text()
        else:
            super().take(node)


class MappedMounts(Mounts):
    """What config.json mounts, with mappings of users where it asks for them: its own, or the container's."""

    kind = MappedMount

    def __init__(self, config: Node, cgroups: CgroupFilesystem) -> None:
        super().__init__(config, cgroups)
        self._maps: dict[Mount, tuple[list[Mapping], list[Mapping]]] = {}
        for mount in self.mounts:
            if isinstance(mount, MappedMount) and mount.mapping:
                source = mount.node if mount.node[FIELDS[0]] else config["linux"]
                if not source[FIELDS[0]]:
                    raise mount.node.wrong("neither it nor the container has uidMappings")
                from final.runtime.user_namespace import mappings_of

                uids, gids = (mappings_of(source[name]) for name in FIELDS)
                self._maps[mount] = uids, gids

    def needs_runtime(self, mount: Mount) -> bool:
        """One with a mapping: its user namespace is made by a process that the container has not."""
        return mount in self._maps

    def open_source(self, mount: Mount) -> int:
        """The same, with its users mapped."""
        tree = super().open_source(mount)
        if mount not in self._maps:
            return tree
        assert isinstance(mount, MappedMount)
        from final.runtime.user_namespace import text_of

        user_namespace = make_user_namespace(*map(text_of, self._maps[mount]))
        try:
            syscalls.mount_setattr(
                tree,
                syscalls.MOUNT_ATTR_IDMAP,
                recursive=mount.mapping == "ridmap",
                user_namespace=user_namespace,
            )
        except SyscallError as error:
            os.close(tree)
            hint = "its file system may not allow it, or it is mapped already"
            raise mount.node.wrong(f"{mount.source} cannot have a mapping of users: {error.why}", hint) from None
        finally:
            os.close(user_namespace)
        return tree


def make_user_namespace(uid_map: str, gid_map: str) -> int:
    """A descriptor of a new user namespace with nobody in it."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    process = namespaces.spawn(syscalls.CLONE_NEWUSER, lambda: len(os.read(reader, 1)))
    try:
        namespaces.write_id_maps(process.pid, uid_map, gid_map)
        return os.open(f"/proc/{process.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        process.kill()
        os.close(reader)
        os.close(writer)
