"""A JSON document that somebody else wrote, read with care: each error names the place, such as `process.args[0]`.

Source: OCI runtime-spec, config.md and schema/config-schema.json.
"""

from __future__ import annotations

from ch02_namespaces.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SPEC = "1.3.0"
"""The version of the specification that we speak."""
KINDS = {dict: "an object", list: "an array", str: "a string", bool: "true or false", int: "a whole number"}
LARGEST = (1 << 64) - 1


class Node:
    """One value of a document, and where it stands. A field that is missing, or null, is a Node without a value."""

    def __init__(self, value: Any, place: str) -> None:
        self.value = value
        self.place = place

    def __bool__(self) -> bool:
        return self.value is not None

    def __getitem__(self, name: str) -> Node:
        """A field of an object; of an object that is missing, all fields are. Raises EngineError for what is none."""
        value = self._as(dict).get(name) if self else None
        return Node(value, f"{self.place}.{name}" if self.place else name)

    def items(self) -> list[Node]:
        """The elements of an array; none if it is missing. Raises EngineError."""
        values = self._as(list) if self else []
        return [Node(value, f"{self.place}[{number}]") for number, value in enumerate(values)]

    def fields(self) -> dict[str, Node]:
        """The fields of an object; none if it is missing. Raises EngineError."""
        return {name: self[name] for name in self._as(dict)} if self else {}

    def text(self, default: str | None = None) -> str:
        """A string without NUL characters. Raises EngineError, also if it is missing and there is no default."""
        if not self and default is not None:
            return default
        found: str = self._as(str)
        if "\0" in found:
            raise self.wrong("it contains a NUL character")
        return found

    def path(self, default: str | None = None) -> str:
        """An absolute path. Raises EngineError."""
        found = self.text(default)
        if not found.startswith("/"):
            raise self.wrong(f"{found!r} is no absolute path")
        return found

    def texts(self) -> list[str]:
        """An array of strings; empty if it is missing. Raises EngineError."""
        return [item.text() for item in self.items()]

    def flag(self, default: bool = False) -> bool:
        """true or false. Raises EngineError."""
        return bool(self._as(bool)) if self else default

    def number(self, default: int | None = None, least: int = 0, most: int = LARGEST) -> int:
        """A whole number within limits. Raises EngineError."""
        if not self and default is not None:
            return default
        found = self._as(int)
        if isinstance(found, bool) or not least <= found <= most:
            raise self.wrong(f"{found} is not from {least} to {most}")
        return int(found)

    def one_of(self, known: Any, default: str | None = None) -> str:
        """One of some words. Raises EngineError."""
        found = self.text(default)
        if found not in known:
            raise self.wrong(f"{found!r} is none of {', '.join(sorted(known))}")
        return found

    def wrong(self, why: str, hint: str = "") -> EngineError:
        """An error about this value."""
        return EngineError(f"config.json: {self.place or 'the document'}", why, hint)

    def _as(self, kind: type) -> Any:
        if self.value is None:
            raise self.wrong("it is missing")
        if not isinstance(self.value, kind):
            raise self.wrong(f"it is not {KINDS[kind]}")
        return self.value
