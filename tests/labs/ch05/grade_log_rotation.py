"""Task log-rotation."""

from __future__ import annotations

from tests.labs.checks import Draw, equal
from tests.labs.sandbox import Sandbox

SCRIPT = """
from ch05_lifecycle.logs import LogWriter

writer = LogWriter(given["path"], 100, given["files"])
for _ in range(given["times"]):
    writer._rotate()
answer("done")
"""


def rotate(sandbox: Sandbox, before: dict[str, str], files: int, times: int = 1) -> dict[str, str]:
    """The files afterwards, by name."""
    directory = sandbox.directory / "container"
    directory.mkdir()
    for name, content in before.items():
        (directory / name).write_text(content)
    sandbox.ask(SCRIPT, path=str(directory / "log"), files=files, times=times)
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_each_becomes_older(sandbox: Sandbox, draw: Draw) -> None:
    """log becomes log.1, log.1 becomes log.2, and the oldest goes; other files stay."""
    newest, older, oldest, other = draw.names(4)
    before = {"log": newest, "log.1": older, "log.2": oldest, "state.json": other}
    equal(rotate(sandbox, before, 3), {"log.1": newest, "log.2": older, "state.json": other}, "the files")


def test_the_first_time(sandbox: Sandbox, draw: Draw) -> None:
    """Where there are no older files yet, none is missed."""
    newest = draw.name()
    equal(rotate(sandbox, {"log": newest}, draw.randint(3, 9)), {"log.1": newest}, "the files")


def test_one_file_only(sandbox: Sandbox, draw: Draw) -> None:
    """If there is to be one file, the log begins anew."""
    equal(rotate(sandbox, {"log": draw.name()}, 1), {}, "the files")
