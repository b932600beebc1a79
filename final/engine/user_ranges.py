"""--userns=auto: users of its own for a container, ids of this host that no other container has. Book section 2.1.6.

/etc/subuid and /etc/subgid say which ids may be given away: those of the user `mydocker`, or of `containers`, as podman
has it. Without either, they are DEFAULT, which nobody else uses: neither useradd(8) nor systemd give ids that high. A
range belongs to a container as long as that is there: it stands in its settings. subuid(5), user_namespaces(7).
"""

from __future__ import annotations

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError
from ch05_lifecycle import store
from ch05_lifecycle.init import INIT_INSIDE
from final.engine import mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ch02_namespaces.command_line import Options
    from ch05_lifecycle.store import Stored

AUTO, HOST = "auto", "host"
SIZE = 65_536  # ids of a container: as many as images use
NOBODY = SIZE - 2
FILES = ("/etc/subuid", "/etc/subgid")
OWNERS = ("mydocker", "containers")
DEFAULT = (1 << 31, (1 << 31) - SIZE)
EVERY_GROUP = "2147483647"  # in a sysctl: the kernel takes no groups there that the container does not have
LARGEST = (1 << 32) - 2
PLACE = "users"  # below the state directory: its lock is held while a range is chosen


class Users:
    """The users of a container. uid, gid: who its root is on this host; SIZE ids begin there."""

    def __init__(self, uid: int, gid: int) -> None:
        self.uid = uid
        self.gid = gid

    def mappings(self) -> dict[str, list[dict[str, int]]]:
        """For config.json."""
        firsts = {"uidMappings": self.uid, "gidMappings": self.gid}
        return {name: [{"containerID": 0, "hostID": first, "size": SIZE}] for name, first in firsts.items()}

    def document(self, config: dict[str, Any]) -> dict[str, Any]:
        """config.json of a container with these users, from that of one without."""
        linux = {**config["linux"], **self.mappings()}
        linux["namespaces"] = [*linux["namespaces"], {"type": "user"}]
        linux["sysctl"] = {name: text.replace(EVERY_GROUP, str(SIZE - 1)) for name, text in linux["sysctl"].items()}
        return {**config, "linux": linux, "mounts": [_mapped(mount) for mount in config["mounts"]]}

    def inside(self, uid: int, gid: int) -> tuple[int, int]:
        """Who a user and a group of this host are in the container."""
        return _shifted(uid, -self.uid), _shifted(gid, -self.gid)

    def outside(self, uid: int, gid: int) -> tuple[int, int]:
        """Who a user and a group of the container are on this host. Raises EngineError for one that it cannot have."""
        for id in (uid, gid):
            if id >= SIZE:
                raise EngineError(f"user or group {id}", f"a container with users of its own has {SIZE}")
        return uid + self.uid, gid + self.gid


def _mapped(mount: dict[str, Any]) -> dict[str, Any]:
    """A mount in which owners are the container's; but for the program of --init, which belongs to nobody in there."""
    if mount["type"] != mounts.BIND or mount["destination"] == INIT_INSIDE:
        return mount
    return {**mount, "options": [*mount["options"], "idmap"]}


def _shifted(id: int, distance: int) -> int:
    return id + distance if 0 <= id + distance < SIZE else NOBODY


def check(options: Options) -> None:
    """Raise EngineError for what does not go together with users of its own: what it shares with the host or with
    another container belongs to other users, and it has no rights over it."""
    if options.userns != AUTO:
        return
    shared = {"--pid": options.pid, "--uts": options.uts, **{f"--net {mode}": mode for mode in options.net}}
    shared["--ipc"] = options.ipc if options.ipc not in ("private", "shareable") else None
    wrong = [flag for flag, mode in shared.items() if mode == HOST or (mode or "").startswith("container:")]
    wrong += ["--privileged"] if options.privileged else []
    wrong += ["--storage-driver aufs"] if options.storage_driver == "aufs" else []
    for flag in wrong:
        raise EngineError("--userns auto", f"it does not go together with {flag}")
    if syscalls.in_user_namespace():
        raise EngineError("--userns auto", "it takes this machine's root", "sudo")


def of(stored: Stored) -> Users | None:
    """Those of a container; None for one that has this host's."""
    found = stored.settings.get("users")
    return Users(*found) if found else None


def choose() -> list[int]:
    """Where users begin that no container has: uid, gid. For the holder of the lock. Raises EngineError if all are
    taken, or a file cannot be understood."""
    taken = [found for stored in store.every() if (found := _of_any(stored))]
    return [_first_free(path, [found[number] for found in taken]) for number, path in enumerate(FILES)]


def _of_any(stored: Stored) -> list[int] | None:
    try:
        found: list[int] | None = stored.settings.get("users")
    except EngineError:  # a damaged record: it can only be removed
        return None
    return found


def _first_free(path: str, taken: list[int]) -> int:
    for begin, count in _given(path):
        for first in range(begin, begin + count - SIZE + 1, SIZE):
            if all(abs(first - other) >= SIZE for other in taken):
                return first
    raise EngineError("--userns auto", f"{path} has no {SIZE} ids left", "`rm` containers, or give `mydocker` more ids")


def _given(path: str) -> list[tuple[int, int]]:
    """(first id, how many) of all that containers may have."""
    found = _read(path)
    return next((found[owner] for owner in OWNERS if owner in found), [DEFAULT])


def _read(path: str) -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {}
    try:
        with open(path, errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return found
    for line in lines:
        owner, _, numbers = line.strip().partition(":")
        if owner in OWNERS:
            found.setdefault(owner, []).append(_range(path, line, numbers))
    return found


def _range(path: str, line: str, numbers: str) -> tuple[int, int]:
    first, _, count = numbers.partition(":")
    if not all(number.isascii() and number.isdecimal() for number in (first, count)):
        raise EngineError(path, f"{line!r} is no range", "USER:FIRST:COUNT")
    if int(first) == 0 or int(first) + int(count) - 1 > LARGEST:
        raise EngineError(path, f"{line!r} is not from 1 to {LARGEST}")
    return int(first), int(count)
