"""Task oci-mounts."""

from __future__ import annotations

from typing import Any

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

SCRIPT = """
from ch07_practice.oci.document import Node
from ch07_practice.oci.mounts import Mount

found = []
for options in given["lists"]:
    mount = Mount(Node({"destination": "/data", "source": "/srv", "options": options}, "mounts[0]"))
    found.append({
        "set": sorted(mount.set), "cleared": sorted(mount.cleared), "data": mount.data,
        "set_below": sorted(mount.set_below), "cleared_below": sorted(mount.cleared_below),
        "bind": [mount.is_bind, mount.is_recursive], "propagation": mount.propagation,
    })
answer(found)
"""
FLAGS = {"ro": "rw", "nosuid": "suid", "nodev": "dev", "noexec": "exec", "noatime": "atime", "nodiratime": "diratime"}
"""Options, and those that take them away."""
PROPAGATION = {"private": 1 << 18, "slave": 1 << 19, "shared": 1 << 20, "unbindable": 1 << 17}
RECURSIVE = 1 << 14


def sort(sandbox: Sandbox, *lists: list[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sandbox.ask(SCRIPT, lists=lists)
    return found


def test_flags(sandbox: Sandbox, draw: Draw) -> None:
    """Options that have a flag are set, their opposites are cleared; of two that contradict, the later one counts."""
    one, other, third = draw.sample(sorted(FLAGS), 3)
    first, second = sort(sandbox, [one, FLAGS[other]], [one, third, FLAGS[one], FLAGS[third], third])
    equal([first["set"], first["cleared"]], [[one], [other]], f"set and cleared for {one},{FLAGS[other]}")
    equal([second["set"], second["cleared"]], [[third], [one]], "set and cleared when options contradict")


def test_binds_and_propagation(sandbox: Sandbox, draw: Draw) -> None:
    """bind and rbind; private, slave and the like are told by their flag, with MS_REC if an r is before them."""
    word = draw.choice(sorted(PROPAGATION))
    found = sort(sandbox, ["bind", word], ["rbind", f"r{word}"], [])
    equal([result["bind"] for result in found], [[True, False], [True, True], [False, False]], "bind, and recursive")
    flags = [PROPAGATION[word], PROPAGATION[word] | RECURSIVE, 0]
    equal([result["propagation"] for result in found], flags, "the propagation")


def test_recursive_attributes(sandbox: Sandbox, draw: Draw) -> None:
    """An r before an attribute means all mounts below, too; the mount's own flags stay as they are."""
    one, other = draw.sample(["ro", "nosuid", "nodev", "noexec"], 2)
    (found,) = sort(sandbox, [f"r{one}", f"r{FLAGS[other]}"])
    equal([found["set_below"], found["cleared_below"]], [[one], [other]], "set and cleared below")
    equal([found["set"], found["cleared"]], [[], []], "set and cleared")


def test_all_else(sandbox: Sandbox, draw: Draw) -> None:
    """What has no other meaning is for the file system itself, in its order; relatime is a flag, and no r before."""
    data = [f"size={draw.randint(1, 99)}m", f"mode={draw.randint(1, 7)}55", draw.name()]
    (found,) = sort(sandbox, [data[0], "relatime", *data[1:], "defaults"])
    equal([found["data"], found["set"]], [data, ["relatime"]], "what the file system gets, and set")


def test_not_supported(sandbox: Sandbox, draw: Draw) -> None:
    """Mapped mounts are more than this chapter has: an error that names the place in the document."""
    message = sandbox.refusal(SCRIPT, lists=[["ro", draw.choice(["idmap", "ridmap"])]])
    holds("mounts[0].options[1]" in message, "an error about mounts[0].options[1]", message)
