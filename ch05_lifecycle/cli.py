"""Chapter 5's composition root: containers are kept, run in the background, and have commands of their own."""

from __future__ import annotations

import os
import sys

from ch02_namespaces.command_line import CliCommand, Flag, Options, leave
from ch02_namespaces.command_line import main as run_command_line
from ch02_namespaces.errors import EngineError
from ch03_run.cli import limits_of, run_in_foreground
from ch03_run.command import Command
from ch03_run.container import Container, Part
from ch03_run.foreground import Foreground
from ch04_images import cli as images_cli
from ch04_images import containers, images, state
from ch04_images.image_commands import for_each
from ch04_images.rootfs import ContainerDirectory, copy_root
from ch04_images.volumes import Volume
from ch05_lifecycle import lifecycle_commands, names, store
from ch05_lifecycle.process import parse_signal
from ch05_lifecycle.store import Stored
from ch05_lifecycle.streams import LoggedConsole, LoggedStreams
from ch05_lifecycle.watcher import hold, run_once, start_in_background

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch04_images.images import Image


def restart_policy(text: str) -> str:
    """For Flag.convert. Raises EngineError."""
    policy, colon, most = text.partition(":")
    if policy not in ("no", "always", "unless-stopped", "on-failure") or (colon and policy != "on-failure"):
        raise EngineError(repr(text), "it is no restart policy", "no, on-failure[:N], always, unless-stopped")
    if colon and not (most.isascii() and most.isdecimal()):
        raise EngineError(repr(text), "that is no number of restarts", "such as on-failure:3")
    return text


def signal_name(text: str) -> str:
    """For Flag.convert. Raises EngineError."""
    parse_signal(text)
    return text


