"""--ssh: the keys of an ssh-agent(1) for a step that mounts it. The keys themselves never leave the agent.

A process of our own stands between: a command of the Dockerfile can ask which keys there are, and have something signed
by one. Nothing else gets through, so that it can neither remove keys nor lock the agent. It also lets commands in that
are not root: an agent talks to its owner alone. Source: draft-miller-ssh-agent, 3 and 4.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct

from ch02_namespaces import namespaces, syscalls
from ch02_namespaces.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = 256 << 10  # bytes of a message: OpenSSH's bound
ALLOWED = (11, 13)  # SSH_AGENTC_REQUEST_IDENTITIES, SSH_AGENTC_SIGN_REQUEST
FAILURE = struct.pack(">IB", 1, 5)  # SSH_AGENT_FAILURE
USUAL = "default"
MOST_CLIENTS = 64  # at a time


def agent(text: str) -> tuple[str, str]:
    """For Flag.convert: ID[=SOCKET], without a socket that of $SSH_AUTH_SOCK; both. Raises EngineError."""
    id, _, path = text.partition("=")
    path = path or os.environ.get("SSH_AUTH_SOCK", "")
    if not path:
        raise EngineError(f"--ssh {text}", "there is no agent", "SSH_AUTH_SOCK, or --ssh default=SOCKET")
    if os.path.isfile(path):
        raise EngineError(f"--ssh {text}", f"{path} is no socket of an agent", f"ssh-add {path}, and --ssh {id}")
    return id or USUAL, os.path.abspath(path)


@contextlib.contextmanager
def forwarded(agent: str, path: str) -> Iterator[None]:
    """A socket at `path` that leads to an agent's, as long as the `with` lasts. Raises EngineError."""
    _connect(agent).close()
    with socket.socket(socket.AF_UNIX) as listening:
        directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:  # an address holds 108 bytes, and our paths may be longer: unix(7)
            listening.bind(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        finally:
            os.close(directory)
        listening.listen()
        engine = os.getpid()
        process = namespaces.spawn(0, lambda: _serve(listening, agent, engine))
    try:
        yield
    finally:
        process.kill()


def _connect(agent: str) -> socket.socket:
    found = socket.socket(socket.AF_UNIX)
    try:
        found.connect(agent)
    except OSError as error:
        found.close()
        raise EngineError(f"ssh agent {agent}", str(error.strerror or error), "is it running?") from None
    return found


def _serve(listening: socket.socket, agent: str, engine: int) -> int:
    """In a process of its own, which ends with the engine."""
    import threading

    syscalls.die_with_parent()
    if os.getppid() != engine:
        return 1
    _close_all_but(listening.fileno())
    free = threading.BoundedSemaphore(MOST_CLIENTS)

    def attend(client: socket.socket) -> None:
        with free, client, contextlib.suppress(OSError, EngineError):  # a client sees the end of its connection
            _attend(client, agent)

    while True:
        with free:
            client, _ = listening.accept()
        threading.Thread(target=attend, args=(client,), daemon=True).start()


def _close_all_but(kept: int) -> None:
    """Close what the engine has open, its locks above all, but for the standard streams."""
    if kept > 3:
        syscalls.close_range(3, kept - 1)
    syscalls.close_range(kept + 1)


def _attend(client: socket.socket, agent: str) -> None:
    """Pass on requests and answers, one after the other, until the client leaves."""
    with _connect(agent) as keys:
        while request := _message(client):
            if request[4] in ALLOWED:
                keys.sendall(request)
                client.sendall(_message(keys) or FAILURE)
            else:
                client.sendall(FAILURE)


def _message(source: socket.socket) -> bytes:
    """The next message, with its length; empty at the end, and for what is none."""
    head = _exactly(source, 4)
    size = struct.unpack(">I", head)[0] if head else 0
    body = _exactly(source, size) if 0 < size <= LARGEST else b""
    return head + body if body else b""


def _exactly(source: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size and (piece := source.recv(size - len(found))):
        found += piece
    return found if len(found) == size else b""
