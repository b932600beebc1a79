"""Lists of parts, changed by kinds of parts: what the full engine adds to the runtime's list has its place there."""

from __future__ import annotations

from ch03_run.container import Part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    Kind = TypeVar("Kind", bound=Part)


def insert_before(parts: list[Part], kind: type[Part], more: list[Part]) -> None:
    """Put parts in front of the one of this kind."""
    at = position(parts, kind)
    parts[at:at] = more


def insert_after(parts: list[Part], kind: type[Part], more: list[Part]) -> None:
    """Put parts behind the one of this kind."""
    at = position(parts, kind) + 1
    parts[at:at] = more


def replace(parts: list[Part], kind: type[Part], one: Part) -> None:
    """Put another part in the place of the one of this kind."""
    parts[position(parts, kind)] = one


def one_of(parts: list[Part], kind: type[Kind]) -> Kind:
    """The part of this kind."""
    return next(part for part in parts if isinstance(part, kind))


def position(parts: list[Part], kind: type[Part]) -> int:
    """Where the part of this kind is."""
    return next(number for number, part in enumerate(parts) if isinstance(part, kind))
