"""What /proc says about processes. A zombie counts as gone: only its exit code is left."""

from __future__ import annotations

import os
import re
from pathlib import Path


def _stat(pid: int) -> tuple[str, int] | None:
    """(state, parent) of a process; None when it is gone. proc_pid_stat(5)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, parent = text.rpartition(b")")[2].split()[:2]
    return state.decode(), int(parent)


def state(pid: int) -> str:
    """The letter in the third field of /proc/PID/stat; "" when the process is gone."""
    found = _stat(pid)
    return found[0] if found else ""


def is_alive(pid: int) -> bool:
    return state(pid) not in ("", "Z", "X")


def is_stopped(pid: int) -> bool:
    return state(pid) == "T"


def all_pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def children(pid: int) -> list[int]:
    """Children that are alive, youngest last."""
    found = [(other, _stat(other)) for other in all_pids()]
    return sorted(other for other, stat in found if stat and stat[1] == pid and stat[0] not in "ZX")


def descendants(pid: int) -> list[int]:
    """Children, their children, and so on: all that are alive."""
    found: list[int] = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


def inside(pid: int) -> list[int]:
    """Descendants in another pid namespace than ours, such as a container's."""
    ours = os.readlink("/proc/self/ns/pid")
    return [other for other in descendants(pid) if _target(f"/proc/{other}/ns/pid") not in ("", ours)]


def open_files(pid: int) -> list[str]:
    """What the descriptors of a process lead to, without those that it closed meanwhile; none when it is gone."""
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [target for number in numbers if (target := _target(f"/proc/{pid}/fd/{number}"))]


def _target(link: str) -> str:
    """Where a link in /proc leads to; "" when it, or its process, is gone."""
    try:
        return os.readlink(link)
    except (FileNotFoundError, ProcessLookupError):
        return ""


def zombies(pid: int) -> list[int]:
    """Ended children whose exit code nobody has fetched."""
    found = [(other, _stat(other)) for other in all_pids()]
    return [other for other, stat in found if stat == ("Z", pid)]


def foreground_group(pid: int) -> tuple[int, int]:
    """(process group of a process, the group that its terminal belongs to): fields 5 and 8 of /proc/PID/stat."""
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return int(fields[2]), int(fields[5])


def status(pid: int | str, field: str) -> str:
    """A field of /proc/PID/status, such as SigIgn."""
    text = Path(f"/proc/{pid}/status").read_text(errors="surrogateescape")
    found = re.search(rf"^{field}:\s*(.*)$", text, re.MULTILINE)
    assert found, f"no {field} in /proc/{pid}/status"
    return found[1]


def name(pid: int) -> str:
    """The name of the program that a process runs: proc_pid_comm(5); "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="surrogateescape").rstrip("\n")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def has_word(pid: int, text: str) -> bool:
    """Whether a text is part of the command line of a process; one that has ended has none."""
    try:
        return text.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def described(pid: int) -> str:
    """A process for a message: its number and its command line."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        words = [b"?"]
    return f"{pid} ({b' '.join(words).decode(errors='replace').strip()[:100]})"
