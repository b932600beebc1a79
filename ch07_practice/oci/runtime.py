"""create, start, state, kill, delete: the life of a container in five commands. Book section 7.4.

OCI runtime-spec, runtime.md, "Lifecycle" and "Operations". `create` is the loop up to the point where only exec is
missing; it leaves the process waiting at a door, and ends. `start` opens the door. `delete` cleans up after it, as the
loop's cleanup would, from what was written down.
"""

from __future__ import annotations

import os
import time

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError, SyscallError
from ch03_run.container import Container, Part, create, delete, let_go
from ch04_images import state as records
from ch04_images.console import Console
from ch05_lifecycle.proc_stat import start_time
from ch07_practice.oci import bundle as bundles
from ch07_practice.oci import hooks, process, resources, sockets, state
from ch07_practice.oci.bundle import Bundle
from ch07_practice.oci.cgroup_mount import cgroup_filesystem
from ch07_practice.oci.document import Node
from ch07_practice.oci.mounts import DefaultDevices, Mounts
from ch07_practice.oci.namespaces import Namespaces
from ch07_practice.oci.root import BindRoot, PivotRoot, ReadOnlyRoot, RootPropagation
from ch07_practice.oci.state import CREATED, RUNNING, STOPPED, Kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PATIENCE = 10.0  # seconds


