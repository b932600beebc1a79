"""What containers are called: names that are unique, also when twenty processes want the same one. Book section 5.2.

A name is a symbolic link in `names` that leads to an id. symlink(2) makes it or says that it is there, so those who
make names need not wait for each other. Who takes one away does so alone (flock(2) on the directory): between a look at
a link and its removal, another container could get that name.
"""

from __future__ import annotations

import fcntl
import os

from ch02_namespaces.errors import EngineError
from ch02_namespaces.locks import locked
from ch04_images import state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
LONGEST = 128
QUALITIES = (
    *("able", "blue", "bold", "calm", "dear", "fair", "fast", "fond", "free", "glad", "good", "keen", "kind", "neat"),
    *("pure", "safe", "sure", "tidy", "true", "warm", "wise"),
)
THINGS = (
    *(
        "bank",
        "barge",
        "boat",
        "crane",
        "dock",
        "ferry",
        "fleet",
        "gate",
        "hull",
        "keel",
        "mast",
        "oar",
        "pier",
        "port",
    ),
    *("quay", "raft", "sail", "ship", "tide", "vessel"),
)


def check(name: str) -> None:
    """Raise EngineError for a name that is not allowed: letters, digits, and `_.-` but not first."""
    if not 1 <= len(name) <= LONGEST or not set(name) <= ALLOWED or name[0] in "_.-":
        raise EngineError(
            f"name {name!r}", "it is not allowed", "letters, digits, and _ . - but not first; at most 128"
        )


def claim(name: str, id: str) -> None:
    """Give a name to a container. Raises EngineError if another has it."""
    check(name)
    directory = state.make_place("names")
    with locked(directory, fcntl.LOCK_SH):
        try:
            os.symlink(id, f"{directory}/{name}")
            return
        except FileExistsError:
            pass
    if not _is_stale(name):
        raise EngineError(f"name {name!r}", f"container {state.short(id_of(name) or '')} has it")
    sweep()
    claim(name, id)


def claim_any(id: str) -> str:
    """Give a container a name that nobody has; the name."""
    for attempt in range(1000):
        number = str(attempt) if attempt > 20 else ""
        name = f"{_one_of(QUALITIES)}_{_one_of(THINGS)}{number}"
        try:
            claim(name, id)
            return name
        except EngineError:
            continue
    raise EngineError("name", "a thousand attempts found none that is free", "--name NAME")


def _one_of(words: tuple[str, ...]) -> str:
    return words[int.from_bytes(os.urandom(2), "big") % len(words)]


def id_of(name: str) -> str | None:
    """The id of the container with this name, if there is one."""
    if not set(name) <= ALLOWED or name in ("", ".", ".."):
        return None
    try:
        return os.readlink(state.place("names", name))
    except OSError:
        return None


def of(id: str) -> str:
    """The name of a container; empty if it has none."""
    return all_names().get(id, "")


def all_names() -> dict[str, str]:
    """The names of all containers, by id."""
    return {id: name for name in _entries() if (id := id_of(name))}


def rename(id: str, new: str) -> None:
    """Give a container another name. If we are killed in between, it has both. Raises EngineError."""
    claim(new, id)
    _take_away(lambda name: name != new and id_of(name) == id)


def release(id: str) -> None:
    """Take a container's names away."""
    _take_away(lambda name: id_of(name) == id)


def sweep() -> None:
    """Take away the names of containers that are gone."""
    _take_away(_is_stale)


def _take_away(is_meant: Callable[[str], bool]) -> None:
    if not os.path.isdir(state.place("names")):
        return
    with locked(state.place("names"), fcntl.LOCK_EX):
        for name in filter(is_meant, _entries()):
            os.unlink(state.place("names", name))


def _is_stale(name: str) -> bool:
    id = id_of(name)
    return id is not None and not os.path.isdir(state.place("containers", id))


def _entries() -> list[str]:
    try:
        return os.listdir(state.place("names"))
    except FileNotFoundError:
        return []
