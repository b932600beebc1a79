"""Leaving a command on a terminal, so that it goes on without you: ctrl-p ctrl-q. Book sections 5.1 and 5.4.

    mydocker run -ti ──fork──► keeper ──clone3──► PID 1 of the container
     the front: keys,  ◄──────  │ waits for the end of     │
     output, signals   socket   │ either, cleans up        │
          └─────────────────────┴──── the terminal ────────┘

The kernel kills a container with its parent (DieWithEngine); so the parent must be somebody whom the user can leave
alone with it. The keeper passes the terminal to the user's process, the front (unix(7), SCM_RIGHTS), and does not touch
it until the front says that the user has left: no key and no output goes a longer way than without a keeper. A front
that ends without a word was killed, and the keeper ends the command, as an engine's end does everywhere else.
"""

from __future__ import annotations

import array
import fcntl
import marshal
import os
import select
import socket
import termios
import time

from ch02_namespaces import explain, namespaces, syscalls
from ch02_namespaces.errors import EngineError
from ch03_run.container import Container
from ch03_run.terminal import Terminal
from ch04_images.console import Console
from ch05_lifecycle import store
from ch05_lifecycle.attach import DetachKeys
from ch05_lifecycle.logs import LogWriter
from ch05_lifecycle.store import Stored
from ch05_lifecycle.streams import LoggedConsole
from ch05_lifecycle.watcher import Pump, described, finish, hold, in_background, log_of, run_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

STARTED, ENDED, RELEASED, DONE = "started", "ended", "released", "done"  # what the keeper says
SHOWN, LEFT = "shown", "left"  # what the front says
KILLED = 128 + syscalls.SIGKILL
LONGEST = 1 << 16  # bytes of a message
MOMENT = 1.0  # seconds


class UserLeftError(Exception):
    """The user has typed ctrl-p ctrl-q."""


class SilenceError(Exception):
    """The other process has ended."""


class Line:
    """One end of the line between front and keeper: messages of a kind and a value. socketpair(2), SOCK_SEQPACKET."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self.fileno = end.fileno
        self.close = end.close

    def say(self, kind: str, value: Any = None, descriptors: Sequence[int] = ()) -> None:
        """Send a message. Nothing happens if nobody is there to hear it: the answer will be missing."""
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
        try:
            self._end.sendmsg([marshal.dumps((kind, value))], [rights] if descriptors else [], socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError):
            return

    def hang_up(self) -> None:
        """Say nothing more: for the other one it looks as if we had ended."""
        self._end.shutdown(socket.SHUT_WR)

    def hear(self, *kinds: str) -> tuple[str, Any, list[int]]:
        """Wait for a message of one of these kinds; kind, value, descriptors. Raises SilenceError."""
        while True:
            try:
                message, descriptors, _, _ = socket.recv_fds(self._end, LONGEST, 3)
            except ConnectionResetError:
                raise SilenceError from None
            if not message:
                raise SilenceError
            kind, value = marshal.loads(message)
            if kind in kinds:
                return kind, value, descriptors


# ---------------------------------------------------------------- the front


class KeptProcess(namespaces.Process):
    """A child of the keeper. What becomes readable at its end is the line, not the pidfd: so does the keeper's end."""

    def __init__(self, line: Line, pid: int, pidfd: int) -> None:
        super().__init__(pid, line.fileno())
        self._line = line
        self._real = namespaces.Process(pid, pidfd)

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens when the process has ended already."""
        if self.exit_code is None:
            self._real.send_signal(number)

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait until the keeper tells the exit code. Raises SilenceError if it ends instead."""
        if self.exit_code is None and (timeout is None or _is_readable(self.pidfd, timeout)):
            _, self.exit_code, _ = self._line.hear(ENDED)
        return self.exit_code

    def kill(self) -> None:
        """End it at once; for one whose keeper has gone."""
        self._real.send_signal(syscalls.SIGKILL)
        _is_readable(self._real.pidfd, None)


def _is_readable(descriptor: int, timeout: float | None) -> bool:
    return bool(select.select([descriptor], [], [], timeout)[0])


class Front(Terminal):
    """The user's side of a terminal that was made in a container of a keeper's.

    log: where what is shown is kept, too. lock: a descriptor to be closed when the user needs the container no more.
    """

    def __init__(self) -> None:
        super().__init__(interactive=True)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.line, self.keepers_line = Line(ours), Line(theirs)
        self.has_keeper = False
        """Whether somebody else cleans up."""
        self.log: LogWriter | None = None
        self.lock = -1
        self._detach_keys = DetachKeys()

    def receive(self) -> KeptProcess:
        """Take the terminal that the keeper's child has made, and the child. Raises SilenceError."""
        _, pid, (self.master, self._slave, pidfd) = self.line.hear(STARTED)
        self.copy_size()  # the window may have changed meanwhile
        return KeptProcess(self.line, pid, pidfd)

    def close(self) -> None:
        """Give the user's terminal back, and let go of the container. Twice does no harm."""
        self.restore()
        for descriptor in (self.master, self._slave, self.lock):
            if descriptor >= 0:
                os.close(descriptor)
        self.master = self._slave = self.lock = -1
        if self.log is not None:
            self.log.close()

    def _type(self, keys: bytes) -> None:
        super()._type(self._detach_keys.passed(keys))
        if self._detach_keys.has_left:
            raise UserLeftError

    def _read_output(self) -> None:
        if self._to_user:
            return
        super()._read_output()
        if self._to_user and self.log is not None:
            self.log.add("stdout", self._to_user)


