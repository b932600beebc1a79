"""The image store: an image is an ordered list of layers and a configuration. Book sections 4.2 and 4.4.

A layer is a directory in overlayfs' own form (whiteouts are devices 0/0), so the kernel can mount it as it is; it is
never changed. The configuration uses the names of the OCI image-spec, config.md: Cmd, Env, WorkingDir, User.

What must hold: a layer that a record names is complete. So a layer is filled under the name ID.new, by a process that
holds its lock, and renamed when it is whole; then the record is written, and the lock given up. What a killed process
leaves is a layer that nobody names or locks, and the next change of the store removes it. Changes are made one at a
time, with the lock of `images`.
"""

from __future__ import annotations

import fcntl
import os
import time

from ch02_namespaces.errors import EngineError
from ch02_namespaces.locks import lock, locked
from ch04_images import containers, state
from ch04_images.image_names import HEXADECIMAL, full_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

UNFINISHED = ".new"
LAYER_ID = 16
MOST_LAYERS = 400  # overlayfs takes 500


class Image:
    """A record of the store.

    layers: ids, the lowest first; config: see above; size: bytes in the files of all layers; created: in
    seconds since 1970; origin: what whoever brought it wants to remember of where it came from.
    """

    def __init__(
        self,
        name: str,
        layers: Sequence[str],
        config: Mapping[str, Any],
        size: int,
        created: int,
        origin: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.layers = list(layers)
        self.config = dict(config)
        self.size = size
        self.created = created
        self.origin = dict(origin or {})


def find(name: str) -> Image:
    """The image of this name. Raises EngineError when there is none."""
    full = full_name(name)
    path = record_path(full)
    if not os.path.exists(path):
        hint = "`busybox` makes it" if full == "busybox:latest" else "`images` lists them, `import` makes one"
        raise EngineError(f"image {name!r}", "there is none of this name", hint)
    return _read(full, path)


def has(name: str) -> bool:
    """Whether there is one of this name; none has a name that is not allowed."""
    try:
        return os.path.exists(record_path(full_name(name)))
    except EngineError:
        return False


def every() -> list[Image]:
    """All images, by name."""
    found = []
    for entry in _entries("images"):
        if entry.endswith(".json"):
            name = entry.removesuffix(".json").replace("%2F", "/")
            try:
                found.append(_read(name, record_path(name)))
            except EngineError:
                if os.path.exists(record_path(name)):  # else it was removed just now
                    raise
    return sorted(found, key=lambda image: image.name)


class NewLayer:
    """A layer on its way into the store, for `with`: an empty directory to fill, and keep() when it is whole.

    Its lock keeps others from sweeping it away; from keep() on it is shared with whoever needs the layer, too. At the
    end of the `with` an image must have named it (see put), or it goes with the next sweep.
    """

    def __init__(self) -> None:
        self.id = os.urandom(LAYER_ID // 2).hex()  # short: mount(2) takes the names of all layers in one page
        with locked(state.make_place("images"), fcntl.LOCK_EX):  # nobody sweeps between mkdir and lock
            self.directory = state.make_place("layers", self.id + UNFINISHED)
            self._held = lock(self.directory, fcntl.LOCK_EX)
        os.chmod(self.directory, 0o755)

    def keep(self) -> None:
        """It is whole: give it its place."""
        with locked(state.make_place("images"), fcntl.LOCK_EX):  # to share a lock is to drop it for a moment: flock(2)
            os.rename(self.directory, layer_directory(self.id))
            fcntl.flock(self._held, fcntl.LOCK_SH)

    def __enter__(self) -> NewLayer:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            state.remove_tree(self.directory)  # nothing is there if it was kept
        finally:
            os.close(self._held)


def create(
    name: str,
    fill: Callable[[str], int],
    *,
    below: Image | None = None,
    config: Mapping[str, Any] | None = None,
) -> Image:
    """Make an image of one new layer, on top of those of `below`.

    fill: puts the layer's files into the directory that it gets, and returns how many bytes they have. config: that of
    `below` if none is given. An image that had the name loses it. Raises EngineError; then nothing has changed.
    """
    full = full_name(name)
    layers = below.layers if below else []
    settings = config if config is not None else below.config if below else {}
    check(f"image {name!r}", [*layers, ""], settings)
    sweep()  # a killed import may have left a full disk
    with NewLayer() as layer:
        size = fill(layer.directory) + (below.size if below else 0)
        layer.keep()
        image = Image(full, [*layers, layer.id], settings, size, int(time.time()))
        put(image)
    return image


def check(what: str, layers: Sequence[str], config: Mapping[str, Any]) -> None:
    """Raise EngineError for an image of too many layers, or whose configuration we could not use."""
    if len(layers) > MOST_LAYERS:
        raise EngineError(what, f"it would have more than {MOST_LAYERS} layers", "export and import it")
    _check_config(what, config)


def put(image: Image) -> None:
    """Give an image its name; one that had it loses it. Its layers are whole, and the caller holds locks on them."""
    with locked(state.make_place("images"), fcntl.LOCK_EX):
        _write(image)
        _sweep()


def remove(name: str, force: bool = False) -> None:
    """Remove an image, and those of its layers that nobody else needs.

    Raises EngineError when there is none, or, without `force`, when a container stands on it.
    """
    with locked(state.make_place("images"), fcntl.LOCK_EX):
        image = find(name)
        user = user_of(image)
        if user and not force:
            id = state.short(user)
            raise EngineError(f"image {name!r}", f"container {id} stands on it", f"`rm {id}` first")
        os.unlink(record_path(image.name))
        _sweep()


def remember(image: Image) -> bool:
    """Keep what has been found out about an image (its origin), if the name is still its own."""
    with locked(state.make_place("images"), fcntl.LOCK_EX):
        try:
            now = find(image.name)
        except EngineError:
            return False
        if (now.layers, now.config, now.created) != (image.layers, image.config, image.created):
            return False
        _write(image)
    return True


def user_of(image: Image) -> str:
    """The id of a container that stands on this image, by this name; empty if there is none."""
    users = (one.id for one in containers.every() if one.image == image.name and one.layers == image.layers)
    return next(users, "")


def sweep() -> None:
    """Remove layers that nobody needs, and what killed processes left of images."""
    if os.path.isdir(state.place("images")):
        with locked(state.place("images"), fcntl.LOCK_EX):
            _sweep()


def layer_directory(id: str) -> str:
    """Where the files of a layer are."""
    return state.place("layers", id)


def record_path(full: str) -> str:
    """Where the record of an image is, if there is one."""
    return state.place("images", full.replace("/", "%2F") + ".json")


def _read(full: str, path: str) -> Image:
    record = state.read_record(path)
    shape = {"layers": list, "config": dict, "size": int, "created": int}
    for key, kind in shape.items():
        if not isinstance(record.get(key), kind):
            raise EngineError(f"record {path}", f"its {key} is missing or no {kind.__name__}")
    if not record["layers"] or not all(map(_is_layer_id, record["layers"])):
        raise EngineError(f"record {path}", "its layers are no ids")
    if not 0 <= record["created"] < 1 << 40:
        raise EngineError(f"record {path}", "its time of creation cannot be")
    _check_config(f"record {path}", record["config"])
    origin = record.get("origin")
    known = origin if isinstance(origin, dict) else {}
    return Image(full, record["layers"], record["config"], record["size"], record["created"], known)


def _is_layer_id(id: object) -> bool:
    return isinstance(id, str) and len(id) == LAYER_ID and set(id) <= HEXADECIMAL


def _is_text(value: object) -> bool:
    """Whether it is a string that a program can be given: without NUL, and with bytes for all characters."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        return False
    return True


def _check_config(what: str, config: Mapping[str, Any]) -> None:
    """Raise EngineError unless what we use of a configuration has the types of config.md: it is somebody else's."""
    for key in ("Cmd", "Env"):
        value = config.get(key) or []
        if not isinstance(value, list) or not all(map(_is_text, value)):
            raise EngineError(what, f"its {key} is no list of strings")
    for key in ("User", "WorkingDir"):
        if not _is_text(config.get(key) or ""):
            raise EngineError(what, f"its {key} is no string")


def _write(image: Image) -> None:
    record = {"layers": image.layers, "config": image.config, "size": image.size, "created": image.created}
    state.write_record(record_path(image.name), {**record, **({"origin": image.origin} if image.origin else {})})


def _sweep() -> None:
    """Remove the layers that neither an image nor a container names, and what killed processes left half-made: layers
    and records whose names end in UNFINISHED. For the holder of the lock of `images`.

    A layer that somebody fills is locked, and stays. If a container's record is damaged, nobody knows which layers it
    needs: then no finished one is removed. Raises EngineError. Source: flock(2).
    Example: of the layers 1f, which an image names, 2e, which a container names, 3d and 4c.new, 1f and 2e are left.
    """
    needed = {id for image in every() for id in image.layers}
    needed |= {id for container in containers.every() for id in container.layers}
    nobody_knows = containers.is_any_damaged()
    for name in _entries("layers"):
        if name not in needed and (name.endswith(UNFINISHED) or not nobody_knows):
            _remove_if_abandoned(state.place("layers", name))
    for name in _entries("images"):
        if name.endswith(UNFINISHED):  # a record on its way; its writer would hold our lock
            os.unlink(state.place("images", name))


def _remove_if_abandoned(layer: str) -> None:
    try:
        held = lock(layer, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):  # it is being filled; or its maker has just removed it
        return
    try:
        state.remove_tree(layer)
    finally:
        os.close(held)


def _entries(name: str) -> list[str]:
    try:
        return os.listdir(state.place(name))
    except FileNotFoundError:
        return []
