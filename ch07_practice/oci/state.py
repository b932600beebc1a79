"""What the runtime keeps of a container, between its commands: a directory each. OCI runtime-spec, runtime.md, "State".

    ROOT/ID/state.json   how it was made
            door         a socket: who connects lets the container's command begin
            config.json  the bundle's, as it was

Whether it is created, running or stopped, nobody writes down: the process itself says so. That it is paused is written.
"""

from __future__ import annotations

import os

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError, SyscallError
from ch04_images import state as records
from ch05_lifecycle.proc_stat import state_and_start_time
from ch07_practice.oci.document import SPEC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_ROOT = "/run/mydocker-runtime"
CREATING, CREATED, RUNNING, STOPPED, PAUSED = "creating", "created", "running", "stopped", "paused"
ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")
LONGEST_ID = 1024
DOOR = "door"
MOUNT = "mount"
"""Of a record: the mount that the host sees of a container without a mount namespace, inherited_root.py."""
IS_PAUSED = "paused"
"""Of a record: whether its processes have been stopped for a while, which a later chapter's runtime can."""
CONFIG = "config.json"


class Kept:
    """A container that exists. root: where the runtime keeps its containers; id: unique there."""

    def __init__(self, root: str, id: str) -> None:
        self.root = root
        self.id = id

    def path(self, *names: str) -> str:
        """Something in its directory."""
        return os.path.join(self.root, self.id, *names)

    def record(self) -> dict[str, Any]:
        """How it was made. Raises EngineError if it does not exist."""
        if not os.path.exists(self.path("state.json")):
            raise EngineError(f"container {self.id}", "it does not exist", f"`list` shows those of {self.root}")
        return records.read_record(self.path("state.json"))

    def config(self) -> dict[str, Any]:
        """The bundle's config.json, as it was at `create`. Raises EngineError."""
        return records.read_record(self.path(CONFIG))

    def write_config(self, config: dict[str, Any]) -> None:
        """Keep it."""
        records.write_record(self.path(CONFIG), config, durable=False)

    def write(self, **changes: object) -> None:
        """Change what is kept."""
        known = self.record() if os.path.exists(self.path("state.json")) else {}
        records.write_record(self.path("state.json"), {**known, **changes}, durable=False)

    def open_process(self) -> int | None:
        """A pidfd of its process; None if it has ended."""
        record = self.record()
        pid = record["pid"]
        if not pid:
            return None
        try:
            pidfd = syscalls.pidfd_open(pid)
        except SyscallError:
            return None
        letter, started = state_and_start_time(pid)
        if started == record["started_by_kernel"] and letter not in "ZX":
            return pidfd
        os.close(pidfd)
        return None

    def status(self) -> str:
        """creating, created, running, paused or stopped."""
        pidfd, record = self.open_process(), self.record()
        if pidfd is None:
            return STOPPED if record["pid"] else CREATING
        os.close(pidfd)
        if os.path.exists(self.path(DOOR)):
            return CREATED
        return PAUSED if record.get(IS_PAUSED) else RUNNING

    def state(self, status: str = "") -> dict[str, Any]:
        """The state as the specification has it; what hooks and `state` get. status: if it is known better."""
        record = self.record()
        status = status or self.status()
        found = {
            "ociVersion": SPEC,
            "id": self.id,
            "status": status,
            "bundle": record["bundle"],
            "annotations": record["annotations"],
        }
        return found if status == STOPPED else found | {"pid": record["pid"]}


def check_id(id: str) -> None:
    """Raise EngineError for an id that could not be a directory's name."""
    if not 1 <= len(id) <= LONGEST_ID or not set(id) <= ALLOWED or id in (".", ".."):
        raise EngineError(f"container id {id!r}", "it is not allowed", "letters, digits, and _ + - .")


def find(root: str, id: str) -> Kept:
    """The container of this id. Raises EngineError if there is none."""
    check_id(id)
    found = Kept(root, id)
    found.record()
    return found


def every(root: str) -> list[Kept]:
    """All containers, by id."""
    try:
        ids = sorted(os.listdir(root))
    except FileNotFoundError:
        return []
    return [Kept(root, id) for id in ids if os.path.exists(os.path.join(root, id, "state.json"))]


def reserve(root: str, id: str) -> Kept:
    """Make the directory of a new container. Raises EngineError if there is one with this id."""
    check_id(id)
    os.makedirs(root, mode=0o700, exist_ok=True)
    found = Kept(root, id)
    try:
        os.mkdir(found.path(), 0o700)
    except FileExistsError:
        raise EngineError(
            f"container {id}", "there is one with this id already", "`delete` it, or choose another"
        ) from None
    return found
