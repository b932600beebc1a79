"""`python3 -m tests.lane NAME WORDS…`: run a command with cgroups of its own, as if it had this machine's for itself.

So two halves of the suite can run at a time: neither engine sweeps what the other one's tests look at. The command is
in the group NAME of each hierarchy, and that is the root of its cgroup namespace. Source: cgroup_namespaces(7).
"""

from __future__ import annotations

import os
import sys

from ch02_namespaces import syscalls
from ch02_namespaces.cgroups import Cgroup, Hierarchy

LEAF = "leaf"


def main(name: str, words: list[str]) -> None:
    """Run the command in our place."""
    group = Cgroup(name)
    group.create()
    group.open_doors()
    group.join()
    group.close()
    syscalls.unshare(syscalls.CLONE_NEWCGROUP | syscalls.CLONE_NEWNS)
    syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    for hierarchy in group.hierarchies:
        show_own(hierarchy)
    os.execvp(words[0], words)


def show_own(hierarchy: Hierarchy) -> None:
    """Mount a hierarchy once more: what is mounted after the unshare begins at the namespace's root."""
    syscalls.umount(hierarchy.mountpoint)
    kind = "cgroup2" if hierarchy.number() == 2 else "cgroup"
    syscalls.mount(kind, hierarchy.mountpoint, kind, 0, hierarchy.mount_options())
    if hierarchy.number() == 2:  # a group whose controllers are for the groups below has no processes itself
        os.mkdir(f"{hierarchy.mountpoint}/{LEAF}")
        syscalls.write_file(f"{hierarchy.mountpoint}/{LEAF}/cgroup.procs", "0")


def remove(name: str) -> None:
    """Remove the groups of a lane that has ended, and those that engines have left below."""
    for directory in Cgroup(name).directories():
        for path, _, _ in os.walk(directory, topdown=False):
            os.rmdir(path)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
