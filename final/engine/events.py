"""What happens, written down by whoever makes it happen: one line a thing, for `events` to show. No daemon.

    events, events.1   JSON, an object a line, in the shape of Docker's API ("Monitor events")

A line is written with a lock on the file, so that none is lost when the file has its full size and becomes events.1.
"""

from __future__ import annotations

import fcntl
import os
import time

from ch02_namespaces.errors import EngineError
from ch04_images import state
from ch05_lifecycle import names, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ch05_lifecycle.store import Stored

FILE = "events"
FULL = 4 << 20  # bytes
FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
NANOSECOND = 1_000_000_000

_named: dict[str, str] = {}  # the last known name of a container, by id


def listen() -> None:
    """Write down from now on what this process does to containers."""
    store.observer = _of_container


def _of_container(stored: Stored, what: str, more: Mapping[str, str]) -> None:
    try:
        labels = stored.settings.get("labels") or {}
    except EngineError:  # it is removed with its damaged record
        labels = {}
    image = stored.record.image.removesuffix(":latest")
    attributes = {**labels, "image": image, "name": _name_of(stored.id), **more}
    record("container", what, stored.id, attributes, {"status": what, "id": stored.id, "from": image})


def _name_of(id: str) -> str:
    if names.id_of(_named.get(id, "")) != id:
        _named[id] = names.of(id)
    return _named[id]


def record(kind: str, what: str, id: str, attributes: Mapping[str, str], more: Mapping[str, str] | None = None) -> None:
    """Write down one thing. kind: container, image, volume or network; id: whose, or its name."""
    now = time.time_ns()
    actor = {"ID": id, "Attributes": dict(attributes)}
    when = {"scope": "local", "time": now // NANOSECOND, "timeNano": now}
    event = {**(more or {}), "Type": kind, "Action": what, "Actor": actor, **when}
    try:
        _append(f"{state.json_of(event)}\n".encode())
    except OSError:  # a full disk: what has been done is done, and nobody may be stopped from ending
        return


def _append(line: bytes) -> None:
    path = f"{state.make_place()}/{FILE}"
    while True:
        file = os.open(path, FLAGS, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_still(path, file):
                os.write(file, line)
                if os.fstat(file).st_size >= FULL:
                    os.rename(path, f"{path}.1")
                return
        finally:
            os.close(file)


def _is_still(path: str, file: int) -> bool:
    """Whether the file has this name: while we waited for the lock, somebody may have renamed it."""
    try:
        return os.stat(path).st_ino == os.fstat(file).st_ino
    except FileNotFoundError:
        return False
