"""Containers into images and archives: commit and export. Book section 4.4.

What a container changed lies in a directory of its own. A commit is that directory, written as an archive into one end
of a pipe and unpacked into a new layer from the other. The archive has the form of image layers, which is that of AUFS:
a whiteout is a file `.wh.NAME`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select

from ch02_namespaces import cgroups, namespaces, syscalls
from ch02_namespaces.errors import EngineError, SyscallError
from ch02_namespaces.locks import lock
from ch02_namespaces.unionfs import mount_overlay
from ch04_images import containers, images
from ch04_images.pack import pack
from ch04_images.rootfs import SECONDS_TO_END, aufs_options
from ch04_images.unpack import unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO, Any

    from ch02_namespaces.cgroups import Cgroup
    from ch04_images.containers import ContainerRecord
    from ch04_images.images import Image


def commit(
    text: str,
    name: str,
    config: Mapping[str, Any] | None = None,
    group: Cgroup | None = None,
    is_paused: bool = False,
) -> Image:
    """Make an image of a container, running or ended: the layers that it stands on, and what it has added, changed and
    deleted as one layer more. text: its id, or the beginning of it; name: the image's. Raises EngineError.

    Until it is done the container is in use, so that nobody removes it, and paused, so that no file changes meanwhile.
    config: how the image is run; if none is given, as the one that the container stands on.
    group: the container's cgroup, if it is not where all are; is_paused: somebody has paused it, and it stays so.
    Example: commit("3f2a", "mine") of a container on the layers ["1f"] is an image with the layers ["1f", a new one].
    """
    record = containers.find(text)
    held = containers.use(record)
    try:
        with Paused(record, group, is_paused):
            return images.create(name, lambda layer: copy_layer(record, layer), below=_base(record), config=config)
    finally:
        os.close(held)


def _base(record: ContainerRecord) -> Image:
    """What the container stands on. Its image may have got other layers since, or be gone: then only its configuration
    is lost."""
    try:
        image = images.find(record.image)
    except EngineError:
        return images.Image(record.image, record.layers, {}, 0, 0)
    return images.Image(image.name, record.layers, image.config, image.size, image.created)


def copy_layer(record: ContainerRecord, layer: str) -> int:
    """The container's own layer, in either driver's form, into a directory in overlayfs' form."""
    import threading

    reader, writer = (os.fdopen(end, mode) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True))
    failure: list[BaseException] = []

    def write() -> None:
        try:
            with writer:
                pack(record.path("upper"), writer, layer=record.driver == "overlay")
        except BrokenPipeError:
            return  # the other side has failed, and says why
        except BaseException as error:
            failure.append(error)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        with reader:
            return unpack(reader, layer, layer=True)
    except EngineError:
        if not failure:
            raise
        return 0
    finally:
        writing.join()
        if failure:
            raise failure[0]


def export(text: str, sink: IO[bytes]) -> None:
    """Write all files of a container, running or ended, as one archive, as `docker export` does. Raises EngineError.

    The whole is mounted for that, read-only, in a mount namespace of this process's own: this one call leaves the
    host's for good. What holds the mount is a descriptor, so it goes with us, however we end.
    """
    record = containers.find(text)
    held = containers.use(record)
    try:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
        guardian = mount_read_only(record)
        view = os.open(record.path("rootfs"), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        syscalls.umount(record.path("rootfs"), syscalls.MNT_DETACH)
        try:
            pack(f"/proc/self/fd/{view}", sink)
        finally:
            os.close(view)
            if guardian >= 0:
                select.select([guardian], [], [], SECONDS_TO_END)
    finally:
        os.close(held)


def mount_read_only(record: ContainerRecord) -> int:
    """Mount a container's whole tree on its rootfs; the pidfd of what serves it, or -1 if it is the kernel."""
    if record.driver == "aufs":
        from ch02_namespaces import aufs

        return syscalls.pidfd_open(aufs.mount(aufs_options(record, "ro"), record.path("rootfs")))
    layers = [record.path("upper"), *(images.layer_directory(id) for id in reversed(record.layers))]
    mount_overlay(layers, record.path("rootfs"))
    return -1


class Paused:
    """`with Paused(container)`: its processes stand still, so that no file changes while it is read. One at a time.

    A helper lets them go on, whichever way we end: it waits for the end of a pipe that we hold. The lock is its, too.
    """

    def __init__(self, record: ContainerRecord, group: Cgroup | None = None, is_paused: bool = False) -> None:
        parent = cgroups.default_parent()
        self._group = group or cgroups.Cgroup(f"{parent}/{record.id}", cgroups.usable_hierarchies(parent))
        self._is_paused = is_paused
        self._record = record
        self._lock = self._writer = -1
        self._helper: namespaces.Process | None = None

    def __enter__(self) -> None:
        self._lock = lock(self._record.path("upper"), fcntl.LOCK_EX)
        if self._is_paused or not self._group.hierarchies or not os.path.isdir(self._group.directory()):
            return  # it stands still already, or does not run
        reader, self._writer = os.pipe()
        self._helper = namespaces.spawn(0, lambda: self._thaw_at_the_end(reader))
        os.close(reader)
        self._freeze(True)

    def _thaw_at_the_end(self, reader: int) -> int:
        os.setsid()  # the terminal's Ctrl-C is not for us
        os.close(self._writer)
        os.read(reader, 1)
        self._freeze(False)
        return 0

    def _freeze(self, frozen: bool) -> None:
        try:
            self._group.freeze(frozen)
        except SyscallError as error:
            if error.errno != errno.ENOENT:
                raise
            return  # it has ended meanwhile

    def __exit__(self, *_: object) -> None:
        if self._helper is not None:
            os.close(self._writer)
            self._helper.wait()
        os.close(self._lock)
