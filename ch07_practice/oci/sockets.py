"""Unix sockets at paths of any length: unix(7) has room for 107 bytes, and engines have long directories."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable


def bind(socket: _socket.socket, path: str) -> None:
    """bind(2). Raises OSError."""
    _reach(socket.bind, path)


def connect(socket: _socket.socket, path: str) -> None:
    """connect(2). Raises OSError."""
    _reach(socket.connect, path)


def _reach(call: Callable[[str], None], path: str) -> None:
    """The directory is opened, and has a short name then."""
    directory = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        call(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
    finally:
        os.close(directory)
