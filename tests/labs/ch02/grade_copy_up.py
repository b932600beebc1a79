"""Task copy-up."""

from __future__ import annotations

import os
from pathlib import Path

from tests.labs.checks import Draw, equal
from tests.labs.sandbox import Sandbox

SCRIPT = """
import os
from ch02_namespaces import aufs_copyup
from ch02_namespaces.aufs_branches import Branch
from ch02_namespaces.aufs_union import Entry, Union

union = Union([Branch(given["upper"], "rw"), Branch(given["lower"], "ro")])
directory = union.directory("/")
layer = directory.layers[1]
status = os.stat(given["name"], dir_fd=layer[1], follow_symlinks=False)
aufs_copyup._copy_entry(union, Entry(directory, layer, given["name"], status), directory, 0)
copy = os.stat(f"{given['upper']}/{given['name']}", follow_symlinks=False)
answer(union.number(copy.st_dev, copy.st_ino) == union.number(status.st_dev, status.st_ino))
"""


def make(sandbox: Sandbox) -> tuple[Path, Path]:
    """The upper branch and the lower one, which was not changed for an hour."""
    upper, lower = sandbox.directory / "upper", sandbox.directory / "lower"
    for path in (upper, lower):
        path.mkdir()
    return upper, lower


def copy_up(sandbox: Sandbox, upper: Path, lower: Path, name: str) -> bool:
    """Whether the copy has the number that the original was known by."""
    found: bool = sandbox.ask(SCRIPT, upper=str(upper), lower=str(lower), name=name)
    return found


def test_all_that_belongs_to_a_file(sandbox: Sandbox, draw: Draw) -> None:
    """The copy has the data, mode, owner and time of the original, which stays as it is."""
    upper, lower = make(sandbox)
    name, content, mode, uid = draw.name(), draw.content(), draw.choice([0o640, 0o4755, 0o600]), draw.randint(1, 60000)
    (lower / name).write_text(content)
    os.chown(lower / name, uid, uid)
    (lower / name).chmod(mode)
    os.utime(lower / name, (1_000_000, 1_000_000 + draw.randint(1, 999)))
    copy_up(sandbox, upper, lower, name)
    for branch, what in ((upper, "the copy"), (lower, "the original")):
        status = (branch / name).stat()
        found = [(branch / name).read_text(), status.st_mode & 0o7777, status.st_uid, status.st_mtime]
        equal(found, [content, mode, uid, os.stat(lower / name).st_mtime], f"data, mode, owner and time of {what}")


def test_nothing_else_is_seen(sandbox: Sandbox, draw: Draw) -> None:
    """Nothing is left under the temporary name, what a crash has left there is replaced, and the time of the directory
    stays: to users nothing has changed in it."""
    upper, lower = make(sandbox)
    name, content = draw.name(), draw.content()
    (lower / name).write_text(content)
    (upper / ".wh..wh.new").write_text("half a file")
    os.utime(upper, (2_000_000, 2_000_000))
    copy_up(sandbox, upper, lower, name)
    found = [[path.name, path.read_text()] for path in upper.iterdir()]
    equal([found, upper.stat().st_mtime], [[[name, content]], 2_000_000], "files of the branch, and its time")


def test_whiteout_gives_way(sandbox: Sandbox, draw: Draw) -> None:
    """A whiteout of that name goes; a directory in its place becomes opaque, so that nothing below shines through."""
    upper, lower = make(sandbox)
    name = draw.name()
    (lower / name).mkdir()
    (upper / f".wh.{name}").touch()
    copy_up(sandbox, upper, lower, name)
    found = sorted(str(path.relative_to(upper)) for path in upper.rglob("*"))
    equal(found, [name, f"{name}/.wh..wh..opq"], "what is in the branch")


def test_same_number(sandbox: Sandbox, draw: Draw) -> None:
    """Who looked at the file's inode number before sees the same one afterwards; and a link is copied as a link."""
    upper, lower = make(sandbox)
    name, target = draw.names(2)
    (lower / name).symlink_to(target)
    equal(copy_up(sandbox, upper, lower, name), True, "whether the number is the same")
    equal(os.readlink(upper / name), target, "where the link points to")
