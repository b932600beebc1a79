"""Task background."""

from __future__ import annotations

from typing import Any

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

SCRIPT = """
import os, time
from ch02_namespaces.errors import EngineError
from ch05_lifecycle.watcher import in_background

place = lambda name: os.path.join(given["directory"], name)
kept, _ = os.pipe()

def work(started):
    if given["fails"] == "before":
        raise EngineError(*given["error"])
    open(place("begun"), "w").write(f"{os.getsid(0)} {os.getpid()}")
    started()
    while not os.path.exists(place("go")):
        time.sleep(0.001)
    if given["fails"] == "after":
        raise EngineError(*given["error"])
    os.fstat(kept)
    open(place("done.new"), "w").close()
    os.rename(place("done.new"), place("done"))

before = len(os.listdir("/proc/self/fd"))
found = {"error": None}
try:
    in_background(work, keep=[kept])
except EngineError as error:
    found["error"] = [error.what, error.why, error.hint, error.exit_code]
found["begun"] = os.path.exists(place("begun"))
found["done"] = os.path.exists(place("done"))
found["more"] = len(os.listdir("/proc/self/fd")) - before
if found["begun"]:
    session, pid = map(int, open(place("begun")).read().split())
    found["other"] = pid != os.getpid() and session != os.getsid(0)
answer(found)
"""


def start(sandbox: Sandbox, fails: str = "", error: list[Any] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = sandbox.ask(SCRIPT, directory=str(sandbox.directory), fails=fails, error=error)
    return found


def test_outlives_its_caller(sandbox: Sandbox) -> None:
    """It returns when the work says that it has started; the work goes on in another session, without its caller."""
    found = start(sandbox)
    equal([found["begun"], found["done"], found["other"]], [True, False, True], "begun, done, in another session")
    (sandbox.directory / "go").touch()
    sandbox.shell(f"for i in $(seq 2000); do [ ! -e {sandbox.directory}/done ] || exit 0; sleep 0.005; done; exit 1")


def test_failure_before(sandbox: Sandbox, draw: Draw) -> None:
    """If the work fails before it has started, the caller gets that very error, with hint and exit code."""
    error: list[Any] = [*draw.names(3), draw.randint(1, 127)]
    equal(start(sandbox, "before", error)["error"], error, "what, why, hint and exit code of the error")


def test_failure_after(sandbox: Sandbox, draw: Draw) -> None:
    """If it fails later, that is not the caller's affair."""
    (sandbox.directory / "go").touch()
    found = start(sandbox, "after", [*draw.names(3), 1])
    equal(found["error"], None, "an error")


def test_nothing_is_left_open(sandbox: Sandbox, draw: Draw) -> None:
    """The caller has no descriptor more than before but that of the process."""
    (sandbox.directory / "go").touch()
    more = start(sandbox)["more"]
    holds(more <= 1, "at most one descriptor more", f"{more} more")
