"""The mounts that config.json lists, in their order. Book section 7.3.

OCI runtime-spec, config.md, "Mounts" and "Linux mount options". Each destination is looked up when the bundle's root is
our /, so that no link of it leads outside; what comes from the host was opened before, as a copy without a place.
"""

from __future__ import annotations

import os
import stat

from ch02_namespaces import syscalls
from ch02_namespaces.errors import SyscallError
from ch03_run.container import Container, Part
from ch04_images import inside
from ch04_images.filesystems import CgroupFilesystem, make_nodes
from ch07_practice.oci.bundle import Bundle
from ch07_practice.oci.document import Node
from ch07_practice.oci.namespaces import Namespaces

FLAGS = {
    "ro": syscalls.MS_RDONLY,
    "nosuid": syscalls.MS_NOSUID,
    "nodev": syscalls.MS_NODEV,
    "noexec": syscalls.MS_NOEXEC,
    "sync": syscalls.MS_SYNCHRONOUS,
    "mand": syscalls.MS_MANDLOCK,
    "dirsync": syscalls.MS_DIRSYNC,
    "noatime": syscalls.MS_NOATIME,
    "nodiratime": syscalls.MS_NODIRATIME,
    "relatime": syscalls.MS_RELATIME,
    "strictatime": syscalls.MS_STRICTATIME,
    "iversion": syscalls.MS_I_VERSION,
    "silent": syscalls.MS_SILENT,
    "lazytime": syscalls.MS_LAZYTIME,
    "nosymfollow": syscalls.MS_NOSYMFOLLOW,
}
CLEARED = {
    "rw": "ro",
    "suid": "nosuid",
    "dev": "nodev",
    "exec": "noexec",
    "async": "sync",
    "nomand": "mand",
    "atime": "noatime",
    "diratime": "nodiratime",
    "norelatime": "relatime",
    "nostrictatime": "strictatime",
    "noiversion": "iversion",
    "loud": "silent",
    "nolazytime": "lazytime",
    "symfollow": "nosymfollow",
    "defaults": "",
}
PROPAGATION = {
    "private": syscalls.MS_PRIVATE,
    "slave": syscalls.MS_SLAVE,
    "shared": syscalls.MS_SHARED,
    "unbindable": syscalls.MS_UNBINDABLE,
}
ATTRIBUTES = {
    "ro": syscalls.MOUNT_ATTR_RDONLY,
    "nosuid": syscalls.MOUNT_ATTR_NOSUID,
    "nodev": syscalls.MOUNT_ATTR_NODEV,
    "noexec": syscalls.MOUNT_ATTR_NOEXEC,
    "noatime": syscalls.MOUNT_ATTR_NOATIME,
    "strictatime": syscalls.MOUNT_ATTR_STRICTATIME,
    "nodiratime": syscalls.MOUNT_ATTR_NODIRATIME,
    "nosymfollow": syscalls.MOUNT_ATTR_NOSYMFOLLOW,
}
TIMES = ("noatime", "strictatime", "relatime")
BINDS = ("bind", "rbind")


