"""The door at which a created container's process waits for `start`: a Unix socket in its directory. Book section 7.4.

runc has a FIFO for this. Over a connection the process can also tell that its command could not begin, and why.
"""

from __future__ import annotations

import _socket
import marshal

from ch02_namespaces.errors import EngineError
from ch07_practice.oci import sockets


def knock(path: str) -> None:
    """Let a waiting command begin; returns when it has. Raises EngineError with what the container tells."""
    client = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        sockets.connect(client, path)
        answer = b"".join(iter(lambda: client.recv(1 << 16), b""))
    except OSError as error:
        raise EngineError(f"start: {path}", str(error.strerror), "has it ended?") from None
    finally:
        client.close()
    if answer:
        raise EngineError(*marshal.loads(answer))


def open_door(path: str) -> _socket.socket:
    """A socket on which PatientCommand waits. Raises EngineError."""
    door = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    sockets.bind(door, path)
    door.listen(1)
    return door
