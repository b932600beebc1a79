"""The store of containers: what each is, how it is, and what it is called. No daemon keeps it. Book sections 5.2, 5.7.

    containers/ID/record.json     chapter 4's: what it stands on
                  settings.json   how it was asked for; never changed
                  changes.json    what has been changed of that since, if anything has
                  state.json      how it is; replaced whole, and by nobody but its watcher
                  log, log.1 …    what it printed
                  stopping        present if somebody stops it: it is not to be restarted
                  rootfs          whose lock the watcher holds as long as the container is not stopped
    names/NAME                    a symbolic link to ID: made by one call, so two containers cannot have one name

What must hold: a container runs if and only if somebody holds the lock of its rootfs. Locks die with their holders, and
the kernel kills the container with its watcher; so a state that says "running" without a lock was left by a watcher
that was killed. Whoever finds one repairs it.
"""

from __future__ import annotations

import fcntl
import os
import time

from ch02_namespaces.cgroups import Cgroup, default_parent, remove_if_abandoned, usable_hierarchies
from ch02_namespaces.errors import EngineError, MissingError
from ch02_namespaces.locks import lock
from ch04_images import containers, state
from ch04_images.containers import ContainerRecord
from ch05_lifecycle import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CREATED, RUNNING, RESTARTING, EXITED = "created", "running", "restarting", "exited"
STOPPING = "stopping"
NEW_STATE: dict[str, Any] = {
    "status": CREATED,
    "pid": 0,
    "started_by_kernel": 0,  # the process' start time: with it, a pid means one process and no other
    "started": 0.0,
    "finished": 0.0,
    "exit_code": 0,
    "out_of_memory": False,
    "foreground": False,  # its output goes to whoever ran it, and not into a log
    "error": "",
    "restarts": 0,
}


EARLIER_SETTINGS: dict[str, Any] = {"command": [], "remove": False, "restart": "no", "stop_signal": "TERM"}
"""Of a container that chapter 4 made: it can be listed, committed and removed."""


observer: Callable[[Stored, str, dict[str, Any]], None] | None = None
"""Called after what happens to a container: which one, what it was (start, die, destroy), and what more is known."""


class GoneError(EngineError):
    """The container was removed between two looks at it."""


class Stored:
    """A container of the store. Its state is read when it is asked for: it changes."""

    def __init__(self, record: ContainerRecord) -> None:
        self.record = record
        self.id = record.id
        self._settings: dict[str, Any] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """How it was asked for, with what has been changed since."""
        if self._settings is None:
            path, changes = self.record.path("settings.json"), self.record.path("changes.json")
            self._settings = state.read_record(path) if os.path.exists(path) else EARLIER_SETTINGS
            if os.path.exists(changes):
                self._settings = {**self._settings, **state.read_record(changes)}
        return self._settings

    def forget_settings(self) -> None:
        """Read them anew when they are asked for: they may have been changed."""
        self._settings = None

    @property
    def name(self) -> str:
        """What it is called now; empty while it is being removed."""
        return names.of(self.id)

    def state(self) -> dict[str, Any]:
        """How it is. What a killed watcher left is repaired first."""
        found = self._read_state()
        if found["status"] in (RUNNING, RESTARTING) and not self.is_watched():
            return repair(self)
        return found

    def _read_state(self) -> dict[str, Any]:
        try:
            return {**NEW_STATE, **state.read_record(self.record.path("state.json"))}
        except EngineError:
            if os.path.exists(self.record.path("state.json")):
                raise
            return dict(NEW_STATE)

    def parent_group(self) -> str:
        """The path of the cgroup in which its own is: ours, if the user has not said otherwise."""
        try:
            return str(self.settings.get("cgroup_parent") or default_parent())
        except EngineError:  # a damaged record
            return default_parent()

    def has_never_run(self) -> bool:
        """Whether its command has never been executed."""
        return bool(self._read_state()["status"] == CREATED)

    def write_state(self, **changes: object) -> None:
        """Change some of its state. For the holder of its lock."""
        durable = not self.settings["remove"]
        state.write_record(self.record.path("state.json"), {**self._read_state(), **changes}, durable)
        if changes.get("status") == RUNNING:
            tell(self, "start")
        elif "exit_code" in changes:
            if changes.get("out_of_memory"):
                tell(self, "oom")
            tell(self, "die", exitCode=str(changes["exit_code"]))

    def is_watched(self) -> bool:
        """Whether somebody holds its lock: it runs, or is on its way up or down. Those who ask do not disturb each
        other."""
        try:
            os.close(self._lock(fcntl.LOCK_SH | fcntl.LOCK_NB))
        except BlockingIOError:
            return True
        return False

    def try_lock(self) -> int | None:
        """Take the lock that its watcher holds; None if somebody has it. Raises GoneError."""
        try:
            return self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None

    def _lock(self, how: int) -> int:
        try:
            return lock(self.record.path("rootfs"), how)
        except FileNotFoundError:
            raise GoneError(f"container {state.short(self.id)}", "it has just been removed") from None

    def mark_stopping(self) -> None:
        """Say that it is not to be restarted."""
        try:
            os.close(os.open(self.record.path(STOPPING), os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC))
        except FileNotFoundError:
            raise GoneError(f"container {state.short(self.id)}", "it has just been removed") from None

    def is_stopping(self) -> bool:
        """Whether somebody has said so since it was started."""
        return os.path.exists(self.record.path(STOPPING))


