"""Standard input, output and error of a container, with a terminal of its own or without. Book section 3.1.2, -ti.

With -t the container gets a pseudoterminal (pty(7)); the user's terminal is set to raw mode and every key goes through
to the container's, whose line discipline turns Ctrl-C and Ctrl-Z into signals there.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import termios

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError
from ch03_run.container import Container, Part
from ch03_run.null import use_own_null

CHUNK = 65536


class Streams(Part):
    """The engine's own standard streams, in a session of their own: the user's Ctrl-C reaches the engine alone,
    which passes it on once. Without `interactive`, standard input is /dev/null."""

    section = "3.1.2"

    def __init__(self, interactive: bool) -> None:
        self.interactive = interactive
        self._null = -1

    def prepare(self, container: Container) -> None:
        if not self.interactive:
            self._null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)

    def enter(self, container: Container) -> None:
        syscalls.setsid()
        if self._null >= 0:
            os.dup2(self._null, 0)
        use_own_null()

    def cleanup(self, container: Container) -> None:
        if self._null >= 0:
            os.close(self._null)
            self._null = -1


class Terminal(Part):
    """A pseudoterminal: the engine keeps the master, the container's three streams are the slave.

    The engine holds the slave open, too: a program that closes its streams for a while does not hang the terminal up.
    """

    section = "3.1.2"

    def __init__(self, interactive: bool) -> None:
        if interactive and not os.isatty(0):
            raise EngineError("-t with -i", "standard input is not a terminal", "leave out -t")
        self.interactive = interactive
        self.master = self._slave = -1
        self._saved: list[int | list[bytes | int]] | None = None
        self._keys_open = interactive
        self._to_container = b""
        self._to_user = b""

    def prepare(self, container: Container) -> None:
        self.master, self._slave = os.openpty()
        os.set_blocking(self.master, False)
        self.copy_size()

    def enter(self, container: Container) -> None:
        """Make the slave the controlling terminal of a session of our own, and our three streams.

        Keys such as Ctrl-C become signals for the session that a terminal belongs to: setsid(2), TIOCSCTTY(2const).
        Raises SyscallError. Example: afterwards os.ttyname(0) is the slave's, and os.getsid(0) is os.getpid().
        """
        syscalls.setsid()
        syscalls.set_controlling_terminal(self._slave)
        for stream in (0, 1, 2):
            os.dup2(self._slave, stream)

    def cleanup(self, container: Container) -> None:
        self.restore()
        for descriptor in (self.master, self._slave):
            if descriptor >= 0:
                os.close(descriptor)
        self.master = self._slave = -1

    # ------------------------------------------------------------ while it runs

    def connect(self) -> None:
        """Called when the command has started, before all that follows: for a terminal that is made inside."""

    def copy_size(self) -> None:
        """Give the container's terminal the size of the user's, if the user has one: TIOCSWINSZ(2const)."""
        for stream in (0, 1, 2):
            if os.isatty(stream):
                fcntl.ioctl(self.master, termios.TIOCSWINSZ, fcntl.ioctl(stream, termios.TIOCGWINSZ, bytes(8)))
                return

    def raw(self) -> None:
        """Let every key through to the container: termios(3), "Raw mode". A background job stops here (SIGTTOU)."""
        if not self.interactive:
            return
        try:
            mode = termios.tcgetattr(0)
            self._saved = self._saved or termios.tcgetattr(0)
            _make_raw(mode)
            termios.tcsetattr(0, termios.TCSADRAIN, mode)
        except termios.error:
            return  # its window was closed; SIGHUP will say so

    def restore(self) -> None:
        """Set the user's terminal back to what it was, if it is still there."""
        if self._saved is None:
            return
        try:
            termios.tcsetattr(0, termios.TCSADRAIN, self._saved)
        except termios.error:
            return  # its window was closed
        finally:
            self._saved = None

    def waits_for(self) -> dict[int, int]:
        """The descriptors to poll(2) and their events: output is read when the last of it has been shown, keys when
        the container's terminal has taken the last of them. So neither side can make us wait."""
        events = {1: select.POLLOUT} if self._to_user else {self.master: select.POLLIN}
        if self._to_container:
            events[self.master] = events.get(self.master, 0) | select.POLLOUT
        elif self._keys_open:
            events[0] = select.POLLIN
        return events

    def move(self, ready: set[int]) -> None:
        """Pass on what can be passed on without waiting."""
        if 0 in ready:
            self._read_keys()
        if self.master in ready:
            self._send_keys()
            self._read_output()
        if 1 in ready:
            self._show_output()

    def is_empty(self) -> bool:
        """Whether all that the container printed has been shown."""
        self._read_output()
        return not self._to_user

    def _read_keys(self) -> None:
        try:
            keys = os.read(0, CHUNK)
        except OSError:  # the user's terminal is gone
            keys = b""
        self._keys_open = bool(keys)
        self._type(keys)

    def _type(self, keys: bytes) -> None:
        """Pass on what the user has typed."""
        self._to_container += keys
        self._send_keys()

    def _send_keys(self) -> None:
        try:
            sent = os.write(self.master, self._to_container)
        except BlockingIOError:
            return
        self._to_container = self._to_container[sent:]

    def _read_output(self) -> None:
        if self._to_user:
            return
        try:
            self._to_user = os.read(self.master, CHUNK)
        except BlockingIOError:
            return

    def _show_output(self) -> None:
        try:
            shown = os.write(1, self._to_user[: select.PIPE_BUF])  # so much can be written without waiting: pipe(7)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            shown = len(self._to_user)  # the user's terminal is gone
        self._to_user = self._to_user[shown:]


def _make_raw(mode: list[int | list[bytes | int]]) -> None:
    """cfmakeraw(3), on what termios.tcgetattr gives: input, output, control and local modes, speeds, characters."""
    iflag, oflag, cflag, lflag, _, _, characters = mode
    assert isinstance(iflag, int) and isinstance(oflag, int) and isinstance(cflag, int) and isinstance(lflag, int)
    assert isinstance(characters, list)
    mode[0] = iflag & ~(termios.BRKINT | termios.ICRNL | termios.INPCK | termios.ISTRIP | termios.IXON)
    mode[1] = oflag & ~termios.OPOST
    mode[2] = (cflag & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
    mode[3] = lflag & ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
