"""`system df`: how much room images, containers, volumes and steps of builds take, in sum or (-v) one by one."""

from __future__ import annotations

from ch02_namespaces.command_line import CliCommand, Flag, Options
from ch04_images import images, state
from ch05_lifecycle import names, store
from final.engine import container_list, volumes
from final.engine.container_list import LIVE, looked_at
from final.engine.usage import layer_bytes, tree_bytes
from final.images import listing
from final.images.digest import short
from final.images.listing import decimal_size
from final.images.store import every as every_image
from final.images.store import is_step
from final.output import LIST_FORMAT, print_one, print_rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ch04_images.images import Image

    Rows = list[dict[str, Any]]

SUMS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}
STEPS = {"ID": "CACHE ID", "CacheType": "CACHE TYPE", "Size": "SIZE", "CreatedSince": "CREATED", "Shared": "SHARED"}
VOLUMES = {"Name": "VOLUME NAME", "Links": "LINKS", "Size": "SIZE"}
OF_IMAGES = ["Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers"]
OF_CONTAINERS = ["ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names"]


def show_usage(options: Options) -> int:
    """`system df`: how much room things take, and how much `prune` would give back."""
    state.require_root()
    if options.verbose:
        return _show_each(options.format)
    print_rows([_images(), _containers(), _volumes(), _build_cache()], SUMS, list(SUMS), options.format)
    return 0


# ---------------------------------------------------------------- in sum


def _row(kind: str, total: int, active: int, size: int, unused: int) -> dict[str, Any]:
    share = f" ({round(unused / size * 100)}%)" if size else ""
    return {
        "Type": kind,
        "TotalCount": str(total),
        "Active": str(active),
        "Size": decimal_size(size),
        "Reclaimable": f"{decimal_size(unused)}{share}",
    }


def _images() -> dict[str, Any]:
    known = {tuple(image.layers) for image in images.every() if not is_step(image)}
    used = {tuple(stored.record.layers) for stored in store.every()}
    sizes = layer_sizes([layer for layers in known for layer in layers])
    needed = {layer for layers in used for layer in layers}
    unused = sum(size for layer, size in sizes.items() if layer not in needed)
    return _row("Images", len(known), len(known & used), sum(sizes.values()), unused)


def _containers() -> dict[str, Any]:
    sizes = [(one.state in LIVE, layer_bytes(one.stored)) for one in looked_at()]
    unused = sum(size for lives, size in sizes if not lives)
    return _row("Containers", len(sizes), sum(lives for lives, _ in sizes), sum(size for _, size in sizes), unused)


def _volumes() -> dict[str, Any]:
    used = {name for stored in store.every() for name in volumes.of(stored)}
    sizes = {one.name: tree_bytes(one.path) for one in volumes.every()}
    unused = sum(size for name, size in sizes.items() if name not in used)
    return _row("Local Volumes", len(sizes), len(used & set(sizes)), sum(sizes.values()), unused)


def _build_cache() -> dict[str, Any]:
    """Steps of builds; the layers that images have, too, are counted there."""
    own = {layer for step in _steps() for layer in step.layers} - _layers_of_images()
    size = sum(layer_sizes(own).values())
    return _row("Build Cache", len(_steps()), 0, size, size)


def _steps() -> list[Image]:
    return [image for image in images.every() if is_step(image)]


def _layers_of_images() -> set[str]:
    return {layer for image in images.every() if not is_step(image) for layer in image.layers}


def layer_sizes(layers: list[str] | set[str]) -> dict[str, int]:
    """The bytes in each of these layers, by its id."""
    return {layer: tree_bytes(images.layer_directory(layer)) for layer in set(layers)}


# ---------------------------------------------------------------- one by one


def _show_each(format: str | None) -> int:
    found = {
        "Images": image_rows(),
        "Containers": container_rows(),
        "Volumes": volume_rows(),
        "BuildCache": step_rows(),
    }
    if format and format != "table":
        return print_one(found, format)
    print("Images space usage:\n")
    print_rows(found["Images"], listing.IMAGES, OF_IMAGES)
    print("\nContainers space usage:\n")
    print_rows(found["Containers"], container_list.HEADERS, OF_CONTAINERS)
    print("\nLocal Volumes space usage:\n")
    print_rows(found["Volumes"], VOLUMES, list(VOLUMES))
    print(f"\nBuild cache usage: {_build_cache()['Size']}\n")
    print_rows(found["BuildCache"], STEPS, list(STEPS))
    return 0


def image_rows() -> Rows:
    """A row an image, with what it has in common with others, and what it alone has."""
    known = every_image()
    sizes = layer_sizes([layer for image in known for layer in image.layers])
    rows = []
    for image in sorted(known, key=lambda one: -one.created):
        others = {layer for other in known if other.layers != image.layers for layer in other.layers}
        shared = sum(sizes[layer] for layer in image.layers if layer in others)
        unique = sum(sizes[layer] for layer in image.layers) - shared
        (row,) = listing.image_rows([image], no_trunc=False)
        rows.append({**row, "SharedSize": decimal_size(shared), "UniqueSize": decimal_size(unique)})
    return rows


def container_rows() -> Rows:
    """A row a container, with what it has written."""
    named = names.all_names()
    return [
        {
            **container_list.row_of(one, named.get(one.stored.id, ""), whole=False, with_size=False),
            "Size": decimal_size(layer_bytes(one.stored)),
        }
        for one in looked_at()
    ]


def volume_rows() -> Rows:
    """A row a volume, with the number of containers that have it."""
    return [
        {"Name": one.name, "Links": str(len(volumes.users_of(one.name))), "Size": decimal_size(tree_bytes(one.path))}
        for one in volumes.every()
    ]


def step_rows() -> Rows:
    """A row a step of a build, the newest first. Shared: an image has its layer, too."""
    of_images = _layers_of_images()
    return [
        {
            "ID": short(step.name.rpartition("@")[2]),
            "CacheType": "regular",
            "Size": decimal_size(step.size),
            "CreatedSince": listing.ago(step.created),
            "Shared": str(step.layers[-1] in of_images).lower(),
        }
        for step in sorted(_steps(), key=lambda one: -one.created)
    ]


COMMAND = CliCommand(
    "Show how much room images, containers and volumes take.",
    [Flag("-v", "--verbose", help="each of them"), LIST_FORMAT],
    "",
    show_usage,
)
