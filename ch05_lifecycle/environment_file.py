"""--env-file: variables from a file, a line each."""

from __future__ import annotations

from ch02_namespaces.errors import EngineError


def environment_file(path: str) -> list[str]:
    """For Flag.convert: the lines of a file of NAME=VALUE; empty ones and comments (#) are left out. EngineError."""
    try:
        with open(path, errors="surrogateescape") as file:
            lines = [line.strip("\r\n") for line in file]
    except OSError as error:
        raise EngineError(path, str(error.strerror)) from None
    return [line.lstrip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
