"""`create`, `run`, `start` and `restart` of the full engine. What a container then consists of: composition.py."""

from __future__ import annotations

import fcntl
import os

from ch02_namespaces import cgroups, syscalls
from ch02_namespaces.command_line import CliCommand, Options
from ch02_namespaces.errors import EngineError
from ch02_namespaces.locks import locked
from ch03_run.command import Command, environment
from ch03_run.isolation import Hostname
from ch04_images import images, state
from ch04_images.cli import environment_of, gives_home
from ch04_images.user import WorkingDirectory
from ch05_lifecycle import store
from ch05_lifecycle.init import INIT, INIT_INSIDE, check_init
from ch06_network.lifecycle import NetworkedLifecycle
from final.engine import (
    health_check,
    limits,
    mounts,
    name_files,
    refused,
    special_parts,
    user_ranges,
    volumes,
)
from final.engine.id_file import forget_id, write_id
from final.engine.options import SIGNAL
from final.engine.pausing import require_awake
from final.engine.wanted_mounts import mounts_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ch02_namespaces.command_line import Flag
    from ch03_run.container import Container, Part
    from ch04_images.containers import ContainerRecord
    from ch04_images.images import Image
    from ch05_lifecycle.store import Stored
    from ch05_lifecycle.streams import LoggedConsole, LoggedStreams