def run(
    container: Container,
    front: Front,
    attend: Callable[[Container], int],
    work: Callable[[Callable[[], None]], None],
) -> int:
    """Have a keeper run a container, and show it to the user; its exit code, or 0 if the user has left.

    work: done by the keeper; it creates and starts the container, calls what it is given, waits and cleans up.
    Raises EngineError if it cannot start or be cleaned up. If the keeper is killed, the exit code is that of a kill,
    and `front.has_keeper` is false.
    """
    errors = _narrate_keeper() if explain.is_on else -1
    keep = {front.keepers_line.fileno(), errors}
    in_background(lambda started: _keep(container, front.keepers_line, work, started, errors), keep)
    front.keepers_line.close()
    front.has_keeper = True
    try:
        return _attend(container, front, attend)
    except SilenceError:
        front.has_keeper = False
        if container.process is not None:
            container.process.kill()
        return KILLED
    finally:
        front.close()


def _attend(container: Container, front: Front, attend: Callable[[Container], int]) -> int:
    container.process = front.receive()
    try:
        code = attend(container)
    except UserLeftError:
        front.close()
        front.line.say(LEFT)
        front.line.hear(RELEASED)
        return 0
    except OSError:  # nobody takes the output any more
        front.close()
        front.line.hang_up()
        front.line.hear(DONE)
        raise
    front.close()
    front.line.say(SHOWN, code)
    _, (container.out_of_memory, failure), _ = front.line.hear(DONE)
    if failure:
        raise EngineError(*failure)
    return code


def run_stored(stored: Stored, container: Container, front: Front, console: KeptConsole) -> Callable[..., int]:
    """What run_in_foreground() is to use in place of the loop, for a container of the store."""
    front.log = log_of(stored)
    keeper = Keeper(front.keepers_line, console, log_of(stored), lambda: stored.write_state(foreground=False))

    def work(started: Callable[[], None]) -> None:
        held = hold(stored)
        try:
            run_once(stored, container, keeper.attend, started, foreground=True)
        finally:
            if not stored.has_never_run():
                finish(stored)
            os.close(held)

    return lambda container, attend: run(container, front, attend, work)


def clean_up(stored: Stored) -> None:
    """Do what a keeper would have done that was killed, or never was."""
    end = time.monotonic() + MOMENT
    try:
        while stored.is_watched() and time.monotonic() < end:  # its child may have a moment to live
            time.sleep(0.005)
        if stored.settings["remove"] or stored.has_never_run():
            store.remove(stored)
        else:
            stored.state()  # repairs it
    except store.GoneError:  # it was killed when it had done so
        return


# ---------------------------------------------------------------- the keeper


class KeptConsole(LoggedConsole):
    """A terminal of the container's own, first for a front, and read by a keeper when the user has left."""

    section = "5.1"

    def __init__(self, fifo: str | None, is_console: bool = True) -> None:
        super().__init__(fifo, is_console)
        self._size = fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))

    def copy_size(self) -> None:
        """The user's terminal cannot be asked in the background: it is the size that it had before."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, self._size)

    def share(self, line: Line, process: namespaces.Process) -> None:
        """Take the terminal that the child has made and pass it on."""
        Console.connect(self)
        line.say(STARTED, process.pid, [self.master, self._slave, process.pidfd])

    def connect(self) -> None:
        """Nothing is left to be done: see share()."""


class Keeper:
    """Waits for a command on behalf of its user, as long as there is one, and then looks after it.

    log: where output goes when the user has left; None drops it. on_left: what else is to be done then.
    """

    def __init__(
        self,
        line: Line,
        console: KeptConsole,
        log: LogWriter | None = None,
        on_left: Callable[[], None] = lambda: None,
    ) -> None:
        self._line = line
        self._console = console
        self._log = log
        self._on_left = on_left

    def attend(self, container: Container) -> int:
        """Wait until the command has ended and the user has seen all of it, or has left; the exit code."""
        process = container.process
        assert process is not None
        self._console.share(self._line, process)
        ready, _, _ = select.select([self._line.fileno(), process.pidfd], [], [])
        if process.pidfd in ready:
            self._line.say(ENDED, process.wait())
        try:
            kind, code, _ = self._line.hear(SHOWN, LEFT)
        except SilenceError:
            process.kill()
            return KILLED
        return self._look_after(container) if kind == LEFT else int(code)

    def _look_after(self, container: Container) -> int:
        explain.end()
        os.dup2(0, 2)  # nobody listens any more
        self._console.listen()
        self._on_left()
        self._line.say(RELEASED)
        return Pump(self._log, self._console).attend(container)


def _keep(
    container: Container,
    line: Line,
    work: Callable[[Callable[[], None]], None],
    started: Callable[[], None],
    errors: int,
) -> None:
    if errors >= 0:
        os.dup2(errors, 2)
        os.close(errors)
    failure = None
    try:
        work(started)
    except Exception as error:
        failure = described(error)
        raise
    finally:
        line.say(DONE, (container.out_of_memory, failure))


def _narrate_keeper() -> int:
    """Tell of the keeper, who then tells the rest: a copy of standard error, for it."""
    explain.tell("keeper   a process that stays with the container when you leave it by ctrl-p ctrl-q (section 5.1)")
    return os.dup(2)
