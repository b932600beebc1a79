"""A union that cannot be mounted inside the container, and is handed in. Book section 4.2.

A helper, in a mount namespace of its own, mounts it and sends us a copy of the mount that is attached nowhere; the
container attaches it. So the container's is the only one, and the union ends with it.

Sources: mount_namespaces(7), open_tree(2), move_mount(2), unix(7) on SCM_RIGHTS.
"""

from __future__ import annotations

import os

from ch02_namespaces import namespaces, syscalls
from ch02_namespaces.errors import EngineError
from ch03_run.container import Container, Part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch04_images.rootfs import ContainerDirectory

MOST_KEPT = 4


class MountedApart(Part):
    """Such a union. what: it, for an error; hint: for the same."""

    what = "the union"
    hint = ""

    def __init__(self, directory: ContainerDirectory) -> None:
        self.directory = directory
        self._tree = -1
        self._kept: list[int] = []

    def mount(self) -> list[int]:
        """In the helper: mount the union at the record's `rootfs`; descriptors that the engine is to keep as long as
        the container lives. Raises EngineError, OSError."""
        raise NotImplementedError

    def let_go(self, kept: list[int]) -> None:
        """When the container has ended, and its mount with it: what is to be done before these are closed."""

    def prepare(self, container: Container) -> None:
        import socket

        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                helper = namespaces.spawn(syscalls.CLONE_NEWNS, lambda: self._help(theirs))
            message, descriptors, _, _ = socket.recv_fds(ours, 4096, 1 + MOST_KEPT)
            helper.wait()
        if not descriptors:
            raise EngineError(self.what, message.decode() or "the helper died", self.hint)
        self._tree, *self._kept = descriptors

    def _help(self, engine: object) -> int:
        import socket

        assert isinstance(engine, socket.socket)
        target = self.directory.record.path("rootfs")
        try:
            syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
            kept = self.mount()
            socket.send_fds(engine, [b"mounted"], [syscalls.open_tree(target), *kept])
            syscalls.umount(target, syscalls.MNT_DETACH)  # who serves it may stay in this namespace
        except (EngineError, OSError) as error:
            engine.send(str(error).encode()[:4096])
            return 1
        return 0

    def enter(self, container: Container) -> None:
        target = os.open(self.directory.record.path("rootfs"), os.O_PATH | os.O_CLOEXEC)
        syscalls.move_mount(self._tree, target)
        os.close(target)
        os.close(self._tree)

    def cleanup(self, container: Container) -> None:
        if self._tree < 0:
            return
        os.close(self._tree)
        self.let_go(self._kept)
        for descriptor in self._kept:
            os.close(descriptor)
        self._tree, self._kept = -1, []
