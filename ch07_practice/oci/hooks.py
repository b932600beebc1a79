"""Programs that config.json wants to be run at certain moments of a container's life. Book section 7.3.

OCI runtime-spec, config.md, "POSIX-platform Hooks", and runtime.md, "Lifecycle". Each gets the container's state on its
standard input. Where they run:

    prestart, createRuntime     runtime's namespaces    the namespaces are there, the root is not pivoted yet
    createContainer             container's             the same moment; the path is still the host's
    startContainer              container's             `start` was called, the command is about to begin
    poststart, poststop         runtime's               the command has begun; the container is gone

One that fails undoes what it belongs to, but for poststop: there a warning tells. The state's status is `created` from
the first of them on: they follow the lifecycle's second step, which makes the container's environment.
"""

from __future__ import annotations

import os
import select

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError, warn
from ch03_run.container import Container, Part
from ch04_images.state import json_of
from ch07_practice.oci.document import Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MOMENTS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
LONGEST_SHOWN = 500
IGNORED_BY_PYTHON = (13, 25)  # SIGPIPE, SIGXFSZ: whom we start would ignore them as well


class Hook:
    """path: absolute; argv, environment; timeout: seconds, or None."""

    def __init__(self, node: Node) -> None:
        self.place = node.place
        self.path = node["path"].path()
        self.argv = node["args"].texts() or [self.path]
        self.environment = dict(_variable(item) for item in node["env"].items())
        self.timeout = node["timeout"].number(least=1, most=1 << 31) if node["timeout"] else None

    def run(self, state: dict[str, Any]) -> None:
        """Run it to its end, with the state on its standard input, as JSON. Its environment is its own alone.

        Its output goes where nobody has to read it meanwhile; the beginning of it, LONGEST_SHOWN, is part of the error.
        Raises EngineError, with self.place, if it cannot be started, fails or takes too long; then it is no more.
        Source: config.md, "POSIX-platform Hooks"; posix_spawn(3).
        Example: for {"path": "/bin/sh", "args": ["hook", "-c", "echo no; exit 3"]} the error has "3" and "no" in it.
        """
        stdin, output = os.memfd_create("state", os.MFD_CLOEXEC), os.memfd_create("output", os.MFD_CLOEXEC)
        try:
            os.write(stdin, json_of(state).encode())
            os.lseek(stdin, 0, os.SEEK_SET)
            streams = [(os.POSIX_SPAWN_DUP2, end, number) for number, end in enumerate((stdin, output, output))]
            try:
                pid = os.posix_spawn(
                    self.path,
                    self.argv,
                    self.environment,
                    file_actions=streams,
                    setsigmask=(),
                    setsigdef=IGNORED_BY_PYTHON,
                )
            except OSError as error:
                raise EngineError(f"hook {self.place}", f"{self.path}: {error.strerror}") from None
            status = self._wait(pid)
            if status:
                said = os.pread(output, LONGEST_SHOWN, 0).decode(errors="replace").strip()
                raise EngineError(f"hook {self.place}", f"{self.path} failed with {_shown(status)}: {said}")
        finally:
            os.close(stdin)
            os.close(output)

    def _wait(self, pid: int) -> int:
        """Its wait status: waitpid(2). One that takes longer than self.timeout (seconds; None: it may) is killed and
        waited for, and raises EngineError. select(2) can wait for a pidfd."""
        pidfd = syscalls.pidfd_open(pid)
        try:
            ready, _, _ = select.select([pidfd], [], [], self.timeout)
            if not ready:
                syscalls.pidfd_send_signal(pidfd, syscalls.SIGKILL)
        finally:
            os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        if not ready:
            raise EngineError(f"hook {self.place}", f"{self.path} took longer than {self.timeout} seconds")
        return status


def _variable(node: Node) -> tuple[str, str]:
    name, equals, value = node.text().partition("=")
    if not name or not equals:
        raise node.wrong(f"{node.value!r} is no NAME=VALUE")
    return name, value


def _shown(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def hooks_of(config: Node, moment: str) -> list[Hook]:
    """The hooks of one moment, in order. Raises EngineError."""
    return [Hook(node) for node in config["hooks"][moment].items()]


def check(config: Node) -> None:
    """Raise EngineError for hooks that make no sense."""
    for moment in MOMENTS:
        hooks_of(config, moment)


class RuntimeHooks(Part):
    """prestart and createRuntime: in the runtime's namespaces, when the container's are there."""

    section = "7.3"

    def __init__(self, config: Node, state: Callable[[int], dict[str, Any]]) -> None:
        self._hooks = [*hooks_of(config, "prestart"), *hooks_of(config, "createRuntime")]
        self._state = state

    def attach(self, container: Container) -> None:
        assert container.process is not None
        for hook in self._hooks:
            hook.run(self._state(container.process.pid))


class ContainerHooks(Part):
    """createContainer: in the container's namespaces, before its root is pivoted."""

    section = "7.3"

    def __init__(self, config: Node, state: Callable[[int], dict[str, Any]]) -> None:
        self._hooks = hooks_of(config, "createContainer")
        self._state = state

    def enter(self, container: Container) -> None:
        if not self._hooks:
            return
        rootfs = os.open(".", os.O_PATH | os.O_CLOEXEC)
        os.chdir("/")  # what a program finds where it starts must not be the image's (CVE-2025-23266)
        run_all(self._hooks, self._state(0))
        os.fchdir(rootfs)
        os.close(rootfs)


def run_all(hooks: list[Hook], state: dict[str, Any]) -> None:
    """Run hooks; the first that fails is the last. Raises EngineError."""
    for hook in hooks:
        hook.run(state)


def run_each(hooks: list[Hook], state: dict[str, Any]) -> None:
    """Run hooks, whether those before have failed or not: a warning tells of these."""
    for hook in hooks:
        try:
            hook.run(state)
        except EngineError as error:
            warn(str(error))
