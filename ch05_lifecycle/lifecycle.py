"""`create`, `run`, `start` and `restart`: from the command line into the store, and from there to a container.

Book sections 5.1 and 5.7.
"""

from __future__ import annotations

import os

from ch02_namespaces.command_line import CliCommand, Flag, Options
from ch02_namespaces.errors import EngineError
from ch03_run.cli import limits_of, run_in_foreground
from ch03_run.command import Command
from ch03_run.container import Container, Part
from ch03_run.foreground import Foreground
from ch04_images import cli as images_cli
from ch04_images import containers, images, state
from ch04_images.image_commands import for_each
from ch04_images.rootfs import MOST_ATTEMPTS, ContainerDirectory, copy_root
from ch04_images.volumes import Volume
from ch05_lifecycle import names, store
from ch05_lifecycle.init import INIT, INIT_INSIDE, check_init
from ch05_lifecycle.lifecycle_commands import TIME, stop_one
from ch05_lifecycle.store import Stored
from ch05_lifecycle.streams import LoggedConsole, LoggedStreams
from ch05_lifecycle.watcher import hold, run_once, start_in_background

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ch04_images.containers import ContainerRecord
    from ch04_images.images import Image


START_FLAGS = [
    Flag("-a", "--attach", help="stay with it until it ends"),
    Flag("-i", "--interactive", help="the same, and type into it"),
]


