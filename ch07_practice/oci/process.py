"""The process that config.json describes: its terminal, directory, user and command. Book section 7.3.

OCI runtime-spec, config.md, "Process".
"""

from __future__ import annotations

import marshal
import os

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError, SyscallError
from ch03_run.command import DEFAULT_PATH, Command, find_command
from ch03_run.container import Container, Part
from ch03_run.null import use_own_null
from ch04_images.inside import DIRECTORY, make_directory, open_path
from ch04_images.user import give_streams
from ch07_practice.oci.document import Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable


def command_of(process: Node) -> Command:
    """The command, with exactly the environment that the document gives it. Raises EngineError."""
    variables = [item.text().partition("=") for item in process["env"].items()]
    return Command(process["args"].texts(), {name: value for name, _, value in variables})


class PatientCommand(Command):
    """A command that begins when somebody calls `start`. Section 7.4; runc has a FIFO for this.

    door: a listening socket, made before the container had its own root. Who connects is told of an error, or finds the
    end of file when the command has begun. ready: called before, in the container.
    """

    def __init__(self, command: Command, door: _socket.socket, ready: Callable[[], None]) -> None:
        self.argv = command.argv
        self.environment = command.environment
        self._door = door
        self.needed = (door.fileno(),)
        self._ready = ready

    def execute(self, keep: int) -> None:
        """Wait, then become the command, or end with the error told to who has called `start`.

        Who waits has no descriptors but its streams, the door and `keep`. The caller's connection takes the place of
        `keep`: it closes by execve(2), so that the end of file means that the command has begun, or carries the
        marshalled arguments of an EngineError, with whose exit code the process ends. self._ready is called in between.
        Its limit of open files, which may be small, holds already. Source: runtime.md, "Lifecycle".
        Example: for the command `true` the caller reads nothing but the end; for one that is missing, exit code 127.
        """
        self.close_descriptors(self._door.fileno(), keep)
        caller, _ = self._door._accept()  # type: ignore[attr-defined]  # the C part of accept()
        try:
            self._ready()
            super().execute(caller)
        except EngineError as error:
            os.write(caller, marshal.dumps((error.what, error.why, error.hint, error.exit_code)))
            os._exit(error.exit_code)


class Session(Part):
    """A session of its own: no terminal of the runtime's caller is its controlling terminal. setsid(2).

    The standard streams are the caller's, but for the host's /dev/null.
    """

    section = "7.3"

    def enter(self, container: Container) -> None:
        syscalls.setsid()
        use_own_null()


class MakeWorkingDirectory(Part):
    """The directory in which the command will start is made, if it is missing, as long as the root can be changed."""

    section = "7.3"

    def __init__(self, process: Node) -> None:
        self._path = os.path.normpath(process["cwd"].path())

    def enter(self, container: Container) -> None:
        os.close(make_directory(self._path))


class WorkingDirectory(Part):
    """The directory in which the command starts; made if it is missing, unless it must exist: so it must for `exec`.

    It is checked that it can be reached from / (getcwd(2) says so otherwise): a working directory outside of the
    container's root was the way out of CVE-2024-21626.
    """

    section = "7.3"

    def __init__(self, process: Node, must_exist: bool = False) -> None:
        self._node = process["cwd"]
        self._must_exist = must_exist

    def enter(self, container: Container) -> None:
        directory = self._open(os.path.normpath(self._node.path()))
        os.fchdir(directory)
        os.close(directory)
        try:
            where = os.getcwd()
        except OSError as error:
            raise self._node.wrong(f"{self._node.value}: {error.strerror}") from None
        if not where.startswith("/"):
            raise self._node.wrong(f"{self._node.value} lies outside of the container")

    def _open(self, path: str) -> int:
        if not self._must_exist:
            return make_directory(path)
        try:
            return open_path(path, DIRECTORY)
        except SyscallError as error:
            raise self._node.wrong(f"{path}: {os.strerror(error.errno)}") from None


class User(Part):
    """uid, gid, additional groups and umask of the command: the last thing that it takes rights to do."""

    section = "7.3"

    def __init__(self, process: Node) -> None:
        user = process["user"]
        self._uid, self._gid = user["uid"].number(0), user["gid"].number(0)
        groups = [group.number() for group in user["additionalGids"].items()]
        self._groups = groups if groups or os.geteuid() == 0 else None  # an ordinary user cannot change his
        self._umask = user["umask"].number(0o022)

    def enter(self, container: Container) -> None:
        os.umask(self._umask)
        give_streams(self._uid)
        syscalls.become_user(self._uid, self._gid, self._groups)


class Findable(Part):
    """A command that cannot be found is an error of `create`, not of `start`."""

    section = "7.3"

    def enter(self, container: Container) -> None:
        command = container.command
        find_command(command.argv[0], command.environment.get(b"PATH", os.fsencode(DEFAULT_PATH)))


class Hostname(Part):
    """Names of the machine: uts_namespaces(7). hostname, domainname: empty ones stay as they are."""

    section = "7.3"

    def __init__(self, config: Node, has_namespace: bool) -> None:
        self._hostname, self._domainname = config["hostname"].text(""), config["domainname"].text("")
        for name, value in (("hostname", self._hostname), ("domainname", self._domainname)):
            if value and not has_namespace:
                raise config[name].wrong("without a new uts namespace it would be the host's", "linux.namespaces")
            if len(os.fsencode(value)) > 64:
                raise config[name].wrong("it has more than 64 bytes")

    def enter(self, container: Container) -> None:
        if self._hostname:
            syscalls.sethostname(self._hostname)
        if self._domainname:
            syscalls.setdomainname(self._domainname)


def check_terminal(process: Node, console_socket: str | None) -> None:
    """Raise EngineError unless there is somebody to whom a terminal can be given, if there is to be one."""
    if process["terminal"].flag() and not console_socket:
        raise EngineError("process.terminal", "a terminal needs somebody to take it", "--console-socket")
    if console_socket and not process["terminal"].flag():
        raise EngineError("--console-socket", "there is no terminal to be given", "process.terminal")
