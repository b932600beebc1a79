"""`make clean-host`: take away what killed exercises may have left on this machine, and say what it was."""

from __future__ import annotations

import sys

from ch02_namespaces.cgroups import hierarchies
from ch03_run.clean_host import clean, remove_groups, remove_if_empty, unmount_unions
from ch04_images.clean_host import remove_state
from ch04_images.kept_view import remove_kept
from ch06_network.clean_host import remove_endpoints
from ch07_practice.oci.resources import PARENT


def main() -> int:
    """Clean up and print what was removed; the exit code."""
    return clean(remove_groups, unmount_unions, remove_state, remove_endpoints, remove_parents, remove_kept)


def remove_parents() -> list[str]:
    """The cgroup above those of the runtime's containers, if there is none; `delete` removes these themselves."""
    return remove_if_empty([f"{hierarchy.mountpoint}/{PARENT}" for hierarchy in hierarchies()])


if __name__ == "__main__":
    sys.exit(main())
