"""One look at a container's health: a command in it, as `exec` would run it, with an end to its time and its output."""

from __future__ import annotations

import os
import select
import time

from ch02_namespaces import syscalls
from ch02_namespaces.command_line import Options
from ch03_run.command import Command
from ch03_run.container import Container, Part, create, delete, start
from ch03_run.null import use_own_null
from ch05_lifecycle import store
from final.engine import process_tree
from final.engine.durations import SECOND, text_of
from final.engine.health import NOT_RUN, Result
from final.runtime import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ch02_namespaces.namespaces import Process
    from ch05_lifecycle.store import Stored
    from final.engine.health_check import HealthCheck

MOST_OUTPUT = 4096  # bytes, as Docker keeps
CHUNK = 1 << 16
LONGEST = 366 * 86_400  # seconds: as good as for ever


class Output(Part):
    """Standard output and standard error are one pipe to us; standard input is empty.

    The process adopts its orphans: so all that it has started is below it as long as it lives, and can be found there.
    """

    section = "5.3"

    def __init__(self) -> None:
        self.reader = -1
        self._inside: list[int] = []
        self._kept = b""

    def prepare(self, container: Container) -> None:
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self.reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(writer, True)
        self._inside = [null, writer]

    def attach(self, container: Container) -> None:
        self._close_inside()

    def enter(self, container: Container) -> None:
        null, writer = self._inside
        syscalls.setsid()
        kernel.adopt_orphans()
        for descriptor, stream in ((null, 0), (writer, 1), (writer, 2)):
            os.dup2(descriptor, stream)
        use_own_null()

    def take(self) -> bool:
        """Read what is there, and keep the beginning. False at the end of file, and when nothing is there."""
        try:
            data = os.read(self.reader, CHUNK)
        except BlockingIOError:
            return False
        self._kept = (self._kept + data)[: MOST_OUTPUT + 1]
        return bool(data)

    def text(self) -> str:
        """What it has printed so far."""
        text = self._kept[:MOST_OUTPUT].decode(errors="replace")
        return text if len(self._kept) <= MOST_OUTPUT else f"{text}..."

    def cleanup(self, container: Container) -> None:
        self._close_inside()
        if self.reader >= 0:
            os.close(self.reader)
        self.reader = -1

    def _close_inside(self) -> None:
        while self._inside:
            os.close(self._inside.pop())


def run(stored: Stored, check: HealthCheck, container: int) -> Result:
    """Run the command; what came of it. A command that takes too long is killed, with all that it has started, and so
    is one whose container ends meanwhile.

    container: the pidfd of its PID 1. Raises EngineError if the command cannot be run.
    """
    from final.engine.execute import COMMANDS, parts_of

    begin = time.time()
    output = Output()
    parts = parts_of(stored, Options(COMMANDS["exec"].flags), output)
    executed = Container(stored.id, Command(check.argv, stored.settings["environment"]), parts)
    create(executed)
    start(executed)
    process = executed.process
    assert process is not None
    try:
        _attend(process, output, container, check.timeout / SECOND, lambda: store.group_of(stored).is_frozen())
        code = process.exit_code
        if code is None:
            process_tree.kill(process)
        output.take()
    finally:
        delete(executed)
    if code is None:
        code, more = NOT_RUN, f": {output.text()}" if output.text() else ""
        return Result(begin, time.time(), code, f"Health check exceeded timeout ({text_of(check.timeout)}){more}")
    return Result(begin, time.time(), code, output.text())


def _attend(process: Process, output: Output, container: int, timeout: float, stands_still: Callable[[], bool]) -> None:
    """Wait for the end of a process, or of the container, or of its time, and read what it prints. timeout: seconds,
    which begin anew when they are over and the container stands still."""
    readers, end = [output.reader], time.monotonic() + timeout
    while process.exit_code is None:
        left = end - time.monotonic()
        if left <= 0 and not stands_still():
            return
        if left <= 0:
            left, end = timeout, time.monotonic() + timeout
        ready, _, _ = select.select([process.pidfd, container, *readers], [], [], min(left, LONGEST))
        if container in ready:
            return
        if output.reader in ready and not output.take():
            readers.clear()
        if process.pidfd in ready:
            process.wait()
