"""Documents of images that were made here (busybox, commit, import): made when somebody asks for them.

A layer's files, packed into an archive (ch04_images/pack.py), give its diff_id; these, and how it is run, give the
configuration, whose digest is the image's id. The archive, compressed, is a blob; all blobs give the manifest.
"""

from __future__ import annotations

import io
import json
import os
import stat

from ch02_namespaces.errors import EngineError
from ch04_images import images
from ch04_images.pack import pack
from final.images import layout, platform, store
from final.images.addition import Addition
from final.images.documents import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor, format_time
from final.images.gzip_writer import GzipWriter, Sum
from final.images.layout import Unpacked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ch04_images.images import Image
    from final.images.documents import ImageConfig
    from final.images.gzip_writer import Sink
    from final.images.platform import Platform

BUFFER = 1 << 18
MAKER = "mydocker"


def identify(image: Image) -> Image:
    """Give an image its configuration, and so its id. Raises EngineError."""
    with Addition() as addition:
        known = {one.layer: diff_id for diff_id in layout.diff_ids() for one in layout.all_unpacked(diff_id)}
        diff_ids = [known.get(layer) or _sum_up(addition, layer) for layer in image.layers]
        base = _base(image, diff_ids)
        step = {"created": format_time(image.created), "created_by": MAKER}
        history = (base.history if base else []) + [step] * (len(diff_ids) - (len(base.diff_ids) if base else 0))
        made_for = base.platform if base else platform.of_machine()
        document = config_document(image.config, diff_ids, image.created, history, made_for)
        id = addition.put(encoded(document))
        addition.finish()
        return _remembered(image, {**image.origin, "config": id})


def describe(image: Image) -> Image:
    """Give an image a manifest, and all blobs that it lists. Raises EngineError."""
    config = store.config_of(image)
    with Addition() as addition:
        layers = [_blob_of(addition, image, diff_id) for diff_id in config.diff_ids]
        described = Descriptor(OCI_CONFIG, addition.put(config.data), len(config.data))
        manifest = put_manifest(addition, described, layers)
        addition.finish()
        return _remembered(image, {**image.origin, "config": described.digest, "manifest": manifest.as_json()})


def put_manifest(addition: Addition, config: Descriptor, layers: list[Descriptor]) -> Descriptor:
    """A manifest of our own, for what has come without one."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config.as_json(),
        "layers": [layer.as_json() for layer in layers],
    }
    data = encoded(document)
    return Descriptor(OCI_MANIFEST, addition.put(data), len(data))


def config_document(
    config: dict[str, Any],
    diff_ids: list[str],
    created: int,
    history: list[dict[str, Any]],
    made_for: Platform,
) -> dict[str, Any]:
    """A configuration of our own: config.md."""
    return {
        "created": format_time(created),
        "architecture": made_for.architecture,
        **({"variant": made_for.variant} if made_for.variant else {}),
        "os": made_for.os,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": history,
    }


def encoded(document: dict[str, Any]) -> bytes:
    """JSON without spaces: the same document gives the same digest."""
    return json.dumps(document, separators=(",", ":")).encode()


def _remembered(image: Image, origin: dict[str, Any]) -> Image:
    found = images.Image(image.name, image.layers, image.config, image.size, image.created, origin)
    images.remember(found)
    return found


def _base(image: Image, diff_ids: list[str]) -> ImageConfig | None:
    """The configuration of the image that it stands on, if we know one whose history tells of each layer."""
    found = None
    for other in images.every():
        if store.id_of(other) and other.layers == image.layers[: len(other.layers)]:
            config = store.config_of(other)
            told = sum(not step.get("empty_layer") for step in config.history)
            fits = config.diff_ids == diff_ids[: len(config.diff_ids)] and told == len(config.diff_ids)
            if fits and (found is None or len(found.diff_ids) < told):
                found = config
    return found


# ---------------------------------------------------------------- layers


def _sum_up(addition: Addition, layer: str) -> str:
    """The diff_id of a layer's files."""
    total = Sum()
    pack_layer(layer, total)
    directory = images.layer_directory(layer)
    addition.add_layer(total.digest, Unpacked(layer, size_of_files(directory), total.size, None))
    return total.digest


def pack_layer(layer: str, sink: Sink) -> None:
    """The plain archive of a layer, into a sink that has write(). Raises EngineError."""
    buffered = io.BufferedWriter(_Raw(sink), BUFFER)
    pack(images.layer_directory(layer), buffered, layer=True)
    buffered.flush()


class _Raw(io.RawIOBase):
    """What io.BufferedWriter needs below it."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return int(self._sink.write(bytes(data)))


def _blob_of(addition: Addition, image: Image, diff_id: str) -> Descriptor:
    """The blob of a layer, made if there is none."""
    layer = layout.unpacked(diff_id)
    if layer is None:
        raise EngineError(f"image {image.name}", "it has just been removed")
    if layer.blob and addition.has(layer.blob.digest):
        return layer.blob
    blob = compressed(
        addition, f"image {image.name}: layer {layer.layer}", diff_id, lambda w: pack_layer(layer.layer, w)
    )
    addition.add_layer(diff_id, Unpacked(layer.layer, layer.size, layer.archive, blob))
    return blob


def compressed(addition: Addition, what: str, diff_id: str, write: Callable[[Sink], None]) -> Descriptor:
    """Make a blob of a plain archive, which `write` writes into the sink that it gets. Raises EngineError unless it is
    that of the diff_id."""
    with addition.writing(f"gzip-of-{diff_id}") as file:
        sink = GzipWriter(what, file, diff_id)
        write(sink)
        sink.finish()
    addition.rename(f"gzip-of-{diff_id}", sink.compressed.digest)
    return Descriptor(OCI_LAYER, sink.compressed.digest, sink.compressed.size)


def size_of_files(directory: str) -> int:
    """Bytes in the regular files below a directory, each counted once."""
    sizes = {}
    for above, _, names in os.walk(directory):
        for name in names:
            status = os.lstat(f"{above}/{name}")
            if stat.S_ISREG(status.st_mode):
                sizes[status.st_ino] = status.st_size
    return sum(sizes.values())
