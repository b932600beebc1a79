"""--env-file: variables from a file, a line each."""

from __future__ import annotations

from ch02_namespaces.errors import EngineError


def environment_file(path: str) -> list[str]:
    """For Flag.convert: the lines of a file of NAME=VALUE; empty ones and comments (#) are left out. EngineError."""
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
            lines = [line.strip("\r\n").lstrip() for line in file]
    except OSError as error:
        raise EngineError(path, str(error.strerror)) from None
    found = [line for line in lines if line and not line.startswith("#")]
    for line in found:
        name = line.partition("=")[0]
        if len(name.split()) > 1 or name != name.strip():
            raise EngineError(path, f"{name!r} has a space in it", "NAME=VALUE, a line each")
    return found