class Mount:
    """One mount of the list, with its options sorted out."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.target = os.path.normpath("/" + node["destination"].text().lstrip("/"))
        self.kind = node["type"].text("")
        self.source = node["source"].text("")
        self.set: set[str] = set()
        self.cleared: set[str] = set()
        self.set_below: set[str] = set()
        self.cleared_below: set[str] = set()
        self.propagation = 0
        self.is_bind = self.kind in BINDS
        self.is_recursive = self.kind == "rbind"
        self.copies_up = False
        self.data: list[str] = []
        for option in node["options"].items():
            self.take(option)

    def take(self, node: Node) -> None:
        """Sort one option in: of FLAGS, CLEARED, BINDS or PROPAGATION; an r before one of these means all mounts below,
        too. What is none of them is data for the file system. Of two that contradict, the later one counts.

        Example: "ro" goes into self.set, "rw" takes it out and goes into self.cleared as "ro", "rro" goes into
        self.set_below, "rslave" makes self.propagation MS_SLAVE | MS_REC, "size=64k" goes into self.data.
        Raises EngineError for one that needs more than this chapter has: idmap, ridmap.
        """
        word = node.text()
        below = word[1:] if word.startswith("r") and word[1:] in (*ATTRIBUTES, *CLEARED) and word not in FLAGS else ""
        if word in FLAGS:
            self.set.add(word)
            self.cleared.discard(word)
        elif word in CLEARED:
            self.cleared.add(CLEARED[word])
            self.set.discard(CLEARED[word])
        elif word in BINDS:
            self.is_bind, self.is_recursive = True, word == "rbind"
        elif word in PROPAGATION:
            self.propagation = PROPAGATION[word]
        elif word.startswith("r") and word[1:] in PROPAGATION:
            self.propagation = PROPAGATION[word[1:]] | syscalls.MS_REC
        elif below in ATTRIBUTES:
            self.set_below.add(below)
        elif below in CLEARED:
            self.cleared_below.add(CLEARED[below])
        elif word == "tmpcopyup":
            self.copies_up = True
        elif word in ("idmap", "ridmap"):
            raise node.wrong("mounts with another mapping of users are not supported")
        else:
            self.data.append(word)

    @property
    def flags(self) -> int:
        """For mount(2)."""
        return sum(FLAGS[word] for word in self.set)

    @property
    def is_closed_last(self) -> bool:
        """Whether it becomes read-only when all others have their place: there may be some in it."""
        return self.kind in ("tmpfs", "cgroup") and not self.is_bind and "ro" in self.set

    def attributes(self, words: set[str]) -> int:
        """For mount_setattr(2)."""
        return sum(ATTRIBUTES[word] for word in words if word in ATTRIBUTES)


class Mounts(Part):
    """What config.json mounts below the root, in the order of the list."""

    section = "7.3"
    kind: type[Mount] = Mount

    def __init__(self, config: Node, cgroups: CgroupFilesystem) -> None:
        self.mounts = [self.kind(node) for node in config["mounts"].items()]
        self.trees: dict[Mount, int] = {}
        """What is mounted already, and only needs its place: descriptors of open_tree() and the like."""
        self._cgroups = cgroups

    def prepare(self, container: Container) -> None:
        self._cgroups.prepare(container)

    def needs_runtime(self, mount: Mount) -> bool:
        """Whether nobody but the runtime can open its source."""
        return False

    def open_source(self, mount: Mount) -> int:
        """A copy of what is to be bound, with its attributes, attached nowhere. Raises EngineError."""
        tree = syscalls.open_tree(mount.source, recursive=mount.is_recursive)
        if not mount.propagation & syscalls.MS_SLAVE:  # a slave goes on hearing of the host's mounts
            syscalls.mount_setattr(tree, 0, syscalls.MS_PRIVATE)
        _change(tree, mount, mount.set, mount.cleared, recursive=False)
        _change(tree, mount, mount.set_below, mount.cleared_below, recursive=True)
        return tree

    def enter(self, container: Container) -> None:
        closed_last = []
        for mount in self.mounts:
            if mount in self.trees:
                self._attach(mount)
            elif mount.kind == "cgroup":
                os.close(inside.make_directory(mount.target))
                self._cgroups.mount_at(mount.target, mount.flags)
            else:
                self._mount(mount)
            if mount.propagation:
                self._propagate(mount)
            if mount.is_closed_last:
                closed_last.append(inside.open_path(mount.target))
        for descriptor in closed_last:
            syscalls.mount_setattr(descriptor, syscalls.MOUNT_ATTR_RDONLY, recursive=False)
            os.close(descriptor)

    def _attach(self, mount: Mount) -> None:
        tree = made_now(self.trees.pop(mount))
        make = inside.make_directory if stat.S_ISDIR(os.fstat(tree).st_mode) else inside.make_file
        target = make(mount.target)
        syscalls.move_mount(tree, target)
        os.close(target)
        os.close(tree)

    def _mount(self, mount: Mount) -> None:
        """Mount on the directory that we are in: no path is walked between the look and the mount."""
        target = inside.make_directory(mount.target)
        os.fchdir(target)
        source = mount.source or mount.kind
        flags = mount.flags & ~syscalls.MS_RDONLY if mount.is_closed_last else mount.flags
        syscalls.mount(source, ".", mount.kind, flags, ",".join(mount.data) or None)
        os.chdir("/")
        os.close(target)

    def _propagate(self, mount: Mount) -> None:
        target = inside.open_path(mount.target)
        recursive = bool(mount.propagation & syscalls.MS_REC)
        syscalls.mount_setattr(target, 0, mount.propagation & ~syscalls.MS_REC, recursive=recursive)
        os.close(target)

    def cleanup(self, container: Container) -> None:
        for tree in self.trees.values():
            os.close(tree)
        self.trees.clear()
        self._cgroups.cleanup(container)


class Sources(Part):
    """Opens what is to be bound: right before PivotRoot, as long as the host's files can be seen.

    The root of a user namespace may not be able to reach them: for it, the runtime does so before. An ordinary user's
    runtime cannot do either before it is such a root.
    """

    section = "7.3"

    def __init__(self, bundle: Bundle, mounts: Mounts, own: Namespaces) -> None:
        self._all = mounts
        self._binds = [mount for mount in mounts.mounts if mount.is_bind]
        for mount in self._binds:
            mount.source = os.path.join(bundle.directory, mount.source)
        is_reachable = "mount" in own.new and not own.has("user")
        self._by_runtime = [mount for mount in self._binds if not is_reachable or mounts.needs_runtime(mount)]

    def prepare(self, container: Container) -> None:
        for mount in self._binds:
            if not os.path.exists(mount.source):
                raise mount.node["source"].wrong(f"there is no {mount.source!r}")
        if os.geteuid() == 0:
            self._open(self._by_runtime)

    def enter(self, container: Container) -> None:
        self._open([mount for mount in self._binds if mount not in self._all.trees])

    def _open(self, mounts: list[Mount]) -> None:
        for mount in mounts:
            self._all.trees[mount] = self._all.open_source(mount)


class DefaultDevices(Part):
    """What every container has in /dev: config-linux.md, "Default Devices" and "/dev symbolic links"."""

    section = "7.3"

    def enter(self, container: Container) -> None:
        make_nodes()


def made_now(tree: int) -> int:
    """A tree without a place once more, as one that is made now.

    Since Linux 6.8 mountinfo lists mounts in the order in which they were made, and its readers take that for the order
    in which they lie over each other. Before 6.15 there are no such copies, nor of what another mount namespace has
    made: then it is the tree itself.
    """
    try:
        copy = syscalls.open_tree("", directory=tree)
    except SyscallError:
        return tree
    os.close(tree)
    return copy


def _change(tree: int, mount: Mount, words: set[str], cleared: set[str], recursive: bool) -> None:
    """Set and clear attributes of a mount, or of it and all below: mount_setattr(2)."""
    on, off = mount.attributes(words), mount.attributes(cleared)
    if any(word in TIMES for word in words):
        off |= syscalls.MOUNT_ATTR__ATIME
    if on or off:
        syscalls.mount_setattr(tree, on, 0, cleared=off, recursive=recursive)
