"""Filters that are compiled already: engines give the same profile to almost every container. Book section 7.3.

To compile one takes libseccomp 10 ms, a fourth of a whole `run`. crun has such a cache, too.

    ROOT/@seccomp/DIGEST   of what is compiled; the file has the digest of the program, and the program
"""

from __future__ import annotations

import os
from _blake2 import blake2b  # hashlib would take 2 ms to import

from ch02_namespaces.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DIRECTORY = "@seccomp"  # no container can have this id
MOST = 64  # files, of some 10 kB each
DIGEST = 16  # bytes


def compiled_once(root: str, source: bytes, compile: Callable[[], bytes]) -> bytes:
    """What `compile` makes of the source: now, or at an earlier time. root: where the runtime keeps its containers.

    Raises EngineError.
    """
    path = os.path.join(root, DIRECTORY, _digest(source).hex())
    program = _read(path)
    if not program:
        program = compile()
        try:
            _write(path, program)
        except OSError as error:
            raise EngineError(path, str(error.strerror)) from None
    return program


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=DIGEST).digest()


def _read(path: str) -> bytes:
    """The program in a file; none if there is no file, or one that a crash of the machine has damaged."""
    try:
        with open(path, "rb", buffering=0) as file:
            data = file.read()
    except FileNotFoundError:
        return b""
    return data[DIGEST:] if data[:DIGEST] == _digest(data[DIGEST:]) else b""


def _write(path: str, program: bytes) -> None:
    """Whole, or not at all. Raises OSError."""
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    _make_room(directory)
    temporary = f"{path}.{os.getpid()}.new"
    try:
        with open(temporary, "wb", buffering=0) as file:
            file.write(_digest(program) + program)
        os.rename(temporary, path)
    except OSError:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def _make_room(directory: str) -> None:
    """Forget all, if they are many: what is in use will be back soon."""
    names = [name for name in os.listdir(directory) if "." not in name]
    for name in names if len(names) >= MOST else []:
        try:
            os.unlink(os.path.join(directory, name))
        except FileNotFoundError:  # somebody else does the same
            continue
