"""Archives as `docker save` writes them: manifest.json names configurations, tags, and layers as plain tar archives.

Source: Docker's image specification 1.2, "Combined Image JSON + Filesystem Changeset Format".
"""

from __future__ import annotations

import json

from ch02_namespaces.errors import EngineError
from ch04_images import images
from ch04_images.compression import open_plain
from final.images import layout, made_here, parallel, reference, store
from final.images.digest import Digester, Verifier, digest_of
from final.images.documents import LARGEST_CONFIG, OCI_CONFIG, OCI_LAYER, Descriptor, parse_config
from final.images.tar_writer import TarWriter
from final.images.unpacking import unpack_layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any

    from ch04_images.images import Image
    from final.images.addition import Addition
    from final.images.archives import ArchiveTree
    from final.images.documents import ImageConfig
    from final.images.gzip_writer import Sink

MANIFEST = "manifest.json"
CHUNK = 1 << 18
GZIP = b"\x1f\x8b"


# ---------------------------------------------------------------- save


def save(found: dict[str, tuple[Image, list[str]]], sink: IO[bytes]) -> None:
    """Write images as an archive. found: by id, the image and the names that go with it. Raises EngineError."""
    writer = TarWriter(sink)
    manifest = []
    written: set[str] = set()
    for id, (image, names) in found.items():
        config = store.config_of(image)
        for diff_id in dict.fromkeys(config.diff_ids):
            if diff_id not in written:
                _write_layer(writer, image, diff_id)
                written.add(diff_id)
        name = f"{id.partition(':')[2]}.json"
        writer.add(name, config.data)
        manifest.append(
            {"Config": name, "RepoTags": names or None, "Layers": [_file_of(one) for one in config.diff_ids]}
        )
    writer.add(MANIFEST, json.dumps(manifest, separators=(",", ":")).encode())
    writer.finish()


def _file_of(diff_id: str) -> str:
    return f"{diff_id.partition(':')[2]}.tar"


def _write_layer(writer: TarWriter, image: Image, diff_id: str) -> None:
    """The plain archive of a layer: from its blob, or packed if it was made here."""
    what = f"image {image.name}: layer {diff_id}"
    layer = layout.unpacked(diff_id)
    if layer is None:
        raise EngineError(what, "it is not in the store", "pull or load the image again")
    writer.begin(_file_of(diff_id), layer.archive)
    plain = _Verified(writer, Verifier(what, diff_id, layer.archive))
    if layer.blob is None:
        made_here.pack_layer(layer.layer, plain)
    else:
        with open(layout.blob_path(layer.blob.digest), "rb") as file:
            read = open_plain(file)
            while data := read(CHUNK):
                plain.write(data)
    plain.verifier.finish()


class _Verified:
    """A sink before a sink."""

    def __init__(self, writer: TarWriter, verifier: Verifier) -> None:
        self._writer = writer
        self.verifier = verifier

    def write(self, data: bytes) -> int:
        """Pass it on."""
        self.verifier.update(data)
        return self._writer.write(data)


# ---------------------------------------------------------------- load


def load(addition: Addition, tree: ArchiveTree) -> list[str]:
    """Bring the images of an archive into the store; their names there. Raises EngineError."""
    what = f"archive: {MANIFEST}"
    try:
        entries = json.loads(tree.read(MANIFEST))
    except (ValueError, RecursionError):
        raise EngineError(what, "it is no JSON document") from None
    if not isinstance(entries, list) or not entries:
        raise EngineError(what, "it lists no images")
    names: list[str] = []
    for entry in entries:
        if not isinstance(entry, dict):
            raise EngineError(what, "it lists something else than images")
        names += _load_image(addition, tree, entry)
    return names


def _load_image(addition: Addition, tree: ArchiveTree, entry: dict[str, Any]) -> list[str]:
    what = "archive: image " + str(entry.get("Config"))[:80]
    data = tree.read(entry.get("Config"), LARGEST_CONFIG)
    config = parse_config(what, data)
    images.check(what, config.diff_ids, config.config)
    files = entry.get("Layers")
    if not isinstance(files, list) or len(files) != len(config.diff_ids) or not files:
        raise EngineError(what, "it has no layers, or not those that its configuration names")
    blobs: dict[str, Descriptor] = {}

    def bring(pair: tuple[str, Any]) -> None:
        blobs[pair[0]] = _load_layer(addition, tree, *pair)

    parallel.for_all(dict(zip(config.diff_ids, files, strict=True)).items(), bring, addition.cancel)
    described = Descriptor(OCI_CONFIG, addition.put(data), len(data))
    manifest = made_here.put_manifest(addition, described, [blobs[diff_id] for diff_id in config.diff_ids])
    names = _names_of(entry.get("RepoTags"), config)
    addition.name(names, config, manifest)
    return names


def _names_of(tags: object, config: ImageConfig) -> list[str]:
    texts = tags if isinstance(tags, list) else []
    return [reference.parse(str(text)).name for text in texts] or [digest_of(config.data)]


def _load_layer(addition: Addition, tree: ArchiveTree, diff_id: str, name: object) -> Descriptor:
    """Make a layer of a file; the blob that it came from, which is compressed if the file is not."""
    known = addition.find_layer(diff_id)
    if known and known.blob and addition.has(known.blob.digest):
        return known.blob
    what = f"archive: layer {str(name)[:80]}"
    with tree.open(name) as file:
        if file.read(len(GZIP)) == GZIP:
            blob = _take(addition, file)
        else:
            blob = made_here.compressed(addition, what, diff_id, lambda sink: _copy_plain(addition, file, sink))
        if known is None:
            file.seek(0)
            unpack_layer(addition, what, _Unverified(file), diff_id, blob)
        else:
            known.blob = blob
            addition.add_layer(diff_id, known)
    return blob


def _take(addition: Addition, file: IO[bytes]) -> Descriptor:
    total = Digester()
    file.seek(0)
    while data := file.read(CHUNK):
        total.update(data)
    addition.take_file(file, total.digest)
    return Descriptor(OCI_LAYER, total.digest, total.size)


def _copy_plain(addition: Addition, file: IO[bytes], sink: Sink) -> None:
    file.seek(0)
    read = open_plain(file)
    while data := read(CHUNK):
        addition.check()
        sink.write(data)


class _Unverified:
    """A file of which only the plain bytes are known."""

    def __init__(self, file: IO[bytes]) -> None:
        self.read = file.read

    def finish(self) -> None:
        """Nothing more is known about it."""
