"""RUN: a command in a container of the full engine, as `run` has them: the same isolation, limits and network."""

from __future__ import annotations

import contextlib
import os

from ch02_namespaces.command_line import HELP, Options, parse
from ch04_images import containers, images
from ch05_lifecycle import store
from ch05_lifecycle.streams import LoggedStreams
from ch05_lifecycle.watcher import Pump, hold, run_once
from final.build import mount_points
from final.build.dockerfile import Instruction
from final.engine.lifecycle import FullLifecycle
from final.engine.options import CREATE_FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from ch04_images.containers import ContainerRecord

PLACES = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev", "/proc", "/sys")
"""On these something is mounted in each container."""
SCRIPT = "/dev/heredoc"
"""Where a here-document is that begins with #!. Nothing of /dev is in the layer."""


OF_RUN = [
    flag
    for flag in CREATE_FLAGS
    if flag.option
    in (
        *("add_host", "shm_size", "ulimit", "memory", "memory_swap", "cpu_shares", "cpu_period", "cpu_quota"),
        *("cpuset_cpus", "cpuset_mems", "cgroup_parent"),
    )
]
"""What `build` takes for its containers: `run` has the same."""


class Command:
    """argv: what runs; config: Env, User and WorkingDir; arguments: variables for it alone, secrets: those that no
    record may have; mounts: as final/engine/mounts.py has them; network: for --network, empty for the usual one;
    limits: options of OF_RUN, by name."""

    def __init__(
        self,
        argv: Sequence[str],
        config: Mapping[str, Any],
        arguments: Mapping[str, str],
        mounts: Sequence[dict[str, Any]],
        network: str,
        secrets: Mapping[bytes, bytes],
        limits: Mapping[str, Any],
    ) -> None:
        self.argv = list(argv)
        self.config = {name: config[name] for name in ("Env", "User", "WorkingDir") if config.get(name)}
        self.arguments = dict(arguments)
        self.mounts = list(mounts)
        self.network = network
        self.secrets = dict(secrets)
        self.limits = dict(limits)


class _Steps(FullLifecycle):
    """Containers on layers that are no image yet."""

    def __init__(self, layers: Sequence[str], image: str, config: Mapping[str, Any]) -> None:
        super().__init__(CREATE_FLAGS)
        self._image = images.Image(image, layers, config, 0, 0)

    def _create_record(self, id: str, options: Options, temporary: bool) -> tuple[ContainerRecord, int]:
        settings = self.settings_of(self._image, options, self.command_of(self._image, options))
        records = store.new_records(settings)
        return containers.create(id, self._image.name, self._image.layers, "overlay", temporary, records)


@contextlib.contextmanager
def ran(
    layers: Sequence[str], image: str, command: Command, show: Callable[[bytes], None]
) -> Iterator[tuple[int, ContainerRecord]]:
    """Run a command to its end; its exit code, and its container, which is removed when the `with` ends.

    layers: what it stands on; image: as lists of containers show it; show: takes its output. Raises EngineError.
    """
    steps = _Steps(layers, image, command.config)
    stored, kept = steps.create_container(_options(image, command), temporary=True)
    try:
        held = hold(stored)
        try:
            streams = LoggedStreams(None)
            container = steps.container_of(stored, streams)
            container.command.environment |= command.secrets
            code = run_once(stored, container, Pump(_Shown(show), streams).attend, lambda: None, foreground=True)
            mount_points.remove(stored.record, [*PLACES, *(mount["target"] for mount in stored.settings["mounts"])])
            yield code, stored.record
        finally:
            os.close(held)
    finally:
        os.close(kept)
        store.remove(stored)


def _options(image: str, command: Command) -> Options:
    words = ["--rm", *(["--network", command.network] if command.network else [])]
    for name, value in command.arguments.items():
        words += ["-e", f"{name}={value}"]
    options = parse([HELP, *CREATE_FLAGS], [*words, "--entrypoint", command.argv[0], image], "IMAGE [COMMAND ...]")
    options.operands += command.argv[1:]
    options.mount.extend(command.mounts)
    for name, value in command.limits.items():
        setattr(options, name, value)
    return options


class _Shown:
    """In the place of a container's log."""

    def __init__(self, show: Callable[[bytes], None]) -> None:
        self._show = show

    def add(self, stream: str, data: bytes) -> None:
        self._show(data)

    def close(self) -> None:
        return


def network_of(instruction: Instruction, usual: str) -> str:
    """--network of RUN, or what is usual in this build. Raises DockerfileError."""
    if instruction.flag("security") not in ("", "sandbox"):
        raise instruction.error("--security=insecure is not granted", "`run --privileged`, and `commit`")
    wanted = instruction.flag("network") or "default"
    if wanted not in ("default", "none", "host"):
        raise instruction.error(f"--network={wanted} is not known", "default, none or host")
    return usual if wanted == "default" else wanted
