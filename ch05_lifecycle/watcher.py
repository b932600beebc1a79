"""Who watches a container that runs in the background: one small process each, and nobody else. Book section 5.1.

    mydocker run -d ──► watcher ──► PID 1 of the container
       returns when        reads its pipes, writes its log, waits for its end,
       the command runs    cleans up, writes how it ended; starts it again if asked to

The watcher is a fork of the engine, in a session of its own. It holds the lock of the container's rootfs as long as it
lives. If it is killed, the kernel kills the container (DieWithEngine), and the lock is free: see store.repair.
"""

from __future__ import annotations

import errno
import marshal
import os
import select
import time

from ch02_namespaces import explain, namespaces, syscalls
from ch02_namespaces.errors import ENGINE_FAILED, EngineError
from ch03_run.container import Container, create, delete, start
from ch04_images import containers, state
from ch05_lifecycle import names, store
from ch05_lifecycle.logs import LogWriter
from ch05_lifecycle.proc_stat import start_time
from ch05_lifecycle.store import Stored
from ch05_lifecycle.streams import LoggedConsole, LoggedStreams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Protocol

    class Log(Protocol):
        """What takes the output of a container: logs.LogWriter, or another."""

        def add(self, stream: str, data: bytes) -> None: ...
        def close(self) -> None: ...


CHUNK = 1 << 16
FIRST_PAUSE, LONGEST_PAUSE, RAN_WELL = 0.1, 60.0, 10.0  # seconds between restarts, and when the count begins anew
MOMENT = 0.1  # seconds
LOG_BYTES, LOG_FILES = 10 << 20, 3
Logged = LoggedStreams | LoggedConsole


def start_in_background(stored: Stored, build: Callable[[Stored], tuple[Container, Logged]]) -> None:
    """Start a container and leave it to a watcher; returns when its command runs.

    build: makes the container and its streams from what the store knows. Raises EngineError if it cannot start.
    """
    in_background(lambda started: _watch(stored, build, started), keep=explain.apart())


def _watch(stored: Stored, build: Callable[[Stored], tuple[Container, Logged]], started: Callable[[], None]) -> None:
    held = hold(stored)
    try:
        _supervise(stored, build, started)
        finish(stored)
    finally:
        os.close(held)


def in_background(work: Callable[[Callable[[], None]], None], keep: Iterable[int] = ()) -> None:
    """Do some work in a process of its own, which has nothing of ours but the descriptors in `keep`; returns when the
    work calls what it is given.

    _be_in_background() does it in there: its end of a pipe is closed when the work has started, or carries the
    marshalled arguments of an EngineError. Raises that, if the work fails before; nothing, if it fails later.
    Example: of work(started), which calls started() and then sleeps for an hour, we wait for started() alone. pipe(7).
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    process = namespaces.spawn(0, lambda: _be_in_background(work, writer, keep))
    os.close(writer)
    report = b""
    while piece := os.read(reader, 65536):
        report += piece
    os.close(reader)
    if report:
        process.wait()
        raise EngineError(*marshal.loads(report))


def _be_in_background(work: Callable[[Callable[[], None]], None], report: int, keep: Iterable[int]) -> int:
    os.setsid()
    os.chdir("/")
    leave_streams(keep={report, *keep})
    listening = True

    def started() -> None:
        nonlocal listening
        listening = False
        os.close(report)
        explain.end_apart()

    try:
        work(started)
    except BaseException as error:
        if listening:  # later, the container's state says how it ended
            os.write(report, marshal.dumps(described(error)))
        return 1
    return 0


def described(error: BaseException) -> tuple[str, str, str, int]:
    """What another process needs to raise an error again, as EngineError(*…)."""
    if isinstance(error, EngineError):
        return error.what, error.why, error.hint, error.exit_code
    return type(error).__name__, str(error), "", ENGINE_FAILED


def leave_streams(keep: set[int]) -> None:
    """Let go of everything that we were given: whoever waits for the end of its output must not wait for us."""
    if not keep.issuperset(explain.kept()):
        explain.end()
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in keep:
            try:
                os.close(int(name))
            except OSError:
                continue  # the one that listed them


def hold(stored: Stored) -> int:
    """Become the one who watches a container: the descriptor of its lock. Raises EngineError if it runs already."""
    held = stored.try_lock()
    end = time.monotonic() + MOMENT
    while held is None and time.monotonic() < end:  # somebody may only be looking
        time.sleep(0.005)
        held = stored.try_lock()
    if held is None:
        raise EngineError(f"container {state.short(stored.id)}", "it runs already", "`stop` it first")
    if not stored.settings["command"]:
        os.close(held)
        raise EngineError(f"container {state.short(stored.id)}", "it is not known how it was started", "`run` another")
    if stored.is_stopping():
        os.unlink(stored.record.path(store.STOPPING))
    return held


def _supervise(
    stored: Stored, build: Callable[[Stored], tuple[Container, Logged]], started: Callable[[], None]
) -> None:
    """Run it, and again as long as its restart policy says so."""
    pause, count = FIRST_PAUSE, 0
    while True:
        container, streams = build(stored)
        begin = time.monotonic()
        code = run_once(stored, container, Pump(log_of(stored), streams).attend, started)
        started = _nothing
        stored.forget_settings()
        if not should_restart(stored, code, count):
            return
        count, pause = (0, FIRST_PAUSE) if time.monotonic() - begin > RAN_WELL else (count + 1, pause)
        stored.write_state(status=store.RESTARTING, restarts=stored.state()["restarts"] + 1)
        if not _pause(stored, pause):
            stored.write_state(status=store.EXITED)
            return
        pause = min(2 * pause, LONGEST_PAUSE)


def _nothing() -> None:
    """What is told about starts after the first."""


def should_restart(stored: Stored, code: int, count: int) -> bool:
    """Whether the restart policy (no, always, unless-stopped, on-failure[:MOST]) wants it to run again.

    code: of its exit; count: how often it was restarted already, of MOST. What is being stopped is not restarted.
    Example: "on-failure:3" wants it for code 1 and count 2, not for code 0, nor for count 3. docker-run(1).
    """
    policy, _, most = str(stored.settings["restart"]).partition(":")
    if policy == "no" or stored.is_stopping():
        return False
    if policy == "on-failure":
        return code != 0 and (not most or count < int(most))
    return True


def _pause(stored: Stored, seconds: float) -> bool:
    """Wait before a restart; False if somebody stops it meanwhile."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if stored.is_stopping():
            return False
        time.sleep(0.05)
    return True


