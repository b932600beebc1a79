"""`exec`: one more process in a container that runs. Book sections 5.4 and 7.4.

It has the container's namespaces, cgroup, capabilities, limits and filter, unless the document of its process says
otherwise.
"""

from __future__ import annotations

import os
import sys

from ch02_namespaces import syscalls
from ch02_namespaces.cgroups import Cgroup
from ch02_namespaces.errors import EngineError
from ch03_run.container import Container, Part, create, let_go, run, start, wait
from ch03_run.terminal import Streams, Terminal
from ch05_lifecycle.join_cgroup import JoinCgroup
from ch07_practice.oci import process as oci_process
from ch07_practice.oci.document import Node
from ch07_practice.oci.handover import give_terminal, write_pid_file
from ch07_practice.oci.state import CREATED, MOUNT, PAUSED, RUNNING, STOPPED, Kept
from final.runtime import optional
from final.runtime.attributes import attributes_of

KINDS = ("user", "cgroup", "ipc", "uts", "net", "pid", "mnt", "time")


class JoinContainer(Part):
    """Everything that the container sees, by the namespaces of its process: setns(2).

    One that has the host's mounts has a root of its own all the same: chroot(2).
    """

    section = "5.4"

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._root = -1

    def prepare(self, container: Container) -> None:
        pidfd = self._kept.open_process()
        if pidfd is None:
            raise EngineError(f"container {self._kept.id}", "it does not run")
        pid = self._kept.record()["pid"]
        self.join = [
            os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
            for kind in KINDS
            if os.stat(f"/proc/{pid}/ns/{kind}").st_ino != os.stat(f"/proc/self/ns/{kind}").st_ino
        ]
        if MOUNT in self._kept.record():
            self._root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        os.close(pidfd)
        if self._kept.status() == STOPPED:  # so the number may have meant somebody else
            raise EngineError(f"container {self._kept.id}", "it has just ended")

    def enter(self, container: Container) -> None:
        if self._root >= 0:
            os.fchdir(self._root)
            syscalls.chroot(".")
        os.chdir("/")
        sys.meta_path.clear()  # from here on Python would look for modules in the container

    def cleanup(self, container: Container) -> None:
        for descriptor in self.join:
            os.close(descriptor)
        self.join = ()
        if self._root >= 0:
            os.close(self._root)
        self._root = -1


def execute_in(
    kept: Kept,
    config: Node,
    described: Node,
    group: Cgroup,
    detach: bool,
    console_socket: str | None,
    pid_file: str | None,
    preserved: int,
) -> int:
    """Run a process in a container; its exit code, or 0 when it has begun, with detach. Raises EngineError.

    config: the container's document; described: that of the process; preserved: how many descriptors of the caller,
    behind the standard streams, it gets.
    """
    if kept.status() not in (CREATED, RUNNING, PAUSED):
        raise EngineError(f"container {kept.id}", f"it is {kept.status()}")
    streams = streams_of(described, detach, console_socket)
    now = lambda pid: kept.state() | {"pid": pid}  # noqa: E731
    parts = [
        JoinContainer(kept),
        JoinCgroup(group),
        *optional.labels(described, config["linux"]["mountLabel"]),
        *optional.oom_score(described["oomScoreAdj"]),
        *optional.exec_affinity(described["execCPUAffinity"]),
        streams,
        oci_process.WorkingDirectory(described, must_exist=True),
        oci_process.Findable(),
        *attributes_of(described, config["linux"], now, kept.root),
    ]
    command = oci_process.command_of(described)
    command.preserved = preserved
    if detach:
        return _leave(Container(kept.id, command, parts), streams, console_socket, pid_file)
    from ch03_run.foreground import Foreground
    from ch03_run.isolation import DieWithEngine

    foreground = Foreground(streams)

    def attend(container: Container) -> int:
        assert container.process is not None
        if pid_file:
            write_pid_file(pid_file, container.process.pid)
        if console_socket:
            give_terminal(console_socket, streams)
            return wait(container)
        return foreground.attend(container)

    return run(Container(kept.id, command, [*parts, DieWithEngine()]), attend)


def _leave(container: Container, streams: Part, console_socket: str | None, pid_file: str | None) -> int:
    """Start a process, and end before it does."""
    create(container)
    if console_socket is not None:
        give_terminal(console_socket, streams)
    start(container)
    assert container.process is not None
    if pid_file:
        write_pid_file(pid_file, container.process.pid)
    let_go(container)
    return 0


def streams_of(described: Node, detach: bool, console_socket: str | None) -> Streams | Terminal:
    """The part for the standard streams: the caller's, or a terminal. Raises EngineError."""
    if not described["terminal"].flag():
        if console_socket:
            raise EngineError("--console-socket", "there is no terminal to be given", "--tty")
        return Streams(interactive=True)
    if detach and not console_socket:
        raise EngineError("exec --detach", "a terminal needs somebody to take it", "--console-socket")
    from ch04_images.console import Console

    return Console(interactive=not console_socket and os.isatty(0), is_console=False)
