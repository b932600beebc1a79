"""The engine for an ordinary user: he is root of a user namespace, with the other ids that /etc/subuid gives him.

    you ──► newuidmap, newgidmap ──► a user namespace: 0 is you, 1 and more are yours by /etc/subuid
                                       └── the program once more, in a mount namespace of its own
                                             └── watchers, containers

In there, the program is what it is for root. There is one such namespace for each state directory: only within it have
processes rights over each other, as `exec` needs them. Whoever comes first makes it, all others join it, and it ends
with its last process: nobody has to keep it. Sources: user_namespaces(7), newuidmap(1), subuid(5). Book section 2.1.6.
"""

from __future__ import annotations

import fcntl
import os
import sys

from ch02_namespaces import namespaces, syscalls
from ch02_namespaces.cgroups import default_parent, usable_hierarchies
from ch02_namespaces.errors import EngineError, report
from ch02_namespaces.locks import locked
from ch04_images import state
from ch07_practice.oci.document import Node
from final.runtime.user_namespace import HELPERS, Mapping, mappings_of, run_helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ch02_namespaces.command_line import Options

FOR_EVERYBODY = ("help", "version", "completion")
NETWORK_COMMANDS = ("ls", "list", "inspect")  # those that only look
PLACE = "rootless"  # below the state directory: which namespace it is
RECORD = "namespace.json"
SUBORDINATE = ("/etc/subuid", "/etc/subgid")
MOST_LOOKS = 3


def begin_as_root() -> None:
    """Begin the program again as root of the user's namespace, unless its command needs no root. Errors end it."""
    arguments = sys.argv[1:]
    if not needs_root(arguments):
        return
    try:
        check_network(arguments)
        become_root()
    except (Exception, KeyboardInterrupt) as error:
        os._exit(report(error))


def become_root() -> None:
    """Begin the program again as root of the user's namespace: then its files in /proc belong to that, too, so that the
    others in there may look into it, ptrace(2). Raises EngineError."""
    os.environ["MYDOCKER_ROOT"] = os.environ.get("MYDOCKER_ROOT") or data_directory()
    uids, gids = mappings()
    with locked(state.make_place(PLACE), fcntl.LOCK_EX):
        enter(uids, gids)
    os.execve(sys.executable or "/proc/self/exe", sys.orig_argv, os.environ)


def needs_root(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for more than a text."""
    return bool(arguments) and arguments[0] not in FOR_EVERYBODY and not {"-h", "--help"} & set(arguments[:2])


def check_network(arguments: Sequence[str]) -> None:
    """Raise EngineError for a command that would change the networks of this host."""
    if arguments[0] == "network" and arguments[1:2] and arguments[1] not in NETWORK_COMMANDS:
        hint = "as root; your containers have networks of their own, or --net container:NAME"
        raise EngineError(f"network {arguments[1]}", "an ordinary user has no bridges", hint)


def data_directory() -> str:
    """Where an ordinary user's state is: XDG Base Directory Specification."""
    base = os.environ.get("XDG_DATA_HOME", "")
    return os.path.join(base if base.startswith("/") else os.path.expanduser("~/.local/share"), "mydocker")


# ---------------------------------------------------------------- the namespace


def enter(uids: list[Mapping], gids: list[Mapping]) -> None:
    """Join the namespace of this state directory, or make it, and become its root. Raises EngineError."""
    path = state.place(PLACE, RECORD)
    descriptor = find(state.read_record(path)["inode"], uids) if os.path.exists(path) else -1
    if descriptor < 0:
        descriptor = make(uids, gids)
        state.write_record(path, {"inode": os.fstat(descriptor).st_ino}, durable=False)
    syscalls.setns(descriptor, syscalls.CLONE_NEWUSER)
    os.close(descriptor)
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.become_user(0, 0, None)


def find(inode: int, uids: list[Mapping]) -> int:
    """A descriptor of the user namespace with this number, if a process is in it; -1 if there is none.

    Numbers are used again: one with other ids is another namespace. A process may have ended while we look, and left a
    child that we have not seen: so we look more than once.
    """
    for _ in range(MOST_LOOKS):
        for pid in namespaces.processes_in("user", inode):
            try:
                descriptor = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
                lines = syscalls.read_file(f"/proc/{pid}/uid_map").splitlines()
            except (OSError, EngineError):  # it has ended
                continue
            if os.fstat(descriptor).st_ino == inode and [line.split() for line in lines] == words_of(uids):
                return descriptor
            os.close(descriptor)
    return -1


def words_of(mappings: list[Mapping]) -> list[list[str]]:
    """As /proc/PID/uid_map tells them."""
    return [mapping.line().split() for mapping in mappings]


def make(uids: list[Mapping], gids: list[Mapping]) -> int:
    """A descriptor of a new user namespace with these ids. Raises EngineError."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        process = namespaces.spawn(syscalls.CLONE_NEWUSER, lambda: len(os.read(reader, 1)))
    except EngineError as error:
        raise EngineError("rootless", str(error), "this machine gives ordinary users no user namespace") from None
    try:
        for helper, mappings in zip(HELPERS, (uids, gids), strict=True):
            run_helper(helper, process.pid, mappings)
        return os.open(f"/proc/{process.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        process.kill()
        os.close(reader)
        os.close(writer)


# ---------------------------------------------------------------- its ids


def mappings() -> tuple[list[Mapping], list[Mapping]]:
    """Which ids the user has in there: 0 is he himself, the others follow from 1. Raises EngineError."""
    name = user_name()
    uids, gids = (subordinate(path, name) for path in SUBORDINATE)
    return mapped(os.geteuid(), uids, SUBORDINATE[0]), mapped(os.getegid(), gids, SUBORDINATE[1])


def user_name() -> str:
    """By passwd(5); the number of one who has no name."""
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def subordinate(path: str, name: str) -> list[tuple[int, int]]:
    """The ranges of a user, as (first, how many): subuid(5). Raises EngineError if there are none."""
    found = []
    for line in lines_of(path):
        owner, _, numbers = line.partition(":")
        first, _, count = numbers.partition(":")
        if owner in (name, str(os.geteuid())) and first.isdecimal() and count.isdecimal():
            found.append((int(first), int(count)))
    if not found:
        hint = f"as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}"
        raise EngineError("rootless", f"{path} gives {name} no ids, and images have files of many users", hint)
    return found


def lines_of(path: str) -> list[str]:
    """The lines of a file; none of one that is missing or not for us."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().splitlines()
    except OSError:
        return []


def mapped(own: int, ranges: list[tuple[int, int]], path: str) -> list[Mapping]:
    """Mappings for newuidmap(1). Raises EngineError for ranges that make no sense."""
    entries, inside = [{"containerID": 0, "hostID": own, "size": 1}], 1
    for first, count in ranges:
        entries.append({"containerID": inside, "hostID": first, "size": count})
        inside += count
    return mappings_of(Node(entries, path))


# ---------------------------------------------------------------- its containers


def settle(options: Options) -> None:
    """Flags of a new container: its cgroup stays beside that of this session, and what he cannot have is refused.
    Raises EngineError."""
    parent = options.cgroup_parent or default_parent()
    if parent != default_parent() and not usable_hierarchies(parent):
        hint = "one that is delegated to you, such as below `systemd-run --user --scope`"
        raise EngineError(f"--cgroup-parent {parent}", "an ordinary user may make no cgroup there", hint)
    for flag, given in (("--pid host", options.pid), ("--ipc host", options.ipc)):
        if given == "host":
            raise EngineError(flag, "an ordinary user cannot mount what belongs to it", "run as root")
    vars(options)["cgroup_parent"] = parent