class Lifecycle:
    """What `create`, `run`, `start` and `restart` do. A later chapter adds flags, and parts to parts_of().

    flags: those of `create`; the others have more.
    """

    def __init__(self, flags: Sequence[Flag]) -> None:
        self.flags = flags

    def commands(self) -> dict[str, CliCommand]:
        """For the command line."""
        run_flags = [*self.flags, Flag("-d", "--detach", help="in the background; print its id")]
        usage = "IMAGE [COMMAND ...]"
        return {
            "run": CliCommand("Run a command in a new container.", run_flags, usage, self.run),
            "create": CliCommand("Make a container that `start` starts.", self.flags, usage, self.create),
            "start": CliCommand("Start containers that do not run.", START_FLAGS, "CONTAINER ...", self.start),
            "restart": CliCommand("Stop containers and start them again.", [TIME], "CONTAINER ...", self.restart),
        }

    def parts_of(self, stored: Stored, options: Options, streams: Part) -> list[Part]:
        """What a container of the store consists of, in order. options: the flags with which it was created."""
        directory = KeptDirectory(stored)
        return images_cli.parts_of(directory.image, options, stored.id, directory, streams)

    def check(self, options: Options) -> None:
        """Raise EngineError for flags that contradict each other."""
        if options.rm and (options.restart or "no") != "no":
            raise EngineError("--rm", "it does not go together with --restart", "what is removed cannot be restarted")
        if options.name is not None:
            names.check(options.name)
        limits_of(options)

    def create(self, options: Options) -> int:
        """`create`: put it into the store; `start` starts it."""
        state.require_root()
        store.sweep()
        stored, held = self.create_container(options, temporary=False)
        os.close(held)
        print(stored.id)
        return 0

    def run(self, options: Options) -> int:
        """`run`: create and start; in the foreground its exit code, in the background its id."""
        state.require_root()
        store.sweep()
        if options.detach:
            return self.run_in_background(options)
        if options.tty and options.interactive:
            return self.run_at_terminal(options)
        streams = images_cli.streams_of(options)
        foreground = Foreground(streams)
        stored, kept = self.create_container(options, temporary=options.rm)
        lock = hold(stored)
        try:
            container = self.container_of(stored, streams)
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

    def run_at_terminal(self, options: Options) -> int:
        """`run -ti`: in the foreground until it ends, or the user leaves it there; its exit code, or 0."""
        from ch05_lifecycle import detach  # it needs sockets: 5 ms

        front = detach.Front()
        foreground = Foreground(front)
        stored, front.lock = self.create_container(options, temporary=options.rm)
        try:
            console = detach.KeptConsole(stored.record.path("stdin"))
            container = self.container_of(stored, console)
            return run_in_foreground(
                container, foreground, options, detach.run_stored(stored, container, front, console)
            )
        finally:
            front.close()
            if not front.has_keeper:
                detach.clean_up(stored)

    def run_in_background(self, options: Options) -> int:
        """Leave a new container to a watcher, and print its id. One that cannot start leaves nothing."""
        stored, kept = self.create_container(options, temporary=options.rm)
        try:
            start_in_background(stored, self.build)
        except BaseException:
            os.close(kept)
            store.remove(stored)
            raise
        os.close(kept)
        print(stored.id)
        return 0

    def start(self, options: Options) -> int:
        """`start`: start containers in the background; those that run go on."""
        state.require_root()
        if options.attach or options.interactive:
            return self.start_and_attach(options.operands)

        def start(text: str) -> None:
            self._see_to_it_that_it_runs(store.find(text))
            print(text)

        for_each(options.operands, start)
        return 0

    def start_and_attach(self, operands: list[str]) -> int:
        """Start one container and stay with it; its exit code."""
        from ch05_lifecycle.attach import attach, count_lines

        if len(operands) != 1:
            raise EngineError("start -a", f"{len(operands)} containers", "one at a time")
        stored = store.find(operands[0])
        known = count_lines(stored)
        self._see_to_it_that_it_runs(stored)
        return attach(stored, known)

    def _see_to_it_that_it_runs(self, stored: Stored) -> None:
        """Start it, unless it runs, waits for its restart, or is being started by somebody. Raises EngineError."""
        while stored.state()["status"] not in (store.RUNNING, store.RESTARTING):
            try:
                return start_in_background(stored, self.build)
            except EngineError:
                if not stored.is_watched():
                    raise
        return None

    def restart(self, options: Options) -> int:
        """`restart`: stop and start."""
        state.require_root()

        def restart(text: str) -> None:
            stored = store.find(text)
            if stored.settings["remove"]:
                raise EngineError(f"container {text!r}", "it is removed when it stops (--rm)", "`run` it again")
            stop_one(stored, options.time)
            start_in_background(stored, self.build)
            store.tell(stored, "restart")
            print(text)

        for_each(options.operands, restart)
        return 0

    def create_container(self, options: Options, temporary: bool) -> tuple[Stored, int]:
        """Put a container into the store; it and the descriptor of a lock. Raises EngineError.

        temporary: as soon as nobody holds such a lock, it may be swept away.
        """
        self.check(options)  # what cannot be is refused before anything is made
        options.env[:0] = [line for lines in options.env_file for line in lines]
        if options.init:
            self.add_init(options)
        id = state.new_id()
        record, held = self._create_record(id, options, temporary)
        try:
            copy_root(record)
            names.claim(options.name, id) if options.name is not None else names.claim_any(id)
        except BaseException:
            os.close(held)
            containers.remove(record)
            raise
        return Stored(record), held

    def _create_record(self, id: str, options: Options, temporary: bool) -> tuple[ContainerRecord, int]:
        """The record on disk; from the new image, if somebody replaces it at this moment."""
        driver = options.storage_driver or "overlay"
        for _ in range(MOST_ATTEMPTS):
            image = images.find(options.operands[0])
            settings = self.settings_of(image, options, self.command_of(image, options))
            try:
                records = store.new_records(settings)
                return containers.create(id, image.name, image.layers, driver, temporary, records)
            except containers.LayerGoneError:
                continue
        raise EngineError(f"image {options.operands[0]}", "it is replaced again and again")

    def command_of(self, image: Image, options: Options) -> Command:
        """The command from the command line, or the image's. Raises EngineError when there is neither."""
        return images_cli.command_of(image, options)

    def add_init(self, options: Options) -> None:
        """Bring the small PID 1 into the container, as a volume. Raises EngineError when this machine has none."""
        check_init()
        options.volume.append(Volume(INIT, INIT_INSIDE, True))

    def settings_of(self, image: Image, options: Options, command: Command) -> dict[str, object]:
        """What has to be known to start it again, next year and from another directory."""
        argv = [os.fsdecode(word) for word in command.argv]
        if options.init:
            argv = [INIT_INSIDE, "--", *argv]
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
            "options": self.kept_of(options),
        }

    def kept_of(self, options: Options) -> dict[str, object]:
        """The flags, as a record can keep them; options_of() reads them."""
        kept = {flag.option: getattr(options, flag.option) for flag in self.flags}
        kept["volume"] = [[volume.source, volume.target, volume.read_only] for volume in options.volume]
        kept["env_file"] = []
        return kept

    def options_of(self, stored: Stored) -> Options:
        """The flags with which it was created."""
        options = Options(self.flags)
        for name, value in stored.settings["options"].items():
            setattr(options, name, value)
        options.volume[:] = [Volume(*fields) for fields in options.volume]
        return options

    def build(self, stored: Stored) -> tuple[Container, LoggedStreams | LoggedConsole]:
        """A container as the store knows it, with streams that its watcher reads."""
        fifo = stored.record.path("stdin") if stored.settings["interactive"] else None
        streams = LoggedConsole(fifo) if stored.settings["tty"] else LoggedStreams(fifo)
        return self.container_of(stored, streams), streams

    def container_of(self, stored: Stored, streams: Part) -> Container:
        """A container as the store knows it."""
        parts = self.parts_of(stored, self.options_of(stored), streams)
        return Container(stored.id, Command(stored.settings["command"], stored.settings["environment"]), parts)


def _nothing() -> None:
    return


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