def environment_file(path: str) -> list[str]:
    """For Flag.convert: the lines of a file of NAME=VALUE; empty ones and comments (#) are left out. EngineError."""
    try:
        with open(path, errors="surrogateescape") as file:
            lines = [line.strip("\r\n") for line in file]
    except OSError as error:
        raise EngineError(path, str(error.strerror)) from None
    return [line.lstrip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


CREATE_FLAGS = [
    *images_cli.IMAGE_FLAGS,
    Flag("--name", value="NAME", help="what it is called (default: two words)"),
    Flag("--env-file", value="FILE", convert=environment_file, many=True, help="variables from a file, a line each"),
    Flag("--restart", value="POLICY", convert=restart_policy, help="no, on-failure[:N], always or unless-stopped"),
    Flag(
        "--stop-signal", value="SIGNAL", convert=signal_name, help="what `stop` sends (default: the image's, or TERM)"
    ),
    Flag("--init", help="a small program as PID 1, which reaps what others leave"),
]
RUN_FLAGS = [*CREATE_FLAGS, Flag("-d", "--detach", help="in the background; print its id")]
START_FLAGS = [
    Flag("-a", "--attach", help="stay with it until it ends"),
    Flag("-i", "--interactive", help="the same, and type into it"),
]
INIT = "/usr/bin/tini-static"
INIT_INSIDE = "/dev/init"


def create_container(options: Options, temporary: bool) -> tuple[Stored, int]:
    """Put a container into the store; it and the descriptor of a lock. Raises EngineError.

    temporary: as soon as nobody holds such a lock, it may be swept away.
    """
    if options.rm and (options.restart or "no") != "no":
        raise EngineError("--rm", "it does not go together with --restart", "what is removed cannot be restarted")
    image = images.find(options.operands[0])
    if options.name is not None:
        names.check(options.name)
    options.env[:0] = [line for lines in options.env_file for line in lines]
    command = images_cli.command_of(image, options)
    limits_of(options)  # what cannot be is refused before anything is made
    id = state.new_id()
    driver = options.storage_driver or "overlay"
    records = store.new_records(settings_of(image, options, command))
    record, held = containers.create(id, image.name, image.layers, driver, temporary, records)
    try:
        copy_root(record)
        names.claim(options.name, id) if options.name is not None else names.claim_any(id)
    except BaseException:
        os.close(held)
        containers.remove(record)
        raise
    return Stored(record), held


def settings_of(image: Image, options: Options, command: Command) -> dict[str, object]:
    """What has to be known to start it again, next year and from another directory."""
    argv = [os.fsdecode(word) for word in command.argv]
    if options.init:
        add_init(options)
        argv = [INIT_INSIDE, "--", *argv]
    kept = {flag.option: getattr(options, flag.option) for flag in CREATE_FLAGS}
    kept["volume"] = [[volume.source, volume.target, volume.read_only] for volume in options.volume]
    kept["explain"], kept["env_file"] = False, []
    return {
        "image": image.name,
        "image_config": image.config,
        "command": argv,
        "environment": {os.fsdecode(name): os.fsdecode(value) for name, value in command.environment.items()},
        "user": options.user or image.config.get("User") or "",
        "directory": options.workdir or image.config.get("WorkingDir") or "",
        "tty": options.tty,
        "interactive": options.interactive,
        "remove": options.rm,
        "restart": options.restart or "no",
        "stop_signal": options.stop_signal or image.config.get("StopSignal") or "TERM",
        "options": kept,
    }


def add_init(options: Options) -> None:
    """Bring the small PID 1 into the container, as a volume. Raises EngineError when this machine has none."""
    if not os.path.exists(INIT):
        raise EngineError("--init", f"there is no {INIT}", "Debian has it in the package tini")
    options.volume.append(Volume(INIT, INIT_INSIDE, True))


def options_of(stored: Stored) -> Options:
    """The flags with which it was created."""
    options = Options(CREATE_FLAGS)
    for name, value in stored.settings["options"].items():
        setattr(options, name, value)
    options.volume[:] = [Volume(*fields) for fields in options.volume]
    return options


class KeptDirectory(ContainerDirectory):
    """The directory of a container that the store has; it is not removed with its process."""

    section = "5.7"

    def __init__(self, stored: Stored) -> None:
        image = images.Image(stored.record.image, stored.record.layers, stored.settings["image_config"], 0, 0)
        super().__init__(image, stored.record.driver, temporary=False)
        self._record = stored.record

    def prepare(self, container: Container) -> None:
        self._lock = containers.use(self.record)

    def cleanup(self, container: Container) -> None:
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1


def build(stored: Stored) -> tuple[Container, LoggedStreams | LoggedConsole]:
    """A container as the store knows it, with streams that its watcher reads."""
    fifo = stored.record.path("stdin") if stored.settings["interactive"] else None
    streams = LoggedConsole(fifo) if stored.settings["tty"] else LoggedStreams(fifo)
    return container_of(stored, streams), streams


def container_of(stored: Stored, streams: Part) -> Container:
    """A container as the store knows it."""
    directory = KeptDirectory(stored)
    parts = images_cli.parts_of(directory.image, options_of(stored), stored.id, directory, streams)
    return Container(stored.id, Command(stored.settings["command"], stored.settings["environment"]), parts)


def create_command(options: Options) -> int:
    """`create`: put it into the store; `start` starts it."""
    state.require_root()
    store.sweep()
    stored, held = create_container(options, temporary=False)
    os.close(held)
    print(stored.id)
    return 0


def run_command(options: Options) -> int:
    """`run`: create and start; in the foreground its exit code, in the background its id."""
    state.require_root()
    store.sweep()
    if options.detach:
        return run_in_background(options)
    if options.tty and options.interactive:
        return run_at_terminal(options)
    streams = images_cli.streams_of(options)
    foreground = Foreground(streams)
    stored, kept = create_container(options, temporary=options.rm)
    lock = hold(stored)
    try:
        container = container_of(stored, streams)
        return run_in_foreground(
            container,
            foreground,
            options,
            lambda container, attend: run_once(stored, container, attend, _nothing, foreground=True),
        )
    finally:
        os.close(kept)
        os.close(lock)
        if options.rm or stored.has_never_run():
            store.remove(stored)


def _nothing() -> None:
    return


def run_at_terminal(options: Options) -> int:
    """`run -ti`: in the foreground until it ends, or the user leaves it there; its exit code, or 0."""
    from ch05_lifecycle import detach  # it needs sockets: 5 ms

    front = detach.Front()
    foreground = Foreground(front)
    stored, front.lock = create_container(options, temporary=options.rm)
    try:
        console = detach.KeptConsole(stored.record.path("stdin"))
        container = container_of(stored, console)
        return run_in_foreground(container, foreground, options, detach.run_stored(stored, container, front, console))
    finally:
        front.close()
        if not front.has_keeper:
            detach.clean_up(stored)


def run_in_background(options: Options) -> int:
    """Leave a new container to a watcher, and print its id. One that cannot start leaves nothing."""
    stored, kept = create_container(options, temporary=options.rm)
    try:
        start_in_background(stored, build)
    except BaseException:
        os.close(kept)
        store.remove(stored)
        raise
    os.close(kept)
    print(stored.id)
    return 0


def start_command(options: Options) -> int:
    """`start`: start containers that do not run, in the background."""
    state.require_root()
    if options.attach or options.interactive:
        return start_and_attach(options.operands)

    def start(text: str) -> None:
        start_in_background(store.find(text), build)
        print(text)

    for_each(options.operands, start)
    return 0


def start_and_attach(operands: list[str]) -> int:
    """Start one container and stay with it; its exit code."""
    from ch05_lifecycle.attach import attach, count_lines

    if len(operands) != 1:
        raise EngineError("start -a", f"{len(operands)} containers", "one at a time")
    stored = store.find(operands[0])
    known = count_lines(stored)
    start_in_background(stored, build)
    return attach(stored, known)


def restart_command(options: Options) -> int:
    """`restart`: stop and start."""
    state.require_root()

    def restart(text: str) -> None:
        stored = store.find(text)
        if stored.settings["remove"]:
            raise EngineError(f"container {text!r}", "it is removed when it stops (--rm)", "`run` it again")
        lifecycle_commands.stop_one(stored, options.time)
        start_in_background(stored, build)
        print(text)

    for_each(options.operands, restart)
    return 0


COMMANDS = {
    **images_cli.COMMANDS,
    "run": CliCommand("Run a command in a new container.", RUN_FLAGS, "IMAGE [COMMAND ...]", run_command),
    "create": CliCommand("Make a container that `start` starts.", CREATE_FLAGS, "IMAGE [COMMAND ...]", create_command),
    "start": CliCommand("Start containers that do not run.", START_FLAGS, "CONTAINER ...", start_command),
    "restart": CliCommand(
        "Stop containers and start them again.", [lifecycle_commands.TIME], "CONTAINER ...", restart_command
    ),
    **lifecycle_commands.COMMANDS,
}


def main(arguments: list[str]) -> int:
    """Run a command line; the exit code."""
    return run_command_line(COMMANDS, arguments)


def entry_point() -> None:
    """The program: run the command line that we were started with, and end."""
    leave(main(sys.argv[1:]))
