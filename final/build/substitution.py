"""Patterns within ${…}: what ${NAME#pattern}, ${NAME%pattern} and ${NAME/pattern/text} make of a value.

Source: Docker's "Dockerfile reference", "Environment replacement"; POSIX sh, 2.6.2. `*` is any text, `?` one letter;
a backslash takes away what the next letter means.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def without_beginning(value: str, pattern: str, longest: bool) -> str:
    """The value without a beginning that fits: the shortest one, or the longest."""
    found = _expression(_pieces(pattern), longest).match(value)
    return value[found.end() :] if found else value


def without_end(value: str, pattern: str, longest: bool) -> str:
    """The same for its end: the beginning, read backwards."""
    found = _expression(reversed(_pieces(pattern)), longest).match(value[::-1])
    return value[: len(value) - found.end()] if found else value


def replaced(value: str, pattern: str, text: str, every: bool) -> str:
    """The value with another text in the place of what fits: the first time, or every time."""
    if not pattern:
        return value
    return _expression(_pieces(pattern), longest=True).sub(lambda _: text, value, count=0 if every else 1)


def _pieces(pattern: str) -> list[str]:
    """Single letters, with their backslashes; of several * one is left, as it means the same."""
    found = re.findall(r"\\.|[^*]|\*+", pattern, re.DOTALL)
    return ["*" if piece.startswith("*") else piece for piece in found]


def _expression(pieces: Iterable[str], longest: bool) -> re.Pattern[str]:
    """Each but the last * stands for as little as it can, and that is settled, (?>…): the next one can stand for more.
    Else all combinations would be tried before it is clear that nothing fits."""
    runs = [""]
    for piece in pieces:
        if piece == "*":
            runs.append("")
        else:
            runs[-1] += "." if piece == "?" else re.escape(piece[-1])
    if len(runs) == 1:
        return re.compile(runs[0], re.DOTALL)
    first, *middle, last = runs
    settled = "".join(f"(?>.*?{run})" for run in middle)
    return re.compile(f"{first}{settled}{'.*' if longest else '.*?'}{last}", re.DOTALL)
