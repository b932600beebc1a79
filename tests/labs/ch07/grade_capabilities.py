"""Task capabilities."""

from __future__ import annotations

from typing import Any

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

SCRIPT = """
import os
from ch07_practice.oci.document import Node
from final.runtime.capabilities import Credentials

def status():
    fields = (line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
    return {name: value for name, value in fields if name.startswith("Cap") or name in ("Uid", "Gid")}

reader, writer = os.pipe()
part = Credentials(Node(given["process"], "process"))
def child():
    part.enter(None)
    if given["becomes"]:
        os.dup2(writer, 1)
        os.execv("/bin/cat", ["cat", "/proc/self/status"])
    os.write(writer, "".join(f"{name}:\\t{value}\\n" for name, value in status().items()).encode())
fork(child)
os.close(writer)
text = b"".join(iter(lambda: os.read(reader, 65536), b"")).decode()
answer(dict(line.split(":\\t", 1) for line in text.splitlines() if ":\\t" in line))
"""
NUMBERS = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_FOWNER": 3,
    "CAP_FSETID": 4,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_SETPCAP": 8,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_RAW": 13,
    "CAP_SYS_CHROOT": 18,
}
"""Those that every root has."""
SETS = {
    "bounding": "CapBnd",
    "permitted": "CapPrm",
    "effective": "CapEff",
    "inheritable": "CapInh",
    "ambient": "CapAmb",
}


def become(
    sandbox: Sandbox, uid: int, capabilities: dict[str, list[str]] | None, becomes: bool = False
) -> dict[str, Any]:
    """Of the process: Uid, and the names in each of its sets. becomes: when it has executed a program."""
    process: dict[str, Any] = {"user": {"uid": uid, "gid": uid}, "args": ["cat"], "cwd": "/"}
    if capabilities is not None:
        process["capabilities"] = capabilities
    found: dict[str, str] = sandbox.ask(SCRIPT, process=process, becomes=becomes)
    holds("CapEff" in found, "a process that has become the user", "it failed")
    masks = {name: int(found[field], 16) for name, field in SETS.items()}
    sets = {name: sorted(cap for cap, number in NUMBERS.items() if mask >> number & 1) for name, mask in masks.items()}
    others = sum(1 << number for number in range(64) if number not in NUMBERS.values())
    return {"uid": int(found["Uid"].split()[0]), "others": bool(masks["bounding"] & others), **sets}


def test_each_set(sandbox: Sandbox, draw: Draw) -> None:
    """Each of the five sets is what the document says, also of an ordinary user; all others are dropped for good."""
    bounding = sorted(draw.sample(sorted(NUMBERS), 6))
    permitted = sorted(draw.sample(bounding, 4))
    effective, inheritable = (sorted(draw.sample(permitted, 2)) for _ in range(2))
    sets = {"bounding": bounding, "permitted": permitted, "effective": effective, "inheritable": inheritable}
    sets["ambient"] = inheritable[:1]
    for uid in (0, draw.randint(1000, 60000)):
        found = become(sandbox, uid, sets)
        equal({name: found[name] for name in SETS}, sets, f"the sets of user {uid}")
        equal([found["uid"], found["others"]], [uid, False], "the user, and whether others are in the bounding set")


def test_an_ordinary_user_keeps_ambient_ones(sandbox: Sandbox, draw: Draw) -> None:
    """A program that an ordinary user executes has the ambient ones, and those alone."""
    uid, several = draw.randint(1000, 60000), sorted(draw.sample(sorted(NUMBERS), 4))
    sets = dict.fromkeys(("bounding", "permitted", "effective", "inheritable"), several)
    found = become(sandbox, uid, {**sets, "ambient": several[:2]}, becomes=True)
    equal([found["effective"], found["permitted"]], [several[:2]] * 2, "effective and permitted after execve")
    found = become(sandbox, uid, {**sets, "ambient": []}, becomes=True)
    equal([found["effective"], found["bounding"]], [[], several], "effective and bounding without ambient ones")


def test_root_gets_no_more(sandbox: Sandbox, draw: Draw) -> None:
    """A program that root executes has what the bounding set allows, and no more."""
    several = sorted(draw.sample(sorted(NUMBERS), 3))
    found = become(sandbox, 0, dict.fromkeys(SETS, several), becomes=True)
    equal(
        [found["permitted"], found["others"]], [several, False], "permitted after execve, and whether others are left"
    )


def test_nothing_said(sandbox: Sandbox, draw: Draw) -> None:
    """Without capabilities in the document they are what becomes of them by the change of the user."""
    uid = draw.randint(1000, 60000)
    found = become(sandbox, uid, None)
    equal([found["uid"], found["effective"], found["others"]], [uid, [], True], "user, effective, others in bounding")
