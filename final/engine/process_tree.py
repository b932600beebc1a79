"""A process with all that it has started, killed so that nothing of it gets away. proc_pid_stat(5), pidfd_open(2)."""

from __future__ import annotations

import os

from ch02_namespaces import syscalls
from ch02_namespaces.errors import SyscallError
from ch02_namespaces.syscalls import SIGKILL, SIGSTOP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch02_namespaces.namespaces import Process

    Identity = tuple[int, int]  # a pid means one process only together with its start time


def kill(process: Process) -> None:
    """Kill a process that adopts its orphans, and all processes below it; it is reaped.

    They are stopped first, as long as new ones appear: what is stopped starts no other one.
    """
    stopped: set[Identity] = set()
    while new := tree_of(process.pid) - stopped:
        for one in new:
            _send(one, SIGSTOP)
        stopped |= new
    for one in stopped:
        _send(one, SIGKILL)
    process.kill()


def tree_of(top: int) -> set[Identity]:
    """A process and all that are below it; not those that have ended."""
    children: dict[int, list[Identity]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (found := _parent_and_start(int(name))):
            children.setdefault(found[0], []).append((int(name), found[1]))
    own = _parent_and_start(top)
    waiting = [(top, own[1])] if own else []
    tree: set[Identity] = set()
    while waiting:
        one = waiting.pop()
        tree.add(one)
        waiting += children.get(one[0], [])
    return tree


def _parent_and_start(pid: int) -> Identity | None:
    """Fields 4 and 22 of /proc/PID/stat; None if the process has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in (b"Z", b"X") else (int(fields[1]), int(fields[19]))


def _send(one: Identity, number: int) -> None:
    pid, started = one
    try:
        pidfd = syscalls.pidfd_open(pid)
    except SyscallError:  # it has ended
        return
    try:
        found = _parent_and_start(pid)
        if found and found[1] == started:
            syscalls.pidfd_send_signal(pidfd, number)
    except SyscallError:  # it has just ended
        return
    finally:
        os.close(pidfd)
