"""What is mounted, and where: proc_pid_mountinfo(5).

Anybody may mount something by FUSE, at a place whose name he chooses: it may have a carriage return, or be no text.
"""

from __future__ import annotations

import os

from ch02_namespaces import syscalls

PATH = "/proc/self/mountinfo"


def lines() -> list[str]:
    """The lines: each ends where the kernel ends it, and nowhere else. Raises SyscallError."""
    return syscalls.read_file(PATH).split("\n")


def mounts() -> list[tuple[str, str]]:
    """All mounts as pairs of source and place, in the order in which they were made. Raises SyscallError."""
    found = []
    for line in lines():
        before, _, after = line.partition(" - ")
        found.append((after.split(" ")[1], _unescaped(before.split(" ")[4])))
    return found


def _unescaped(text: str) -> str:
    """Spaces, tabs, newlines and backslashes are octal numbers behind a backslash."""
    return os.fsdecode(os.fsencode(text).decode("unicode_escape").encode("latin-1"))
