"""Task path-lookup."""

from __future__ import annotations

from pathlib import Path

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

SCRIPT = """
import os
from ch02_namespaces.errors import EngineError
from ch03_run.command import find_command

os.chdir(given["where"])
try:
    answer([0, find_command(given["name"].encode(), given["path"].encode()).decode()])
except EngineError as error:
    answer([error.exit_code, str(error)])
"""


def find(sandbox: Sandbox, name: str, path: str, where: str = "/") -> tuple[int, str]:
    """0 and the file, or the exit code of the error and its message."""
    code, text = sandbox.ask(SCRIPT, name=name, path=path, where=where)
    return code, text


def directories(sandbox: Sandbox, draw: Draw) -> list[Path]:
    """Three of them."""
    found = [sandbox.directory / name for name in draw.names(3)]
    for path in found:
        path.mkdir()
    return found


def program(path: Path, mode: int = 0o755) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def test_the_first_wins(sandbox: Sandbox, draw: Draw) -> None:
    """The directories are looked through in their order; what cannot be executed there is passed over."""
    name, (first, second, third) = draw.name(), directories(sandbox, draw)
    program(first / name, 0o644)
    program(second / name)
    program(third / name)
    equal(find(sandbox, name, f"{first}:{second}:{third}"), (0, f"{second}/{name}"), "exit code and file")


def test_with_a_slash(sandbox: Sandbox, draw: Draw) -> None:
    """A name with a slash is a path, and is not looked for."""
    name, (first, second, _) = draw.name(), directories(sandbox, draw)
    program(first / name)
    program(second / name)
    equal(find(sandbox, f"./{name}", str(first), str(second)), (0, f"./{name}"), "exit code and file")
    equal(find(sandbox, f"./{draw.name()}", str(first), str(second))[0], 127, "the exit code when it is missing")


def test_empty_entry(sandbox: Sandbox, draw: Draw) -> None:
    """An empty entry of PATH is the current directory."""
    name, (first, second, _) = draw.name(), directories(sandbox, draw)
    program(second / name)
    code, file = find(sandbox, name, f"{first}::/nowhere", str(second))
    equal([code, Path(second, file) == second / name], [0, True], "exit code, and whether it is the file there")


def test_not_found(sandbox: Sandbox, draw: Draw) -> None:
    """127 for a name that is nowhere, and for an empty one; the message has the name and the PATH."""
    name, (first, _, _) = draw.name(), directories(sandbox, draw)
    code, message = find(sandbox, name, str(first))
    equal(code, 127, "the exit code")
    holds(name in message and str(first) in message, f"a message with {name} and {first}", message)
    equal(find(sandbox, "", str(first))[0], 127, "the exit code for an empty name")


def test_found_but_cannot_run(sandbox: Sandbox, draw: Draw) -> None:
    """126 if all that has the name is a directory or may not be executed."""
    file, directory, (first, _, _) = draw.name(), draw.name(), directories(sandbox, draw)
    program(first / file, 0o644)
    (first / directory).mkdir()
    found = [find(sandbox, name, f"/nowhere:{first}")[0] for name in (file, directory)]
    equal(found, [126, 126], "exit codes of a file without the right, and of a directory")