class Runtime:
    """The runtime. root: where it keeps its containers. A later chapter adds parts to parts_of()."""

    def __init__(self, root: str = state.DEFAULT_ROOT) -> None:
        self.root = root
        self.explains = False
        """Whether each stage, part and system call is told as it happens."""
        self.preserved = 0
        """How many descriptors of the caller, behind the standard streams, the command gets."""

    def cgroup_path(self, config: Node, id: str) -> str:
        """Where the container's cgroup is. Raises EngineError."""
        return resources.path_of(config, id)

    def parts_of(self, bundle: Bundle, kept: Kept, namespaces: Namespaces, streams: Part) -> list[Part]:
        """What the container consists of, in order. Raises EngineError for what makes no sense."""
        config = bundle.config
        now = lambda pid: kept.state(state.CREATING) | {"pid": pid}  # noqa: E731
        limited = resources.Resources(config, self.cgroup_path(config, kept.id))
        return [
            limited,
            namespaces,
            hooks.RuntimeHooks(config, now),
            BindRoot(bundle),
            hooks.ContainerHooks(config, now),
            PivotRoot(),
            RootPropagation(bundle),
            Mounts(config, cgroup_filesystem(namespaces, limited.group)),
            DefaultDevices(),
            process.Hostname(config, namespaces.has("uts")),
            streams,
            *([ReadOnlyRoot()] if config["root"]["readonly"].flag() else []),
            process.WorkingDirectory(config["process"]),
            process.Findable(),
            process.User(config["process"]),
        ]

    def create(self, id: str, directory: str, console_socket: str | None = None, pid_file: str | None = None) -> Kept:
        """Make a container of a bundle; its command waits for start(). Raises EngineError; then there is none."""
        bundle = bundles.load(directory)
        config = bundle.config
        hooks.check(config)
        if not Namespaces(config["linux"]["namespaces"]).has("mount"):
            raise config["linux"]["namespaces"].wrong("there is no mount namespace, so its root would be the host's")
        if not config["process"]:
            raise config["process"].wrong("it is missing, and there is no command to start")
        process.check_terminal(config["process"], console_socket)
        kept = state.reserve(self.root, id)
        try:
            self._create(kept, bundle, console_socket)
        except BaseException:  # the loop has cleaned up after itself
            records.remove_tree(kept.path())
            raise
        try:
            if pid_file:
                write_pid_file(pid_file, kept.record()["pid"])
        except BaseException:
            self.delete(id, force=True)
            raise
        return kept

    def _create(self, kept: Kept, bundle: Bundle, console_socket: str | None) -> None:
        config = bundle.config
        records.write_record(kept.path(bundles.CONFIG), config.value, durable=False)
        annotations = {name: node.text() for name, node in config["annotations"].fields().items()}
        group = self.cgroup_path(config, kept.id)
        kept.write(
            id=kept.id,
            bundle=bundle.directory,
            annotations=annotations,
            pid=0,
            started_by_kernel=0,
            created=time.time(),
            cgroup=group,
        )
        namespaces = Namespaces(config["linux"]["namespaces"])
        streams = Console(interactive=False) if config["process"]["terminal"].flag() else process.Session()
        parts = self.parts_of(bundle, kept, namespaces, streams)
        door = process.open_door(kept.path(state.DOOR))
        starting = hooks.hooks_of(config, "startContainer")
        told = kept.state(CREATED)
        ready = lambda: hooks.run_all(starting, told | {"pid": os.getpid()})  # noqa: E731
        command = process.PatientCommand(process.command_of(config["process"]), door, ready)
        command.preserved = self.preserved
        container = Container(kept.id, command, parts)
        if self.explains:
            from ch03_run.explain import narrate

            narrate(container)
        create(container)
        assert container.process is not None
        try:
            if isinstance(streams, Console):
                assert console_socket is not None
                streams.connect()
                give_terminal(console_socket, streams.master)
            pid = container.process.pid
            kept.write(pid=pid, started_by_kernel=start_time(pid))
        except BaseException:
            delete(container)
            raise
        let_go(container)

    def start(self, id: str) -> None:
        """Let the command of a created container begin. Raises EngineError."""
        kept = state.find(self.root, id)
        if kept.status() != CREATED:
            raise EngineError(f"container {id}", f"it is {kept.status()}", "only one that is created can be started")
        process.knock(kept.path(state.DOOR))
        os.unlink(kept.path(state.DOOR))
        try:
            hooks.run_all(self._hooks(kept, "poststart"), kept.state(RUNNING))
        except EngineError:
            self.kill(id, syscalls.SIGKILL)
            raise

    def run(self, id: str, directory: str, console_socket: str | None = None, pid_file: str | None = None) -> int:
        """create, start, wait, delete; the command's exit code. Raises EngineError."""
        kept = self.create(id, directory, console_socket, pid_file)
        child = kept.record()["pid"]
        try:
            self.start(id)
            _, status = os.waitpid(child, 0)
        except BaseException:
            self.delete(id, force=True)
            raise
        self.delete(id, force=True)
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    def state(self, id: str) -> dict[str, Any]:
        """How a container is, as the specification has it. Raises EngineError."""
        return state.find(self.root, id).state()

    def kill(self, id: str, number: int) -> None:
        """Send a signal to a container's process. Raises EngineError if it has ended."""
        kept = state.find(self.root, id)
        pidfd = kept.open_process()
        if pidfd is None:
            raise EngineError(f"container {id}", "it does not run")
        try:
            syscalls.pidfd_send_signal(pidfd, number)
        except SyscallError as error:
            raise EngineError(f"container {id}", "it has just ended", str(error)) from None
        finally:
            os.close(pidfd)

    def delete(self, id: str, force: bool = False) -> None:
        """Remove what is left of a container that has ended; with force, end it first. Raises EngineError."""
        state.check_id(id)
        kept = Kept(self.root, id)
        if force and not os.path.exists(kept.path("state.json")):  # none, or one whose `create` was killed at once
            records.remove_tree(kept.path())
            return
        if kept.status() != STOPPED and not force:
            raise EngineError(f"container {id}", f"it is {kept.status()}", "`kill` it first, or --force")
        self._end(kept)
        told, after = kept.state(STOPPED), self._hooks(kept, "poststop")
        self._forget(kept)
        hooks.run_all(after, told)

    def _end(self, kept: Kept) -> None:
        """End its process, if it runs, and wait for its end."""
        pidfd = kept.open_process()
        if pidfd is None:
            return
        try:
            syscalls.pidfd_send_signal(pidfd, syscalls.SIGKILL)
            wait_for(pidfd, PATIENCE)
        finally:
            os.close(pidfd)

    def _forget(self, kept: Kept) -> None:
        """Remove its cgroup, with the processes in it, and its directory."""
        if os.path.exists(kept.path("state.json")):
            group = resources.group_of(kept.record()["cgroup"])
            if any(map(os.path.isdir, group.directories())):
                if group.processes():
                    group.kill()
                group.remove()
        records.remove_tree(kept.path())

    def _hooks(self, kept: Kept, moment: str) -> list[hooks.Hook]:
        config = Node(records.read_record(kept.path(bundles.CONFIG)), "")
        return hooks.hooks_of(config, moment)


def wait_for(pidfd: int, seconds: float) -> None:
    """Wait for the end of a process. Raises EngineError if it does not come."""
    import select

    if not select.select([pidfd], [], [], seconds)[0]:
        raise EngineError("kill", f"the process has not ended within {seconds:.0f} seconds")


def give_terminal(path: str, master: int) -> None:
    """Send a terminal's master to somebody who listens on a Unix socket: unix(7), SCM_RIGHTS. Raises EngineError."""
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as taker:
        try:
            sockets.connect(taker, path)
            os.set_blocking(master, True)  # as everybody expects it who has not made it
            socket.send_fds(taker, [b"terminal"], [master])
        except OSError as error:
            raise EngineError(f"--console-socket {path}", str(error.strerror)) from None


def write_pid_file(path: str, pid: int) -> None:
    """Whole, or not at all: whoever waits for it reads it at once."""
    temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.getpid()}")
    try:
        with open(temporary, "w") as file:
            file.write(str(pid))
        os.rename(temporary, path)
    except OSError as error:
        raise EngineError(f"--pid-file {path}", str(error.strerror)) from None
