"""Cgroups: what a group of processes may use. One `Cgroup`, whichever versions the machine has mounted.

Book sections 2.2 and 3.2.1; cgroups(7). A machine has version 2, version 1, or both at once (hybrid): each controller
then lives in one of them. Nothing is assumed; /proc/self/mountinfo says what there is.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

from ch02_namespaces import cgroup_v1, cgroup_v2, mountinfo, syscalls
from ch02_namespaces.errors import EngineError, SyscallError
from ch02_namespaces.limits import Limits
from ch02_namespaces.locks import locked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

PARENT = "mydocker"
V2_NAMES = {"blkio": "io"}
PATIENCE = 5.0  # seconds for killed processes to be gone
GONE = (errno.ENOENT, errno.ENODEV)
"""What files of a group answer that somebody has just removed: the second one if it was open already."""


class Hierarchy:
    """One mounted tree of cgroups: its version, where it is, and the controllers that it has (by version 2 names)."""

    def __init__(self, version: ModuleType, mountpoint: str, controllers: Iterable[str], own: str) -> None:
        self.version = version
        self.mountpoint = mountpoint
        self.controllers = frozenset(V2_NAMES.get(name, name) for name in controllers)
        self.own = own
        """The cgroup of this process, relative to the mountpoint."""

    def number(self) -> int:
        """1 or 2, for people."""
        return 1 if self.version is cgroup_v1 else 2

    def mount_options(self) -> str:
        """By which mount(2) finds this hierarchy: "cpu,cpuacct", say; empty for version 2, of which there is one."""
        if self.version is cgroup_v2:
            return ""
        names = {new: old for old, new in V2_NAMES.items()}
        return ",".join(sorted(names.get(controller, controller) for controller in self.controllers))


def hierarchies() -> list[Hierarchy]:
    """The cgroup hierarchies that are mounted, version 2 first: proc_pid_mountinfo(5), proc_pid_cgroup(5)."""
    own = dict(_own_cgroups())
    found: dict[frozenset[str], Hierarchy] = {}
    for line in mountinfo.lines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        root, mountpoint = left.split()[3:5]
        if kind == "cgroup2":
            controllers = syscalls.read_file(f"{mountpoint}/cgroup.controllers").split()
            hierarchy = Hierarchy(cgroup_v2, mountpoint, controllers, _below(own.get("", "/"), root))
        elif kind == "cgroup":
            names = [name for name in options.split(",") if name in own]
            if not names:  # a named hierarchy such as systemd's, without a controller
                continue
            hierarchy = Hierarchy(cgroup_v1, mountpoint, names, _below(own[names[0]], root))
        else:
            continue
        key = hierarchy.controllers if hierarchy.version is cgroup_v1 else frozenset([""])
        found.setdefault(key, hierarchy)  # the same one may be mounted twice
    return sorted(found.values(), key=lambda hierarchy: -hierarchy.number())


def default_parent() -> str:
    """Where our groups belong: "mydocker" for the machine's root; for others beside their own group, which systemd may
    delegate."""
    own = dict(_own_cgroups()).get("", "/")
    is_root = os.geteuid() == 0 and not syscalls.in_user_namespace()
    return PARENT if is_root else f"{os.path.dirname(own)}/{PARENT}".strip("/")


def usable_hierarchies(parent: str) -> list[Hierarchy]:
    """The hierarchies in which this user may make groups below `parent`."""
    return [hierarchy for hierarchy in hierarchies() if _may_create(f"{hierarchy.mountpoint}/{parent}")]


def _may_create(directory: str) -> bool:
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    return os.access(directory, os.W_OK)


def _own_cgroups() -> Iterable[tuple[str, str]]:
    """(controller, path) of this process; the controller of version 2 is the empty string."""
    for line in syscalls.read_file("/proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        for name in names.split(","):
            if not name.startswith("name="):
                yield name, path


def _below(path: str, root: str) -> str:
    """A cgroup path as seen from a mount whose root is itself a cgroup (containers mount it so)."""
    return "/" + path.removeprefix(root).strip("/") if root != "/" else path


class Cgroup:
    """A group of processes under common limits, in every hierarchy of the machine at the same path.

    path: below the hierarchies' roots, such as "mydocker/4f2a". Nothing is touched before create().
    """

    def __init__(self, path: str, mounted: Iterable[Hierarchy] | None = None) -> None:
        self.path = path.strip("/")
        self.hierarchies = list(hierarchies() if mounted is None else mounted)
        self._locks: list[int] = []
        self._doors: list[int] = []
        self._has_birthplace = False

    def directory(self, controller: str | None = None) -> str:
        """The group's directory in the hierarchy of a controller; without one, in the first hierarchy.

        Raises EngineError when this machine has no such controller.
        """
        for hierarchy in self.hierarchies:
            if controller is None or controller in hierarchy.controllers:
                return self._in(hierarchy)
        name = controller or "any"
        raise EngineError(f"{name} limit", f"no cgroup controller {name!r} here", "`doctor` lists the controllers")

    def _in(self, hierarchy: Hierarchy) -> str:
        return f"{hierarchy.mountpoint}/{self.path}"

    def directories(self) -> list[str]:
        """The group's directory in each hierarchy."""
        return [self._in(hierarchy) for hierarchy in self.hierarchies]

    def create(self) -> None:
        """Make the group everywhere. Until close() it carries a lock, by which sweep() sees that somebody needs it: in
        each hierarchy, for not everybody sees all of them. While the group above is locked so, this waits.

        Raises SyscallError: EACCES or EROFS without the right to. Nothing is left of a half-made one.
        """
        if not self.hierarchies:
            raise EngineError("cgroup", "no cgroup file system is mounted", "mount -t cgroup2 none /sys/fs/cgroup")
        first = self.hierarchies[0]
        above = os.path.dirname(self._in(first))
        first.version.ensure_parent(first.mountpoint, above, first.controllers)
        with locked(above, fcntl.LOCK_SH):  # no sweep between mkdir and lock
            self._make_all()

    def _make_all(self) -> None:
        made: list[str] = []
        try:
            for hierarchy in self.hierarchies:
                directory = self._in(hierarchy)
                hierarchy.version.make(hierarchy.mountpoint, directory, hierarchy.controllers)
                made.append(directory)
                self._locks.append(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
                fcntl.flock(self._locks[-1], fcntl.LOCK_EX)
        except BaseException:
            for directory in reversed(made):
                _remove_tree(directory)
            self.close()
            raise

    def close(self) -> None:
        """Close the locks and the doors; the group stays."""
        for descriptor in (*self._doors, *self._locks):
            os.close(descriptor)
        self._doors.clear()
        self._locks.clear()

    def set(self, limits: Limits) -> None:
        """Write limits into the group; those that are None stay as they are.

        Raises EngineError when a controller is missing, SyscallError when the kernel refuses a value.
        """
        for controller in limits.controllers():
            self.directory(controller)
        for hierarchy in self.hierarchies:
            hierarchy.version.apply(self._in(hierarchy), hierarchy.controllers, limits)

    def add(self, pid: int) -> None:
        """Move a process into the group, with all its threads. Slow on version 1: the kernel waits for all forks of
        the machine to pause (about 15 ms); where a process can move itself, join() is the way."""
        for directory in self.directories():
            syscalls.write_file(f"{directory}/cgroup.procs", str(pid))

    def open_doors(self) -> None:
        """Open the files by which a child of ours can join(). The right to is checked here, when they are opened."""
        for hierarchy in self.hierarchies:
            path = f"{self._in(hierarchy)}/{hierarchy.version.DOOR}"
            self._doors.append(os.open(path, os.O_WRONLY | os.O_CLOEXEC))

    def join(self) -> None:
        """Move this process, which must have one thread, into the group, where it is not in it by birth. "0" is the
        writer itself. Nothing has to be locked for that on version 1: it takes a fiftieth of the time of add()."""
        born_here = self._has_birthplace and not syscalls.lacks_clone3
        for hierarchy, door in zip(self.hierarchies, self._doors, strict=True):
            if hierarchy.version is not cgroup_v2 or not born_here:
                syscalls.write(door, f"{self._in(hierarchy)}/{hierarchy.version.DOOR}", "0")

    def open_birthplace(self) -> int | None:
        """A descriptor for CLONE_INTO_CGROUP, by which a process is born in the group; None on version 1 alone."""
        if self.hierarchies[0].version is not cgroup_v2:
            return None
        self._has_birthplace = True
        return os.open(self.directory(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def processes(self) -> list[int]:
        """The pids of the group, those of groups below it left out."""
        return sorted(map(int, syscalls.read_file(f"{self.directory()}/cgroup.procs").split()))

    def statistics(self) -> dict[str, float]:
        """What it uses: memory, memory_peak, io_read, io_write (bytes), cpu_seconds, pids, oom_kills."""
        found: dict[str, float] = {}
        for hierarchy in self.hierarchies:
            found.update(hierarchy.version.statistics(self._in(hierarchy), hierarchy.controllers))
        return found

    def oom_kills(self) -> int:
        """How many of its processes were killed at its memory limit; 0 without a memory controller."""
        for hierarchy in self.hierarchies:
            if "memory" in hierarchy.controllers:
                killed: int = hierarchy.version.oom_kills(self._in(hierarchy))
                return killed
        return 0

    def freeze(self, frozen: bool = True) -> None:
        """Stop every process of the group, or let them go on (frozen=False). EngineError where nothing offers it."""
        hierarchy = self._with_freezer()
        if hierarchy is None:
            raise EngineError("freezing", "there is no cgroup of version 2 and no freezer that we may use")
        hierarchy.version.freeze(self._in(hierarchy), frozen)

    def is_frozen(self) -> bool:
        """Whether every process of the group stands still; not if there is no such group."""
        hierarchy = self._with_freezer()
        try:
            return hierarchy is not None and bool(hierarchy.version.is_frozen(self._in(hierarchy)))
        except SyscallError as error:
            if error.errno not in GONE:
                raise
            return False

    def kill(self) -> None:
        """SIGKILL every process of the group; with a freezer, or version 2, none can escape by forking."""
        hierarchy = self._with_freezer()
        if hierarchy is not None:
            hierarchy.version.kill(self._in(hierarchy))
            return
        for group, _, _ in os.walk(self.directory()):
            cgroup_v1.kill_processes(group)

    def _with_freezer(self) -> Hierarchy | None:
        """Version 2 stops and kills groups without a controller; version 1 needs its freezer."""
        for hierarchy in self.hierarchies:
            if hierarchy.version is cgroup_v2 or "freezer" in hierarchy.controllers:
                return hierarchy
        return None

    def remove(self, patience: float = PATIENCE) -> None:
        """Remove the group and those below it. Its processes must have ended or be ending. Twice does no harm.

        Raises SyscallError (EBUSY) when a process is still there after `patience` seconds.
        """
        for directory in reversed(self.directories()):  # the one that sweep() looks at last
            _remove_tree(directory, patience)
        self.close()


def _remove_tree(directory: str, patience: float = PATIENCE) -> None:
    end = time.monotonic() + patience
    while True:
        try:
            syscalls.rmdir(directory)
            return
        except SyscallError as error:
            if error.errno == errno.ENOENT:
                return
            if error.errno != errno.EBUSY or time.monotonic() > end:
                raise
        below = [entry.path for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)]
        for child in below:
            _remove_tree(child, patience)
        if not below:
            time.sleep(0.002)  # a killed process is still being taken down


def sweep(parent: str = PARENT, mounted: Iterable[Hierarchy] | None = None) -> None:
    """End and remove the groups below `parent` whose makers were killed before they could.

    A living maker holds the lock of its group (see Cgroup.create); a lock dies with its holder, flock(2). Processes
    that are still in such a group have lost their engine, and nobody else would ever end them.
    """
    known = list(hierarchies() if mounted is None else mounted)
    if not known:
        return
    try:
        with locked(f"{known[0].mountpoint}/{parent}", fcntl.LOCK_EX | fcntl.LOCK_NB):
            for name in sorted({name for group in known for name in _groups(f"{group.mountpoint}/{parent}")}):
                remove_if_abandoned(Cgroup(f"{parent}/{name}", known))
    except FileNotFoundError:
        return  # there has never been a group
    except PermissionError:
        return  # it is another user's, who sweeps it himself
    except BlockingIOError:
        return  # somebody makes one at this moment: the next run will sweep


def _groups(directory: str) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def remove_if_abandoned(group: Cgroup) -> None:
    """End and remove a group, unless its maker lives: then it is locked."""
    try:
        with locked(group.directory(), fcntl.LOCK_EX | fcntl.LOCK_NB):
            try:
                group.kill()
            except SyscallError as error:
                if error.errno != errno.ENOENT:  # its maker died before it had made all of it: nobody is in it
                    raise
            group.remove(patience=0.5)
    except FileNotFoundError:  # made first, removed last: without it, its maker died while removing the others
        group.remove()
    except BlockingIOError:
        return
    except SyscallError as error:
        if error.errno not in (errno.EBUSY, errno.ENOENT):
            raise
        return  # its owner removes it at this moment; or a process can't end yet: the next sweep will come by
