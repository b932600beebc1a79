"""--secret: what a build may use and must not keep. Its value is read when a step wants it, and goes into memory alone.

Source: Docker's "docker buildx build", --secret. It decides nothing in the cache: a step is done again when its
instruction changes, and not when the secret does.
"""

from __future__ import annotations

import os
import stat

from ch02_namespaces.errors import EngineError

LARGEST = 500 << 10  # bytes: BuildKit's bound
SYNTAX = "id=NAME,src=FILE or id=NAME,env=VARIABLE"
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO would let us wait for ever


class Secret:
    """id: as RUN --mount=type=secret names it; path: of a file, or variable: of our environment; the other is empty."""

    def __init__(self, id: str, path: str, variable: str) -> None:
        self.id = id
        self.path = path
        self.variable = variable

    def read(self) -> bytes:
        """Its value. Raises EngineError."""
        if self.variable:
            found = os.environb.get(os.fsencode(self.variable))
            if found is None:
                raise EngineError(f"--secret id={self.id}", f"the variable {self.variable} is not set")
            return found
        try:
            descriptor = os.open(self.path, READ)
        except OSError as error:
            raise EngineError(f"--secret id={self.id}", f"{self.path}: {error.strerror}") from None
        with open(descriptor, "rb") as file:
            data = file.read(LARGEST + 1) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b"\0" * (LARGEST + 1)
        if len(data) > LARGEST:
            raise EngineError(f"--secret id={self.id}", f"it is no file of at most {LARGEST >> 10} KiB")
        return data


def secret(text: str) -> Secret:
    """For Flag.convert: id=NAME[,type=file|env][,src=FILE|,env=VARIABLE]; with an id alone, the variable of that name,
    or else the file. Raises EngineError."""
    said = {"type": ""}
    for word in text.split(","):
        key, equals, value = word.partition("=")
        key = {"source": "src"}.get(key, key)
        if key not in ("id", "type", "src", "env") or not equals:
            raise EngineError(f"--secret {text}", f"{key!r} is not known", SYNTAX)
        said[key] = value
    id, kind, path, variable = (said.get(key, "") for key in ("id", "type", "src", "env"))
    if not id or kind not in ("", "file", "env") or (path and variable):
        raise EngineError(f"--secret {text}", "it is no secret", SYNTAX)
    if kind == "env":
        path, variable = "", variable or path
    if not path and not variable:
        path, variable = ("", id) if id in os.environ and kind != "file" else (id, "")
    return Secret(id, os.path.abspath(path) if path else "", variable)
