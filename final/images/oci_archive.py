"""Archives that hold an OCI image layout: image-spec, image-layout.md. docker save writes one too, since version 25."""

from __future__ import annotations

import json

from ch02_namespaces.errors import EngineError
from ch04_images import images
from final.images import layout, parallel, platform, reference, store
from final.images.addition import Addition
from final.images.digest import digest_of, verified
from final.images.documents import (
    LARGEST_CONFIG,
    OCI_INDEX,
    Descriptor,
    Index,
    Manifest,
    parse_config,
    parse_manifest,
)
from final.images.tar_writer import TarWriter
from final.images.unpacking import Kept, unpack_layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

    from ch04_images.images import Image
    from final.images.archives import ArchiveTree

INDEX, MARK = "index.json", "oci-layout"
CHUNK = 1 << 18
DEEPEST = 3  # indexes in indexes


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


# ---------------------------------------------------------------- save


def save(found: dict[str, tuple[Image, list[str]]], sink: IO[bytes]) -> None:
    """Write images as an archive. found: by id, the image and the names that go with it. Raises EngineError."""
    writer = TarWriter(sink)
    writer.add(MARK, json.dumps(layout.VERSION).encode())
    listed = []
    written: set[str] = set()
    with Addition() as addition:  # the blobs stay, whoever removes the images meanwhile
        for image, names in found.values():
            manifest = store.manifest_of(image)
            digest = digest_of(manifest.data)
            described = Descriptor(manifest.media_type, digest, len(manifest.data))
            for blob in (described, manifest.config, *manifest.layers):
                if blob.digest not in written:
                    _write_blob(writer, addition, image, blob)
                    written.add(blob.digest)
            for name in names or [""]:
                full = {layout.REF_NAME: name, layout.IMAGE_NAME: str(reference.parse(name))} if name else {}
                listed.append({**described.as_json(), **({"annotations": full} if full else {})})
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}
    writer.add(INDEX, json.dumps(index, separators=(",", ":")).encode())
    writer.finish()


def _write_blob(writer: TarWriter, addition: Addition, image: Image, blob: Descriptor) -> None:
    what = f"image {image.name}"
    if not addition.has(blob.digest):
        raise EngineError(what, f"its blob {blob.digest} is not in the store", "pull or load it again")
    writer.begin(_blob(blob.digest), blob.size)
    with open(addition.path(blob.digest), "rb") as file:
        kept = Kept(what, file, blob)
        while data := kept.read(CHUNK):
            writer.write(data)
        kept.finish()


# ---------------------------------------------------------------- load


def load(addition: Addition, tree: ArchiveTree) -> list[str]:
    """Bring the images of an archive into the store; their names there. Raises EngineError."""
    index = parse_manifest(f"archive: {INDEX}", tree.read(INDEX), OCI_INDEX)
    if not isinstance(index, Index) or not index.manifests:
        raise EngineError(f"archive: {INDEX}", "it lists no images")
    names = []
    for descriptor in index.manifests:
        names.append(_load_image(addition, tree, descriptor))
    return names


def _load_image(addition: Addition, tree: ArchiveTree, descriptor: Descriptor) -> str:
    what = f"archive: image {descriptor.digest}"
    manifest = _find_manifest(what, tree, descriptor, DEEPEST)
    config_data = _read(what, tree, manifest.config, LARGEST_CONFIG)
    config = parse_config(what, config_data)
    images.check(what, config.diff_ids, config.config)
    if len(config.diff_ids) != len(manifest.layers) or not config.diff_ids:
        raise EngineError(what, "it has no layers, or not those that its configuration names")
    layers = dict(zip(config.diff_ids, manifest.layers, strict=True))
    blobs = {blob.digest: blob for blob in manifest.layers}
    for blob in blobs.values():
        _take(addition, tree, blob)

    def bring(pair: tuple[str, Descriptor]) -> None:
        diff_id, blob = pair
        if addition.find_layer(diff_id) is None:
            with open(addition.path(blob.digest), "rb") as file:
                unpack_layer(addition, f"archive: layer {blob.digest}", Kept(what, file, blob), diff_id, blob)

    parallel.for_all(layers.items(), bring, addition.cancel)
    addition.put(config_data)
    described = Descriptor(manifest.media_type, addition.put(manifest.data), len(manifest.data))
    name = _name_of(descriptor, digest_of(config_data))
    addition.name([name], config, described)
    return name


def _find_manifest(what: str, tree: ArchiveTree, descriptor: Descriptor, deepest: int) -> Manifest:
    """The manifest that a descriptor leads to, maybe over indexes, of which the one for this machine is taken."""
    data = _read(what, tree, descriptor, descriptor.size)
    found = parse_manifest(what, data, descriptor.media_type)
    if isinstance(found, Manifest):
        return found
    if not deepest:
        raise EngineError(what, f"it has more than {DEEPEST} indexes in each other")
    return _find_manifest(what, tree, platform.choose(what, found.manifests, platform.of_machine()), deepest - 1)


def _read(what: str, tree: ArchiveTree, descriptor: Descriptor, most: int) -> bytes:
    return verified(what, tree.read(_blob(descriptor.digest), most), descriptor.digest, descriptor.size)


def _take(addition: Addition, tree: ArchiveTree, blob: Descriptor) -> None:
    """A blob of the archive becomes one of ours, verified; unless we have it."""
    if addition.has(blob.digest):
        return
    with tree.open(_blob(blob.digest)) as file:
        Kept(f"archive: blob {blob.digest}", file, blob).finish()
        addition.take_file(file, blob.digest)


def _name_of(descriptor: Descriptor, otherwise: str) -> str:
    """The name that an archive gives an image; a tag alone is none."""
    for key in (layout.IMAGE_NAME, layout.REF_NAME):
        text = descriptor.annotations.get(key, "")
        if "/" in text or ":" in text:
            return reference.parse(text).name
    return otherwise
