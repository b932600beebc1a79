"""Task exec-join."""

from __future__ import annotations

from typing import Any

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

SCRIPT = """
import os, subprocess
from types import SimpleNamespace
from ch02_namespaces import namespaces
from ch02_namespaces.errors import EngineError
from ch05_lifecycle import execute

words = ["unshare", "--ipc", "--uts", "--net", "--cgroup", "--mount", "--pid", "--fork", "--kill-child"]
outer = subprocess.Popen([*words, "sh", "-c", "hostname $0; echo; exec cat", given["name"]],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
outer.stdout.readline()
(pid,) = map(int, open(f"/proc/{outer.pid}/task/{outer.pid}/children").read().split())
calls = []

def open_process(stored):
    calls.append(1)
    if len(calls) > given["alive_for"]:
        raise EngineError("container", "it does not run")
    return os.pidfd_open(outer.pid)

execute.open_process = open_process
shown = pid if given["exists"] else 1 << 22
part = execute.JoinNamespaces(SimpleNamespace(id="x" * 64, state=lambda: {"pid": shown}))
before = len(os.listdir("/proc/self/fd"))
try:
    part.prepare(None)
    error = ""
except EngineError as failed:
    error = str(failed)
found = {
    "error": error,
    "looks": len(calls),
    "joined": [os.readlink(f"/proc/self/fd/{descriptor}") for descriptor in part.join],
    "theirs": [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("cgroup", "ipc", "mnt", "net", "pid", "uts")],
    "more": len(os.listdir("/proc/self/fd")) - before - len(part.join),
}
if not error:
    reader, writer = os.pipe()
    namespaces.spawn(0, lambda: os.write(writer, os.uname().nodename.encode()) and 0, join=part.join).wait()
    found["hostname"] = os.read(reader, 100).decode()
outer.kill()
answer(found)
"""


def prepare(sandbox: Sandbox, name: str, alive_for: int = 9, exists: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = sandbox.ask(SCRIPT, name=name, alive_for=alive_for, exists=exists)
    return found


def test_all_namespaces(sandbox: Sandbox, draw: Draw) -> None:
    """There is a descriptor for each of the container's namespaces, and who joins them is in the container."""
    name = draw.name()
    found = prepare(sandbox, name)
    equal(sorted(found["joined"]), found["theirs"], "the namespaces to be joined")
    equal(found["hostname"], name, "the host name that the process sees")


def test_mounts_last(sandbox: Sandbox, draw: Draw) -> None:
    """That of mounts is the last: from then on, paths are the container's, /proc too."""
    joined = prepare(sandbox, draw.name())["joined"]
    holds(joined and joined[-1].startswith("mnt:"), "mnt at the end", str(joined))


def test_it_is_still_the_container(sandbox: Sandbox, draw: Draw) -> None:
    """That it runs is seen before and after the namespaces are opened: its number may have gone to somebody else."""
    found = prepare(sandbox, draw.name(), alive_for=1)
    equal([found["looks"], bool(found["error"])], [2, True], "looks at the process, and whether the second one counts")


def test_nothing_is_left_open(sandbox: Sandbox, draw: Draw) -> None:
    """Descriptors of the process are closed again; a number that nobody has is an EngineError."""
    equal(prepare(sandbox, draw.name())["more"], 0, "descriptors more than those to be joined")
    gone = prepare(sandbox, draw.name(), exists=False)
    holds("ended" in gone["error"], "an error which says that it has ended", gone["error"] or "no error")
