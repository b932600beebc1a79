"""Task private-mounts."""

from __future__ import annotations

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

INSIDE = ["unshare", "--mount", "--propagation", "unchanged", "--pid", "--fork"]
SCRIPT = """
import os, subprocess
from ch02_namespaces import cli

cli.private_mounts(None)
pids = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
subprocess.run(["mount", "-t", "tmpfs", given["name"], given["place"]], check=True)
lines = [line.split() for line in open("/proc/self/mountinfo")]
answer([pids, [line[5].split(",") for line in lines if line[4] == "/proc"][-1]])
"""


def inside(sandbox: Sandbox, draw: Draw) -> tuple[list[int], list[str], str]:
    """Pids that are seen, options of /proc, and what was mounted there meanwhile; / is shared, as systemd has it."""
    place, name = sandbox.directory / draw.name(), draw.name()
    place.mkdir()
    sandbox.shell("mount --make-rshared /")
    pids, options = sandbox.ask(SCRIPT, INSIDE, name=name, place=str(place))
    return pids, options, name


def test_own_proc(sandbox: Sandbox, draw: Draw) -> None:
    """/proc shows the processes of the new pid namespace, and no others."""
    pids, _, _ = inside(sandbox, draw)
    equal(pids, [1], "the processes in /proc")


def test_nothing_reaches_the_host(sandbox: Sandbox, draw: Draw) -> None:
    """Neither the new /proc nor anything that is mounted later is seen outside."""
    before = sandbox.shell("grep -c ' /proc ' /proc/self/mountinfo")
    _, _, name = inside(sandbox, draw)
    mounts = sandbox.shell("cat /proc/self/mountinfo 2>&1 || true")
    holds("No such file" not in mounts, "a whole /proc outside", "the /proc outside is broken")
    equal(str(mounts.count(" /proc ")), before, "how many mounts the host has on /proc")
    holds(f" {name} " not in mounts, "that later mounts stay inside", f"the host sees the mount {name!r}")


def test_proc_is_inert(sandbox: Sandbox, draw: Draw) -> None:
    """/proc is mounted nosuid, nodev and noexec."""
    _, options, _ = inside(sandbox, draw)
    missing = [option for option in ("nosuid", "nodev", "noexec") if option not in options]
    equal(missing, [], "missing options of /proc")