def run_once(
    stored: Stored,
    container: Container,
    attend: Callable[[Container], int],
    started: Callable[[], None],
    foreground: bool = False,
) -> int:
    """Start it, attend to it until it ends, clean up; its state says each time how it is. Its exit code."""
    store.bring_down(stored)  # what a killed watcher left
    create(container)
    start(container)
    try:
        assert container.process is not None
        pid = container.process.pid
        stored.write_state(
            status=store.RUNNING,
            pid=pid,
            started_by_kernel=start_time(pid),
            started=time.time(),
            foreground=foreground,
            error="",
        )
        started()
        code, error = attend(container), ""
    except BaseException as failure:
        code, error = 128 + syscalls.SIGKILL, str(failure)
        raise
    finally:
        delete(container)
        stored.write_state(
            status=store.EXITED,
            pid=0,
            exit_code=code,
            error=error,
            finished=time.time(),
            out_of_memory=container.out_of_memory,
        )
    return code


def finish(stored: Stored) -> None:
    """Remove it, if it is to go when it ends (--rm). For the holder of its lock."""
    if stored.settings["remove"]:
        containers.remove(stored.record, wait=True)
        store.tell(stored, "destroy")
        names.release(stored.id)


def log_of(stored: Stored) -> LogWriter:
    """What writes a container's log. There may be one at a time."""
    most_bytes, most_files = (stored.settings.get(name) for name in ("log_bytes", "log_files"))
    return LogWriter(stored.record.path("log"), most_bytes or LOG_BYTES, most_files or LOG_FILES)


class Pump:
    """Writes what a container prints into its log; without one, drops it."""

    def __init__(self, log: Log | None, streams: Logged) -> None:
        self._log = log
        self._streams = streams
        self._keys = -1

    def attend(self, container: Container) -> int:
        """Wait until the container has ended and all is written; its exit code."""
        process = container.process
        assert process is not None
        poll = self._register(process.pidfd)
        while process.exit_code is None:
            for descriptor, _ in poll.poll():
                if descriptor == process.pidfd:
                    process.wait()
                elif descriptor == self._keys:
                    self._type()
                elif not self._take(descriptor):
                    poll.unregister(descriptor)
        for descriptor in self._streams.readers:
            while self._take(descriptor):
                continue
        if self._log is not None:
            self._log.close()
        return process.exit_code

    def _register(self, pidfd: int) -> select.poll:
        if isinstance(self._streams, LoggedConsole):
            self._streams.connect()
            self._keys = self._streams.keys
        poll = select.poll()
        for descriptor in (pidfd, self._keys, *self._streams.readers):
            if descriptor >= 0:
                poll.register(descriptor, select.POLLIN)
        return poll

    def _take(self, descriptor: int) -> bool:
        """Take what can be read. False at the end of file, and when there is nothing at the moment."""
        try:
            data = os.read(descriptor, CHUNK)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal whose last program has gone
                raise
            return False
        if data and self._log is not None:
            self._log.add(self._streams.readers[descriptor], data)
        return bool(data)

    def _type(self) -> None:
        """Pass on what somebody attached has typed; what the terminal does not take is lost."""
        assert isinstance(self._streams, LoggedConsole)
        try:
            os.write(self._streams.master, os.read(self._keys, 1024))
        except BlockingIOError:
            return
