"""Task pivot-root."""

from __future__ import annotations

from typing import Any

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

APART = ["unshare", "--mount", "--propagation", "private"]
SCRIPT = """
import os, subprocess, sys
from types import SimpleNamespace
from ch04_images.rootfs import PivotRoot

top = given["top"]
subprocess.run(["mount", "--bind", top, top], check=True)
subprocess.run(["mount", "--rbind", "/proc", f"{top}/proc"], check=True)
record = SimpleNamespace(path=lambda name: {"rootfs": top}[name])
PivotRoot(SimpleNamespace(record=record)).enter(None)
found = {
    "root": sorted(os.listdir("/")),
    "where": os.getcwd(),
    "host": os.path.exists(given["outside"]),
    "mounts": [line.split()[4] for line in open("/proc/self/mountinfo") if not line.split()[4].startswith("/proc")],
    "importers": len(sys.meta_path),
}
os.mkdir("/trap")
os.chroot("/trap")
for _ in range(50):
    os.chdir("..")
os.chroot(".")
found["climbed"] = sorted(os.listdir("/"))
answer(found)
"""


def enter(sandbox: Sandbox, names: list[str]) -> dict[str, Any]:
    """What the process sees afterwards; the new root has these files."""
    top = sandbox.directory / "new-root"
    (top / "proc").mkdir(parents=True)
    for name in names:
        (top / name).touch()
    found: dict[str, Any] = sandbox.ask(SCRIPT, APART, top=str(top), outside=str(top))
    return found


def test_new_root(sandbox: Sandbox, draw: Draw) -> None:
    """The directory is / now, the process stands there, and a path of the host means nothing any more."""
    names = draw.names(3)
    found = enter(sandbox, names)
    equal(found["root"], sorted([*names, "proc"]), "what is in /")
    equal([found["where"], found["host"]], ["/", False], "the working directory, and whether a path of the host exists")


def test_old_root_is_gone(sandbox: Sandbox, draw: Draw) -> None:
    """No mount of the host is left in the mount namespace, and root cannot climb out by a second chroot(2)."""
    names = draw.names(2)
    found = enter(sandbox, names)
    equal(found["mounts"], ["/"], "the mounts, without those of /proc")
    equal(found["climbed"], sorted([*names, "proc", "trap"]), "what root finds above")


def test_nothing_is_imported(sandbox: Sandbox, draw: Draw) -> None:
    """Python cannot import any more: it would load modules of the image, as root and outside of every limit."""
    found = enter(sandbox, draw.names(1))
    holds(found["importers"] == 0, "that sys.meta_path is empty", f"it has {found['importers']} finders")
