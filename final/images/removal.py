"""rmi and image prune: names go, and with the last name of an image what only it needed. As Docker does it."""

from __future__ import annotations

from ch02_namespaces.errors import EngineError
from ch04_images import containers, images, state
from final.images import reference, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ch04_images.images import Image


def remove(text: str, force: bool) -> list[str]:
    """Take a name from an image, or, given by its id, all of them; what happened, a line each.

    An id of several names takes `force`, and so does the last name as long as a container stands on it; then the
    container keeps the layers. Raises EngineError.
    """
    by_name = store.named(text)
    image = by_name or store.find(text)
    id = store.id_of(image)
    every_name = store.names_of(id) if id else [image]
    going = [image] if by_name else every_name
    if len(going) > 1 and not force:
        names = ", ".join(one.name for one in going)
        raise EngineError(f"image {text!r}", f"it has {len(going)} names: {names}", "one of these, or -f")
    if len(going) == len(every_name) and not force:
        _check_unused(text, going)
    lines = []
    for one in going:
        images.remove(one.name, force=True)
        if not reference.is_nameless(one.name):
            lines.append(f"Untagged: {one.name}")
    store.settle()
    if len(going) == len(every_name):
        lines.append(f"Deleted: {id}" if id else f"Deleted: {image.name}")
    return lines


def _check_unused(text: str, names: list[Image]) -> None:
    user = next(filter(None, map(images.user_of, names)), "")
    if user:
        short = state.short(user)
        raise EngineError(f"image {text!r}", f"container {short} stands on it", f"`rm {short}` first, or -f")


def prune(all_unused: bool, may_go: Callable[[Mapping[str, str], float], bool]) -> list[str]:
    """Remove the images without a name, or, with `all_unused`, all on which no container stands. may_go: whether one
    may, by its labels and its age. The lines are those of remove().
    """
    used = {tuple(container.layers) for container in containers.every()}
    lines: list[str] = []
    gone: set[str] = set()
    for image in images.every():
        unused = tuple(image.layers) not in used and not store.is_step(image)
        goes = unused and (all_unused or reference.is_nameless(image.name))
        if goes and may_go(image.config.get("Labels") or {}, image.created):
            images.remove(image.name, force=True)
            if not reference.is_nameless(image.name):
                lines.append(f"Untagged: {image.name}")
            gone.add(store.id_of(image))
    store.settle()
    left = {store.id_of(image) for image in images.every()}
    return lines + [f"Deleted: {id}" for id in sorted(gone - left) if id]


def has_label(image: Image, wanted: str) -> bool:
    """Whether an image has a label: KEY, or KEY=VALUE."""
    key, equals, value = wanted.partition("=")
    labels = image.config.get("Labels") or {}
    return isinstance(labels, dict) and key in labels and (not equals or labels[key] == value)
