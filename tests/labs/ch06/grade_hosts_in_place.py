"""Task hosts-in-place."""

from __future__ import annotations

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

SCRIPT = """
from ch06_network.hosts_file import merged

text = given["before"].encode()
for new in given["after"]:
    text = merged(text, new.encode())
answer(text.decode())
"""


def lines(draw: Draw, count: int) -> list[str]:
    """Lines of a hosts file, of different lengths."""
    names = draw.names(count)
    return [f"{draw.subnet()}.{draw.randint(2, 250)}\t{name}{'x' * draw.randint(0, 9)}\n" for name in names]


def merge(sandbox: Sandbox, before: list[str], *after: list[str]) -> str:
    found: str = sandbox.ask(SCRIPT, before="".join(before), after=["".join(new) for new in after])
    return found


def test_kept_lines_stay(sandbox: Sandbox, draw: Draw) -> None:
    """A line that was there and is wanted is where it was, byte for byte, so that who reads meanwhile finds it."""
    before = lines(draw, 6)
    kept = [before[0], before[3], before[5]]
    found = merge(sandbox, before, [*lines(draw, 2), *kept])
    for line in kept:
        equal(found.find(line), "".join(before).find(line), f"the place of {line!r}")


def test_all_and_no_others(sandbox: Sandbox, draw: Draw) -> None:
    """All wanted lines are there, once; of those that are not wanted nothing is left but empty lines."""
    before, new = lines(draw, 5), lines(draw, 4)
    wanted = [before[2], *new, before[4]]
    found = merge(sandbox, before, wanted)
    left = [line for line in found.splitlines(keepends=True) if line != "\n"]
    equal(sorted(left), sorted(wanted), "the lines that are not empty")


def test_room_is_used_again(sandbox: Sandbox, draw: Draw) -> None:
    """The text never becomes shorter; a line that fits where another was goes there: it does not grow for ever."""
    steady, first, second = lines(draw, 3)
    text = merge(sandbox, [steady, first, "\n"], *([steady, second], [steady, first]) * 5)
    size = len(steady) + len(first) + 1
    holds(size <= len(text) <= size + len(second), f"{size} to {size + len(second)} bytes", f"{len(text)} bytes")


def test_behind(sandbox: Sandbox, draw: Draw) -> None:
    """Without room, new lines come behind the others, in their order."""
    before, new = lines(draw, 3), lines(draw, 2)
    equal(merge(sandbox, before, [*before, *new]), "".join([*before, *new]), "the text")
