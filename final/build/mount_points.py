"""Places that are only there because something was mounted on them: they go again, and leave no trace in the new layer.

A mount needs something to be mounted on, and the container makes it where it is missing. When the step is done, what is
new and empty is removed, with the new directories in which it was; and so is a directory that overlayfs has only copied
up for its sake. BuildKit does the same. Links of the image are followed within its layers, and lead nowhere else.
"""

from __future__ import annotations

import os
import stat

from ch04_images import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ch04_images.containers import ContainerRecord

MOST_LINKS = 40  # as many as the kernel follows: path_resolution(7)
OF_COPIES = tuple(f"{space}.overlay.{name}" for space in ("trusted", "user") for name in ("origin", "impure"))
"""What overlayfs writes on a directory that it has copied up, and means nothing without the layers below."""


def remove(record: ContainerRecord, targets: Iterable[str]) -> None:
    """Remove them from the layer of a container that has ended. Raises OSError."""
    tops = [record.path("upper"), *(images.layer_directory(layer) for layer in reversed(record.layers))]
    for target in targets:
        path = _real(tops, target)
        while path != "/" and _is_new_and_empty(tops, path):
            place = tops[0] + path
            os.rmdir(place) if os.path.isdir(place) else os.unlink(place)
            path = os.path.dirname(path)
        while path != "/" and _is_mere_copy(tops, path):
            os.rmdir(tops[0] + path)
            path = os.path.dirname(path)


def _real(tops: Sequence[str], path: str) -> str:
    """Where a path leads in the union of layers, the upper one first."""
    found, left = "/", path.split("/")[::-1]
    for _ in range(MOST_LINKS):
        while left:
            name = left.pop()
            here = os.path.normpath(os.path.join(found, name))
            link = _link(tops, here)
            if link:
                found, left = "/" if link.startswith("/") else found, left + link.split("/")[::-1]
                break
            found = here
        else:
            return found
    return path


def _link(tops: Sequence[str], path: str) -> str:
    """Where a symbolic link leads; empty for what is none."""
    top = next((top for top in tops if _is_there(top, path)), None)
    return os.readlink(top + path) if top is not None and os.path.islink(top + path) else ""


def _is_new_and_empty(tops: Sequence[str], path: str) -> bool:
    """Whether only the new layer has it, and nothing is in it."""
    if any(_is_there(top, path) for top in tops[1:]) or not _is_there(tops[0], path):
        return False
    status = os.lstat(tops[0] + path)
    if stat.S_ISDIR(status.st_mode):
        return not os.listdir(tops[0] + path)
    return stat.S_ISREG(status.st_mode) and not status.st_size


def _is_mere_copy(tops: Sequence[str], path: str) -> bool:
    """Whether it is a directory of the layers below, in which nothing has changed but the time."""
    below = next((top for top in tops[1:] if _is_there(top, path)), None)
    if below is None or not _is_there(tops[0], path):
        return False
    return _described(tops[0] + path) == _described(below + path) and not os.listdir(tops[0] + path)


def _described(path: str) -> tuple[object, ...]:
    """A directory, without its times; nothing for anything else."""
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        return (path,)
    names = sorted(set(os.listxattr(path, follow_symlinks=False)).difference(OF_COPIES))
    return status.st_mode, status.st_uid, status.st_gid, [(name, os.getxattr(path, name)) for name in names]


def _is_there(top: str, path: str) -> bool:
    """Whether there is something; not below a link, which may lead out of the layer."""
    above = os.path.dirname(path)
    return os.path.realpath(top + above) == os.path.realpath(top) + above.rstrip("/") and os.path.lexists(top + path)