def tell(stored: Stored, what: str, **more: str) -> None:
    """Something has happened to a container."""
    if observer is not None:
        observer(stored, what, more)


def new_records(settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What containers.create() is to write into the directory of a new container, besides its own record."""
    return {"settings.json": settings, "state.json": NEW_STATE}


def every() -> list[Stored]:
    """All containers, the youngest first."""
    return [Stored(record) for record in sorted(containers.every(), key=lambda record: -record.created)]


def find(text: str) -> Stored:
    """The container of this name, or whose id begins so. Raises MissingError, or EngineError when there are several."""
    return Stored(containers.find(_id_of(text)))


def find_to_remove(text: str) -> Stored:
    """The same, also when its record is damaged: its directory can still be removed."""
    return Stored(ContainerRecord(_id_of(text), "", [], "", 0))


def _id_of(text: str) -> str:
    id = names.id_of(text)
    if id is not None:
        return id
    try:
        return containers.find_id(text)
    except MissingError:
        raise MissingError(f"container {text!r}", "there is none with this name or id", "`ps -a` lists them") from None


def remove(stored: Stored) -> None:
    """Remove a container that does not run, with its name. Raises EngineError if it runs.

    Whoever is killed in here leaves a directory that is marked, and the next sweep goes on. So a sweep beside us may
    have been faster.
    """
    try:
        held = stored.try_lock()
    except GoneError:
        names.release(stored.id)
        return
    if held is None:
        raise EngineError(f"container {state.short(stored.id)}", "it is in use", "`stop` it first, or rm -f")
    try:
        bring_down(stored)  # what a killed watcher left goes with it
        containers.remove(stored.record, wait=True)
        tell(stored, "destroy")
        names.release(stored.id)
    finally:
        os.close(held)


def group_of(stored: Stored) -> Cgroup:
    """The cgroup of a container, which it has while it runs."""
    parent = stored.parent_group()
    return Cgroup(f"{parent}/{stored.id}", usable_hierarchies(parent))


def bring_down(stored: Stored) -> None:
    """End what is left of a container that nobody watches: the processes in its cgroup, and that."""
    group = group_of(stored)
    if any(map(os.path.isdir, group.directories())):
        remove_if_abandoned(group)


def sweep() -> None:
    """Remove what killed commands left: marked and half-made directories, names of containers that are gone."""
    containers.sweep()
    names.sweep()


def repair(stored: Stored) -> dict[str, Any]:
    """Bring down what a killed watcher left of a container, and write what is known of its end.

    The kernel has killed it with its watcher (PR_SET_PDEATHSIG), unless it changed its user: then its cgroup says who
    is left. All is done with its lock held (try_lock), which is free again afterwards; who does not get it changes
    nothing. A state that says running or restarting becomes: exited, exit code 137, no pid, finished now, and an
    error that says why. Returns the state as it is then: _read_state(), as state() calls us. Raises EngineError.
    Source: flock(2).
    Example: {"status": "running", "pid": 77} becomes {"status": "exited", "exit_code": 137, "pid": 0, "error": "…"}.
    """
    held = stored.try_lock()
    if held is None:  # somebody repairs it at this moment, or has started it again
        return stored._read_state()
    try:
        bring_down(stored)
        if stored._read_state()["status"] in (RUNNING, RESTARTING):
            now = time.time()  # nobody knows an earlier moment
            stored.write_state(status=EXITED, exit_code=137, pid=0, finished=now, error="its watcher was killed")
        return stored._read_state()
    finally:
        os.close(held)
