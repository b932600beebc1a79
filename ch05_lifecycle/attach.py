"""`attach`: look at a container in the background and type into it, and leave it running. Book section 5.1.

What it prints comes from its log; what is typed goes into the FIFO that its standard input is, or that its watcher
empties into its terminal. So nobody has to ask the watcher for anything.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import termios

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError, SyscallError
from ch03_run.terminal import Terminal
from ch04_images import state
from ch05_lifecycle import logs, process
from ch05_lifecycle.store import Stored

DETACH = b"\x10\x11"  # ctrl-p ctrl-q
MOMENT = 0.02  # seconds between two looks at the log


def attach(stored: Stored, known: int | None = None) -> int:
    """Show what a container prints from now on until it ends, and type into it; its exit code, or 0 if the user has
    left with ctrl-p ctrl-q. Signals are passed on.

    known: how many lines of its log are not to be shown; all that there are, if it is not given.
    Raises EngineError if it does not run and `known` was not given.
    """
    if known is None:
        os.close(process.open_process(stored))
        if stored.state()["foreground"]:
            raise EngineError(
                f"container {state.short(stored.id)}", "it runs in the foreground", "its terminal is there"
            )
        known = count_lines(stored)
    for wanted in (signal.SIGINT, signal.SIGTERM):
        signal.signal(wanted, lambda number, frame: process.send_signal(stored, number))
    keyboard = Keyboard(stored)
    path = stored.record.path("log")
    try:
        ended = lambda: keyboard.has_left or not stored.is_watched()  # noqa: E731
        for number, line in enumerate(logs.follow(path, ended, keyboard.pass_on)):
            if number >= known:
                _, stream, text = logs.parse(line)
                os.write(logs.STREAMS[stream], text)
    finally:
        keyboard.close()
    return 0 if keyboard.has_left else int(stored.state()["exit_code"])


def count_lines(stored: Stored) -> int:
    """How many lines the log of a container has."""
    return sum(1 for _ in logs.read(stored.record.path("log")))


class DetachKeys:
    """Finds ctrl-p ctrl-q among the keys, also when they come one by one."""

    def __init__(self) -> None:
        self.has_left = False
        self._held = b""

    def passed(self, keys: bytes) -> bytes:
        """Which of these keys are for the container. A ctrl-p at the end is held back until the next key has come, and
        passed on before that if it is no ctrl-q. If they are DETACH, has_left is true; what follows them is dropped.

        Example: passed(b"ls\\x10") is b"ls", then passed(b"a") is b"\\x10a".
        """
        before, found, _ = (self._held + keys).partition(DETACH)
        self.has_left = bool(found)
        self._held = DETACH[:1] if before.endswith(DETACH[:1]) and not found else b""
        return before.removesuffix(self._held)


class Keyboard:
    """Standard input, on its way into a container."""

    def __init__(self, stored: Stored) -> None:
        self._target = -1
        self._waiting = b""
        self._detach_keys = DetachKeys()
        self._terminal: Terminal | None = None
        if stored.settings["interactive"]:
            self._target = _open_fifo(stored.record.path("stdin"))
        if stored.settings["tty"] and os.isatty(0):
            self._terminal = Terminal(interactive=True)
            self._terminal.raw()
            set_window_size(stored)

    @property
    def has_left(self) -> bool:
        """Whether the user has typed ctrl-p ctrl-q."""
        return self._detach_keys.has_left

    def pass_on(self) -> None:
        """Pass on what has been typed, after waiting a moment for it. More is read when that has been taken."""
        listens = self._terminal is not None or self._target >= 0
        ready, _, _ = select.select([0] if listens and not self._waiting else [], [], [], MOMENT)
        if ready:
            keys = os.read(0, 4096)
            self._waiting = self._detach_keys.passed(keys) if self._terminal is not None else keys
            if not keys:
                self.close()
                return
        if self._target >= 0 and self._waiting:
            try:
                self._waiting = self._waiting[os.write(self._target, self._waiting) :]
            except (BlockingIOError, BrokenPipeError):
                return
        else:
            self._waiting = b""

    def close(self) -> None:
        """Give the user's terminal back."""
        if self._terminal is not None:
            self._terminal.restore()
            self._terminal = None
        if self._target >= 0:
            os.close(self._target)
            self._target = -1


def _open_fifo(path: str) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # it has ended meanwhile, so nobody reads (ENXIO)
        return -1


def set_window_size(stored: Stored) -> None:
    """Give the container's terminal the size of ours: TIOCSWINSZ(2const). Its path is resolved in its own root."""
    size = fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))
    try:
        root = os.open(f"/proc/{stored.state()['pid']}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:  # it has ended meanwhile
        return
    try:
        flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK
        slave = syscalls.openat2(root, "dev/pts/0", flags, syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS)
    except SyscallError:
        return  # it has unmounted its /dev/pts
    finally:
        os.close(root)
    try:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
    finally:
        os.close(slave)
