"""Patterns of paths: those of COPY and of .dockerignore. Source: Go's path.Match; Docker's "Build context"."""

from __future__ import annotations

import posixpath
import re

from ch02_namespaces.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SPECIAL = frozenset("*?[\\")
DIRECTORIES, ALL, SOME = "(?:.*/)?", ".*", "[^/]*"  # what **/, ** and * are as regular expressions
FEW = 2  # of these: re tries all combinations of their lengths


class PatternError(ValueError):
    """What is wrong with a pattern."""


def expression(pattern: str) -> re.Pattern[str] | _Steps:
    """A pattern as something that has fullmatch(). `*` and `?` stop at slashes, `**` does not; [a-z] and [^a-z] are
    one letter; a backslash takes away what the next letter means. Raises PatternError."""
    pieces = list(_pieces(pattern))
    try:
        if sum(piece in (DIRECTORIES, ALL, SOME) for piece in pieces) > FEW:
            return _Steps(pieces)
        return re.compile("".join(pieces), re.DOTALL)
    except re.error as error:
        raise PatternError(f"the pattern {pattern!r}: {error}") from None


class _Steps:
    """The same for a pattern of many stars, in time that grows with their number alone: piece by piece, with all
    places of the text up to which it may have come. Raises re.error."""

    def __init__(self, pieces: Sequence[str]) -> None:
        self._pieces = [(piece, re.compile(piece, re.DOTALL)) for piece in pieces]

    def fullmatch(self, text: str) -> bool:
        """Whether all of a text fits."""
        slashes = [at for at, letter in enumerate(text) if letter == "/"]
        places = {0}
        for piece, one in self._pieces:
            first = min(places)
            if piece == DIRECTORIES:
                places |= {at + 1 for at in slashes if at >= first}
            elif piece == ALL:
                places = set(range(first, len(text) + 1))
            elif piece == SOME:
                ends = {place: one.match(text, place).end() for place in places}  # type: ignore[union-attr]
                places = {at for place, end in ends.items() for at in range(place, end + 1)}
            else:
                places = {place + 1 for place in places if one.fullmatch(text, place, place + 1)}
            if not places:
                return False
        return len(text) in places


def _pieces(pattern: str) -> Iterator[str]:
    at = 0
    while at < len(pattern):
        piece, at = _piece(pattern, at)
        yield piece


def _piece(pattern: str, at: int) -> tuple[str, int]:
    """The next piece, and where the one after it begins."""
    letter = pattern[at]
    if pattern.startswith("**/", at):
        return DIRECTORIES, at + 3
    if pattern.startswith("**", at):
        return ALL, at + 2
    if letter == "*":
        return SOME, at + 1
    if letter == "?":
        return "[^/]", at + 1
    if letter == "[":
        return _one_of(pattern, at)
    if letter == "\\":
        at += 1
        if at == len(pattern):
            raise PatternError(f"the pattern {pattern!r} ends with a backslash")
    return re.escape(pattern[at]), at + 1


def _one_of(pattern: str, at: int) -> tuple[str, int]:
    """[a-z], [^a-z]."""
    begin = at + (2 if pattern.startswith("[^", at) else 1)
    end = pattern.find("]", begin + 1)
    if end < 0:
        raise PatternError(f"the pattern {pattern!r} has a [ without ]")
    letters = re.sub(r"([\[&~|^])", r"\\\1", pattern[begin:end])
    return f"(?!/)[{'^' if begin == at + 2 else ''}{letters}]", end + 1


def is_pattern(name: str) -> bool:
    """Whether it may mean several names."""
    return bool(SPECIAL & set(name))


class Ignored:
    """What a .dockerignore leaves out of a context. lines: of the file. Raises EngineError for patterns that are none.

    The last line that fits says whether a path is left out; one that fits a directory fits all that is in it. `!` takes
    something in again.
    """

    def __init__(self, lines: Sequence[str] = (), name: str = ".dockerignore") -> None:
        self._patterns: list[tuple[re.Pattern[str] | _Steps, bool]] = []
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if not text or line.startswith("#"):
                continue
            leaves_out = not text.startswith("!")
            pattern = posixpath.normpath(text.removeprefix("!").strip().lstrip("/") or ".")
            try:
                self._patterns.append((expression(pattern), leaves_out))
            except PatternError as error:
                raise EngineError(f"{name}:{number}", str(error), exit_code=1) from None
        self.has_exceptions = any(not leaves_out for _, leaves_out in self._patterns)
        """Whether something may be taken in below a directory that is left out."""

    def __contains__(self, path: str) -> bool:
        """Whether a path of the context, with slashes and without leading ones, is left out."""
        parts = path.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        found = False
        for pattern, leaves_out in self._patterns:
            if found != leaves_out and any(map(pattern.fullmatch, above)):
                found = leaves_out
        return found