class FullLifecycle(NetworkedLifecycle):
    """Chapter 6's, on the runtime that production needs."""

    def __init__(self, flags: Sequence[Flag]) -> None:
        super().__init__(flags)
        self._volumes: list[str] = []
        """Those of the container that is being made."""

    def commands(self) -> dict[str, CliCommand]:
        """For the command line."""
        known = super().commands()
        return {
            **known,
            "run": extended(known["run"], refused.OF_RUN),
            "start": extended(known["start"], [refused.DETACH_KEYS]),
            "restart": extended(known["restart"], [SIGNAL]),
        }

    def check(self, options: Options) -> None:
        """Raise EngineError for flags that contradict each other."""
        super().check(options)
        for flag, given in (("--hostname", options.hostname), ("--domainname", options.domainname)):
            if options.uts == "host" and given:
                raise EngineError(flag, "it does not go together with --uts host")
        if options.hostname:
            Hostname(options.hostname)
        if options.workdir:
            WorkingDirectory(options.workdir)
        limits.resources_of(options)
        refused.check_flags([*self.flags, *refused.OF_RUN], options)
        refused.check_streams(options.attach)
        if syscalls.in_user_namespace():
            from final.engine.rootless import settle

            settle(options)
        name_files.check(options)
        health_check.check(options)
        user_ranges.check(options)

    def command_of(self, image: Image, options: Options) -> Command:
        """Entrypoint and command: --entrypoint replaces both of the image's. OCI image-spec, config.md."""
        entrypoint, argv = image.config.get("Entrypoint") or [], options.operands[1:]
        if options.entrypoint is not None:
            entrypoint = [options.entrypoint] if options.entrypoint else []
        elif not argv:
            argv = image.config.get("Cmd") or []
        if not [*entrypoint, *argv]:
            raise EngineError(f"image {image.name}", "it names no command", "run IMAGE COMMAND")
        variables = environment([*environment_of(image), *options.env], terminal=options.tty)
        return Command([*entrypoint, *argv], variables)

    def add_init(self, options: Options) -> None:
        """Bring the small PID 1 into the container. Raises EngineError when this machine has none."""
        check_init()
        options.volume.append(mounts.entry(mounts.BIND, INIT, INIT_INSIDE, ["ro"]))

    def kept_of(self, options: Options) -> dict[str, object]:
        """The flags, as a record can keep them."""
        kept: dict[str, object] = {flag.option: getattr(options, flag.option) for flag in self.flags}
        return {**kept, "env_file": []}

    def options_of(self, stored: Stored) -> Options:
        """The flags with which it was created."""
        options = Options(self.flags)
        for name, value in stored.settings["options"].items():
            setattr(options, name, value)
        return options

    def settings_of(self, image: Image, options: Options, command: Command) -> dict[str, object]:
        """What has to be known to start it again."""
        settings = super().settings_of(image, options, command)
        wanted = mounts_of(image, options)
        self._volumes += [mount["name"] for mount in wanted if mount.get("name")]
        return {
            **settings,
            "mounts": wanted,
            "users": user_ranges.choose() if options.userns == user_ranges.AUTO else None,
            "healthcheck": health_check.wanted(image, options),
            "labels": {**(image.config.get("Labels") or {}), **labels_of(options)},
            "sets_home": not gives_home([*environment_of(image), *options.env]),
            "stop_timeout": options.stop_timeout,
            "cgroup_parent": options.cgroup_parent or "",
            **dict(options.log_opt),
        }

    def create(self, options: Options) -> int:
        """`create`, on an image that is brought here if need be."""
        self._bring_image(options)
        return super().create(options)

    def run(self, options: Options) -> int:
        """`run`, in the same way. A container that could not start leaves no volumes and no --cidfile, either."""
        self._bring_image(options)
        try:
            return super().run(options)
        except BaseException:
            volumes.remove_anonymous(self._volumes)
            if options.cidfile:
                forget_id(options.cidfile)
            raise

    def restart(self, options: Options) -> int:
        """`restart`, also of one that is paused, or by another signal."""
        from final.engine.ending import end

        for text in options.operands:
            try:
                stored = store.find(text)
                if not stored.settings["remove"]:
                    end(stored, options.time, options.signal)
            except EngineError:  # what is wrong with it is told below
                continue
        return super().restart(options)

    def _bring_image(self, options: Options) -> None:
        """See to it that the image is here, before anything is made or a terminal changed. Raises EngineError."""
        state.require_root()
        self.check(options)
        name = options.operands[0]
        if (options.pull or "missing") != "missing" or options.platform or not images.has(name):
            from final.engine import image_wanted  # it needs all that speaks with registries

            options.operands[0] = image_wanted.name_of(name, options.pull or "missing", options.platform, options.quiet)

    def create_container(self, options: Options, temporary: bool) -> tuple[Stored, int]:
        """Put a container into the store, and fill its new volumes from the image. Raises EngineError."""
        parent = cgroups.default_parent()
        cgroups.sweep(parent, cgroups.usable_hierarchies(parent))
        try:
            stored, held = self._create_apart(options, temporary)
        except BaseException:
            volumes.remove_anonymous(self._volumes)
            raise
        try:
            for mount in stored.settings["mounts"]:
                if mount["type"] == mounts.VOLUME:
                    source = os.path.join(stored.record.path(), mount["source"])  # of --rm and without a name: inside
                    os.makedirs(source, exist_ok=True)
                    if "nocopy" not in mount["options"]:
                        volumes.fill(stored, source, mount["target"])
            if options.cidfile:
                write_id(options.cidfile, stored.id)
        except BaseException:
            os.close(held)
            store.remove(stored)
            volumes.remove_anonymous(self._volumes)
            raise
        store.tell(stored, "create")
        return stored, held

    def _create_record(self, id: str, options: Options, temporary: bool) -> tuple[ContainerRecord, int]:
        """The record on disk, with volumes that nobody removes meanwhile."""
        with volumes.choosing():
            return super()._create_record(id, options, temporary)

    def _see_to_it_that_it_runs(self, stored: Stored) -> None:
        """Start it. Raises EngineError for one that is paused: it runs, but it would not go on."""
        require_awake(stored)
        super()._see_to_it_that_it_runs(stored)

    def _create_apart(self, options: Options, temporary: bool) -> tuple[Stored, int]:
        """Nobody else chooses users meanwhile, if it is to have its own."""
        if options.userns != user_ranges.AUTO:
            return super().create_container(options, temporary)
        with locked(state.make_place(user_ranges.PLACE), fcntl.LOCK_EX):
            return super().create_container(options, temporary)

    def build(self, stored: Stored) -> tuple[Container, LoggedStreams | LoggedConsole]:
        """A container as the store knows it, with streams that its watcher reads, and that it may open anew."""
        streams = special_parts.streams(stored)
        if streams is None:
            return super().build(stored)
        return self.container_of(stored, streams), streams

    def parts_of(self, stored: Stored, options: Options, streams: Part) -> list[Part]:
        """What the container consists of, in order."""
        from final.engine import composition  # not above: `create` makes a record, and needs no parts

        return composition.parts_of(stored, options, streams)


def extended(known: CliCommand, more: Sequence[Flag]) -> CliCommand:
    """A command with more flags."""
    return CliCommand(known.summary, [*known.flags, *more], known.operands, known.execute)


def labels_of(options: Options) -> dict[str, str]:
    """Those of the user; the words of the command line count before those of files."""
    return dict([*(pair for pairs in options.label_file for pair in pairs), *options.label])
