"""What grading tests say when something is not as it should be: what was expected and what happened, in words."""

from __future__ import annotations

import os
import random
from typing import Any

LONGEST = 300
NOTHING = "nothing is written yet"


class MismatchError(AssertionError):
    """expected, happened: each half a sentence for the student."""

    def __init__(self, expected: str, happened: str) -> None:
        super().__init__(f"expected {expected}; {happened}")
        self.expected = expected
        self.happened = happened


def equal(found: Any, wanted: Any, what: str) -> None:
    """Raise MismatchError unless both are the same. what: of which value we speak."""
    if found != wanted:
        raise MismatchError(f"{what}: {shown(wanted)}", shown(found))


def holds(condition: object, expected: str, happened: str) -> None:
    """Raise MismatchError unless the condition is true."""
    if not condition:
        raise MismatchError(expected, happened)


def shown(value: Any) -> str:
    """A value for people."""
    text = repr(value)
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


class Draw(random.Random):
    """Values by chance, so that an answer which somebody has typed in does not fit. `grade --seed` repeats them."""

    def name(self) -> str:
        """A word of eight letters."""
        return "".join(self.choices("abcdefghijkmnopqrstuvwxyz", k=8))

    def names(self, count: int) -> list[str]:
        """Some words, all different."""
        found: set[str] = set()
        while len(found) < count:
            found.add(self.name())
        return self.sample(sorted(found), count)

    def port(self) -> int:
        """A port that is neither well known nor ephemeral."""
        return self.randint(2000, 30000)

    def subnet(self) -> str:
        """The first three numbers of a /24 of private addresses, such as 10.81.7."""
        return f"10.{self.randint(100, 250)}.{self.randint(1, 250)}"

    def content(self, size: int = 200) -> str:
        """Some text."""
        return "".join(self.choices("abcdefghijklmnopqrstuvwxyz \n", k=size))


def new_seed() -> str:
    """A seed that nobody can foresee."""
    return os.urandom(4).hex()
