"""Standard input, output and error of a container, with a terminal of its own or without. Book section 3.1.2, -ti.

With -t the container gets a pseudoterminal (pty(7)); the user's terminal is set to raw mode and every key goes through
to the container's, whose line discipline turns Ctrl-C and Ctrl-Z into signals there.
"""

from __future__ import annotations

import fcntl
import os
import termios

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError
from ch03_run.container import Container, Part

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
        self._to_container = b""

    def prepare(self, container: Container) -> None:
        self.master, self._slave = os.openpty()
        os.set_blocking(self.master, False)
        self.copy_size()

    def enter(self, container: Container) -> None:
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
        if self._saved is None:
            self._saved = termios.tcgetattr(0)
        mode = termios.tcgetattr(0)
        mode[0] &= ~(termios.BRKINT | termios.ICRNL | termios.INPCK | termios.ISTRIP | termios.IXON)
        mode[1] &= ~termios.OPOST
        mode[2] = (mode[2] & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
        mode[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(0, termios.TCSADRAIN, mode)

    def restore(self) -> None:
        """Set the user's terminal back to what it was."""
        if self._saved is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, self._saved)
            self._saved = None

    def waits_for_room(self) -> bool:
        """Whether there are keys that the container's terminal has not taken yet."""
        return bool(self._to_container)

    def read_keys(self) -> bool:
        """Take what the user typed and pass it on; False when there will be no more: the user's terminal is gone."""
        try:
            keys = os.read(0, CHUNK)
        except OSError:
            return False
        self._to_container += keys
        self.send_keys()
        return bool(keys)

    def send_keys(self) -> None:
        """Pass on as much of the typed keys as the container's terminal takes now."""
        try:
            sent = os.write(self.master, self._to_container)
        except BlockingIOError:
            sent = 0
        self._to_container = self._to_container[sent:]

    def show_output(self) -> bool:
        """Pass what the container printed on to our standard output; False when there is nothing now."""
        try:
            output = os.read(self.master, CHUNK)
        except BlockingIOError:
            return False
        view = memoryview(output)
        while view:
            view = view[os.write(1, view) :]
        return bool(output)
