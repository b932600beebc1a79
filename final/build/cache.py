"""The cache: the layers of steps that have been done, by what they were made of.

A step is kept as an image of its own, `build-cache@sha256:KEY`, so that chapter 4 keeps its layers. Lists do not show
it (final/images/store.py), and only we write the note in its origin by which it is known: an archive or a registry that
brings an image of such a name brings none. What RUN --mount=type=cache keeps lies beside, in build-cache/.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os

from ch02_namespaces.errors import EngineError
from ch02_namespaces.locks import lock
from ch04_images import images, state
from final.images import store
from final.images.digest import is_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

PREFIX = "build-cache@sha256:"
DIRECTORY = "build-cache"  # below the state directory
FORM = 1
"""Of keys: another number makes all that was kept worthless."""


class Step:
    """What a step has made. diff_id: of its layer; created: in seconds since 1970."""

    def __init__(self, diff_id: str, created: int) -> None:
        self.diff_id = diff_id
        self.created = created


def key_of(diff_ids: Sequence[str], *parts: object) -> str:
    """The key of a step. diff_ids: of the layers that it stands on; parts: all else that decides what it makes."""
    text = state.json_of([FORM, list(diff_ids), *parts])
    return hashlib.sha256(text.encode()).hexdigest()


def find(key: str) -> Step | None:
    """The step of this key, if it is kept."""
    try:
        kept = images.find(PREFIX + key)
    except EngineError:
        return None
    note = kept.origin.get(store.STEP)
    return Step(note, kept.created) if is_digest(note) else None


def keep(key: str, layers: Sequence[str], step: Step, size: int) -> None:
    """Keep a step. layers: ids of all that it stands on, and its own; the caller holds locks on them; size: bytes in
    the files of its own layer."""
    images.put(images.Image(PREFIX + key, layers, {}, size, step.created, {store.STEP: step.diff_id}))


def directory_of(id: str, how: int = fcntl.LOCK_SH) -> tuple[str, int]:
    """The directory of RUN --mount=type=cache,id=ID, and a descriptor that keeps it as long as it is open. how: alone
    (fcntl.LOCK_EX), or with others; with LOCK_NB, BlockingIOError is raised in place of waiting."""
    path = state.make_place(DIRECTORY, hashlib.sha256(id.encode(errors="surrogateescape")).hexdigest())
    return path, lock(path, how)


def prune() -> list[str]:
    """Forget all steps, and remove the directories that no build is using; the keys of what went."""
    gone = [image.name for image in images.every() if store.is_step(image)]
    for name in gone:
        with contextlib.suppress(EngineError):  # somebody else has just removed it
            images.remove(name, force=True)
    store.settle()
    top = state.place(DIRECTORY)
    names = os.listdir(top) if os.path.isdir(top) else []
    return [name.removeprefix(PREFIX) for name in gone] + [name for name in names if _remove_directory(f"{top}/{name}")]


def _remove_directory(path: str) -> bool:
    try:
        held = lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):  # a build is using it
        return False
    try:
        state.remove_tree(path)
    finally:
        os.close(held)
    return True
