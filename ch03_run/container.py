"""A container is an ordered list of parts, and one short loop drives them. Every later chapter adds parts only.

    prepare   on the host, before the process exists
    spawn     clone3 into the new namespaces; the child waits
    attach    on the host, the process exists and waits
    enter     inside, as PID 1, part by part
    exec      the command replaces the child
    cleanup   on the host, afterwards, in reverse order

Book sections 3.1.2 and 3.3.
"""

from __future__ import annotations

import marshal
import os

from ch02_namespaces import explain, namespaces, syscalls
from ch02_namespaces.errors import ENGINE_FAILED, EngineError
from ch03_run.command import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ATTACHED, START, READY, FAILED = b"a", b"s", b"r", b"f"


class Part:
    """One idea of a container. Override the stages that it needs; each does nothing by default.

    clone_flags: CLONE_NEW* flags of the new namespaces that it needs. join: descriptors of existing namespaces that the
    process enters before these are made. section: where the book teaches it.
    """

    section = ""
    clone_flags = 0
    join: Sequence[int] = ()

    def prepare(self, container: Container) -> None:
        """On the host, before the process exists: make directories, cgroups, mounts."""

    def attach(self, container: Container) -> None:
        """On the host, while `container.process` exists and waits: act on it from outside."""

    def enter(self, container: Container) -> None:
        """Inside, as PID 1, before the command: act on ourselves."""

    def cleanup(self, container: Container) -> None:
        """On the host, when the process has ended or never was: undo what prepare and attach reached."""


class Container:
    """What is to run and what it consists of; once created, its process.

    id: unique name; command: what PID 1 becomes; parts: in the order of prepare, attach and enter.
    """

    def __init__(self, id: str, command: Command, parts: Sequence[Part]) -> None:
        self.id = id
        self.command = command
        self.parts = list(parts)
        self.process: namespaces.Process | None = None
        self.birth_cgroup: int | None = None
        """Descriptor of a version 2 cgroup in which the process shall be born; a part may set it in prepare."""
        self.started = False
        """Whether the command has been executed."""
        self.out_of_memory = False
        """Whether the kernel killed one of its processes at the memory limit; known after cleanup."""
        self.on_stage: Callable[[str, Part | None], None] | None = None
        """Called at each step of the loop, on both sides: --explain listens here."""
        self._prepared: list[Part] = []
        self._go = Pipe()
        self._report = Pipe()
        if explain.is_on:
            from ch03_run.narrator import narrate

            narrate(self)

    def close_descriptors(self, *kept: int) -> None:
        """Inside: close all descriptors but these and those that lead to exec. For a part after which only few system
        calls are allowed."""
        self.command.close_descriptors(self._go.reader, self._report.writer, *self.command.needed, *kept)

    def _stage(self, stage: str, part: Part | None = None) -> None:
        if self.on_stage is not None:
            self.on_stage(stage, part)


class Pipe:
    """A pipe(2) between the engine and the child. Both ends close on exec, so end of file means: the command runs."""

    def __init__(self) -> None:
        self.reader = self.writer = -1

    def open(self) -> None:
        """Make the pipe; before that it has no ends."""
        self.reader, self.writer = os.pipe2(os.O_CLOEXEC)

    def close_reader(self) -> None:
        """Close the end to read from; twice does no harm."""
        if self.reader >= 0:
            os.close(self.reader)
        self.reader = -1

    def close_writer(self) -> None:
        """Close the end to write to; twice does no harm."""
        if self.writer >= 0:
            os.close(self.writer)
        self.writer = -1

    def close(self) -> None:
        """Close both ends."""
        self.close_reader()
        self.close_writer()


def create(container: Container) -> None:
    """Bring a container up to the point where only exec is missing: prepare, spawn, attach, enter.

    All parts are prepared before there is a process. It gets both pipes, is born in the namespaces that the parts need
    (joined ones are the parts' too) and in birth_cgroup, and runs _child(); each side closes the ends that it does not
    use. When all parts are attached it is told ATTACHED, and answers READY, or reports what failed inside.
    Raises EngineError that names the part, the call and the reason; everything done so far is undone then, also the
    half of the part that failed: _prepared tells delete() what there is.
    Example: with the parts A and B: A.prepare, B.prepare, spawn, A.attach, B.attach, ATTACHED, READY.
    """
    try:
        for part in container.parts:
            container._prepared.append(part)  # before it runs: half of its work must be undone as well
            _run_stage("prepare", part, container)
        container._stage("spawn")
        container._go.open()
        container._report.open()
        container.process = namespaces.spawn(
            _needed_namespaces(container),
            lambda: _child(container),
            join=[descriptor for part in container.parts for descriptor in part.join],
            cgroup=container.birth_cgroup,
        )
        container._go.close_reader()
        container._report.close_writer()
        for part in container.parts:
            _run_stage("attach", part, container)
        _tell(container, ATTACHED)
        _expect_ready(container)
    except BaseException as error:
        _delete_after(error, container)
        raise


def start(container: Container) -> None:
    """Let a created container's process become the command: exec. Raises EngineError (126, 127) if it can't."""
    try:
        _tell(container, START)
        _raise_reported(container, _read_all(container._report.reader))
        container.started = True
    except BaseException as error:
        _delete_after(error, container)
        raise


