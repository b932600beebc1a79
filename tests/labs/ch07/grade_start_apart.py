"""Task start-apart."""

from __future__ import annotations

from typing import Any

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

SCRIPT = """
import os, time
from ch02_namespaces.errors import EngineError
from ch03_run.command import Command
from ch07_practice.oci.door import knock, open_door
from ch07_practice.oci.process import PatientCommand

path = os.path.join(given["directory"], "door")
log = os.path.join(given["directory"], "log")
open(log, "w").close()
door = open_door(path)

def ready():
    with open(log, "a") as file:
        file.write("ready ")
    if given["refuses"]:
        raise EngineError("hook", given["refuses"], "", 77)

report, keep = os.pipe()
other, _ = os.pipe()
pid = fork(lambda: PatientCommand(Command(given["command"], {"PATH": "/usr/bin:/bin"}), door, ready).execute(keep))
door.close()
os.close(keep)
while True:  # until it waits, or has gone on without waiting
    state = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0]
    place = open(f"/proc/{pid}/wchan").read()  # the kernel's function that it sleeps in: that of accept(2) or poll(2)
    if state in "ZX" or (state == "S" and any(word in place for word in ("skb", "accept", "poll", "select"))):
        break
    time.sleep(0.001)
found = {"waits": state == "S", "early": open(log).read(), "report_open": True}
if state == "S":
    found["descriptors"] = len(os.listdir(f"/proc/{pid}/fd"))
    try:
        knock(path)
        found["error"] = None
    except EngineError as failed:
        found["error"] = [str(failed), failed.exit_code]
found["code"] = end_of(pid)
found["log"] = open(log).read().split()
answer(found)
"""


def begin(sandbox: Sandbox, command: list[str], refuses: str = "") -> dict[str, Any]:
    """What happened before and after somebody has knocked."""
    found: dict[str, Any] = sandbox.ask(SCRIPT, directory=str(sandbox.directory), command=command, refuses=refuses)
    return found


def test_waits(sandbox: Sandbox, draw: Draw) -> None:
    """It waits until somebody knocks; nothing has happened before."""
    found = begin(sandbox, ["true"])
    equal([found["waits"], found["early"]], [True, ""], "whether it waits at the door, and what happened before")


def test_becomes_the_command(sandbox: Sandbox, draw: Draw) -> None:
    """Then it is made ready and becomes the command; who has knocked hears of no error."""
    code = draw.randint(3, 90)
    found = begin(sandbox, ["sh", "-c", f"echo ran >> {sandbox.directory}/log; exit {code}"])
    equal([found["log"], found["code"]], [["ready", "ran"], code], "what happened, and the exit code")
    equal(found.get("error"), None, "the error that who has knocked gets")


def test_tells_why_not(sandbox: Sandbox, draw: Draw) -> None:
    """If the command cannot begin, or is not made ready, who has knocked gets the error, with its exit code."""
    missing, reason = draw.names(2)
    found = begin(sandbox, [missing])
    holds(missing in str(found.get("error")), f"an error about {missing}", str(found.get("error")))
    equal([found["error"][1], found["code"]], [127, 127], "the exit code of the error, and of the process")
    found = begin_again(sandbox, reason)
    holds(reason in str(found.get("error")), f"the error {reason!r}", str(found.get("error")))
    equal([found["error"][1], found["log"]], [77, ["ready"]], "its exit code, and what happened")


def begin_again(sandbox: Sandbox, reason: str) -> dict[str, Any]:
    (sandbox.directory / "door").unlink()
    return begin(sandbox, ["sh", "-c", f"echo ran >> {sandbox.directory}/log"], reason)


def test_nothing_of_the_engine(sandbox: Sandbox) -> None:
    """While it waits it has its three streams, the door and the engine's report open, and nothing else."""
    found = begin(sandbox, ["true"])
    holds(found["waits"], "that it waits", "it does not")
    equal(found["descriptors"], 5, "its descriptors")
