"""Volumes with names: directories that the engine keeps, and that outlive their containers. Book section 4.3.

    volumes/NAME/volume.json   when it was made, and its labels
                 _data         what containers see
            .choices           a lock: see choosing()

One that nobody gave a name has 64 hexadecimal digits, and goes with its container (`rm -v`, --rm).
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

from ch02_namespaces import namespaces, syscalls
from ch02_namespaces.errors import EngineError, SyscallError
from ch02_namespaces.locks import locked
from ch04_images import state
from ch05_lifecycle import names, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ch05_lifecycle.store import Stored

RECORD, DATA = "volume.json", "_data"
CHOICES = ("volumes", ".choices")


class NamedVolume:
    """name; created: seconds since 1970; labels; anonymous: nobody gave it its name."""

    def __init__(self, name: str, created: int, labels: Mapping[str, str], anonymous: bool) -> None:
        self.name = name
        self.created = created
        self.labels = dict(labels)
        self.anonymous = anonymous

    @property
    def path(self) -> str:
        """What containers see of it."""
        return data_of(self.name)


def check_name(name: str) -> str:
    """A volume's name: as those of containers. Raises EngineError."""
    try:
        names.check(name)
    except EngineError as error:
        raise EngineError(f"volume {name!r}", error.why, error.hint) from None
    return name


def data_of(name: str) -> str:
    """The directory of a volume's files."""
    return state.place("volumes", name, DATA)


def name_of(path: str) -> str | None:
    """The volume whose directory this is, if it is one's."""
    above, _, name = os.path.dirname(path).rpartition("/")
    return name if os.path.basename(path) == DATA and above == state.place("volumes") else None


def create(name: str = "", labels: Mapping[str, str] | None = None) -> NamedVolume:
    """Make a volume, or find the one that has the name. Without a name it gets one. Raises EngineError."""
    anonymous = not name
    name = check_name(name) if name else state.new_id()
    with locked(state.make_place("volumes"), fcntl.LOCK_EX):
        if not os.path.exists(state.place("volumes", name, RECORD)):
            os.makedirs(data_of(name), exist_ok=True)
            os.chmod(state.place("volumes", name), 0o711)  # an ordinary user of a container has to get through
            os.chmod(data_of(name), 0o755)
            record = {"created": int(time.time()), "labels": dict(labels or {}), "anonymous": anonymous}
            state.write_record(state.place("volumes", name, RECORD), record)
    return find(name)


def choosing() -> locked:
    """Meanwhile no volume is removed: whoever chooses some for a container does so until its record names them."""
    return locked(state.make_place(*CHOICES), fcntl.LOCK_SH)


def find(name: str) -> NamedVolume:
    """The volume of this name. Raises EngineError when there is none."""
    path = state.place("volumes", check_name(name), RECORD)
    if not os.path.exists(path):
        raise EngineError(f"volume {name!r}", "there is none of this name", "`volume ls` lists them")
    record = state.read_record(path)
    return NamedVolume(name, record["created"], record["labels"], record["anonymous"])


def every() -> list[NamedVolume]:
    """All volumes, by name."""
    try:
        found = sorted(os.listdir(state.place("volumes")))
    except FileNotFoundError:
        return []
    return [find(name) for name in found if os.path.exists(state.place("volumes", name, RECORD))]


def users_of(name: str) -> list[Stored]:
    """The containers that have a volume, running or not."""
    return [stored for stored in store.every() if name in of(stored)]


def of(stored: Stored) -> list[str]:
    """The names of the volumes that a container has."""
    mounts = stored.settings.get("mounts") or []
    return [mount["name"] for mount in mounts if mount.get("name")]


def remove(name: str, force: bool = False) -> None:
    """Remove a volume with its files. force: that there is none is no error. Raises EngineError if it is in use."""
    with locked(state.make_place(*CHOICES), fcntl.LOCK_EX), locked(state.make_place("volumes"), fcntl.LOCK_EX):
        if force and not os.path.exists(state.place("volumes", check_name(name), RECORD)):
            return
        find(name)
        users = users_of(name)
        if users:
            id = state.short(users[0].id)
            raise EngineError(f"volume {name!r}", f"container {id} has it", f"`rm {id}` first")
        os.unlink(state.place("volumes", name, RECORD))  # what is left of a removal that is killed has no record
        state.remove_tree(state.place("volumes", name))


def remove_anonymous(candidates: Iterable[str]) -> None:
    """Remove those that nobody named and nobody has any more."""
    for name in candidates:
        if os.path.exists(state.place("volumes", name, RECORD)) and find(name).anonymous and not users_of(name):
            remove(name, force=True)


def fill(stored: Stored, path: str, target: str) -> None:
    """Copy what the image has at `target` into an empty volume, as Docker does on first use. Raises EngineError.

    A process with mounts of its own reads the container's root, so that no link of the image leads out of it.
    """
    if os.listdir(path):
        return
    reader, writer = os.pipe2(os.O_CLOEXEC)
    process = namespaces.spawn(syscalls.CLONE_NEWNS, lambda: _copy(stored, path, target, writer))
    os.close(writer)
    with os.fdopen(reader, "rb") as report:
        told = report.read().decode(errors="replace").strip()
    if process.wait() != 0:
        raise EngineError(f"volume at {target}", "the image's files cannot be copied", told)


def _copy(stored: Stored, path: str, target: str, report: int) -> int:
    import subprocess

    from ch04_images.commit import mount_read_only

    syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    mount_read_only(stored.record)
    root = os.open(stored.record.path("rootfs"), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    flags, within = os.O_RDONLY | os.O_DIRECTORY, syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS
    try:
        source = syscalls.openat2(root, target, flags, within)
    except SyscallError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise
        return 0  # the image has no such directory
    words = ["cp", "--archive", "--no-target-directory", f"/proc/self/fd/{source}/.", path]
    return subprocess.run(words, pass_fds=[source], stdin=subprocess.DEVNULL, stdout=report, stderr=report).returncode
