"""Device files that config.json adds to the container's /dev: linux.devices. Book section 7.3.

OCI runtime-spec, config-linux.md, "Devices" and "Default Devices". They are made with mknod(2); a user namespace has no
right to, so there the host's own device files are mounted in their places.
"""

from __future__ import annotations

import os
import stat

from ch02_namespaces import syscalls
from ch03_run.container import Container, Part
from ch04_images import inside
from ch04_images.filesystems import NODES
from ch07_practice.oci.document import Node

TYPES = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
LARGEST_MAJOR, LARGEST_MINOR = (1 << 12) - 1, (1 << 20) - 1  # linux/kdev_t.h
LARGEST_ID = (1 << 32) - 2


class Device:
    """One entry of the list. node: where it stands in the document."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.path = os.path.normpath("/" + node["path"].path().lstrip("/"))
        if self.path == "/":
            raise node["path"].wrong("it is no file")
        self.kind = TYPES[node["type"].one_of(TYPES)]
        is_fifo = self.kind == stat.S_IFIFO
        self.number = 0
        if not is_fifo:
            self.number = os.makedev(node["major"].number(most=LARGEST_MAJOR), node["minor"].number(most=LARGEST_MINOR))
        self.mode = node["fileMode"].number(0o666, most=0o177777) & 0o7777  # some write the type into it, too
        self.uid = node["uid"].number(0, most=LARGEST_ID)
        self.gid = node["gid"].number(0, most=LARGEST_ID)

    def is_same(self, status: os.stat_result) -> bool:
        """Whether a file that exists is this device."""
        return stat.S_IFMT(status.st_mode) == self.kind and status.st_rdev == self.number


class Devices(Part):
    """The device files of the list; in a user namespace also those that every container has.

    It comes after what is mounted (/dev is one of these mounts), and before DefaultDevices, which adds what is missing.
    """

    section = "7.3"

    def __init__(self, listed: Node, has_user_namespace: bool) -> None:
        self._made = [Device(node) for node in listed.items()]
        self._mounted: list[Device] = []
        if has_user_namespace:
            self._mounted = [device for device in self._made if device.kind != stat.S_IFIFO]
            self._made = [device for device in self._made if device.kind == stat.S_IFIFO]
            listed_paths = {device.path for device in self._mounted}
            self._mounted += [device for device in default_devices() if device.path not in listed_paths]
        self._trees: list[tuple[Device, int]] = []

    def open_mounted(self) -> None:
        """Open the host's device files, as long as they can be seen. Raises EngineError."""
        for device in self._mounted:
            self._trees.append((device, open_host_device(device)))

    def enter(self, container: Container) -> None:
        os.umask(0)
        for device in self._made:
            make(device)
        os.umask(0o022)
        for device, tree in self._trees:
            place(device, tree)
            os.close(tree)


def default_devices() -> list[Device]:
    """What every container has in /dev, as if config.json listed it."""
    entries = [
        {"path": f"/dev/{name}", "type": "c", "major": major, "minor": minor} for name, (major, minor) in NODES.items()
    ]
    return [Device(node) for node in Node(entries, "the default devices").items()]


def make(device: Device) -> None:
    """Make a device file. Raises EngineError for another file that is there already."""
    above, name = os.path.split(device.path)
    directory = inside.make_directory(above)
    try:
        os.mknod(name, device.kind | device.mode, device.number, dir_fd=directory)
        os.chown(name, device.uid, device.gid, dir_fd=directory, follow_symlinks=False)
    except FileExistsError:
        if not device.is_same(os.stat(name, dir_fd=directory, follow_symlinks=False)):
            raise device.node.wrong(f"{device.path} exists, and is another file") from None
    except PermissionError as error:
        raise device.node.wrong(f"mknod {device.path}: {error.strerror}", "it takes CAP_MKNOD") from None
    finally:
        os.close(directory)


def open_host_device(device: Device) -> int:
    """A copy of the host's device file of the same path, good to be mounted. Raises EngineError if it is another."""
    try:
        found = os.open(device.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise device.node.wrong(f"the host's {device.path}: {error.strerror}") from None
    try:
        if not device.is_same(os.fstat(found)):
            raise device.node.wrong(f"the host's {device.path} is another device")
        return syscalls.open_tree("", directory=found)
    finally:
        os.close(found)


def place(device: Device, tree: int) -> None:
    """Mount a device file at its path; an empty file is made there to be covered."""
    target = inside.make_file(device.path)
    if not device.is_same(os.fstat(target)):  # else a mount of config.json has put it there
        syscalls.move_mount(tree, target)
    os.close(target)
