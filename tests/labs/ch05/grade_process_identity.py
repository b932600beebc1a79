"""Task process-identity."""

from __future__ import annotations

from typing import Any

from tests.labs.checks import Draw, equal
from tests.labs.sandbox import Sandbox

SCRIPT = """
import os, subprocess
from ch05_lifecycle import process

child = subprocess.Popen(["sleep", "1000"])
started = int(open(f"/proc/{child.pid}/stat").read().rpartition(")")[2].split()[19])
if given["ended"]:
    child.kill()
    child.wait()
before = len(os.listdir("/proc/self/fd"))
known = {"status": given["status"], "pid": child.pid, "started_by_kernel": started + given["later"]}
pidfd = process._pidfd_of(known)
left = len(os.listdir("/proc/self/fd")) - before
of = None
if pidfd is not None:
    (of,) = [line.split()[1] for line in open(f"/proc/self/fdinfo/{pidfd}") if line.startswith("Pid:")]
answer([of == str(child.pid) if of else None, left])
child.kill()
"""


def look(sandbox: Sandbox, status: str = "running", later: int = 0, ended: bool = False) -> list[Any]:
    """Whether the descriptor is the process', or nothing; and how many descriptors are open that were not."""
    found: list[Any] = sandbox.ask(SCRIPT, status=status, later=later, ended=ended)
    return found


def test_the_process(sandbox: Sandbox) -> None:
    """A process that runs and was started then is given as a descriptor that means it for ever."""
    equal(look(sandbox), [True, 1], "whether it is the process, and descriptors that are open")


def test_somebody_else_with_its_number(sandbox: Sandbox, draw: Draw) -> None:
    """A process with that number which was started at another time is a stranger: nothing is given, or left open."""
    equal(look(sandbox, later=draw.randint(1, 500)), [None, 0], "whose descriptor, and descriptors that are open")


def test_ended(sandbox: Sandbox, draw: Draw) -> None:
    """One that has ended is nothing, be it that the state says so or the kernel."""
    states = [look(sandbox, status=draw.choice(["exited", "created", "restarting"])), look(sandbox, ended=True)]
    equal(states, [[None, 0], [None, 0]], "whose descriptor, and descriptors that are open")
