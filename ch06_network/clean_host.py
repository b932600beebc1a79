"""`make clean-host`: take away what killed exercises may have left on this machine, and say what it was."""

from __future__ import annotations

import sys

from ch03_run.clean_host import clean, remove_groups, unmount_unions
from ch04_images.clean_host import remove_state
from ch04_images.kept_view import remove_kept
from ch06_network import endpoints, network


def main() -> int:
    """Clean up and print what was removed; the exit code."""
    return clean(remove_groups, unmount_unions, remove_state, remove_endpoints, remove_kept)


def remove_endpoints() -> list[str]:
    """The places of dead containers in networks, and half-made networks. Networks stay: `network prune`."""
    network.sweep()
    removed = []
    for one in network.every():
        dead = [endpoint for endpoint in endpoints.every(one) if not endpoints.is_alive(endpoint.container)]
        endpoints.remove_dead(one)
        removed += [f"{endpoint.container} from network {one.name}" for endpoint in dead]
    return removed


if __name__ == "__main__":
    sys.exit(main())
