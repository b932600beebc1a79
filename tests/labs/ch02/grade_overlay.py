"""Task overlay."""

from __future__ import annotations

from pathlib import Path

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

SCRIPT = """
from ch02_namespaces.unionfs import mount_overlay

answer(mount_overlay(given["lowers"], given["target"], given.get("upper"), given.get("work")))
"""


def make(sandbox: Sandbox, *names: str) -> list[str]:
    """Directories, by their names."""
    paths = [sandbox.directory / name for name in names]
    for path in paths:
        path.mkdir()
    return [str(path) for path in paths]


def test_the_first_is_on_top(sandbox: Sandbox, draw: Draw) -> None:
    """Where several lower directories have a file, the first in the list shows; each other file shows as well."""
    *lowers, target = make(sandbox, *draw.names(3), "target")
    shared, contents = draw.name(), draw.names(3)
    for lower, content in zip(lowers, contents, strict=True):
        (Path(lower) / shared).write_text(content)
        (Path(lower) / f"only-{content}").touch()
    sandbox.ask(SCRIPT, lowers=lowers, target=target)
    equal(sandbox.shell(f"cat {target}/{shared}"), contents[0], "the file that all have")
    equal(sandbox.shell(f"ls {target} | grep -c only-"), "3", "how many of the others show")


def test_changes_go_to_the_upper(sandbox: Sandbox, draw: Draw) -> None:
    """What is changed and made lies in the upper directory afterwards; the lower one is as it was."""
    lower, upper, work, target = make(sandbox, "lower", "upper", "work", "target")
    name, new, content = draw.names(3)
    (Path(lower) / name).write_text("before")
    sandbox.ask(SCRIPT, lowers=[lower], target=target, upper=upper, work=work)
    sandbox.shell(f"echo {content} > {target}/{name}; echo {content} > {target}/{new}")
    equal((Path(lower) / name).read_text(), "before", "the file in the lower directory")
    found = {path.name: path.read_text().strip() for path in Path(upper).iterdir()}
    equal(found, {name: content, new: content}, "the files in the upper directory")


def test_read_only_without_upper(sandbox: Sandbox, draw: Draw) -> None:
    """Without an upper directory nothing can be written."""
    *lowers, target = make(sandbox, *draw.names(2), "target")
    sandbox.ask(SCRIPT, lowers=lowers, target=target)
    outcome = sandbox.run(["touch", f"{target}/{draw.name()}"])
    holds(
        "Read-only" in outcome.err, "that touch(1) is refused: Read-only file system", outcome.err or "it could write"
    )


def test_any_name(sandbox: Sandbox, draw: Draw) -> None:
    """Directories may have names with the characters that mean something in the options: `:` and `,`."""
    *lowers, target = make(sandbox, f"{draw.name()}:{draw.name()}", f"{draw.name()},{draw.name()}", "target")
    for number, lower in enumerate(lowers):
        (Path(lower) / f"file{number}").touch()
    sandbox.ask(SCRIPT, lowers=lowers, target=target)
    equal(sandbox.shell(f"ls {target}").split(), ["file0", "file1"], "what shows")


def test_refuses(sandbox: Sandbox, draw: Draw) -> None:
    """No lower directory, or one that is missing, is an EngineError before the kernel is asked."""
    (target,) = make(sandbox, "target")
    missing = str(sandbox.directory / draw.name())
    sandbox.refusal(SCRIPT, lowers=[], target=target)
    message = sandbox.refusal(SCRIPT, lowers=[missing], target=target)
    holds(missing in message, f"a message that names {missing}", message)
