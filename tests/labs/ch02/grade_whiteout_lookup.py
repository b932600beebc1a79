"""Task whiteout-lookup."""

from __future__ import annotations

from tests.labs.checks import Draw, equal
from tests.labs.sandbox import Sandbox

SCRIPT = """
from ch02_namespaces.aufs_branches import Branch
from ch02_namespaces.aufs_union import Union

union = Union([Branch(path, "ro") for path in given["branches"]])
found = []
for name in given["names"]:
    entry, lowest = union.find(union.directory("/"), name)
    found.append([None if entry is None else [entry.branch, entry.name, entry.stat.st_size], lowest])
answer(found)
"""


def look_up(sandbox: Sandbox, names: list[str], *branches: dict[str, str]) -> list[list[object]]:
    """For each name: branch, name and size, or nothing; and the lowest branch in which it could be."""
    paths = []
    for number, files in enumerate(branches):
        path = sandbox.directory / f"branch{number}"
        path.mkdir()
        for name, content in files.items():
            (path / name).write_text(content)
        paths.append(str(path))
    found: list[list[object]] = sandbox.ask(SCRIPT, branches=paths, names=names)
    return found


def test_the_topmost_wins(sandbox: Sandbox, draw: Draw) -> None:
    """The first branch from above that has the name provides it."""
    above, below, both = draw.names(3)
    found = look_up(sandbox, [above, below, both], {above: "1", both: "12"}, {below: "123", both: "1234"})
    equal(found, [[[0, above, 1], 0], [[1, below, 3], 1], [[0, both, 2], 0]], "branch, name and size of each")


def test_whiteout_hides_below(sandbox: Sandbox, draw: Draw) -> None:
    """A whiteout in the middle hides the branches below it, not those above."""
    hidden, covered = draw.names(2)
    middle = {f".wh.{hidden}": "", f".wh.{covered}": ""}
    found = look_up(sandbox, [hidden, covered], {covered: "1"}, middle, {hidden: "12", covered: "123"})
    equal(found, [[None, 1], [[0, covered, 1], 0]], "the hidden name and the one above the whiteout")


def test_beside_its_whiteout(sandbox: Sandbox, draw: Draw) -> None:
    """A branch with a name and its whiteout shows the name: a whiteout hides what is below."""
    name = draw.name()
    found = look_up(sandbox, [name], {f".wh.{name}": "", name: "1"}, {name: "12"})
    equal(found, [[[0, name, 1], 0]], "branch, name and size")


def test_nowhere(sandbox: Sandbox, draw: Draw) -> None:
    """A name that no branch has could be seen in any: the lowest is the directory's bottom."""
    branches: list[dict[str, str]] = [{} for _ in range(draw.randint(2, 6))]
    equal(look_up(sandbox, [draw.name()], *branches), [[None, len(branches) - 1]], "nothing, and the lowest branch")
