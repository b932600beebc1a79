"""Task detach-keys."""

from __future__ import annotations

from tests.labs.checks import Draw, equal
from tests.labs.sandbox import Sandbox

SCRIPT = """
from ch05_lifecycle.attach import DetachKeys

found = []
for pieces in given["typed"]:
    keys = DetachKeys()
    passed = [keys.passed(piece.encode("latin-1")).decode("latin-1") for piece in pieces]
    found.append([passed, keys.has_left])
answer(found)
"""
LEAVE = "\x10\x11"  # ctrl-p ctrl-q


def typed(sandbox: Sandbox, *pieces: list[str]) -> list[tuple[list[str], bool]]:
    """For each row of pieces: what was passed on of each, and whether the user has left."""
    return [(passed, left) for passed, left in sandbox.ask(SCRIPT, typed=pieces)]


def test_plain_keys(sandbox: Sandbox, draw: Draw) -> None:
    """Keys are passed on as they come."""
    words = draw.names(3)
    equal(typed(sandbox, words), [(words, False)], "what was passed on, and whether the user has left")


def test_leaves(sandbox: Sandbox, draw: Draw) -> None:
    """ctrl-p ctrl-q is leaving: what was typed before is passed on, these two and what follows are not."""
    before, after = draw.names(2)
    equal(typed(sandbox, [f"{before}{LEAVE}{after}"]), [([before], True)], "what was passed on")


def test_one_by_one(sandbox: Sandbox, draw: Draw) -> None:
    """The two may come one by one: a ctrl-p is held back until the next key has come, then passed on before that."""
    word, key = draw.name(), draw.choice("abc")
    found = typed(sandbox, [f"{word}\x10", "\x11"], [f"{word}\x10", key], [f"{word}\x10", "\x10", "\x11"])
    wanted = [([word, ""], True), ([word, f"\x10{key}"], False), ([word, "\x10", ""], True)]
    equal(found, wanted, "what was passed on, and whether the user has left")


def test_other_order(sandbox: Sandbox, draw: Draw) -> None:
    """ctrl-q alone, or before ctrl-p, is a key like others."""
    word = draw.name()
    found = typed(sandbox, [f"\x11{word}\x11"], [f"\x11\x10{word}"])
    equal(found, [([f"\x11{word}\x11"], False), ([f"\x11\x10{word}"], False)], "what was passed on")
