"""How the engine says that something went wrong: one line, with the reason and what to do about it."""

from __future__ import annotations

import os
import sys
from errno import ENOSPC, errorcode

ENGINE_FAILED = 125
NOT_EXECUTABLE = 126
NOT_FOUND = 127


class EngineError(Exception):
    """Something that the engine was asked for and could not do.

    what: the thing that failed; why: the reason; hint: what the user can do (may be empty);
    exit_code: how a command that fails with it ends (125, 126 and 127 as Docker and POSIX shells use them).
    """

    def __init__(self, what: str, why: str, hint: str = "", exit_code: int = ENGINE_FAILED) -> None:
        super().__init__(what, why, hint, exit_code)
        self.what = what
        self.why = why
        self.hint = hint
        self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.what}: {self.why} ({self.hint})" if self.hint else f"{self.what}: {self.why}"


class MissingError(EngineError):
    """There is nothing of the name or id that the user gave."""


class SyscallError(EngineError):
    """A system call that the kernel refused: its name, its errno, and a hint where we know one.

    call: the call as it was made, arguments included; errno: see errno(3).
    """

    def __init__(self, call: str, errno: int, hint: str = "") -> None:
        name = errorcode.get(errno, str(errno))
        super().__init__(call, f"{os.strerror(errno)} [{name}]", hint)
        self.call = call
        self.errno = errno


def one_line(text: str) -> str:
    """A text without line breaks, nor what a terminal would obey: names of an image's files may be in it."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in " ".join(text.split()))


def warn(text: str) -> None:
    """Tell the user, in one line on standard error, of what is not as it was asked for, and stops nothing."""
    try:
        os.write(2, os.fsencode(f"mydocker: warning: {one_line(text)}\n"))
    except OSError:  # a full disk, a closed stream
        return


def _told(error: BaseException) -> str:
    """An error that nobody has expected is told by what Python knows of it."""
    if not isinstance(error, EngineError | OSError):
        return f"{type(error).__name__}: {error}"
    if isinstance(error, EngineError) or not error.errno:
        return str(error)
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    hint = " (the disk is full)" if error.errno == ENOSPC else ""
    return ": ".join([*names, f"{error.strerror} [{errorcode.get(error.errno, error.errno)}]{hint}"])


def report(error: BaseException) -> int:
    """Print an error as the user shall see it, one line on standard error; return the exit code."""
    if os.environ.get("MYDOCKER_DEBUG"):
        sys.excepthook(type(error), error, error.__traceback__)
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, BrokenPipeError):  # our reader has left, as in `... | head -1`
        return 141
    code = error.exit_code if isinstance(error, EngineError) else ENGINE_FAILED
    try:
        os.write(2, os.fsencode(f"mydocker: {one_line(_told(error))}\n"))
    except OSError:  # a full disk, a closed stream: the exit code must say it all
        return code
    return code
