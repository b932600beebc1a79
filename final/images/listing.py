"""What `images`, `history` and `image inspect` show of an image: as Docker does, so that scripts find their fields."""

from __future__ import annotations

import fnmatch
import time

from ch02_namespaces.errors import EngineError
from ch04_images import containers, images
from ch04_images.image_names import split_name
from final.ages import duration
from final.images import layout, reference, store
from final.images.digest import short
from final.images.documents import parse_time
from final.images.removal import has_label
from final.shapes import OF_CONFIG, Record, Words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ch04_images.images import Image

NONE = "<none>"
WILD = frozenset("*?[")  # what makes a pattern of a name
YES, NO = ("true", "1"), ("false", "0")
IMAGES = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
    "VirtualSize": "SIZE",
    "Containers": "CONTAINERS",
}
HISTORY = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}
WIDEST_STEP = 45
UNITS = ("B", "kB", "MB", "GB", "TB")


def decimal_size(size: float) -> str:
    """Bytes as Docker prints them: 4.26MB."""
    number = 0
    while size >= 999.5 and number < len(UNITS) - 1:
        size, number = size / 1000, number + 1
    return f"{size:.3g}{UNITS[number]}"


def ago(seconds: int) -> str:
    """How long since a time in seconds since 1970."""
    return f"{duration(time.time() - seconds)} ago" if seconds else "N/A"


def local_time(seconds: int) -> str:
    """A time as Docker prints it in lists."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(seconds))


# ---------------------------------------------------------------- images


def image_rows(found: list[Image], no_trunc: bool) -> list[dict[str, Any]]:
    """A row an image, with the fields of IMAGES; the newest first."""
    users = [tuple(container.layers) for container in containers.every()]
    rows = []
    for image in sorted(found, key=lambda one: -one.created):
        name, tag = (NONE, NONE) if reference.is_nameless(image.name) else split_name(image.name)
        id = store.id_of(image)
        row = {
            "Repository": name,
            "Tag": tag or NONE,
            "Digest": digest_of_name(image) or NONE,
            "ID": id if no_trunc else short(id),
            "CreatedSince": ago(image.created),
            "CreatedAt": local_time(image.created),
            "Size": decimal_size(image.size),
            "VirtualSize": decimal_size(image.size),
            "SharedSize": "N/A",
            "UniqueSize": "N/A",
            "Containers": str(users.count(tuple(image.layers))),
        }
        rows.append(row)
    return rows


def digest_of_name(image: Image) -> str:
    """The digest by which its repository knows it; empty if no registry does."""
    if reference.is_nameless(image.name):
        return ""
    prefix = reference.parse(image.name).repository + "@"
    return next((full[len(prefix) :] for full in image.origin.get("digests", []) if full.startswith(prefix)), "")


def select(found: list[Image], name: str, filters: list[str]) -> list[Image]:
    """Those that a name and filters KEY=VALUE let through. Raises EngineError for filters that we don't have."""
    for text in filters:
        key, equals, value = text.partition("=")
        if not equals or key not in ("dangling", "reference", "label", "before", "since"):
            raise EngineError(
                f"--filter {text}", "there is no such filter", "dangling, reference, label, before, since"
            )
        moment = store.find(value).created if key in ("before", "since") else 0
        found = [image for image in found if _passes(image, key, value, moment)]
    if name and WILD.isdisjoint(name):
        wanted = reference.parse(name)
        has_tag = name.rpartition("/")[2].partition(":")[1] or "@" in name
        found = [
            image
            for image in found
            if image.name == wanted.name or (not has_tag and split_name(image.name)[0] == wanted.short_repository)
        ]
    elif name:
        found = [image for image in found if _is_called(image, name)]
    return found


def _passes(image: Image, key: str, value: str, moment: int) -> bool:
    if key == "dangling":
        if value.lower() not in YES + NO:
            raise EngineError(f"--filter dangling={value}", "it is neither true nor false")
        return reference.is_nameless(image.name) == (value.lower() in YES)
    if key == "label":
        return has_label(image, value)
    if key == "before":
        return image.created < moment
    if key == "since":
        return image.created > moment
    return _is_called(image, value)


def _is_called(image: Image, pattern: str) -> bool:
    """Whether a pattern fits its name, with or without the tag; no * goes beyond a slash."""
    wanted = pattern.split("/")
    names = (image.name.split("/"), split_name(image.name)[0].split("/"))
    return any(len(name) == len(wanted) and all(map(fnmatch.fnmatchcase, name, wanted)) for name in names)


# ---------------------------------------------------------------- history


def history_rows(image: Image, no_trunc: bool, human: bool = True) -> list[dict[str, Any]]:
    """A row a step, with the fields of HISTORY; the newest first. human: sizes are shortened."""
    image = store.identified(image)
    config = store.config_of(image)
    layers = iter(config.diff_ids)
    rows = []
    for step in config.history:
        layer = None if step.get("empty_layer") else next(layers, None)
        known = layout.unpacked(layer) if layer else None
        size = known.size if known else 0
        created = parse_time(step.get("created"))
        command = printable(step.get("created_by"))
        rows.append(
            {
                "ID": "<missing>",
                "CreatedSince": ago(created),
                "CreatedAt": local_time(created),
                "CreatedBy": command if no_trunc or len(command) <= WIDEST_STEP else command[: WIDEST_STEP - 1] + "…",
                "Size": decimal_size(size) if human else str(size),
                "Comment": printable(step.get("comment")),
            }
        )
    if rows:
        id = store.id_of(image)
        rows[-1]["ID"] = id if no_trunc else short(id)
    return rows[::-1]


def printable(value: object) -> str:
    """A line of somebody else's text, without what a terminal would obey."""
    line = " ".join(str(value or "").split())
    return "".join(character if character.isprintable() else "?" for character in line)


# ---------------------------------------------------------------- inspect


def inspected(image: Image) -> dict[str, Any]:
    """All that is known of an image: the fields of Docker's `image inspect`."""
    image = store.identified(image)
    config = store.config_of(image)
    names = store.names_of(store.id_of(image)) or [image]
    fields = config.fields
    digests = {_short_digest(full) for one in names for full in one.origin.get("digests", [])}
    return {
        "Id": store.id_of(image),
        "RepoTags": sorted(one.name for one in names if ":" in one.name and "@" not in one.name and _has_name(one)),
        "RepoDigests": sorted(digests),
        "Parent": "",
        "Comment": str((config.history or [{}])[-1].get("comment") or ""),
        "Created": fields.get("created") or "",
        "Author": fields.get("author") or "",
        "Config": _config(config.config),
        "Architecture": config.platform.architecture,
        **({"Variant": config.platform.variant} if config.platform.variant else {}),
        "Os": config.platform.os,
        "Size": image.size,
        "GraphDriver": {"Name": "overlay2", "Data": _directories(image)},
        "RootFS": {"Type": "layers", "Layers": config.diff_ids},
        "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
    }


def _config(known: dict[str, Any]) -> Record:
    labels = {"Labels": Words(known["Labels"])} if known.get("Labels") else {}
    return Record({**known, **labels}, OF_CONFIG)


def _has_name(image: Image) -> bool:
    return not reference.is_nameless(image.name)


def _short_digest(full: str) -> str:
    return reference.parse(full).name


def _directories(image: Image) -> dict[str, str]:
    *lower, upper = [images.layer_directory(layer) for layer in image.layers]
    return {"UpperDir": upper, **({"LowerDir": ":".join(lower[::-1])} if lower else {})}
