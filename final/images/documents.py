"""Manifests, indexes and configurations: checked, as they are somebody else's. OCI image-spec; Docker's schema 2.

Sources: descriptor.md, manifest.md, image-index.md, config.md; Docker's "Image Manifest Version 2, Schema 2", which
says the same with other media types.
"""

from __future__ import annotations

import json

from ch02_namespaces.errors import EngineError
from ch04_images.images import MOST_LAYERS
from final.images import platform
from final.images.digest import is_digest
from final.images.platform import Platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

LARGEST_MANIFEST = 4 << 20  # bytes: distribution-spec, "Pushing Manifests"
LARGEST_CONFIG = 8 << 20  # bytes: our own bound
LARGEST_BLOB = 1 << 40
MOST_MANIFESTS = 10_000

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
MANIFESTS, INDEXES, CONFIGS = (
    frozenset((OCI_MANIFEST, DOCKER_MANIFEST)),
    frozenset((OCI_INDEX, DOCKER_INDEX)),
    frozenset((OCI_CONFIG, DOCKER_CONFIG)),
)
LAYERS = frozenset(
    f"application/vnd.{kind}{compression}"
    for kind, compressions in {
        "oci.image.layer.v1.tar": ("", "+gzip", "+zstd"),
        "oci.image.layer.nondistributable.v1.tar": ("", "+gzip", "+zstd"),
        "docker.image.rootfs.diff.tar": ("", ".gzip", ".zstd"),
        "docker.image.rootfs.foreign.diff.tar": ("", ".gzip", ".zstd"),
    }.items()
    for compression in compressions
)


class Descriptor:
    """What a document says of another or of a blob: its kind, digest and size in bytes. descriptor.md.

    platform: in an index, what the image is for; None if it does not say.
    """

    def __init__(
        self,
        media_type: str,
        digest: str,
        size: int,
        annotations: Mapping[str, str] | None = None,
        platform: Platform | None = None,
    ) -> None:
        self.media_type = media_type
        self.digest = digest
        self.size = size
        self.annotations = dict(annotations or {})
        self.platform = platform

    def as_json(self) -> dict[str, Any]:
        """As a document has it."""
        fields: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        return {**fields, **({"annotations": self.annotations} if self.annotations else {})}


class Manifest:
    """One image: its configuration, and its layers, the lowest first. data: the document as received."""

    def __init__(self, data: bytes, media_type: str, config: Descriptor, layers: list[Descriptor]) -> None:
        self.data = data
        self.media_type = media_type
        self.config = config
        self.layers = layers


class Index:
    """Images of one name for several platforms. data: the document as received."""

    def __init__(self, data: bytes, media_type: str, manifests: list[Descriptor]) -> None:
        self.data = data
        self.media_type = media_type
        self.manifests = manifests


class ImageConfig:
    """What an image consists of, and how it is run. diff_ids: digests of the layers' plain archives, the lowest first;
    fields: the whole document; data: as received."""

    def __init__(self, data: bytes, fields: dict[str, Any], diff_ids: list[str]) -> None:
        self.data = data
        self.fields = fields
        self.diff_ids = diff_ids

    @property
    def config(self) -> dict[str, Any]:
        """How it is run: Cmd, Env, …"""
        return self.fields.get("config") or {}

    @property
    def created(self) -> int:
        """When it was made, in seconds since 1970; 0 if it does not say so."""
        return parse_time(self.fields.get("created"))

    @property
    def platform(self) -> Platform:
        """What it was made for."""
        return platform.of_document(self.fields)

    @property
    def history(self) -> list[dict[str, Any]]:
        """How it was made, step by step."""
        return self.fields.get("history") or []


def parse_time(value: object) -> int:
    """Seconds since 1970 of a time as RFC 3339 has it; 0 for what is none, or cannot be."""
    import datetime

    text = value if isinstance(value, str) else ""
    whole, _, rest = text.partition(".")
    zone = rest.lstrip("0123456789")
    try:
        moment = datetime.datetime.fromisoformat(whole + zone)
        return max(0, int(moment.replace(tzinfo=moment.tzinfo or datetime.UTC).timestamp()))
    except (ValueError, OverflowError):
        return 0


def format_time(seconds: int) -> str:
    """The other way round, in UTC."""
    import time

    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def parse_object(what: str, data: bytes) -> dict[str, Any]:
    """A JSON object. Raises EngineError."""
    try:
        found = json.loads(data)
        json.dumps(found, ensure_ascii=False).encode()  # \ud800 alone is no character: nobody could print it
    except (ValueError, RecursionError):
        raise EngineError(what, "it is no JSON document") from None
    if not isinstance(found, dict):
        raise EngineError(what, "it is no JSON object")
    return found


