"""How much room things take on disk."""

from __future__ import annotations

import os
import stat

from ch04_images import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch05_lifecycle.store import Stored


def layer_bytes(stored: Stored) -> int:
    """What a container has written: the bytes of the files in its own layer."""
    return tree_bytes(stored.record.path("upper"))


def root_bytes(stored: Stored) -> int:
    """What a container sees: its own layer and those of its image."""
    return layer_bytes(stored) + sum(tree_bytes(images.layer_directory(id)) for id in stored.record.layers)


def tree_bytes(top: str) -> int:
    """The bytes of the files below a directory, those with several names once. Nothing is followed."""
    total, seen = 0, set()
    for directory, _, files in os.walk(top):
        for name in files:
            try:
                status = os.lstat(os.path.join(directory, name))
            except FileNotFoundError:  # the container goes on meanwhile
                continue
            if stat.S_ISREG(status.st_mode) and status.st_ino not in seen:
                total += status.st_size
                seen.add(status.st_ino)
    return total
