"""The files that a step sees, and may change: the layers so far with an empty directory above them, which becomes the
step's own layer.

It is a container's directory of chapter 4, temporary: what a killed build leaves of it, the next command sweeps away.
The mount is in this process' own mount namespace, and goes with us.
"""

from __future__ import annotations

import os

from ch02_namespaces import syscalls
from ch02_namespaces.unionfs import mount_overlay
from ch04_images import containers, images, state
from ch04_images.commit import copy_layer
from ch04_images.rootfs import copy_root
from final.engine.container_root import Root
from final.images import made_here
from final.images.addition import Addition
from final.images.gzip_writer import Sum
from final.images.layout import Unpacked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ch04_images.containers import ContainerRecord
    from ch04_images.images import NewLayer

NOTHING = "empty"  # in the container's directory: what an image from scratch begins with


def leave_mounts_of_host() -> None:
    """From now on, what this process mounts nobody else sees."""
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)


class Union:
    """For `with`: a tree that can be read and written. layers: ids, the lowest first; image: as lists of containers
    show it. Raises EngineError."""

    def __init__(self, layers: Sequence[str], image: str) -> None:
        self.record, self._held = containers.create(state.new_id(), image, layers, "overlay", temporary=True)

    def __enter__(self) -> Union:
        os.chdir(state.place("layers"))  # with short names many layers fit into the one page that mount(2) takes
        own = f"../containers/{self.record.id}"
        lowers = self.record.layers[::-1]
        try:
            if lowers:
                copy_root(self.record)
            else:
                for directory in (self.record.path(NOTHING), self.record.path("upper")):
                    os.makedirs(directory, exist_ok=True)
                    os.chmod(directory, 0o755)
                lowers = [f"{own}/{NOTHING}"]
            mount_overlay(lowers, self.record.path("rootfs"), f"{own}/upper", f"{own}/work")
        except BaseException:
            self._remove()
            raise
        self.root = Root(os.open(self.record.path("rootfs"), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.root.descriptor)
        syscalls.umount(self.record.path("rootfs"), syscalls.MNT_DETACH)
        self._remove()

    def _remove(self) -> None:
        os.close(self._held)
        containers.remove(self.record, wait=True)


def layer_of(record: ContainerRecord, addition: Addition) -> tuple[str, Unpacked]:
    """What a container has changed, as a layer of the store, by chapter 4's commit; its diff_id, and what is known of
    it. Nobody refers to it yet. Raises EngineError."""
    diff_ids = []

    def fill(layer: NewLayer) -> tuple[str, Unpacked]:
        size = copy_layer(record, layer.directory)
        total = Sum()
        made_here.pack_layer(layer.id + images.UNFINISHED, total)
        diff_ids.append(total.digest)
        return total.digest, Unpacked(layer.id, size, total.size, None)

    made = addition.make_layer(fill)
    return diff_ids[0], made
