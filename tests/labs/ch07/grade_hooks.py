"""Task hooks."""

from __future__ import annotations

import json
from typing import Any

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

SCRIPT = """
import os, time
from ch02_namespaces.errors import EngineError
from ch07_practice.oci.document import Node
from ch07_practice.oci.hooks import Hook

before, start = len(os.listdir("/proc/self/fd")), time.monotonic()
try:
    Hook(Node(given["hook"], "hooks.poststart[2]")).run(given["state"])
    error = ""
except EngineError as failed:
    error = str(failed)
try:
    os.waitpid(-1, os.WNOHANG)
    children = True
except ChildProcessError:
    children = False
left = len(os.listdir("/proc/self/fd")) - before
answer({"error": error, "left": [left, children], "seconds": time.monotonic() - start})
"""


def run(sandbox: Sandbox, script: str, state: dict[str, Any], **hook: Any) -> dict[str, Any]:
    """The error, descriptors and children that are left, seconds. The hook is a shell's script in the directory."""
    words = ["hook", "-c", f"cd {sandbox.directory}; {script}"]
    found: dict[str, Any] = sandbox.ask(SCRIPT, hook={"path": "/bin/sh", "args": words, **hook}, state=state)
    return found


def test_state_and_environment(sandbox: Sandbox, draw: Draw) -> None:
    """It gets the state as JSON on its standard input, its arguments, and exactly the environment that it is given."""
    state = {"id": draw.name(), "pid": draw.randint(2, 9999), "status": "running", "annotations": {draw.name(): "1"}}
    variable = f"{draw.name()}={draw.name()} {draw.name()}"
    script = "cat > state; /usr/bin/env > environment; echo $0 > name"
    found = run(sandbox, script, state, env=[variable])
    equal([found["error"], found["left"]], ["", [0, False]], "the error, and what is left open or running")
    equal(json.loads((sandbox.directory / "state").read_text()), state, "the state on standard input")
    variables = (sandbox.directory / "environment").read_text().splitlines()
    own = {line for line in variables if line.partition("=")[0] not in ("PWD", "OLDPWD", "SHLVL", "_")}  # the shell's
    equal(own, {variable}, "the environment")
    equal((sandbox.directory / "name").read_text().strip(), "hook", "its argument 0")


def test_failure(sandbox: Sandbox, draw: Draw) -> None:
    """One that fails is an error with its place in the document, its exit code and what it said."""
    code, said = draw.randint(2, 120), draw.name()
    found = run(sandbox, f"echo {said} >&2; exit {code}", {})
    missing = [word for word in ("hooks.poststart[2]", str(code), said) if word not in found["error"]]
    equal(missing, [], f"what is missing in the error {found['error']!r}")


def test_too_long(sandbox: Sandbox) -> None:
    """One that takes longer than its timeout is killed and waited for, and that is an error."""
    found = run(sandbox, "exec sleep 1000", {}, timeout=1)
    holds(found["seconds"] >= 1, "an end after its timeout of 1 second", f"{found['seconds']:.1f} seconds")
    holds("hooks.poststart[2]" in found["error"], "an error about hooks.poststart[2]", found["error"] or "no error")
    equal(found["left"], [0, False], "descriptors more than before, and whether there is a child")


def test_no_such_program(sandbox: Sandbox, draw: Draw) -> None:
    """A program that is not there is an error that names it."""
    path = f"/nowhere/{draw.name()}"
    found = run(sandbox, "", {}, path=path)
    holds(path in found["error"], f"an error about {path}", found["error"] or "no error")
