"""Task oci-namespaces."""

from __future__ import annotations

from typing import Any

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

SCRIPT = """
import os, subprocess
from ch02_namespaces.errors import EngineError
from ch07_practice.oci.document import Node
from ch07_practice.oci.namespaces import Namespaces

files = {"network": "net", "uts": "uts", "ipc": "ipc", "user": "user", "cgroup": "cgroup"}
words = ["unshare", "--net", "--uts", "--ipc", "--user", "--cgroup", "sh", "-c", "echo; exec cat"]
other = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
other.stdout.readline()
place = lambda kind: f"/proc/{other.pid}/ns/{files[kind]}"
listed = [{"type": kind, "path": path or place(of or kind)} for kind, of, path in given["joined"]]
listed += [{"type": kind} for kind in given["new"]]
before = len(os.listdir("/proc/self/fd"))
part = Namespaces(Node(listed, "linux.namespaces"))
try:
    part.prepare(None)
    error = ""
except EngineError as failed:
    error = str(failed)
joined = [os.readlink(f"/proc/self/fd/{descriptor}") for descriptor in part.join]
part.cleanup(None)
found = {"error": error, "joined": joined, "left": len(os.listdir("/proc/self/fd")) - before}
found["wanted"] = {kind: os.readlink(place(kind)) for kind in files}
other.kill()
answer(found)
"""


def prepare(sandbox: Sandbox, *joined: tuple[str, str, str], new: list[str] | None = None) -> dict[str, Any]:
    """joined: the kind that the document names; the kind that is there, if it is another; a path, if it is another."""
    found: dict[str, Any] = sandbox.ask(SCRIPT, joined=joined, new=new or [])
    return found


def test_opens_them(sandbox: Sandbox, draw: Draw) -> None:
    """Each namespace with a path is opened; those without one are new, and nothing is opened for them."""
    kinds = draw.sample(["network", "uts", "ipc"], 2)
    found = prepare(sandbox, *((kind, "", "") for kind in kinds), new=["pid", "mount"])
    equal(sorted(found["joined"]), sorted(found["wanted"][kind] for kind in kinds), "the namespaces")


def test_user_first(sandbox: Sandbox, draw: Draw) -> None:
    """The user namespace is the first, wherever it stands in the list: it gives the right to enter the others."""
    found = prepare(sandbox, *((kind, "", "") for kind in [*draw.sample(["network", "uts", "ipc"], 3), "user"]))
    holds(found["joined"], "four namespaces", "none")
    equal(found["joined"][0], found["wanted"]["user"], "the first")


def test_another_kind(sandbox: Sandbox, draw: Draw) -> None:
    """A namespace of another kind than the document says is an error that names its place; nothing stays open."""
    kind, other = draw.sample(["network", "uts", "ipc"], 2)
    found = prepare(sandbox, ("user", "", ""), (kind, other, ""))
    holds(
        "linux.namespaces[1].path" in found["error"],
        "an error about linux.namespaces[1].path",
        found["error"] or "none",
    )
    equal(found["left"], 0, "descriptors that are open after cleanup")


def test_no_namespace(sandbox: Sandbox, draw: Draw) -> None:
    """So is a path where nothing is; and one of a file that is no namespace is an error, too."""
    found = prepare(sandbox, ("network", "", f"/nowhere/{draw.name()}"))
    holds(
        "linux.namespaces[0].path" in found["error"],
        "an error about linux.namespaces[0].path",
        found["error"] or "none",
    )
    found = prepare(sandbox, ("network", "", "/etc/passwd"))
    holds(found["error"] and not found["left"], "an error, and nothing that stays open", found["error"] or "no error")
