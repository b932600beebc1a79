"""Task delete."""

from __future__ import annotations

from typing import Any

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

SCRIPT = """
import os, time
from ch02_namespaces import namespaces
from ch02_namespaces.errors import EngineError
from ch03_run import container as loop

log = []

class Named(loop.Part):
    def __init__(self, name):
        self.name = name
    def cleanup(self, container):
        log.append([self.name, os.path.exists(f"/proc/{pid}")])
        if self.name in given["fail"]:
            raise EngineError(self.name, "on purpose")
        if self.name in given["break"]:
            raise ValueError(self.name)

container = loop.Container("x", None, [Named(name) for name in given["parts"]])
container._prepared = container.parts[: given["prepared"]]
container._go.open()
container._report.open()
ends = [container._go.reader, container._go.writer, container._report.reader, container._report.writer]
container.process = namespaces.spawn(0, lambda: time.sleep(1000) or 0)
pid = container.process.pid
errors = []
for _ in range(given["times"]):
    try:
        loop.delete(container)
    except EngineError as error:
        errors.append(str(error))
still = [end for end in ends if os.path.exists(f"/proc/self/fd/{end}")]
answer({"log": log, "errors": errors, "open": len(still)})
"""


def delete(sandbox: Sandbox, parts: list[str], **options: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"prepared": len(parts), "fail": [], "break": [], "times": 1, **options}
    found: dict[str, Any] = sandbox.ask(SCRIPT, parts=parts, **given)
    return found


def test_process_first_then_backwards(sandbox: Sandbox, draw: Draw) -> None:
    """The process is ended first; then the parts that were prepared are cleaned up in reverse order, no others."""
    parts = draw.names(5)
    found = delete(sandbox, parts, prepared=3)
    equal(found["log"], [[name, False] for name in reversed(parts[:3])], "parts, and whether the process was there")
    equal(found["open"], 0, "ends of the pipes that are still open")


def test_one_failure_does_not_stop_the_rest(sandbox: Sandbox, draw: Draw) -> None:
    """Each part has its turn, whatever another one raises; the error at the end names all failures."""
    parts = draw.names(4)
    found = delete(sandbox, parts, **{"fail": [parts[3]], "break": [parts[1]]})
    equal([name for name, _ in found["log"]], parts[::-1], "the parts that had their turn")
    named = [name for name in (parts[1], parts[3]) if name in "".join(found["errors"])]
    equal(named, [parts[1], parts[3]], "the failures that the error names")


def test_twice(sandbox: Sandbox, draw: Draw) -> None:
    """A second call does nothing: each part is cleaned up once."""
    parts = draw.names(3)
    found = delete(sandbox, parts, times=2)
    holds(len(found["log"]) == 3, "three clean-ups", f"{len(found['log'])}")
    equal(found["errors"], [], "errors")
