"""Task merged-listing."""

from __future__ import annotations

import stat
from pathlib import Path

from tests.labs.checks import Draw, equal
from tests.labs.sandbox import Sandbox

SCRIPT = """
from ch02_namespaces.aufs_branches import Branch
from ch02_namespaces.aufs_union import Union

union = Union([Branch(path, "ro") for path in given["branches"]])
answer(sorted(union.listing(union.directory("/"))))
"""


def branches(sandbox: Sandbox, *names: list[str]) -> list[Path]:
    """Branches with empty files of these names."""
    paths = [sandbox.directory / f"branch{number}" for number in range(len(names))]
    for path, files in zip(paths, names, strict=True):
        path.mkdir()
        for name in files:
            (path / name).touch()
    return paths


def listed(sandbox: Sandbox, paths: list[Path]) -> list[list[object]]:
    found: list[list[object]] = sandbox.ask(SCRIPT, branches=[str(path) for path in paths])
    return found


def test_every_name_once(sandbox: Sandbox, draw: Draw) -> None:
    """A name that several branches have is listed once, those of one branch as well; . and .. are not."""
    above, below, both = draw.names(3)
    found = listed(sandbox, branches(sandbox, [above, both], [below, both]))
    equal([name for name, _, _ in found], sorted([above, below, both]), "the names")


def test_whiteouts(sandbox: Sandbox, draw: Draw) -> None:
    """A whiteout hides its name in the branches below it, not beside it nor above; whiteouts are not listed."""
    hidden, beside, above = draw.names(3)
    middle = [f".wh.{hidden}", f".wh.{beside}", beside, f".wh.{above}"]
    found = listed(sandbox, branches(sandbox, [above], middle, [hidden, beside, above]))
    equal([name for name, _, _ in found], sorted([above, beside]), "the names")


def test_own_names_are_hidden(sandbox: Sandbox, draw: Draw) -> None:
    """What begins with .wh. is the union's own and is never listed, also if it hides nothing."""
    name = draw.name()
    found = listed(sandbox, branches(sandbox, [".wh..wh.aufs", ".wh..wh..opq", name, f".wh.{draw.name()}"]))
    equal([name for name, _, _ in found], [name], "the names")


def test_types_and_numbers(sandbox: Sandbox, draw: Draw) -> None:
    """With each name come its type and the number of the topmost entry."""
    file, directory, link = draw.names(3)
    top, bottom = branches(sandbox, [file], [file])
    (top / directory).mkdir()
    (bottom / link).symlink_to(file)
    kinds = {file: stat.S_IFREG, directory: stat.S_IFDIR, link: stat.S_IFLNK}
    numbers = {file: top, directory: top, link: bottom}
    wanted = [[name, kinds[name], (numbers[name] / name).lstat().st_ino] for name in sorted(kinds)]
    equal(listed(sandbox, [top, bottom]), wanted, "name, type and number of each")
