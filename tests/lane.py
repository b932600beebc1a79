"""`python3 -m tests.lane NAME WORDS…`: run a command with cgroups of its own, as if it had this machine's for itself.

So two halves of the suite can run at a time: neither engine sweeps what the other one's tests look at. The command is
in the group NAME of each hierarchy, and that is the root of its cgroup namespace. Source: cgroup_namespaces(7).
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time

from ch02_namespaces import syscalls
from ch02_namespaces.cgroups import Cgroup, Hierarchy, hierarchies

PREFIX = "suite-"  # and the pid of the suite whose lane it is
LEAF = "leaf"


def main(name: str, words: list[str]) -> None:
    """Run the command in our place."""
    group = Cgroup(name)
    group.create()
    group.open_doors()
    group.join()
    group.close()
    for mountpoint in named():
        os.makedirs(f"{mountpoint}/{name}", exist_ok=True)
        syscalls.write_file(f"{mountpoint}/{name}/cgroup.procs", "0")
    syscalls.unshare(syscalls.CLONE_NEWCGROUP | syscalls.CLONE_NEWNS)
    syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    for hierarchy in group.hierarchies:
        show_own(hierarchy)
    for mountpoint, option in named().items():
        syscalls.umount(mountpoint)
        syscalls.mount("cgroup", mountpoint, "cgroup", 0, f"none,{option}")
    os.execvp(words[0], words)


def named() -> dict[str, str]:
    """Where hierarchies without a controller are mounted, such as systemd's, and by which option: other people's
    engines make groups there, too."""
    found = {}
    for line in syscalls.read_file("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        options = right.split(" ")[2].split(",")
        if right.startswith("cgroup ") and any(option.startswith("name=") for option in options):
            found[left.split()[4]] = next(option for option in options if option.startswith("name="))
    return found


def show_own(hierarchy: Hierarchy) -> None:
    """Mount a hierarchy once more: what is mounted after the unshare begins at the namespace's root."""
    syscalls.umount(hierarchy.mountpoint)
    kind = "cgroup2" if hierarchy.number() == 2 else "cgroup"
    syscalls.mount(kind, hierarchy.mountpoint, kind, 0, hierarchy.mount_options())
    if hierarchy.number() == 2:  # a group whose controllers are for the groups below has no processes itself
        os.mkdir(f"{hierarchy.mountpoint}/{LEAF}")
        syscalls.write_file(f"{hierarchy.mountpoint}/{LEAF}/cgroup.procs", "0")


def remove(name: str, patience: float = 0.0) -> None:
    """Remove the groups of a lane that has ended, and those that engines have left below.

    Raises OSError (EBUSY) when a process is still in one after `patience` seconds.
    """
    end = time.monotonic() + patience
    for root in roots():
        for path, _, _ in os.walk(f"{root}/{name}", topdown=False):
            _remove_group(path, end)


def _remove_group(path: str, end: float) -> None:
    while True:
        try:
            return os.rmdir(path)
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > end:
                raise
        time.sleep(0.05)  # somebody is just ending


def remove_abandoned() -> None:
    """Remove those of suites that were killed. Where somebody is still in one, it stays."""
    names = {name for root in roots() for name in os.listdir(root) if name.startswith(PREFIX)}
    for name in names:
        if not os.path.exists(f"/proc/{name.removeprefix(PREFIX)}"):
            with contextlib.suppress(OSError):
                remove(name)


def roots() -> list[str]:
    """Where all hierarchies are mounted."""
    return [*(hierarchy.mountpoint for hierarchy in hierarchies()), *named()]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
