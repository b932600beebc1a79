"""`make clean-host`: take away what killed exercises may have left on this machine, and say what it was."""

from __future__ import annotations

import os
import sys

from ch03_run.clean_host import clean, remove_groups, unmount_unions
from ch04_images import containers, images, state
from ch04_images.kept_view import remove_kept


def main() -> int:
    """Clean up and print what was removed; the exit code."""
    return clean(remove_groups, unmount_unions, remove_state, remove_kept)


def remove_state() -> list[str]:
    """Half-made containers and layers, and the directories of ended --rm containers. Images and others stay."""
    before = _state()
    containers.sweep()
    images.sweep()
    return sorted(before - _state())


def _state() -> set[str]:
    return {
        state.place(above, name)
        for above in ("containers", "layers")
        if os.path.isdir(state.place(above))
        for name in os.listdir(state.place(above))
    }


if __name__ == "__main__":
    sys.exit(main())
