"""What is in the store: images by name, id or digest; their documents; and the removal of what nobody needs.

The records of chapter 4 say which images there are and what they are made of. What a registry or an archive said of one
is in its `origin`: `config`, the digest of its configuration, which is the image's id; `manifest`, a descriptor;
`digests`, the names with digest by which registries know it.
"""

from __future__ import annotations

import fcntl
import os

from ch02_namespaces.errors import EngineError, MissingError
from ch02_namespaces.locks import lock, locked
from ch04_images import images, state
from final.images import layout, reference
from final.images.digest import HEXADECIMAL, is_digest
from final.images.documents import Descriptor, Manifest, parse_config, parse_manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch04_images.images import Image
    from final.images.documents import ImageConfig

SHORTEST_ID = 1
STEP = "step"
"""In the origin of what is no image, but a step of a build that is kept with its layers: see final/build/cache.py."""


def every() -> list[Image]:
    """All images, each by each of its names. All have an id. Steps of builds are none."""
    return [identified(image) for image in images.every() if not is_step(image)]


def is_step(image: Image) -> bool:
    """Whether it is a step of a build."""
    return STEP in image.origin


def identified(image: Image) -> Image:
    """The image with an id, which it is given now if it has been made here and nobody has asked yet."""
    from final.images import made_here

    return image if id_of(image) else made_here.identify(image)


def id_of(image: Image) -> str:
    """Its id: the digest of its configuration; empty for an image made here that nobody has asked for it."""
    id = image.origin.get("config")
    return id if is_digest(id) else ""


def find(text: str) -> Image:
    """The image that a name, an id, the beginning of one, or a name with digest means. Raises EngineError when there is
    none, or the beginning is that of several."""
    found = named(text)
    return found if found is not None else _by_id(text)


def named(text: str) -> Image | None:
    """The image of this name; None if there is none, or it is no name. A digest may be any that we know of it."""
    try:
        wanted = reference.parse(text)
    except EngineError:
        return None
    try:
        return images.find(wanted.name)
    except EngineError:
        if os.path.exists(images.record_path(wanted.name)):  # it is there, and damaged
            raise
    full = str(wanted)
    return next((image for image in images.every() if wanted.digest and full in image.origin.get("digests", [])), None)


def _by_id(text: str) -> Image:
    value = text.removeprefix("sha256:")
    looks_like_id = SHORTEST_ID <= len(value) <= 64 and set(value) <= HEXADECIMAL
    fitting = [image for image in every() if id_of(image).startswith(f"sha256:{value}")] if looks_like_id else []
    if not fitting:
        raise MissingError(
            f"image {text!r}", "there is none of this name or id", "`images` lists them, `pull` gets one"
        )
    if len({id_of(image) for image in fitting}) > 1:
        raise EngineError(f"image {text!r}", "several ids begin so", "give more of it")
    return fitting[0]


def names_of(id: str) -> list[Image]:
    """The records of all names that an image has."""
    return [image for image in images.every() if id_of(image) == id]


def config_of(image: Image) -> ImageConfig:
    """Its configuration, made now if there has been none. Raises EngineError."""
    what = f"image {image.name}"
    return parse_config(what, layout.read_blob(what, id_of(identified(image))))


def manifest_of(image: Image) -> Manifest:
    """Its manifest, made now, with the blobs that it lists, if there has been none. Raises EngineError."""
    from final.images import made_here

    descriptor = manifest_descriptor(image) or manifest_descriptor(made_here.describe(image))
    assert descriptor is not None
    return _read_manifest(image, descriptor)


def _read_manifest(image: Image, descriptor: Descriptor) -> Manifest:
    what = f"image {image.name}"
    found = parse_manifest(what, layout.read_blob(what, descriptor.digest), descriptor.media_type)
    if not isinstance(found, Manifest):
        raise EngineError(what, "its manifest is none")
    return found


def manifest_descriptor(image: Image) -> Descriptor | None:
    """What its record says of its manifest; None if there is none yet."""
    fields = image.origin.get("manifest")
    if not isinstance(fields, dict) or not is_digest(fields.get("digest")):
        return None
    return Descriptor(str(fields.get("mediaType")), fields["digest"], int(fields.get("size", 0)))


def tag(image: Image, name: str) -> None:
    """Give an image one more name. Raises EngineError."""
    with _holding(image):
        images.put(images.Image(name, image.layers, image.config, image.size, image.created, image.origin))
    settle()


class _holding:  # noqa: N801
    """`with _holding(image)`: its layers stay, whoever removes it meanwhile. Raises EngineError if they are gone."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._locks: list[int] = []

    def __enter__(self) -> None:
        try:
            self._locks += [lock(images.layer_directory(layer), fcntl.LOCK_SH) for layer in self._image.layers]
        except FileNotFoundError:
            raise EngineError(f"image {self._image.name}", "it has just been removed") from None

    def __exit__(self, *_: object) -> None:
        for held in self._locks:
            os.close(held)


# ---------------------------------------------------------------- removal


def settle() -> None:
    """Bring the layout in line with the images' records, and remove what nobody needs, also of killed processes."""
    if not os.path.isdir(state.place("oci")):
        return
    images.sweep()
    with locked(state.make_place("images"), fcntl.LOCK_EX):
        _remove_abandoned()
        known = images.every()
        needed = _needed_blobs(known)
        for digest in list(layout.blobs()):
            path = layout.blob_path(digest)
            if digest not in needed and os.stat(path).st_nlink == 1:  # two: it is on its way in
                os.unlink(path)
        _write_index(known)


def _remove_abandoned() -> None:
    """What killed processes left: directories that nobody has locked, files that were to be renamed, and what was
    written down of layers that are gone."""
    for name in os.listdir(state.place("oci", "incoming")):
        try:
            held = lock(state.place("oci", "incoming", name), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, FileNotFoundError):
            continue
        try:
            state.remove_tree(state.place("oci", "incoming", name))
        finally:
            os.close(held)
    for place in (("oci",), ("oci", "unpacked", "sha256"), ("oci", "unpacked", "sha512")):
        for name in os.listdir(state.place(*place)):
            if name.endswith(images.UNFINISHED):  # its writer would hold our lock
                os.unlink(state.place(*place, name))
    for diff_id in list(layout.diff_ids()):
        if layout.unpacked(diff_id) is None:
            layout.forget_unpacked(diff_id)


def _needed_blobs(known: list[Image]) -> set[str]:
    """What images refer to, and what the layers in the store were unpacked from: only so they can be pushed again."""
    needed = {id_of(image) for image in known}
    for image in known:
        manifest = manifest_descriptor(image)
        if manifest is not None:
            needed |= {manifest.digest, *(layer.digest for layer in _read_manifest(image, manifest).layers)}
    layers = (layout.unpacked(diff_id) for diff_id in layout.diff_ids())
    return needed | {layer.blob.digest for layer in layers if layer and layer.blob}


def _write_index(known: list[Image]) -> None:
    found = []
    for image in known:
        manifest = manifest_descriptor(image)
        if manifest is not None:
            full = image.name if reference.is_nameless(image.name) else str(reference.parse(image.name))
            found.append((image.name, full, manifest))
    layout.write_index(found)
