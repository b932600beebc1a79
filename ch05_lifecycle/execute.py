"""`exec`: one more process in a container that runs. Book section 5.4.

The book needs C for this: a Go program has threads before its first line runs, and setns(2) refuses to move a process
with threads into another mount or user namespace. A Python program has one thread, unless it makes more. The child
joins all namespaces but one by itself: into a pid namespace one must be born (namespaces.spawn).
"""

from __future__ import annotations

import os
import sys

from ch02_namespaces import explain
from ch02_namespaces.command_line import CliCommand, Flag, Options
from ch02_namespaces.errors import EngineError
from ch03_run.command import Command, environment
from ch03_run.container import Container, Part, create, delete, run, start, wait
from ch03_run.foreground import Foreground
from ch03_run.isolation import DieWithEngine
from ch03_run.terminal import Streams, Terminal
from ch04_images import state
from ch04_images.user import User, WorkingDirectory
from ch05_lifecycle.join_cgroup import JoinCgroup
from ch05_lifecycle.process import open_process
from ch05_lifecycle.store import Stored, find, group_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = ("ipc", "uts", "net", "cgroup", "pid", "mnt")  # mnt last: afterwards, paths are the container's


class JoinNamespaces(Part):
    """Everything that the container sees, by the namespaces of its PID 1: setns(2)."""

    section = "5.4"

    def __init__(self, stored: Stored) -> None:
        self.stored = stored

    def prepare(self, container: Container) -> None:
        """Open the namespaces of the container's PID 1 into self.join, in the order of KINDS; the loop enters them.

        That it runs (open_process) is seen before and after: only then the number has meant it all the time. Pidfds are
        closed again. Raises EngineError, also for one that has just ended. Sources: setns(2), namespaces(7).
        Example: for PID 1 with the number 77, descriptors of /proc/77/ns/…, that of mnt at the end.
        """
        pidfd = open_process(self.stored)
        pid = self.stored.state()["pid"]
        try:
            self.join = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in KINDS]
            os.close(open_process(self.stored))  # it runs still: so the number has meant it all the time
        except FileNotFoundError:
            raise EngineError(f"container {state.short(self.stored.id)}", "it has just ended") from None
        finally:
            os.close(pidfd)

    def enter(self, container: Container) -> None:
        os.chdir("/")
        sys.meta_path.clear()  # from here on Python would look for modules in the image: see PivotRoot

    def cleanup(self, container: Container) -> None:
        for descriptor in self.join:
            os.close(descriptor)
        self.join = ()


def execute(options: Options) -> int:
    """`exec`: one more process in a container; its exit code."""
    state.require_root()
    return execute_in(find(options.operands[0]), options.operands[1:], options, parts_of)


def execute_in(
    stored: Stored, argv: list[str], options: Options, parts_of: Callable[[Stored, Options, Part], list[Part]]
) -> int:
    """Run a command in a container; its exit code, or 0 at once with --detach. parts_of: what it consists of."""
    command = Command(argv, {**stored.settings["environment"], **environment_of(options)})
    if options.tty and options.interactive and not options.detach:
        return _execute_at_terminal(lambda console: Container(stored.id, command, parts_of(stored, options, console)))
    streams = streams_of(options)
    container = Container(stored.id, command, parts_of(stored, options, streams))
    if options.detach:
        from ch05_lifecycle.watcher import in_background

        in_background(lambda started: _run_unseen(container, started), keep=explain.apart())
        return 0
    return run(container, Foreground(streams).attend)


def parts_of(stored: Stored, options: Options, streams: Part) -> list[Part]:
    """What a process in a container consists of, in order."""
    sets_home = "HOME" not in environment_of(options)
    return [
        JoinNamespaces(stored),
        JoinCgroup(group_of(stored)),
        WorkingDirectory(options.workdir or stored.settings["directory"] or "/"),
        streams,
        User(options.user or stored.settings["user"] or "0", sets_home=sets_home),
        DieWithEngine(),
    ]


def _execute_at_terminal(build: Callable[[Part], Container]) -> int:
    """The user may leave it there: see detach."""
    from ch05_lifecycle import detach

    front = detach.Front()
    foreground = Foreground(front)
    console = detach.KeptConsole(None, is_console=False)
    container = build(console)
    keeper = detach.Keeper(front.keepers_line, console)
    return detach.run(
        container, front, foreground.attend, lambda started: _run_unseen(container, started, keeper.attend)
    )


def _run_unseen(container: Container, started: Callable[[], None], attend: Callable[[Container], int] = wait) -> None:
    """Whoever has a child must wait for it: as long as it is a zombie, its pid namespace cannot end."""
    create(container)
    start(container)
    started()
    try:
        attend(container)
    finally:
        delete(container)


def environment_of(options: Options) -> dict[str, str]:
    """The variables that were given for this command."""
    plain = environment([], terminal=False)
    given = environment(options.env, terminal=options.tty)
    names = {item.partition("=")[0] for item in options.env} | ({"TERM"} if options.tty else set())
    return {name: value for name, value in given.items() if name in names or name not in plain}


def streams_of(options: Options) -> Streams | Terminal:
    """The part for the standard streams that the flags ask for. Raises EngineError."""
    if options.detach:
        return NoStreams()
    if not options.tty:
        return Streams(options.interactive)
    from ch04_images.console import Console

    return Console(options.interactive, is_console=False)


class NoStreams(Streams):
    """Nothing to read, and nobody who reads."""

    def __init__(self) -> None:
        super().__init__(interactive=False)

    def prepare(self, container: Container) -> None:
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)

    def enter(self, container: Container) -> None:
        super().enter(container)
        for stream in (1, 2):
            os.dup2(0, stream)


EXECUTE_FLAGS = [
    Flag("-i", "--interactive", help="keep standard input open"),
    Flag("-t", "--tty", help="a terminal of its own"),
    Flag("-d", "--detach", help="do not wait for it"),
    Flag("-e", "--env", value="NAME[=VALUE]", many=True, help="set an environment variable"),
    Flag("-w", "--workdir", value="DIRECTORY", help="where it starts (default: where the container did)"),
    Flag("-u", "--user", value="USER[:GROUP]", help="who it is (default: who the container is)"),
]
EXECUTE_USAGE = "CONTAINER COMMAND [ARGUMENT ...]"
COMMANDS = {"exec": CliCommand("Run a command in a container that runs.", EXECUTE_FLAGS, EXECUTE_USAGE, execute)}
