"""Task stop."""

from __future__ import annotations

from typing import Any

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

SCRIPT = """
import os, signal, time
from ch05_lifecycle import process

reader, writer = os.pipe()
pid = os.fork()
if pid == 0:
    def heard(number, frame):
        open(given["file"], "a").write(f"{number} ")
        if given["obeys"]:
            os._exit(given["code"])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, heard)
    os.write(writer, b"1")
    while True:
        time.sleep(100)
os.read(reader, 1)
open(given["file"], "w").close()
steps, looks = [], []

class Stored:
    id = "x" * 64
    settings = {"stop_signal": given["signal"]}
    def is_watched(self):
        return given["runs"]
    def mark_stopping(self):
        steps.append("marked" if not open(given["file"]).read() else "marked late")
    def state(self):
        return {"status": "running", "pid": pid}

def pidfd_of(known):
    looks.append(1)
    return os.pidfd_open(known["pid"]) if len(looks) > given["late"] else None

process._pidfd_of = pidfd_of
process.wait_for_end = lambda *_: steps.append("waited")
before = len(os.listdir("/proc/self/fd"))
start = time.monotonic()
process._stop(Stored(), given["seconds"])
took = time.monotonic() - start
left = len(os.listdir("/proc/self/fd")) - before
if not given["runs"]:
    os.kill(pid, 9)
answer({"code": end_of(pid), "heard": open(given["file"]).read().split(), "steps": steps, "took": took, "left": left})
"""
NUMBERS = {"TERM": "15", "INT": "2", "USR1": "10", "USR2": "12"}


def stop(sandbox: Sandbox, **options: Any) -> dict[str, Any]:
    """How the process ended, which signals it heard, what was done with its record, and how long it took."""
    given: dict[str, Any] = {
        "signal": "TERM",
        "seconds": 30,
        "obeys": True,
        "code": 0,
        "runs": True,
        "late": 0,
        **options,
    }
    found: dict[str, Any] = sandbox.ask(SCRIPT, file=str(sandbox.directory / "heard"), **given)
    return found


def test_asks(sandbox: Sandbox, draw: Draw) -> None:
    """It gets its stop signal and ends by itself; that it is to be stopped is marked before, its end waited for."""
    name, code = draw.choice(sorted(NUMBERS)), draw.randint(3, 120)
    found = stop(sandbox, signal=name, code=code)
    equal([found["heard"], found["code"]], [[NUMBERS[name]], code], "signals that it heard, and its exit code")
    equal([found["steps"], found["left"]], [["marked", "waited"], 0], "steps, and descriptors that stay open")


def test_makes_it_end(sandbox: Sandbox, draw: Draw) -> None:
    """One that does not obey is killed when the grace is over, not before."""
    seconds = draw.randint(20, 30) / 10  # on a busy machine, a process does not hear at once
    found = stop(sandbox, obeys=False, seconds=seconds)
    equal([found["heard"], found["code"]], [["15"], -9], "signals that it heard, and how it ended (-9: SIGKILL)")
    holds(found["took"] >= seconds, f"{seconds} seconds of grace", f"it took {found['took']:.2f} seconds")


def test_without_grace(sandbox: Sandbox, draw: Draw) -> None:
    """With no seconds of grace it is killed at once, and not asked."""
    found = stop(sandbox, seconds=0)
    equal([found["heard"], found["code"]], [[], -9], "signals that it heard, and how it ended")


def test_on_its_way_up(sandbox: Sandbox, draw: Draw) -> None:
    """One that has no process at this moment is looked at again, until it has one."""
    found = stop(sandbox, late=draw.randint(1, 4), code=7)
    equal([found["heard"], found["code"]], [["15"], 7], "signals that it heard, and its exit code")


def test_does_not_run(sandbox: Sandbox) -> None:
    """One that nobody watches stays as it is."""
    found = stop(sandbox, runs=False)
    equal([found["heard"], found["steps"]], [[], []], "signals that it heard, and steps")
