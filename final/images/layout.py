"""The OCI image layout below the state directory: documents and layers as they came, each under its digest.

    oci/oci-layout, index.json      OCI image-spec, image-layout.md: skopeo and umoci read it as it is
        blobs/sha256/HEX            manifests, configurations, layers as received (mostly compressed)
        unpacked/sha256/HEX.json    by diff_id: where a layer's files are, and which blob they came from
        incoming/ID/                what is on its way (addition.py)

What must hold: a blob under its digest's name has these bytes; so it gets the name when it has been verified and is on
the disk. index.json is written from the images' records, which alone say what a name means.
"""

from __future__ import annotations

import json
import os

from ch02_namespaces.errors import EngineError
from ch04_images import state
from final.images.digest import is_digest, verified
from final.images.documents import LARGEST_CONFIG, Descriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_NAME = "io.containerd.image.name"
VERSION = {"imageLayoutVersion": "1.0.0"}


class Unpacked:
    """A layer whose files are in the store.

    layer: its id there; size: bytes in its files; archive: bytes of its plain tar archive; blob: what it was unpacked
    from, None for a layer that was made here.
    """

    def __init__(self, layer: str, size: int, archive: int, blob: Descriptor | None) -> None:
        self.layer = layer
        self.size = size
        self.archive = archive
        self.blob = blob


def blob_path(digest: str) -> str:
    """Where a blob is, if it is."""
    algorithm, _, value = digest.partition(":")
    return state.place("oci", "blobs", algorithm, value)


def make_layout() -> None:
    """Make what of the layout is missing."""
    for algorithm in ("sha256", "sha512"):
        state.make_place("oci", "blobs", algorithm)
        state.make_place("oci", "unpacked", algorithm)
    state.make_place("oci", "incoming")
    if not os.path.exists(state.place("oci", "oci-layout")):
        state.write_record(state.place("oci", "oci-layout"), dict(VERSION))


def read_blob(what: str, digest: str, most: int = LARGEST_CONFIG) -> bytes:
    """A small blob, verified again. Raises EngineError if it is not there, too large or damaged."""
    try:
        with open(blob_path(digest), "rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise EngineError(what, f"{digest} is not in the store: {error.strerror}", "pull or load it again") from None
    return verified(f"{what}: {digest}", data, digest)


def blobs() -> Iterator[str]:
    """The digests of all blobs."""
    return _digests("blobs", "")


def write_index(descriptors: Sequence[tuple[str, str, Descriptor]]) -> None:
    """Write index.json. descriptors: short name, full name and manifest of each image. Nobody else writes it now."""
    manifests = [
        {**manifest.as_json(), "annotations": {REF_NAME: name, IMAGE_NAME: full}}
        for name, full, manifest in descriptors
    ]
    path = state.place("oci", "index.json")
    record = {"schemaVersion": 2, "manifests": manifests}
    if not os.path.exists(path) or state.read_record(path) != record:
        state.write_record(path, record)


# ---------------------------------------------------------------- unpacked layers


def _unpacked_path(diff_id: str) -> str:
    algorithm, _, value = diff_id.partition(":")
    return state.place("oci", "unpacked", algorithm, f"{value}.json")


def unpacked(diff_id: str) -> Unpacked | None:
    """Where the files of a layer are; None if they are not in the store."""
    return next(all_unpacked(diff_id), None)


def all_unpacked(diff_id: str) -> Iterator[Unpacked]:
    """The same, for all layers with these files: two processes may have made one each, and images stand on both."""
    try:
        with open(_unpacked_path(diff_id), "rb") as file:
            fields = json.load(file)
        blob = fields["blob"] and Descriptor(
            fields["blob"]["mediaType"], fields["blob"]["digest"], fields["blob"]["size"]
        )
        found = [Unpacked(layer, fields["size"], fields["archive"], blob) for layer in fields["layers"]]
    except (OSError, ValueError, KeyError, TypeError):  # a damaged one is as good as none: the layer is unpacked again
        return
    yield from (one for one in found if os.path.isdir(state.place("layers", one.layer)))


def remember_unpacked(diff_id: str, layer: Unpacked) -> None:
    """Write down where the files of a layer are: they are whole. Nobody else writes it now."""
    others = [one for one in all_unpacked(diff_id) if one.layer != layer.layer]
    blob = layer.blob or next((one.blob for one in others), None)
    record: dict[str, Any] = {
        "layers": [layer.layer, *(one.layer for one in others)],
        "size": layer.size,
        "archive": layer.archive,
        "blob": blob.as_json() if blob else None,
    }
    state.write_record(_unpacked_path(diff_id), record)


def diff_ids() -> Iterator[str]:
    """Those of all layers that are written down."""
    return _digests("unpacked", ".json")


def forget_unpacked(diff_id: str) -> None:
    """Remove what is written down of a layer."""
    os.unlink(_unpacked_path(diff_id))


def _digests(kind: str, suffix: str) -> Iterator[str]:
    for algorithm in ("sha256", "sha512"):
        try:
            names = os.listdir(state.place("oci", kind, algorithm))
        except FileNotFoundError:
            continue
        for name in names:
            digest = f"{algorithm}:{name.removesuffix(suffix)}"
            if name.endswith(suffix) and is_digest(digest):
                yield digest
