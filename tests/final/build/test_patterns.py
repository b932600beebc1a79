"""Patterns, and what a .dockerignore leaves out: Docker's documented examples, and the corners."""

from __future__ import annotations

import random
import re
import time

import pytest

from ch02_namespaces.errors import EngineError
from final.build.patterns import Ignored, PatternError, _pieces, _Steps, expression


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("*.txt", ["a.txt", ".txt"], ["a/b.txt", "a.txtx", "a\n/b.txt"]),
        ("a?c", ["abc"], ["ac", "a/c"]),
        ("[a-c]x", ["bx"], ["dx", "/x"]),
        ("[^a-c]x", ["dx"], ["bx", "/x"]),
        ("a**", ["a", "ab/c"], ["b"]),
        ("**/x", ["x", "a/x", "a/b/x"], ["ax", "a/bx"]),
        ("a/**/b", ["a/b", "a/x/y/b"], ["ab"]),
        ("a.b+(c)", ["a.b+(c)"], ["axb+(c)"]),
        (r"\*", ["*"], ["a"]),
        ("[]a]", ["]", "a"], ["b"]),
        ("[[&~|]", ["[", "&", "~", "|"], ["a"]),
    ],
)
def test_patterns(pattern: str, fitting: list[str], others: list[str]) -> None:
    fits = expression(pattern).fullmatch
    assert [name for name in [*fitting, *others] if fits(name)] == fitting


def test_many_stars_mean_the_same() -> None:
    """And are found otherwise: step by step."""
    chosen = random.Random(1)
    for _ in range(3000):
        pattern = "".join(chosen.choices(["*", "**", "**/", "a", "b", "/", "?", "[a/]", "[^a]"], k=9))
        text = "".join(chosen.choices("ab/", k=chosen.randrange(9)))
        pieces = list(_pieces(pattern))
        plainly = re.compile("".join(pieces), re.DOTALL).fullmatch(text)
        assert _Steps(pieces).fullmatch(text) == bool(plainly), (pattern, text)


@pytest.mark.parametrize(
    "pattern", [12 * "*a" + "b", 3 * "**a" + "b", 9 * "**a" + "b", 40 * "*" + "b", 12 * "**/a/" + "b"]
)
def test_no_pattern_takes_for_ever(pattern: str) -> None:
    began = time.process_time()
    assert "/".join(["a" * 200, *100 * ["a"]]) not in Ignored([pattern])
    assert time.process_time() - began < 5


@pytest.mark.parametrize("pattern", ["[", "[a", "a\\", "[z-a]", "****[z-a]"])
def test_no_patterns(pattern: str) -> None:
    with pytest.raises(PatternError):
        expression(pattern)
    with pytest.raises(EngineError, match="f:2"):
        Ignored(["a", pattern], "f")


@pytest.mark.parametrize(
    ("lines", "left_out", "taken"),
    [
        ([], [], ["a", ".dockerignore"]),
        (["# comment", "", "  a  "], ["a", "a/b"], ["b", "# comment"]),
        (["*/temp*"], ["x/temporary.txt", "x/temp"], ["temp", "a/b/temp"]),
        (["*/*/temp*"], ["x/y/temp"], ["x/temp"]),
        (["temp?"], ["tempa", "tempb/x"], ["temp"]),
        (["**/*.go"], ["a.go", "a/b/c.go"], ["a.goo"]),
        (["*.md", "!README.md"], ["a.md"], ["README.md", "x/a.md"]),
        (["*.md", "!README*.md", "README-secret.md"], ["README-secret.md"], ["README.md"]),
        (["*.md", "README-secret.md", "!README*.md"], ["a.md"], ["README-secret.md"]),
        (["/a/", "./b/../c"], ["a", "a/x", "c"], ["b", "x/a"]),
        (["*", "!src", "src/x"], ["a", "src/x", "src/x/y"], ["src", "src/y"]),
        (["!a"], [], ["a"]),
        (["**"], ["a", "a/b"], []),
        (["."], [], ["a"]),
    ],
)
def test_ignored(lines: list[str], left_out: list[str], taken: list[str]) -> None:
    ignored = Ignored(lines)
    assert [path for path in [*left_out, *taken] if path in ignored] == left_out