def let_go(container: Container) -> None:
    """Let a created container's process become the command in its own time, and forget it: for an engine that ends now.

    What the parts have made stays; whoever cleans up has to know of it.
    """
    _tell(container, START)
    container._go.close()
    container._report.close()
    container._prepared.clear()


def wait(container: Container) -> int:
    """Wait until PID 1 has ended; its exit code. The kernel has then ended every other process of the container."""
    assert container.process is not None
    code = container.process.wait()
    assert code is not None
    return code


def delete(container: Container) -> None:
    """End the container if it runs, close the pipes, and clean up part by part, in reverse order. May be called twice.

    Only parts in `_prepared` are cleaned up, each once. One failure does not stop the rest, whatever it is; the
    EngineError at the end names them all: `cleanup: why; why`.
    Example: with A and B prepared: the process is killed, B.cleanup, A.cleanup, also if B.cleanup fails.
    """
    failures = []
    if container.process is not None:
        container.process.kill()
    container._go.close()
    container._report.close()
    while container._prepared:
        part = container._prepared.pop()
        try:
            _run_stage("cleanup", part, container)
        except Exception as error:  # whatever it is, the others must have their turn
            failures.append(error if isinstance(error, EngineError) else _unexpected(part, error))
    if failures:
        raise EngineError("cleanup", "; ".join(map(str, failures)))


def run(container: Container, attend: Callable[[Container], int] = wait) -> int:
    """Create, start, wait, delete. `attend` waits in place of wait(), for those with a terminal to look after."""
    create(container)
    start(container)
    try:
        return attend(container)
    finally:
        delete(container)


# ---------------------------------------------------------------- the child's side


def _child(container: Container) -> int:
    """Inside the new namespaces, as PID 1: wait for attach, enter, wait for start, exec. Returns its exit code.

    _go tells ATTACHED and START; _report takes READY when all parts have entered, or FAILED and the marshalled record
    of an error, whatever it is. The ends of the engine's side are closed first: else its death would not end the file.
    The command keeps the report's end until it is executed; from ATTACHED to there, we are not dumpable: ptrace(2).
    Example: with the parts A and B: ATTACHED, A.enter, B.enter, READY, START, command.execute(the report's end).
    """
    container._go.close_writer()
    container._report.close_reader()
    try:
        _await(container, ATTACHED)
        syscalls.set_dumpable(False)  # up to exec, nobody inside looks into us: ptrace(2)
        for part in container.parts:
            _run_stage("enter", part, container)
        os.write(container._report.writer, READY)
        _await(container, START)
        container._stage("exec")
        container.command.execute(container._report.writer)
    except BaseException as error:
        os.write(container._report.writer, FAILED + marshal.dumps(_record(error)))
    return 1


def _await(container: Container, word: bytes) -> None:
    """Wait for the engine's word. End of file means that the engine died: so do we."""
    if os.read(container._go.reader, 1) != word:
        os._exit(1)


def _record(error: BaseException) -> tuple[str, str, str, int]:
    """An error as plain values. Its class may not be known where it is read, and nothing may be imported here."""
    if isinstance(error, EngineError):
        return error.what, error.why, error.hint, error.exit_code
    return type(error).__name__, str(error), "", ENGINE_FAILED


# ---------------------------------------------------------------- the engine's side


def _needed_namespaces(container: Container) -> int:
    flags = 0
    for part in container.parts:
        flags |= part.clone_flags
    return flags


def _run_stage(stage: str, part: Part, container: Container) -> None:
    """Run one stage of one part, if it has it. Its errors come out with the part's name on them."""
    method = getattr(part, stage)
    if method.__func__ is getattr(Part, stage):
        return
    container._stage(stage, part)
    name = type(part).__name__
    try:
        method(container)
    except EngineError as error:
        raise EngineError(f"{name}: {error.what}", error.why, error.hint, error.exit_code) from error
    except OSError as error:
        raise EngineError(f"{name}, {stage}", str(error)) from error


def _tell(container: Container, word: bytes) -> None:
    try:
        os.write(container._go.writer, word)
    except BrokenPipeError:
        return  # it died: the report, or its absence, says so


def _expect_ready(container: Container) -> None:
    word = os.read(container._report.reader, 1)
    if word == READY:
        return
    _raise_reported(container, word + _read_all(container._report.reader))
    assert container.process is not None
    code = container.process.wait()
    raise EngineError("the container", f"its process died while starting (exit code {code})", "is -m too small?")


def _raise_reported(container: Container, report: bytes) -> None:
    if report[:1] != FAILED:
        return
    what, why, hint, code = marshal.loads(report[1:])
    raise EngineError(what, why, hint, code)


def _read_all(descriptor: int) -> bytes:
    chunks = []
    while chunk := os.read(descriptor, 65536):
        chunks.append(chunk)
    return b"".join(chunks)


def _delete_after(error: BaseException, container: Container) -> None:
    """Clean up behind a failure; when that fails too, say both."""
    try:
        delete(container)
    except EngineError as second:
        code = error.exit_code if isinstance(error, EngineError) else ENGINE_FAILED
        raise EngineError(str(error), str(second), exit_code=code) from error


def _unexpected(part: Part, error: Exception) -> EngineError:
    return EngineError(type(part).__name__, f"{type(error).__name__}: {error}")
