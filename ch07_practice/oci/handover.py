"""What `create` and `exec` give to the engine that has called them: the terminal, and the pid. Book section 7.4."""

from __future__ import annotations

import os

from ch02_namespaces.errors import EngineError
from ch03_run.container import Part
from ch07_practice.oci import sockets


def give_terminal(path: str, streams: Part) -> None:
    """Send the master of the terminal that the container's process has made to somebody who listens on a Unix socket:
    unix(7), SCM_RIGHTS. Raises EngineError."""
    import socket

    from ch04_images.console import Console  # who has made one has imported it already

    assert isinstance(streams, Console)
    streams.connect()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as taker:
        try:
            sockets.connect(taker, path)
            os.set_blocking(streams.master, True)  # as everybody expects it who has not made it
            socket.send_fds(taker, [b"terminal"], [streams.master])
        except OSError as error:
            raise EngineError(f"--console-socket {path}", str(error.strerror)) from None


def write_pid_file(path: str, pid: int) -> None:
    """Whole, or not at all: whoever waits for it reads it at once."""
    temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.getpid()}")
    try:
        with open(temporary, "x") as file:
            file.write(str(pid))
        os.rename(temporary, path)
    except OSError as error:
        raise EngineError(f"--pid-file {path}", str(error.strerror)) from None
