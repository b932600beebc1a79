"""Task create."""

from __future__ import annotations

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

SCRIPT = """
import marshal, os
from ch02_namespaces.errors import EngineError
from ch03_run import container as loop

log, deleted = [], []

def child(container):
    container._go.close_writer()
    container._report.close_reader()
    os.read(container._go.reader, 1)
    open(given["woken"], "w").write(os.readlink("/proc/self/ns/uts"))
    failure = loop.FAILED + marshal.dumps((*given["failure"], "", 125)) if given["failure"] else loop.READY
    os.write(container._report.writer, failure)
    if given["failure"]:
        os._exit(1)
    os.read(container._go.reader, 1)
    return 0

class Named(loop.Part):
    def __init__(self, name, flags=0):
        self.name, self.clone_flags = name, flags
    def prepare(self, container):
        log.append(["prepare", self.name, container.process is None])
        if self.name == given["fails"]:
            raise EngineError(self.name, "on purpose")
    def attach(self, container):
        log.append(["attach", self.name, container.process.wait(0) is None and not os.path.exists(given["woken"])])

loop._child = child
loop.delete = lambda container: deleted.append([part.name for part in container._prepared])
parts = [Named(name, flags) for name, flags in given["parts"]]
container = loop.Container("x", None, parts)
try:
    loop.create(container)
    error = None
except EngineError as failed:
    error = str(failed)
answer({"log": log, "deleted": deleted, "error": error, "ours": os.readlink("/proc/self/ns/uts")})
"""
NEW_UTS = 0x04000000


def create(sandbox: Sandbox, names: list[str], fails: str = "", failure: list[str] | None = None) -> dict[str, object]:
    """What happened; the second part needs a UTS namespace."""
    parts = [[name, NEW_UTS if number == 1 else 0] for number, name in enumerate(names)]
    woken = str(sandbox.directory / "woken")
    found: dict[str, object] = sandbox.ask(SCRIPT, parts=parts, fails=fails, failure=failure, woken=woken)
    return found


def test_stages_in_order(sandbox: Sandbox, draw: Draw) -> None:
    """All parts are prepared in their order while there is no process; then all are attached, while it waits."""
    names = draw.names(3)
    found = create(sandbox, names)
    wanted = [[stage, name, True] for stage in ("prepare", "attach") for name in names]
    equal(found["log"], wanted, "stage, part, and whether the process was as it should be then")


def test_one_process_in_new_namespaces(sandbox: Sandbox, draw: Draw) -> None:
    """The process is in the new namespaces that the parts want; when create() returns it has been woken."""
    found = create(sandbox, draw.names(2))
    woken = sandbox.directory / "woken"
    holds(woken.exists(), "that the child is told to enter", "it still waits")
    holds(woken.read_text() != found["ours"], "a new UTS namespace", "the child is in the caller's")


def test_failure_of_a_part(sandbox: Sandbox, draw: Draw) -> None:
    """A part that fails in prepare ends it: the error names it, and what was begun is undone, its own half, too."""
    names = draw.names(4)
    found = create(sandbox, names, fails=names[2])
    holds(names[2] in str(found["error"]), f"an error about {names[2]}", str(found["error"]))
    equal(found["deleted"], [names[:3]], "what delete() found in container._prepared")


def test_failure_inside(sandbox: Sandbox, draw: Draw) -> None:
    """What the child reports as its failure is raised here, and all parts are undone."""
    names, (what, why) = draw.names(2), draw.names(2)
    found = create(sandbox, names, failure=[what, why])
    equal(found["error"], f"{what}: {why}", "the error")
    equal(found["deleted"], [names], "what delete() found in container._prepared")
