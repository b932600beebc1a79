"""Task repair."""

from __future__ import annotations

from typing import Any

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

SCRIPT = """
import fcntl, json, os
from ch04_images.containers import ContainerRecord
from ch05_lifecycle import store

record = ContainerRecord(given["id"], "image", ["1" * 16], "overlay", 1)
os.makedirs(record.path("rootfs"))
settings = {"command": ["sh"], "remove": False, "restart": "no", "stop_signal": "TERM"}
for name, content in (("settings.json", settings), ("state.json", given["state"])):
    with open(record.path(name), "w") as file:
        json.dump(content, file)
held = os.open(record.path("rootfs"), os.O_RDONLY)
if given["locked"]:
    fcntl.flock(held, fcntl.LOCK_EX)
stored, brought_down = store.Stored(record), []

def bring_down(*_):
    other = os.open(record.path("rootfs"), os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
        brought_down.append("without the lock")
    except BlockingIOError:
        brought_down.append("with the lock")
    os.close(other)

store.bring_down = bring_down
returned = store.repair(stored)
written = json.load(open(record.path("state.json")))
try:
    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    free = True
except BlockingIOError:
    free = False
wanted = ("status", "pid", "exit_code")
answer({
    "written": {name: written.get(name) for name in wanted},
    "returned": {name: returned.get(name) for name in wanted},
    "down": brought_down,
    "error": written.get("error", ""),
    "free": free,
})
"""


def repair(sandbox: Sandbox, draw: Draw, status: str, locked: bool = False, code: int = 0) -> dict[str, Any]:
    state = {"status": status, "pid": draw.randint(2, 9999), "exit_code": code}
    id = "".join(draw.choices("0123456789abcdef", k=64))
    found: dict[str, Any] = sandbox.ask(SCRIPT, id=id, state=state, locked=locked)
    return found | {"before": state}


def test_what_a_killed_watcher_left(sandbox: Sandbox, draw: Draw) -> None:
    """A container that "runs" without a lock has ended with code 137; so it is written, with a reason, and told."""
    found = repair(sandbox, draw, draw.choice(["running", "restarting"]))
    wanted = {"status": "exited", "pid": 0, "exit_code": 137}
    equal([found["written"], found["returned"]], [wanted, wanted], "the state, written and returned")
    holds(found["error"], "a reason in `error`", "there is none")


def test_with_the_lock(sandbox: Sandbox, draw: Draw) -> None:
    """What is left of it is brought down while we hold its lock, so that nobody starts it; afterwards it is free."""
    found = repair(sandbox, draw, "running")
    equal([found["down"], found["free"]], [["with the lock"], True], "bring_down(), and whether the lock is free")


def test_somebody_is_faster(sandbox: Sandbox, draw: Draw) -> None:
    """If somebody holds the lock, nothing is changed: it is being repaired, or runs again."""
    found = repair(sandbox, draw, "running", locked=True)
    equal([found["down"], found["written"], found["returned"]], [[], found["before"], found["before"]], "what was done")


def test_ended_meanwhile(sandbox: Sandbox, draw: Draw) -> None:
    """One that has ended in the ordinary way keeps its exit code."""
    code = draw.randint(1, 120)
    found = repair(sandbox, draw, "exited", code=code)
    equal(found["written"]["exit_code"], code, "the exit code")
