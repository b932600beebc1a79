"""The command that a container's PID 1 becomes: its arguments, its environment, where it is found. Book section 3.3.

The book sends the arguments through a pipe, joined by spaces, and so loses quotes and empty ones. Here the child is
a fork of this very program: it has the list of arguments as it is, byte for byte.
"""

from __future__ import annotations

import errno
import os
import stat

from ch02_namespaces import explain, syscalls
from ch02_namespaces.errors import NOT_EXECUTABLE, NOT_FOUND, EngineError, SyscallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

EXEC_HINTS = {
    errno.ENOENT: "the file is there, so what it needs is not: the interpreter of its #! line, or its loader",
    errno.ENOEXEC: "it is no program for this machine; a script needs a first line such as #!/bin/sh",
    errno.EACCES: "no right to execute it, or its file system is mounted noexec",
    errno.E2BIG: "one argument holds at most 128 KiB; all of them and the environment a quarter of the stack limit",
}


class Command:
    """What to execute: argv, and the environment, both as bytes: Linux asks for no encoding."""

    preserved = 0
    """How many descriptors behind the standard streams it gets from the engine's caller."""
    needed: Sequence[int] = ()
    """Descriptors that it needs itself until it begins."""
    _open: set[int] | None = None

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        for text in (*argv, *environment, *environment.values()):
            if "\0" in text:
                raise EngineError(f"command {argv[0]!r}", "an argument or a variable contains a NUL character")
        self.argv = [os.fsencode(argument) for argument in argv]
        self.environment = {os.fsencode(name): os.fsencode(value) for name, value in environment.items()}

    def close_descriptors(self, *kept: int) -> None:
        """Close all but these, the standard streams and what is preserved.

        Those that were kept the last time are closed one by one: a filter of system calls, loaded meanwhile, may not
        know close_range(2).
        """
        kept = (*kept, *explain.kept())
        if self._open is not None:
            for descriptor in self._open.difference(kept):
                os.close(descriptor)
            self._open = set(kept)
            return
        self._open = set(kept)
        first = 3 + self.preserved
        for descriptor in sorted(kept):
            if first < descriptor:
                syscalls.close_range(first, descriptor - 1)
            first = max(first, descriptor + 1)
        syscalls.close_range(first)

    def execute(self, keep: int) -> None:
        """Become the command, with the three standard streams and no other descriptor of the engine or of its caller.

        keep: a descriptor that stays open until the command is executed. All others are closed before the command is
        looked up: its path may lead through /proc/self/fd (CVE-2024-21626).
        Returns only by raising EngineError: 127 when it is not found, 126 when it can't run.
        """
        self.close_descriptors(keep)
        path = find_command(self.argv[0], self.environment.get(b"PATH", os.fsencode(DEFAULT_PATH)))
        try:
            syscalls.execve(os.fsdecode(path), self.argv, self.environment)
        except SyscallError as error:
            code = NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE
            raise EngineError(_shown(path), error.why, EXEC_HINTS.get(error.errno, ""), code) from None


def find_command(name: bytes, path: bytes) -> bytes:
    """The file that a command's name means: itself if it has a slash, else the first in the directories of `path`.

    path: directories joined by ":", an empty one is the current directory. Only a regular file that may be executed
    counts. Raises EngineError with exit code 127 when there is none (it tells name and path), 126 when there are only
    files that can't be executed: the codes of a POSIX shell. Source: execvp(3), "Special semantics".
    Example: find_command(b"sh", b"/nowhere:/bin") is b"/bin/sh"; b"./sh" is not looked for in there.
    """
    directories = path.split(b":") if name else []
    candidates = [name] if b"/" in name else [os.path.join(entry or b".", name) for entry in directories]
    obstacle = hint = ""
    for candidate in candidates:
        try:
            mode = os.stat(candidate).st_mode
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                obstacle = os.strerror(error.errno or 0)
            continue
        if stat.S_ISREG(mode) and os.access(candidate, os.X_OK):
            return candidate
        obstacle, hint = ("it is a directory", "") if stat.S_ISDIR(mode) else ("it is not executable", "chmod +x?")
    if obstacle:
        raise EngineError(_shown(name), obstacle, hint, NOT_EXECUTABLE)
    hint = "no such file" if b"/" in name else f"PATH is {_shown(path)}"
    if name.startswith(b"-"):
        hint = "flags of `run` come before"
    raise EngineError(_shown(name), "command not found", hint, NOT_FOUND)


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace") or "''"


def environment(extra: Iterable[str], terminal: bool) -> dict[str, str]:
    """The container's environment: clean, not the host's, with `extra` on top.

    extra: NAME=VALUE, or NAME alone for the host's value, if it has one. terminal: whether TERM is to be set.
    Raises EngineError for an empty name.
    """
    found = {"PATH": DEFAULT_PATH, "HOME": "/root"}
    if terminal:
        found["TERM"] = os.environ.get("TERM", "xterm")
    for item in extra:
        name, equals, value = item.partition("=")
        if not name:
            raise EngineError(f"environment variable {item!r}", "it has no name", "-e NAME=VALUE")
        if equals:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
    return found
