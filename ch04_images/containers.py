"""What is kept of a container: a directory with its record and with all that it changes. Book sections 4.2 and 5.7.

    containers/ID/record.json   the image and layers that it stands on, the storage driver
                  upper, work   its own layer, above those of the image; work is for overlayfs
                  rootfs        an empty directory: the mount point inside the container
                  remove        present if the directory is to go with the container (--rm)

Whoever works with a container holds a shared lock on its directory, its engine first of all; to remove it takes the
lock alone. So a directory with `remove` in it and without a lock was left by an engine that was killed.
"""

from __future__ import annotations

import fcntl
import os
import time

from ch02_namespaces.errors import EngineError, MissingError
from ch02_namespaces.locks import lock, locked
from ch04_images import state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

RECORD, REMOVE = "record.json", "remove"


class LayerGoneError(EngineError):
    """An image was removed or replaced between two looks at it."""


class ContainerRecord:
    """id: 64 hexadecimal digits; image: its name; layers: what it stands on, the lowest first; driver: "overlay" or
    "aufs"; created: seconds since 1970."""

    def __init__(self, id: str, image: str, layers: Sequence[str], driver: str, created: float) -> None:
        self.id = id
        self.image = image
        self.layers = list(layers)
        self.driver = driver
        self.created = created

    def path(self, *names: str) -> str:
        """Something in its directory."""
        return state.place("containers", self.id, *names)


def create(
    id: str,
    image: str,
    layers: Sequence[str],
    driver: str,
    temporary: bool,
    more: Mapping[str, dict[str, Any]] | None = None,
) -> tuple[ContainerRecord, int]:
    """Make the directory of a container and take its shared lock; the record, and the descriptor that holds the lock.

    temporary: it is to be removed with the container. more: records by file name that belong into it; the container's
    own is the last, so one that has it is complete. Raises LayerGoneError when a layer has been removed meanwhile.
    """
    record = ContainerRecord(id, image, layers, driver, time.time())
    above = state.make_place("containers")
    with locked(above, fcntl.LOCK_SH):  # no sweep between mkdir and lock
        os.mkdir(record.path(), 0o700)
        held = lock(record.path(), fcntl.LOCK_SH)
    try:
        for name in ("upper", "work", "rootfs"):
            os.mkdir(record.path(name))
        if temporary:
            os.close(os.open(record.path(REMOVE), os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC))
        with locked(state.make_place("images"), fcntl.LOCK_SH):  # no image is removed until the record names its layers
            for layer in layers:
                if not os.path.isdir(state.place("layers", layer)):
                    raise LayerGoneError(f"image {image!r}", f"its layer {layer} is gone", "was it removed just now?")
            for name, record_of_it in (more or {}).items():
                state.write_record(record.path(name), record_of_it, durable=not temporary)
            kept = {"image": image, "layers": record.layers, "driver": driver, "created": record.created}
            state.write_record(record.path(RECORD), kept, durable=not temporary)
    except BaseException:
        state.remove_tree(record.path())
        os.close(held)
        raise
    return record, held


def every() -> list[ContainerRecord]:
    """All that have a record, and one that can be read."""
    return [record for id in _ids() if (record := _read_if_whole(id)) is not None]


def is_any_damaged() -> bool:
    """Whether a record cannot be read, so that we do not know which layers are needed."""
    return any(_read_if_whole(id) is None and os.path.exists(state.place("containers", id, RECORD)) for id in _ids())


def _read_if_whole(id: str) -> ContainerRecord | None:
    try:
        return _read(id)
    except EngineError:  # it is being made, was just removed, or is damaged
        return None


def find(text: str) -> ContainerRecord:
    """The container whose id begins with this text. Raises MissingError, or EngineError when there are several."""
    return _read(find_id(text))


def find_id(text: str) -> str:
    """The id that begins with this text, also if its record is damaged. Raises EngineError."""
    found = [id for id in _ids() if text and id.startswith(text)]
    if not found:
        raise MissingError(f"container {text!r}", "there is none with this id", f"ls {state.place('containers')}")
    if len(found) > 1:
        raise EngineError(f"container {text!r}", f"{len(found)} ids begin so", "give more of it")
    return found[0]


def use(record: ContainerRecord) -> int:
    """Take a shared lock: it is not removed until the descriptor is closed. Raises EngineError if it just was."""
    try:
        held = lock(record.path(), fcntl.LOCK_SH)
    except FileNotFoundError:
        held = -1
    if held < 0 or not os.path.exists(record.path(RECORD)):
        raise EngineError(f"container {state.short(record.id)}", "it has just been removed")
    return held


def remove(record: ContainerRecord, wait: bool = False, whole: bool = True) -> bool:
    """Remove a container's directory. False if somebody works with it, as its engine does while it runs; with `wait`,
    until they have finished. whole: also one that is neither half-made nor temporary.

    The record goes first: if we are killed, what is left looks half-made, and a sweep goes on.
    """
    try:
        held = lock(record.path(), fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    try:
        if not whole and not _is_temporary(record.id):  # it was being made when we saw it, and is made now
            return False
        if os.path.exists(record.path(RECORD)):
            os.unlink(record.path(RECORD))
        state.remove_tree(record.path())
    except FileNotFoundError:  # while we waited for the lock, somebody else has removed it
        return True
    finally:
        os.close(held)
    return True


def sweep() -> None:
    """Remove what engines left that were killed: half-made directories, and those of ended --rm containers."""
    for record in unfinished():
        remove(record, whole=False)


def unfinished() -> list[ContainerRecord]:
    """Those that are half-made or temporary: left by engines that were killed, or at work at this moment."""
    try:
        with locked(state.place("containers"), fcntl.LOCK_EX | fcntl.LOCK_NB):
            return [ContainerRecord(id, "", [], "", 0) for id in _ids() if _is_temporary(id)]
    except (FileNotFoundError, BlockingIOError):  # there has been no container yet; or one is being made right now
        return []


def _is_temporary(id: str) -> bool:
    directory = state.place("containers", id)
    return os.path.exists(f"{directory}/{REMOVE}") or not os.path.exists(f"{directory}/{RECORD}")


def _ids() -> list[str]:
    try:
        return [name for name in os.listdir(state.place("containers")) if len(name) == 64]
    except FileNotFoundError:
        return []


def _read(id: str) -> ContainerRecord:
    record = state.read_record(state.place("containers", id, RECORD))
    try:
        return ContainerRecord(id, record["image"], record["layers"], record["driver"], record["created"])
    except KeyError as missing:
        raise EngineError(f"record of container {state.short(id)}", f"it lacks {missing}") from None
