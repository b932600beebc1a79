"""`--explain`: every command can tell what it does, while it does it, on standard error.

The line that a command begins with names the function to read. What follows are its system calls, as syscalls.py makes
them; what it changes among files, and which programs it starts, as Python's audit events say so ("Audit events table");
from chapter 3 on, also the stages and parts of the loop (narrator.py).
"""

from __future__ import annotations

import os
import sys

from ch02_namespaces import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch02_namespaces.command_line import CliCommand

STANDARD_ERROR = 2
EVENTS = {
    "os.rename": "rename",
    "os.link": "link",
    "os.symlink": "symlink",
    "os.remove": "unlink",
    "os.posix_spawn": "posix_spawn",
    "subprocess.Popen": "execve",
}
"""Audit events that are told, and their system calls. They come before the call: its result is not known."""

is_on = False
"""Whether the user wants to be told."""

_stream = STANDARD_ERROR


def begin(name: str, command: CliCommand) -> None:
    """Tell which function a command is, and from here on each system call."""
    global is_on
    is_on = True
    syscalls.observer = tell_call
    sys.addaudithook(_tell_event)
    function = command.execute
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    file = function.__module__.replace(".", "/") + ".py"
    place = function.__qualname__.replace(".<locals>", "")
    tell(f"{name:<8} {command.summary.rstrip('.')}: {file}, {place}()")


def end() -> None:
    """Tell nothing more."""
    global is_on
    is_on = False
    syscalls.observer = None


def apart() -> list[int]:
    """From here on, tell by a descriptor of its own: standard error is going to lead elsewhere, in a process that is to
    be left alone. That descriptor; none if nothing is told. It closes on exec."""
    global _stream
    if is_on and _stream == STANDARD_ERROR:
        _stream = os.dup(STANDARD_ERROR)
    return kept()


def kept() -> list[int]:
    """The descriptor that apart() has made, if so: as long as we tell, it must not be closed."""
    return [_stream] if is_on and _stream != STANDARD_ERROR else []


def end_apart() -> None:
    """Tell nothing more if it is by a descriptor of its own, and close that: nobody listens any more."""
    for stream in kept():
        end()
        os.close(stream)


def tell_call(call: str, result: int) -> None:
    """Tell a system call and its result; negative is an errno."""
    outcome = os.strerror(-result) if result < 0 else str(result)
    tell(f"           {call} = {outcome}")


def _tell_event(event: str, arguments: tuple[object, ...]) -> None:
    """Tell an audit event about paths; those below an open directory are too many: an image's files."""
    if not is_on or event not in EVENTS or any(isinstance(item, int) and item >= 0 for item in arguments):
        return
    paths = [os.fsdecode(item) for item in arguments if isinstance(item, str | bytes)]
    if "/__pycache__/" not in "".join(paths):  # what Python does by itself
        tell(f"           {EVENTS[event]}({', '.join(map(repr, paths))})")


def tell(line: str) -> None:
    """Print a line at once, if the user wants to be told: the process may become another program before a buffer is
    written. When nobody can read it any more, the story ends: what it tells of must be done, and undone, all the same.
    """
    if not is_on:
        return
    try:
        os.write(_stream, os.fsencode(f"{line}\n"))
    except OSError:
        end()
