"""A user at a terminal: starts a command on a pseudoterminal, types, reads the screen."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.hosts import Host, Word
from tests.support.polling import PATIENCE

CONTROL_C, CONTROL_D, CONTROL_Z, CONTROL_BACKSLASH = b"\x03", b"\x04", b"\x1a", b"\x1c"
ROWS, COLUMNS = 31, 97


class Terminal:
    """The user's side of a pseudoterminal, with a command in its foreground.

    The command leads a session whose controlling terminal this is, as a login shell does. `screen` is all that
    has been printed. The slave stays open here, so that its mode can be looked at after the command has ended.
    """

    def __init__(self, host: Host, words: Sequence[Word], env: Mapping[str, str] | None = None, **options: Any) -> None:
        self.master, self._slave = os.openpty()
        self.resize(ROWS, COLUMNS)
        self.screen = b""
        self._seen = 0
        self.mode_before = self.mode()
        stream = dict.fromkeys(("stdin", "stdout", "stderr"), self._slave)
        self.process: subprocess.Popen[bytes] = host.spawn(
            ["setsid", "--ctty", *words],
            env={"TERM": "xterm", **(env or {})},
            **{**stream, **options},
        )
        host.terminals.append(self)

    def mode(self) -> list[Any]:
        """The terminal's settings: termios(3)."""
        return termios.tcgetattr(self._slave)

    def mode_is_restored(self) -> bool:
        return self.mode() == self.mode_before

    def resize(self, rows: int, columns: int) -> None:
        """As a user resizes a window: the foreground process group gets SIGWINCH."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        """Type keys; a terminal that takes no more makes this an error after some time, not a hang."""
        os.set_blocking(self.master, False)
        end = time.monotonic() + PATIENCE
        while keys:
            assert time.monotonic() < end, f"{len(keys)} keys were not taken"
            self._read(0.0)
            try:
                keys = keys[os.write(self.master, keys[:4096]) :]
            except BlockingIOError:
                self._read(0.05)

    def expect(self, pattern: bytes, timeout: float = PATIENCE) -> re.Match[bytes]:
        """Wait until something new on the screen matches; what is behind it stays for the next expect()."""
        end = time.monotonic() + timeout
        while True:
            found = re.compile(pattern, re.DOTALL).search(self.screen, self._seen)
            if found:
                self._seen = found.end()
                return found
            remaining = end - time.monotonic()
            assert remaining > 0, f"no {pattern!r} on the screen: {self.screen[self._seen :]!r}"
            if not self._read(min(remaining, 0.1)):
                ended = self.process.poll() is not None and not self._read(0.1)
                assert not ended, f"ended without {pattern!r} on the screen: {self.screen[self._seen :]!r}"

    def wait(self, timeout: float = PATIENCE) -> int:
        """Read until the command has ended; its exit code."""
        end = time.monotonic() + timeout
        while self.process.poll() is None:
            assert time.monotonic() < end, f"still running; on the screen: {self.screen[-2000:]!r}"
            self._read(0.02)
        while self._read(0.0):
            pass
        return int(self.process.returncode)

    def _read(self, timeout: float) -> bool:
        """Take what is printed within that time; whether there was something."""
        if not select.select([self.master], [], [], timeout)[0]:
            return False
        new = os.read(self.master, 65536)
        self.screen += new
        return bool(new)

    def close(self) -> None:
        for descriptor in (self.master, self._slave):
            os.close(descriptor)
