"""What the engine does while a container runs in the foreground: pass on signals, keys, output; stop and go on with it.

Book section 3.1.2. A PID 1 takes only signals that it has a handler for, pid_namespaces(7); so Ctrl-C on a plain
`sleep` would do nothing. What would have ended the command outside ends it inside, too: then we send SIGKILL.
"""

from __future__ import annotations

import os
import select
import struct
import time

from ch02_namespaces import namespaces, syscalls
from ch02_namespaces.errors import SyscallError
from ch03_run.container import Container
from ch03_run.terminal import Streams, Terminal

FORWARDED = [
    *(syscalls.SIGHUP, syscalls.SIGINT, syscalls.SIGQUIT, syscalls.SIGTERM),
    *(syscalls.SIGUSR1, syscalls.SIGUSR2),
]
OURS = [syscalls.SIGTSTP, syscalls.SIGCONT, syscalls.SIGWINCH]
SIGNAL_RECORD = 128  # struct signalfd_siginfo
MOMENT = 0.1  # seconds; a fork takes one or two thousandths


class Foreground:
    """Between the user and a container. Make it before the container: signals that come early are kept for it."""

    def __init__(self, streams: Streams | Terminal) -> None:
        self.terminal = streams if isinstance(streams, Terminal) else None
        self._reads_keys = streams.interactive and os.isatty(0)
        self._fatal = 0
        if self._reads_keys and _in_background():
            os.kill(os.getpid(), syscalls.SIGTTIN)  # like any job that wants to read: stopped until `fg`
        ours = _status(os.getpid())  # what our caller wants ignored, as nohup(1) does with SIGHUP, is not for us
        self._forwarded = [number for number in FORWARDED if not _has(ours, "SigIgn", number)]
        syscalls.block_signals([*self._forwarded, *OURS])
        self._signals = syscalls.signalfd([*self._forwarded, *OURS])

    def attend(self, container: Container) -> int:
        """Wait for the container; its exit code. To be given to container.run()."""
        assert container.process is not None
        if self.terminal is not None:
            self.terminal.connect()
        self._refresh_terminal()
        while True:
            ready = self._wait(container.process)
            if self._signals in ready:
                self._take_signals(container)
            if self.terminal is not None:
                self.terminal.move(ready)
            if container.process.pidfd in ready:
                container.process.wait()
            code = container.process.exit_code
            if code is not None and self._is_shown(ready):
                return 128 + self._fatal if self._fatal else code

    def _wait(self, process: namespaces.Process) -> set[int]:
        """Sleep until something can be done; the descriptors that are ready."""
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        if process.exit_code is None:
            poll.register(process.pidfd, select.POLLIN)
        if self.terminal is not None:
            for descriptor, events in self.terminal.waits_for().items():
                poll.register(descriptor, events)
        impatient = process.exit_code is not None and self._fatal
        return {descriptor for descriptor, _ in poll.poll(0 if impatient else None)}

    def _is_shown(self, ready: set[int]) -> bool:
        """Whether the user has got all output, or does not want to wait for whoever should take it."""
        return self.terminal is None or self.terminal.is_empty() or bool(self._fatal and not ready)

    def _take_signals(self, container: Container) -> None:
        records = os.read(self._signals, 16 * SIGNAL_RECORD)
        for number in struct.unpack("I124x" * (len(records) // SIGNAL_RECORD), records):
            if number == syscalls.SIGTSTP:
                self._pause(container)
            elif number in (syscalls.SIGWINCH, syscalls.SIGCONT):
                self._refresh_terminal()
            else:
                self._forward(container, number)

    def _forward(self, container: Container, number: int) -> None:
        assert container.process is not None
        if container.process.exit_code is not None or would_be_lost(container.process.pid, number):
            self._fatal = number
            number = syscalls.SIGKILL
        container.process.send_signal(number)

    def _pause(self, container: Container) -> None:
        """Ctrl-Z: stop the container's processes and then ourselves; go on with them when we are continued."""
        if container.process is None or container.process.exit_code is not None:
            return
        pids = namespaces.of_process(container.process.pid)["pid"]
        _wait_until_stopped(_signal_all(pids, syscalls.SIGSTOP))
        if self.terminal is not None:
            self.terminal.restore()
        self._stop_until_continued(syscalls.SIGTSTP)
        while self._reads_keys and _in_background() and not self._is_wanted():
            self._stop_until_continued(syscalls.SIGTTIN)  # `bg`: the keys are the shell's now
        self._refresh_terminal()
        _signal_all(pids, syscalls.SIGCONT)

    def _stop_until_continued(self, number: int) -> None:
        syscalls.block_signals(self._forwarded)
        os.kill(os.getpid(), number)  # here we sleep until SIGCONT
        syscalls.block_signals([*self._forwarded, *OURS])

    def _is_wanted(self) -> bool:
        """Whether a signal for the container waits to be looked at, such as that of `kill %1`."""
        status = _status(os.getpid())
        return any(_has(status, "ShdPnd", number) for number in self._forwarded)

    def _refresh_terminal(self) -> None:
        if self.terminal is not None and not _in_background():
            self.terminal.raw()
            self.terminal.copy_size()


def would_be_lost(pid: int, number: int) -> bool:
    """Whether PID 1 drops a signal that would end others: not caught, ignored, blocked or waited for. signal(7).

    /proc/PID/status has a mask of each kind, SigCgt, SigIgn and SigBlk, where signal n is bit n-1.
    The C library blocks all signals for the moment of a fork, so blocked means: still blocked after a while. And a
    process in sigwait(3) shows the signal as not blocked; the place where it sleeps tells: proc_pid_wchan(5).
    Example: SIGTERM (number 15) to a `sleep 100` as PID 1 is lost; to a shell with `trap … TERM` it is not.
    """
    end = time.monotonic() + MOMENT
    while True:
        status = _status(pid)
        if _has(status, "SigCgt", number) or _has(status, "SigIgn", number):
            return False
        if not _has(status, "SigBlk", number):
            return "sigtimedwait" not in _sleeping_place(pid)
        if time.monotonic() > end:  # after the look: on a busy machine the moment may have passed before it
            return False
        time.sleep(0.001)


def _sleeping_place(pid: int) -> str:
    try:
        return syscalls.read_file(f"/proc/{pid}/wchan")
    except SyscallError:
        return ""


def _has(status: dict[str, str], field: str, number: int) -> bool:
    return bool(int(status.get(field, "0"), 16) >> (number - 1) & 1)


def _status(pid: int) -> dict[str, str]:
    """/proc/PID/status as a dictionary; empty when the process is gone. proc_pid_status(5)."""
    try:
        with open(f"/proc/{pid}/status", errors="replace") as file:
            return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    except OSError:
        return {}


def _signal_all(pid_namespace: int, number: int) -> set[int]:
    """Signal every process of a pid namespace; again, until no new one has been forked meanwhile. Their pids."""
    reached: set[int] = set()
    while new := set(namespaces.processes_in("pid", pid_namespace)) - reached:
        for pid in new:
            _signal_member(pid, pid_namespace, number)
        reached |= new
    return reached


def _wait_until_stopped(pids: set[int]) -> None:
    """Give the processes the moment that SIGSTOP takes: one that still reads would take the shell's next key."""
    end = time.monotonic() + 1
    while time.monotonic() < end:
        if all(_status(pid).get("State", "Z")[0] in "TtZX" for pid in pids):
            return
        time.sleep(0.001)


def _signal_member(pid: int, pid_namespace: int, number: int) -> None:
    """Signal a process unless it has ended, also if its number has gone to somebody else meanwhile."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if os.stat(f"/proc/{pid}/ns/pid").st_ino == pid_namespace:
            syscalls.pidfd_send_signal(pidfd, number)
    except (FileNotFoundError, SyscallError):  # it has ended
        return
    finally:
        os.close(pidfd)


def _in_background() -> bool:
    """Whether the terminal belongs to another job now, and somebody is there to bring us back: tcsetpgrp(3).

    A process group without a shell to continue it (orphaned) is not stopped by the kernel, either.
    """
    try:
        if os.getsid(os.getppid()) != os.getsid(0):
            return False
        return os.tcgetpgrp(0) != os.getpgrp()
    except OSError:  # it is not our controlling terminal: no job control
        return False
