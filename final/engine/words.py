"""Times and states in Docker's words: "Up 2 hours", "Exited (0) 3 days ago"; scripts read them."""

from __future__ import annotations

import time

from ch05_lifecycle import store
from ch05_lifecycle.init import INIT_INSIDE
from final.ages import duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ch05_lifecycle.store import Stored

PAUSED = "paused"
NEVER = "0001-01-01T00:00:00Z"


def command_of(settings: Mapping[str, Any]) -> list[str]:
    """What a container runs, as the user and its image say it: without the small PID 1 of --init."""
    argv: list[str] = settings["command"]
    return argv[2:] if argv[:2] == [INIT_INSIDE, "--"] else argv


def entrypoint_of(settings: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The same in two parts: the entrypoint, that of the image or of --entrypoint, and what follows it."""
    argv, own = command_of(settings), (settings.get("options") or {}).get("entrypoint")
    usual: list[str] = (settings.get("image_config") or {}).get("Entrypoint") or []
    entrypoint = usual if own is None else [own] if own else []
    return entrypoint, argv[len(entrypoint) :]


def mounts_of(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the user and the image have mounted into a container: without that PID 1."""
    return [mount for mount in settings.get("mounts") or [] if mount["target"] != INIT_INSIDE]


def state_of(stored: Stored, known: dict[str, Any]) -> str:
    """created, running, paused, restarting, exited. known: its state."""
    if known["status"] == store.RUNNING and store.group_of(stored).is_frozen():
        return PAUSED
    return str(known["status"])


def status_of(state: str, known: dict[str, Any], health: str) -> str:
    """A sentence about a container. state: see state_of(); health: starting, healthy, unhealthy or none."""
    now = time.time()
    if state in (store.RUNNING, PAUSED):
        up = f"Up {duration(now - known['started'])}"
        more = "Paused" if state == PAUSED else {"none": "", "starting": "health: starting"}.get(health, health)
        return f"{up} ({more})" if more else up
    if state in (store.EXITED, store.RESTARTING):
        word = "Exited" if state == store.EXITED else "Restarting"
        return f"{word} ({known['exit_code']}) {duration(now - known['finished'])} ago"
    return state.capitalize()


def moment(seconds: float) -> str:
    """A time as `inspect` prints it: RFC 3339, in UTC."""
    if not seconds:
        return NEVER
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1e9):09d}Z"


def local_moment(seconds: float) -> str:
    """A time as lists print it."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(seconds))


def print_reclaimed(size: int) -> None:
    """The last line of what `prune` prints. size: bytes."""
    from final.images.listing import decimal_size

    print(f"Total reclaimed space: {decimal_size(size)}")
