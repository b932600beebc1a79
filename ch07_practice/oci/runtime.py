"""start, state, kill, delete: what happens to a container that is there already. Book section 7.4.

OCI runtime-spec, runtime.md, "Lifecycle" and "Operations". `start` opens the door at which the container's process
waits. `delete` cleans up after it, as the loop's cleanup would, from what was written down. Each imports what it needs
when it is used: engines call these commands often.
"""

from __future__ import annotations

import os

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError, SyscallError
from ch04_images import state as records
from ch07_practice.oci import state
from ch07_practice.oci.document import Node
from ch07_practice.oci.state import CREATED, DOOR, IS_PAUSED, MOUNT, RUNNING, STOPPED, Kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PATIENCE = 10.0  # seconds


class Runtime:
    """The runtime. root: where it keeps its containers."""

    def __init__(self, root: str = state.DEFAULT_ROOT) -> None:
        self.root = root

    def start(self, id: str) -> None:
        """Let the command of a created container begin. Raises EngineError."""
        kept = state.find(self.root, id)
        if kept.status() != CREATED:
            raise EngineError(f"container {id}", f"it is {kept.status()}", "only one that is created can be started")
        from ch07_practice.oci.door import knock

        knock(kept.path(DOOR))
        os.unlink(kept.path(DOOR))
        try:
            run_hooks(kept.config(), "poststart", kept.state(RUNNING))
        except EngineError:
            self._end(kept)
            raise

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
            if number == syscalls.SIGKILL:
                self._thaw(kept)
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
        if not force and kept.status() != STOPPED:
            raise EngineError(f"container {id}", f"it is {kept.status()}", "`kill` it first, or --force")
        self._end(kept)
        told, config = kept.state(STOPPED), kept.config()
        self._forget(kept)
        run_hooks(config, "poststop", told)

    def _end(self, kept: Kept) -> None:
        """End its process, if it runs, and wait for its end."""
        pidfd = kept.open_process()
        if pidfd is None:
            return
        try:
            syscalls.pidfd_send_signal(pidfd, syscalls.SIGKILL)
            self._thaw(kept)
            wait_for(pidfd, PATIENCE)
        finally:
            os.close(pidfd)

    def _thaw(self, kept: Kept) -> None:
        """Let it go on, if it is paused: version 1 of cgroups would not even let it die."""
        if kept.record().get(IS_PAUSED):
            from ch02_namespaces.cgroups import Cgroup

            Cgroup(kept.record()["cgroup"]).freeze(False)
            kept.write(**{IS_PAUSED: False})

    def _forget(self, kept: Kept) -> None:
        """Remove its cgroup, with the processes in it, its mount, if the host sees that, and its directory."""
        from ch02_namespaces.cgroups import Cgroup

        if os.path.exists(kept.path("state.json")):
            record = kept.record()
            group = Cgroup(record["cgroup"])
            if any(map(os.path.isdir, group.directories())):
                if group.processes():
                    group.kill()
                group.remove()
            if MOUNT in record:
                from ch07_practice.oci.inherited_root import take_off

                take_off(record)
        records.remove_tree(kept.path())


def run_hooks(config: dict[str, Any], moment: str, told: dict[str, Any]) -> None:
    """Run the hooks of one moment, if the document has any. told: the container's state. Raises EngineError, but for
    poststop: the container is gone."""
    if config.get("hooks"):
        from ch07_practice.oci import hooks

        run = hooks.run_each if moment == "poststop" else hooks.run_all
        run(hooks.hooks_of(Node(config, ""), moment), told)


def wait_for(pidfd: int, seconds: float) -> None:
    """Wait for the end of a process. Raises EngineError if it does not come."""
    import select

    if not select.select([pidfd], [], [], seconds)[0]:
        raise EngineError("kill", f"the process has not ended within {seconds:.0f} seconds")
