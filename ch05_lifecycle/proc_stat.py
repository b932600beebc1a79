"""What the kernel tells of a process in one line: proc_pid_stat(5). A pid alone means little: numbers are used again,
but not with the same start time. Book section 5.5."""

from __future__ import annotations


def state_and_start_time(pid: int) -> tuple[str, int]:
    """Fields 3 and 22: a letter such as R or Z, and clock ticks since boot. X and 0 if the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "X", 0
    return fields[0].decode(), int(fields[19])


def start_time(pid: int) -> int:
    """When a process was started, in clock ticks since boot. 0 if it is gone."""
    return state_and_start_time(pid)[1]
