"""The parts that say who the command is and where it starts: -u and -w. Docker's rules; passwd(5), group(5).

The names are those of the container's /etc/passwd and /etc/group. We read these files ourselves: the C library's
getpwnam(3) would load its name service modules from the image, and run them as root.
"""

from __future__ import annotations

import errno
import os
import stat

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError, SyscallError
from ch03_run.container import Container, Part
from ch04_images import inside

PASSWD, GROUP = "/etc/passwd", "/etc/group"
LARGEST = 2**32 - 2  # 2**32 - 1 means "no change" to setresuid(2)


class Identity:
    """uid, gid, supplementary groups, and the home directory."""

    def __init__(self, uid: int, gid: int, groups: list[int], home: str) -> None:
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.home = home

    def all_groups(self) -> list[int]:
        """What setgroups(2) gets: his own group, too. Else a program could shake it off by changing it, and with it
        what is forbidden to the group (CVE-2022-36109)."""
        return list(dict.fromkeys([self.gid, *self.groups]))


def identity_of(text: str) -> Identity:
    """What USER[:GROUP] means in the container whose root is ours; both may be names or numbers.

    A user that /etc/passwd does not know may be given as a number, and has group 0 and home /. With a group given,
    there are no supplementary ones; without, those of /etc/group that list the user. A group alone is root's. Raises
    EngineError, with exit code 125, for a name that the image does not know.
    Example: "nobody" is 65534, 65534, [], "/home" in the image busybox.
    """
    name, colon, group = text.partition(":")
    name = name or "0"
    account = _find_account(name)
    if account is None and not _is_number(name):
        raise EngineError(f"user {name!r}", f"it is not in the image's {PASSWD}", "a number can be given, too")
    login, uid, gid, home = account if account is not None else ("", _id(name), 0, "/")
    if colon:
        return Identity(uid, find_group(group), [], home)
    return Identity(uid, gid, _groups_with(login) if login else [], home)


def _find_account(name: str) -> tuple[str, int, int, str] | None:
    for fields in _rows(PASSWD, 7):
        if name == fields[0] or (_is_number(name) and _is_number(fields[2]) and int(name) == int(fields[2])):
            return fields[0], _id(fields[2]), _id(fields[3]), fields[5] or "/"
    return None


def find_group(name: str) -> int:
    """The number of a group of the image, by its name or its number. Raises EngineError."""
    for fields in _rows(GROUP, 3):
        if name == fields[0]:
            return _id(fields[2])
    if _is_number(name):
        return _id(name)
    raise EngineError(f"group {name!r}", f"it is not in the image's {GROUP}", "a number can be given, too")


def home_of(uid: int) -> str:
    """The home directory of a user of the image by his number; / if it does not know him. Raises EngineError."""
    for fields in _rows(PASSWD, 7):
        if fields[2] == str(uid):
            return fields[5].replace("\0", "") or "/"
    return "/"


def _groups_with(login: str) -> list[int]:
    return [_id(fields[2]) for fields in _rows(GROUP, 4) if login in fields[3].split(",")]


def _rows(path: str, fields: int) -> list[list[str]]:
    rows = [line.split(":") for line in inside.read_lines(path)]
    return [row for row in rows if len(row) >= fields]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 10


def _id(text: str) -> int:
    if not _is_number(text) or int(text) > LARGEST:
        raise EngineError(f"id {text!r}", f"it is no number from 0 to {LARGEST}")
    return int(text)


class WorkingDirectory(Part):
    """The directory in which the command starts; made if the image lacks it."""

    section = "4.1.2"

    def __init__(self, path: str) -> None:
        if not path.startswith("/"):
            raise EngineError(f"working directory {path!r}", "it is not absolute", "-w /DIRECTORY")
        self.path = path

    def enter(self, container: Container) -> None:
        directory = inside.make_directory(os.path.normpath(self.path))
        os.fchdir(directory)
        os.close(directory)


class User(Part):
    """The user and the groups of the command. Until here we were root: it took root to mount.

    sets_home: HOME is to be the user's, as nobody gave another.
    """

    section = "4.1.2"

    def __init__(self, text: str, sets_home: bool) -> None:
        self.text = text
        self.sets_home = sets_home

    def enter(self, container: Container) -> None:
        identity = identity_of(self.text)
        if self.sets_home:
            container.command.environment[b"HOME"] = os.fsencode(identity.home)
        give_streams(identity.uid)
        syscalls.become_user(identity.uid, identity.gid, identity.all_groups())


def give_streams(uid: int) -> None:
    """Let a user open the standard streams anew, by /dev/stdout and its like: many a server has its log there.

    That asks for permission on what is behind them: proc_pid_fd(5). Only pipes and terminals of the container's own are
    given away; a file, or the terminal that the engine was started on, belongs to somebody. runc does the same.
    """
    terminals = os.stat("/dev/pts").st_dev if os.path.isdir("/dev/pts") else -1
    for descriptor in range(3):
        try:
            found = os.fstat(descriptor)
        except OSError:  # closed by whoever started us
            continue
        is_terminal = stat.S_ISCHR(found.st_mode) and found.st_dev == terminals
        if found.st_uid != uid and (is_terminal or stat.S_ISFIFO(found.st_mode)):
            _give(descriptor, uid)


def _give(descriptor: int, uid: int) -> None:
    try:
        os.fchown(descriptor, uid, -1)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EINVAL):
            raise SyscallError("fchown", error.errno or errno.EIO) from None
        return  # in a user namespace that does not know its owner, or an ordinary user's: it stays as it is
