"""The process of a container as others find it: by pid and start time, so that nobody else is ever hit. Section 5.5."""

from __future__ import annotations

import os
import select
import time

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError, SyscallError
from ch04_images import state
from ch05_lifecycle import store
from ch05_lifecycle.proc_stat import start_time
from ch05_lifecycle.signals import parse_signal
from ch05_lifecycle.store import Stored

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOMENT = 0.005  # seconds


def open_process(stored: Stored) -> int:
    """A pidfd of a container's PID 1. Raises EngineError if it does not run.

    The descriptor is opened first and the start time compared then: from there on, it means this process for ever.
    """
    pidfd = _pidfd_of(stored.state())
    if pidfd is not None:
        return pidfd
    raise EngineError(f"container {state.short(stored.id)}", "it does not run", "`start` it first")


def _pidfd_of(known: dict[str, Any]) -> int | None:
    """A pidfd of the process that a state tells of; None if that does not run any more: by what the state says, because
    there is no process with its pid, or because that is another one (start_time). None of these leaves a descriptor.

    The caller closes it. What the state has: status, pid, started_by_kernel. Source: pidfd_open(2).
    Example: for {"status": "running", "pid": 77, "started_by_kernel": 5} a pidfd of 77, if that has start_time 5.
    """
    if known["status"] != store.RUNNING:
        return None
    try:
        pidfd = syscalls.pidfd_open(known["pid"])
    except SyscallError:
        return None
    if start_time(known["pid"]) == known["started_by_kernel"]:
        return pidfd
    os.close(pidfd)
    return None


def send_signal(stored: Stored, number: int) -> None:
    """Send a signal to a container's PID 1. Raises EngineError if it does not run."""
    pidfd = open_process(stored)
    try:
        syscalls.pidfd_send_signal(pidfd, number)
    except SyscallError as error:
        raise EngineError(f"container {state.short(stored.id)}", "it has just ended", str(error)) from None
    finally:
        os.close(pidfd)


def wait_for_end(stored: Stored, known: dict[str, Any] | None = None) -> int:
    """Wait until a container has ended, and is not restarted by its policy; its exit code. It may be started again at
    once by somebody: so nobody waits for its lock, which the next watcher may have taken by then.

    known: how it was when it was last seen running, if it was. Raises GoneError if it was removed then (--rm).
    """
    while True:
        now = stored.state()
        if not os.path.exists(stored.record.path()):
            raise store.GoneError(f"container {state.short(stored.id)}", "it was removed when it ended (--rm)")
        runs = now["status"] == store.RUNNING
        if (known is not None and runs and _is_another_run(known, now)) or (
            now["status"] in (store.CREATED, store.EXITED) and not stored.is_watched()
        ):
            return int(now["exit_code"])
        known = now if runs else known
        pidfd = _pidfd_of(now)
        if pidfd is None:  # it is on its way down or up
            time.sleep(MOMENT)
            continue
        _ended(pidfd, None)
        os.close(pidfd)


def _is_another_run(known: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether it was started again meanwhile, and not by its restart policy."""
    return bool(now["started"] != known["started"] and now["restarts"] == known["restarts"])


def stop(stored: Stored, seconds: float | None) -> None:
    """Ask a container to end, with its stop signal; after so many seconds (None: never), make it (SIGKILL). Returns
    when all that it had is gone. One that does not run stays as it is.

    A PID 1 without a handler for the signal does not get it: pid_namespaces(7). It ends after the grace.
    """
    try:
        _stop(stored, seconds)
    except store.GoneError:  # one with --rm, which goes when it ends
        return


def _stop(stored: Stored, seconds: float | None) -> None:
    """What stop() does, as long as somebody watches the container. Raises GoneError if it is removed meanwhile.

    It is marked as stopping before it gets its signal (settings["stop_signal"]), so that no policy starts it again. If
    it has not ended so many seconds later, it is killed; with 0 it is killed at once, with None never. One without a
    process (_pidfd_of) is on its way up or down: it is looked at again after a MOMENT. At the end, its watcher has
    cleaned up: wait_for_end(). Source: pid_namespaces(7).
    Example: with 10 seconds, SIGTERM now, and SIGKILL in 10 seconds if it is still there.
    """
    while stored.is_watched():
        stored.mark_stopping()
        known = stored.state()
        pidfd = _pidfd_of(known)
        if pidfd is None:  # it is on its way up or down, or between two restarts
            time.sleep(MOMENT)
            continue
        try:
            if seconds is None or seconds > 0:
                _signal_if_alive(pidfd, parse_signal(stored.settings["stop_signal"]))
            if not _ended(pidfd, seconds):
                _signal_if_alive(pidfd, syscalls.SIGKILL)
        finally:
            os.close(pidfd)
        wait_for_end(stored, known)
        return


def _signal_if_alive(pidfd: int, number: int) -> None:
    try:
        syscalls.pidfd_send_signal(pidfd, number)
    except SyscallError:
        return


def _ended(pidfd: int, seconds: float | None) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))
