"""--cidfile: the id of a container in a file, for scripts."""

from __future__ import annotations

import os

from ch02_namespaces.errors import EngineError
from ch04_images import state

ID_LENGTH = 64


def write_id(path: str, id: str) -> None:
    """Write the id of a container into a new file: --cidfile. Raises EngineError."""
    try:
        with open(path, "x") as file:
            file.write(id)
    except OSError as error:
        raise EngineError(f"--cidfile {path}", str(error.strerror)) from None


def forget_id(path: str) -> None:
    """Remove what write_id() has written, if the container is not there."""
    try:
        with open(path) as file:
            id = file.read(100)
    except OSError:  # it was never written
        return
    if len(id) == ID_LENGTH and id.isalnum() and not os.path.exists(state.place("containers", id)):
        os.unlink(path)
