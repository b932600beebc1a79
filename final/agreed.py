"""What every `prune` asks before it removes something."""

from __future__ import annotations


def agreed(warning: str) -> bool:
    """Ask the user; anything but yes is no."""
    print(f"WARNING! {warning}\nAre you sure you want to continue? [y/N] ", end="", flush=True)
    try:
        return input().strip().lower() in ("y", "yes")
    except EOFError:
        return False
