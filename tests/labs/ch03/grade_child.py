"""Task child."""

from __future__ import annotations

from typing import Any

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

SCRIPT = """
import marshal, os, time
from ch02_namespaces.errors import EngineError
from ch03_run import container as loop
from ch03_run.command import Command

class Direct(Command):
    def execute(self, keep):
        os.execve("/bin/sh", self.argv, self.environment)

class Named(loop.Part):
    def __init__(self, name):
        self.name = name
    def enter(self, container):
        if self.name == given["fails"]:
            raise EngineError(self.name, "on purpose")
        with open(given["file"], "a") as file:
            file.write(self.name + " ")

def sleeps():  # it waits for a word of ours
    end = time.monotonic() + 30
    while time.monotonic() < end:
        state = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0]
        place = open(f"/proc/{pid}/wchan").read()
        if state in "ZX" or (state == "S" and "pipe" in place):
            return state == "S"
        time.sleep(0.001)
    return False

entered = lambda: open(given["file"]).read().split()
open(given["file"], "w").close()
container = loop.Container("x", Direct(given["command"], {"PATH": os.environ["PATH"]}), map(Named, given["parts"]))
container._go.open()
container._report.open()
pid = fork(lambda: loop._child(container))
container._go.close_reader()
container._report.close_writer()
found = {"waits": sleeps(), "early": entered()}
if given["tell"]:
    os.write(container._go.writer, loop.ATTACHED)
    found["word"] = os.read(container._report.reader, 1).decode()
    found["entered"] = entered()
    if found["word"] == loop.READY.decode():
        found["waits_again"] = sleeps()
        os.write(container._go.writer, loop.START)
    rest = loop._read_all(container._report.reader)
    found["rest"] = marshal.loads(rest)[:2] if rest else None
else:
    container._go.close_writer()
found["code"] = end_of(pid)
found["late"] = entered()
answer(found)
"""


def run(sandbox: Sandbox, parts: list[str], fails: str = "", code: int = 0, tell: bool = True) -> dict[str, Any]:
    command = ["sh", "-c", f"echo ran >> {sandbox.directory}/ran; exit {code}"]
    file = str(sandbox.directory / "entered")
    found: dict[str, Any] = sandbox.ask(SCRIPT, parts=parts, fails=fails, command=command, file=file, tell=tell)
    return found


def test_waits_for_attach(sandbox: Sandbox, draw: Draw) -> None:
    """It enters nothing before it is told that all are attached; then it enters part by part, and says READY."""
    parts = draw.names(3)
    found = run(sandbox, parts)
    equal([found["waits"], found["early"]], [True, []], "whether it waits, and what it entered before")
    equal([found["word"], found["entered"]], ["r", parts], "its word, and what it had entered then")


def test_waits_for_start(sandbox: Sandbox, draw: Draw) -> None:
    """It waits again before the command; when told, it becomes the command, and the report ends without a word."""
    code = draw.randint(3, 120)
    found = run(sandbox, draw.names(2), code=code)
    holds(found["waits_again"], "that it waits for START", "it did not")
    equal([found["rest"], found["code"]], [None, code], "the rest of the report, and the command's exit code")


def test_reports_a_failure(sandbox: Sandbox, draw: Draw) -> None:
    """A part that fails is reported, FAILED and the record of the error, and the command never runs."""
    parts = draw.names(3)
    found = run(sandbox, parts, fails=parts[1])
    equal([found["word"], found["late"]], ["f", parts[:1]], "its word, and what it entered")
    holds(parts[1] in str(found["rest"]), f"a report about {parts[1]}", str(found["rest"]))
    holds(not (sandbox.directory / "ran").exists(), "that the command does not run", "it ran")


def test_ends_with_its_engine(sandbox: Sandbox, draw: Draw) -> None:
    """An engine that dies before its word closes the pipe: the child enters nothing, and ends."""
    found = run(sandbox, draw.names(2), tell=False)
    holds(found["waits"], "that it waits for the word", "it did not")
    equal(found["late"], [], "what it entered")
    holds(found["code"] not in (0, "it still runs"), "that it ends, and not with 0", str(found["code"]))
