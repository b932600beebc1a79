"""create, and run: how a container comes to be. Book sections 7.3 and 7.4.

`create` is the loop up to the point where only exec is missing; it leaves the process waiting at a door, and ends.
"""

from __future__ import annotations

import os
import time

from ch03_run.container import Container, Part, create, delete, let_go
from ch04_images import state as records
from ch05_lifecycle.proc_stat import start_time
from ch07_practice.oci import bundle as bundles
from ch07_practice.oci import hooks, process, resources, state
from ch07_practice.oci.attend import attend, take_signals
from ch07_practice.oci.bundle import Bundle
from ch07_practice.oci.cgroup_mount import cgroup_filesystem
from ch07_practice.oci.document import Node
from ch07_practice.oci.door import open_door
from ch07_practice.oci.handover import give_terminal, write_pid_file
from ch07_practice.oci.mounts import DefaultDevices, Mounts, Sources
from ch07_practice.oci.namespaces import Namespaces
from ch07_practice.oci.root import ReadOnlyRoot, RootPropagation, root_of
from ch07_practice.oci.runtime import Runtime, run_hooks
from ch07_practice.oci.state import CREATED, STOPPED, Kept


class Creator(Runtime):
    """The runtime that also makes containers. A later chapter adds parts to parts_of()."""

    preserved = 0
    """How many descriptors of the caller, behind the standard streams, the command gets."""
    keeps_keyring = False
    """Whether the keys of the caller's session are the container's, where a later chapter would give it none."""

    def cgroup_path(self, config: Node, id: str) -> str:
        """Where the container's cgroup is. Raises EngineError."""
        return resources.path_of(config, id)

    def parts_of(self, bundle: Bundle, kept: Kept, namespaces: Namespaces, streams: Part) -> list[Part]:
        """What the container consists of, in order. Raises EngineError for what makes no sense."""
        config = bundle.config
        now = lambda pid: kept.state(CREATED) | {"pid": pid}  # noqa: E731
        limited = resources.Resources(config, self.cgroup_path(config, kept.id))
        mounts = Mounts(config, cgroup_filesystem(namespaces, limited.group))
        root, change_root = root_of(bundle, kept, namespaces)
        return [
            limited,
            namespaces,
            hooks.RuntimeHooks(config, now),
            root,
            hooks.ContainerHooks(config, now),
            Sources(bundle, mounts, namespaces),
            change_root,
            RootPropagation(bundle),
            mounts,
            DefaultDevices(),
            process.Hostname(config, namespaces.has("uts")),
            streams,
            process.MakeWorkingDirectory(config["process"]),
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
        kept.write_config(config.value)
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
        streams = streams_of(config["process"])
        parts = self.parts_of(bundle, kept, namespaces, streams)
        door = open_door(kept.path(state.DOOR))
        starting = hooks.hooks_of(config, "startContainer")
        told = kept.state(CREATED)
        ready = lambda: hooks.run_all(starting, told | {"pid": os.getpid()})  # noqa: E731
        command = process.PatientCommand(process.command_of(config["process"]), door, ready)
        command.preserved = self.preserved
        container = Container(kept.id, command, parts)
        try:
            create(container)
            assert container.process is not None
            if console_socket is not None:
                give_terminal(console_socket, streams)
            pid = container.process.pid
            kept.write(pid=pid, started_by_kernel=start_time(pid))
        except BaseException:
            delete(container)
            if container.process is not None:  # hooks may have run: those that clean up after them do so, too
                run_hooks(config.value, "poststop", kept.state(STOPPED))
            raise
        let_go(container)

    def run(
        self,
        id: str,
        directory: str,
        console_socket: str | None = None,
        pid_file: str | None = None,
        *,
        detach: bool = False,
        keep: bool = False,
    ) -> int:
        """create, start, wait, delete; the command's exit code. Raises EngineError.

        detach: do not wait, so there is no code but 0; keep: do not delete it when it has ended.
        """
        kept = self.create(id, directory, console_socket, pid_file)
        child, signals = kept.record()["pid"], -1 if detach else take_signals()
        try:
            self.start(id)
            if detach:
                return 0
            code = attend(child, signals)
        except BaseException:
            self.delete(id, force=True)
            raise
        if not keep:
            self.delete(id, force=True)
        return code


def streams_of(described: Node) -> Part:
    """The part for the standard streams: the caller's, or a terminal of the container's own."""
    if not described["terminal"].flag():
        return process.Session()
    from ch04_images.console import Console

    return Console(interactive=False)
