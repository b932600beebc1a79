"""`run` waits for its container. Signals that it gets meanwhile are the container's. Book section 7.4; signalfd(2)."""

from __future__ import annotations

import os
import select

from ch02_namespaces import syscalls

FORWARDED = (
    *(syscalls.SIGHUP, syscalls.SIGINT, syscalls.SIGQUIT, syscalls.SIGTERM),
    *(syscalls.SIGUSR1, syscalls.SIGUSR2),
)
RECORD = 128  # struct signalfd_siginfo, which begins with the number, 4 bytes


def take_signals() -> int:
    """From now on signals do not act on us, but are kept for attend(); the descriptor from which it reads them."""
    syscalls.block_signals(FORWARDED)
    return syscalls.signalfd(FORWARDED)


def attend(pid: int, signals: int) -> int:
    """Wait for a child; its exit code. A signal that it would not hear, as PID 1, but that would have ended a command
    outside, ends it: 128 and the signal's number is the code then. Raises SyscallError."""
    pidfd, fatal = syscalls.pidfd_open(pid), 0
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(signals, select.POLLIN)
    while pidfd not in (ready for ready, _ in poll.poll()):
        number = int.from_bytes(os.read(signals, RECORD)[:1], "little")
        from ch03_run.foreground import would_be_lost

        if would_be_lost(pid, number):
            number, fatal = syscalls.SIGKILL, number
        syscalls.pidfd_send_signal(pidfd, number)
    os.close(pidfd)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if fatal:
        return 128 + fatal
    return code if code >= 0 else 128 - code