def parse_manifest(what: str, data: bytes, content_type: str = "") -> Manifest | Index:
    """A manifest or an index. content_type: what the registry called it. Raises EngineError for anything else.

    A document that could be read as both is refused: CVE-2021-41190.
    """
    if len(data) > LARGEST_MANIFEST:
        raise EngineError(what, f"it has more than {LARGEST_MANIFEST >> 20} MiB")
    fields = parse_object(what, data)
    if fields.get("schemaVersion") == 1:
        raise EngineError(
            what, "it is of schema 1, which is out of use since 2017", "pull and push it with Docker < 26"
        )
    if fields.get("schemaVersion") != 2:
        raise EngineError(what, "it is no manifest of an image")
    media_type = fields.get("mediaType") or content_type.partition(";")[0].strip()
    is_index = "manifests" in fields
    if is_index and ("layers" in fields or "config" in fields):
        raise EngineError(what, "it is a manifest and an index in one")
    if media_type not in (INDEXES if is_index else MANIFESTS):
        if media_type in INDEXES | MANIFESTS or fields.get("mediaType"):
            raise EngineError(what, f"it is no {media_type!r}, or not one that we know")
        media_type = OCI_INDEX if is_index else OCI_MANIFEST
    if is_index:
        return Index(data, media_type, _descriptors(what, fields.get("manifests"), MOST_MANIFESTS))
    return _manifest(what, data, media_type, fields)


def _manifest(what: str, data: bytes, media_type: str, fields: dict[str, Any]) -> Manifest:
    config = _descriptor(what, fields.get("config"))
    layers = _descriptors(what, fields.get("layers"), MOST_LAYERS)
    if config.media_type not in CONFIGS:
        raise EngineError(what, f"it is no image of a container, but a {config.media_type!r}")
    if config.size > LARGEST_CONFIG:
        raise EngineError(what, f"its configuration has more than {LARGEST_CONFIG >> 20} MiB")
    for layer in layers:
        if layer.media_type not in LAYERS:
            raise EngineError(what, f"a layer is a {layer.media_type!r}, which we cannot unpack")
    return Manifest(data, media_type, config, layers)


def _descriptors(what: str, values: object, most: int) -> list[Descriptor]:
    if not isinstance(values, list) or len(values) > most:
        raise EngineError(what, f"it lists nothing, or more than {most}")
    return [_descriptor(what, value) for value in values]


def _descriptor(what: str, value: object) -> Descriptor:
    fields = value if isinstance(value, dict) else {}
    media_type, digest, size = (fields.get(key) for key in ("mediaType", "digest", "size"))
    if not isinstance(media_type, str) or not is_digest(digest):
        raise EngineError(what, "a descriptor has no media type, or no digest that we know")
    if type(size) is not int or not 0 <= size <= LARGEST_BLOB:
        raise EngineError(what, f"a descriptor has a size that cannot be: {size!r}")
    annotations = fields.get("annotations")
    texts = annotations.items() if isinstance(annotations, dict) else ()
    target = fields.get("platform")
    return Descriptor(
        media_type,
        digest,
        size,
        {key: text for key, text in texts if isinstance(text, str)},
        platform.of_document(target) if isinstance(target, dict) else None,
    )


def parse_config(what: str, data: bytes) -> ImageConfig:
    """The configuration of an image. Raises EngineError. What is in its `config`, ch04_images.images.check() checks."""
    fields = parse_object(what, data)
    rootfs = fields.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or not all(map(is_digest, diff_ids)):
        raise EngineError(what, "its rootfs.diff_ids are no digests")
    if not isinstance(fields.get("config") or {}, dict):
        raise EngineError(what, "its config is no object")
    _check_run_settings(what, fields.get("config") or {})
    history = fields.get("history") or []
    if not isinstance(history, list) or not all(isinstance(step, dict) for step in history):
        raise EngineError(what, "its history is no list of objects")
    return ImageConfig(data, fields, diff_ids)


def _check_run_settings(what: str, config: dict[str, Any]) -> None:
    """Raise EngineError unless what says how it is run has the types of config.md, as far as anybody reads it."""
    texts = {key: config.get(key) for key in ("StopSignal", "User", "WorkingDir")}
    lists = {key: config.get(key) for key in ("Cmd", "Entrypoint", "Env", "OnBuild", "Shell")}
    mappings = {key: config.get(key) for key in ("ExposedPorts", "Healthcheck", "Labels", "Volumes")}
    wrong = [key for key, value in texts.items() if not isinstance(value or "", str)]
    wrong += [key for key, value in lists.items() if not _is_list_of_texts(value or [])]
    wrong += [key for key, value in mappings.items() if not isinstance(value or {}, dict)]
    labels = config.get("Labels") or {}
    if not wrong and not all(isinstance(value, str) for value in labels.values()):
        wrong = ["Labels"]
    if wrong:
        raise EngineError(what, f"its {wrong[0]} has another type than it must have")


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
