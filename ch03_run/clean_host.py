"""`make clean-host`: take away what killed exercises may have left on this machine, and say what it was."""

from __future__ import annotations

import os
import sys

from ch02_namespaces import cgroups, syscalls
from ch02_namespaces.errors import EngineError, report
from ch02_namespaces.mountinfo import mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> int:
    """Clean up and print what was removed; the exit code."""
    return clean(remove_groups, unmount_unions)


def clean(*steps: Callable[[], list[str]]) -> int:
    """Do each step, and print what it says that it has removed; the exit code."""
    try:
        for step in steps:
            for what in step():
                print(f"removed {what}")
    except EngineError as error:
        return report(error)
    return 0


def remove_groups() -> list[str]:
    """The cgroups of containers that are gone, and the one above them when it is empty."""
    found = cgroups.hierarchies()
    parents = [f"{hierarchy.mountpoint}/{cgroups.PARENT}" for hierarchy in found]
    before = {
        entry.path for parent in parents if os.path.isdir(parent) for entry in os.scandir(parent) if entry.is_dir()
    }
    cgroups.sweep(cgroups.PARENT, found)
    removed = [path for path in sorted(before) if not os.path.isdir(path)]
    return [*removed, *remove_if_empty(parents)]


def remove_if_empty(groups: list[str]) -> list[str]:
    """Those of these cgroups that have none below; what was removed."""
    empty = [
        group for group in groups if os.path.isdir(group) and not any(entry.is_dir() for entry in os.scandir(group))
    ]
    for group in empty:
        syscalls.rmdir(group)
    return empty


def unmount_unions() -> list[str]:
    """Mounts of our own union file system. Their processes end with them."""
    removed = []
    for source, target in mounts():
        if source.startswith("aufs:"):
            syscalls.umount(target, syscalls.MNT_DETACH)
            removed.append(target)
    return removed


if __name__ == "__main__":
    sys.exit(main())
