"""The command may make some system calls, and others not: seccomp(2). Book section 7.3.

OCI runtime-spec, config-linux.md, "Seccomp" and "The Container Process State". All is made ready on the host; inside,
one call loads the filter. It judges our own last calls, too: a filter must allow what leads to execve(2).
"""

from __future__ import annotations

import _socket
import os
import sys

from ch03_run.container import Container, Part
from ch04_images.state import json_of
from ch07_practice.oci import sockets
from ch07_practice.oci.document import SPEC, Node
from final.runtime import kernel
from final.runtime.seccomp_cache import compiled_once
from final.runtime.seccomp_filter import Filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# linux/seccomp.h
TSYNC, NEW_LISTENER, TSYNC_ESRCH, WAIT_KILLABLE_RECV = 0x01, 0x08, 0x10, 0x20
FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": TSYNC,
    "SECCOMP_FILTER_FLAG_LOG": 0x02,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 0x04,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": WAIT_KILLABLE_RECV,
}
DESCRIPTOR = "seccompFd"


class Seccomp(Part):
    """linux.seccomp. Its place: behind Credentials if there is noNewPrivileges, as the last of all. Else before: then
    loading takes CAP_SYS_ADMIN, and the filter must allow what Credentials does.

    state: the container's, for the listener, from the pid of its process; root: where the runtime keeps its containers,
    and filters that are compiled already.
    """

    section = "7.3"

    def __init__(self, node: Node, state: Callable[[int], dict[str, Any]], root: str) -> None:
        self._root = root
        self._filter = Filter(node)
        self._flags = sum({FLAGS[flag.one_of(FLAGS)] for flag in node["flags"].items()})
        self._listener = Listener(node, state) if self._filter.notifies else None
        if node["listenerMetadata"] and not node["listenerPath"]:
            raise node["listenerMetadata"].wrong("there is no listenerPath")
        if self._listener is None:
            self._flags &= ~WAIT_KILLABLE_RECV  # means nothing then, and the kernel refuses it
        else:
            self._flags |= NEW_LISTENER | (TSYNC_ESRCH if self._flags & TSYNC else 0)
        self._program = b""

    def prepare(self, container: Container) -> None:
        self._program = compiled_once(self._root, self._filter.source(), self._filter.compile)
        if self._listener is not None:
            self._listener.connect()

    def attach(self, container: Container) -> None:
        assert container.process is not None
        if self._listener is not None:
            self._listener.write_message(container.process.pid)

    def enter(self, container: Container) -> None:
        if self._listener is None:
            container.close_descriptors()
            kernel.seccomp_filter(self._program, self._flags)
            return
        message = self._listener.read_message()
        container.close_descriptors(self._listener.connection)
        self._listener.send(message, kernel.seccomp_filter(self._program, self._flags))
        container.close_descriptors()  # the connection, too: it ends the message

    def cleanup(self, container: Container) -> None:
        if self._listener is not None:
            self._listener.close()


class Listener:
    """Somebody on the host who decides about calls: he is sent the descriptor from which he reads of them.

    The process of the container sends it itself, for it alone has it; the connection and the text come from the host.
    """

    def __init__(self, node: Node, state: Callable[[int], dict[str, Any]]) -> None:
        self._node = node["listenerPath"]
        self._path = self._node.text()
        self._metadata = node["listenerMetadata"].text() if node["listenerMetadata"] else None
        self._state = state
        self._connection: _socket.socket | None = None
        self._message = -1

    def connect(self) -> None:
        """Connect to its Unix socket. Raises EngineError."""
        self._message = os.memfd_create("message", os.MFD_CLOEXEC)
        self._connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            sockets.connect(self._connection, self._path)
        except OSError as error:
            raise self._node.wrong(f"{self._path}: {error.strerror}", "does the listener run?") from None

    def write_message(self, pid: int) -> None:
        """Leave the text for the container's process. The connection is now its alone."""
        message = {"ociVersion": SPEC, "fds": [DESCRIPTOR], "pid": pid, "state": self._state(pid)}
        if self._metadata is not None:
            message["metadata"] = self._metadata
        with open(self._message, "wb") as file:
            file.write(json_of(message).encode())
        self._message = -1
        self.close()

    def read_message(self) -> bytes:
        """The text, in the container's process."""
        return os.pread(self._message, os.fstat(self._message).st_size, 0)

    @property
    def connection(self) -> int:
        """Its descriptor."""
        assert self._connection is not None
        return self._connection.fileno()

    def send(self, message: bytes, descriptor: int) -> None:
        """Send both, and let go of the descriptor. Raises EngineError."""
        assert self._connection is not None
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptor.to_bytes(4, sys.byteorder))
        try:
            sent = self._connection.sendmsg([message], [rights], _socket.MSG_NOSIGNAL)
            while sent < len(message):
                sent += self._connection.sendmsg([message[sent:]], (), _socket.MSG_NOSIGNAL)
        except OSError as error:
            raise self._node.wrong(f"{self._path}: {error.strerror}") from None
        os.close(descriptor)

    def close(self) -> None:
        """Let go of the connection on the host's side."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        if self._message >= 0:
            os.close(self._message)
        self._message = -1
