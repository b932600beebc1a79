"""The parts that give a container a view of its own: one namespace each, with what must be set up inside it."""

from __future__ import annotations

import os

from ch02_namespaces import namespaces, syscalls
from ch02_namespaces.errors import EngineError
from ch03_run.container import Container, Part


class UserNamespace(Part):
    """An ordinary user becomes root inside, and stays nobody special outside: user_namespaces(7)."""

    section = "2.1.6"
    clone_flags = syscalls.CLONE_NEWUSER

    def attach(self, container: Container) -> None:
        assert container.process is not None
        namespaces.write_id_maps(container.process.pid, f"0 {os.geteuid()} 1", f"0 {os.getegid()} 1")


class MountNamespace(Part):
    """Mounts of its own. Host and container would still pass mounts to each other where the host says shared
    (systemd does): from here on nothing propagates. mount_namespaces(7), "Shared subtrees"."""

    section = "2.1.5"
    clone_flags = syscalls.CLONE_NEWNS

    def enter(self, container: Container) -> None:
        syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)


class PidNamespace(Part):
    """The process is PID 1, and sees only processes of the container: pid_namespaces(7)."""

    section = "2.1.4"
    clone_flags = syscalls.CLONE_NEWPID


class Proc(Part):
    """A /proc that shows the container's processes, in place of the host's: proc(5)."""

    section = "2.1.5, 3.1.2"

    def enter(self, container: Container) -> None:
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
        syscalls.mount("proc", "/proc", "proc", flags)


class Hostname(Part):
    """A host name of its own: uts_namespaces(7)."""

    section = "2.1.2"
    clone_flags = syscalls.CLONE_NEWUTS

    def __init__(self, name: str) -> None:
        if not 0 < len(os.fsencode(name)) <= 64:
            raise EngineError("host name", "it must have 1 to 64 bytes", repr(name))
        self.name = name

    def enter(self, container: Container) -> None:
        syscalls.sethostname(self.name)


class IpcNamespace(Part):
    """Message queues, semaphores and shared memory of its own: ipc_namespaces(7)."""

    section = "2.1.3"
    clone_flags = syscalls.CLONE_NEWIPC


class NetworkNamespace(Part):
    """Network devices, addresses and ports of its own; at first only lo, which is down: network_namespaces(7)."""

    section = "2.1.7"
    clone_flags = syscalls.CLONE_NEWNET


class DieWithEngine(Part):
    """A container in the foreground ends when its engine ends, also by SIGKILL: PR_SET_PDEATHSIG(2const).

    It belongs at the end of the list: the kernel forgets the wish when credentials change. If the engine dies even
    earlier, the child finds its pipe closed and ends by itself. If the command changes its user later, as `su` does,
    only the next `run` ends it: cgroups.sweep.
    """

    section = "3.1.2"

    def enter(self, container: Container) -> None:
        syscalls.die_with_parent()
