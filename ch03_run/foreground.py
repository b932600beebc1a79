"""What the engine does while a container runs in the foreground: pass on signals, keys, output; stop and go on with it.

Book section 3.1.2. A PID 1 takes only signals that it has a handler for, pid_namespaces(7); so Ctrl-C on a plain
`sleep` would do nothing. What would have ended the command outside ends it inside, too: then we send SIGKILL.
"""

from __future__ import annotations

import os
import select
import struct

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


class Foreground:
    """Between the user and a container. Make it before the container: signals that come early are kept for it."""

    def __init__(self, streams: Streams | Terminal) -> None:
        self.terminal = streams if isinstance(streams, Terminal) else None
        self._keys_open = self.terminal is not None and self.terminal.interactive
        self._keys_watched = False
        self._fatal = 0
        if isinstance(streams, Streams) and streams.interactive:
            _wait_for_foreground()
        self._forwarded = [number for number in FORWARDED if not _is_ignored(number)]
        syscalls.block_signals([*self._forwarded, *OURS])
        self._signals = syscalls.signalfd([*self._forwarded, *OURS])

    def attend(self, container: Container) -> int:
        """Wait for the container; its exit code. To be given to container.run()."""
        assert container.process is not None
        self._refresh_terminal()
        poll = select.poll()
        poll.register(container.process.pidfd, select.POLLIN)
        poll.register(self._signals, select.POLLIN)
        while True:
            self._watch_terminal(poll)
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._signals in ready:
                self._take_signals(container)
            if self.terminal is not None:
                self._move(self.terminal, ready)
            if container.process.pidfd in ready:
                return self._end(container)

    def _watch_terminal(self, poll: select.poll) -> None:
        """Wait for output always, for keys while they can be passed on, and for room while they can't."""
        if self.terminal is None:
            return
        room = self.terminal.waits_for_room()
        poll.register(self.terminal.master, select.POLLIN | select.POLLOUT if room else select.POLLIN)
        if self._keys_open and not room:
            poll.register(0, select.POLLIN)
        elif self._keys_watched:
            poll.unregister(0)
        self._keys_watched = self._keys_open and not room

    def _move(self, terminal: Terminal, ready: set[int]) -> None:
        """Pass keys and output through."""
        if terminal.master in ready:
            terminal.send_keys()
            terminal.show_output()
        if 0 in ready:
            self._keys_open = terminal.read_keys()

    def _end(self, container: Container) -> int:
        assert container.process is not None
        code = container.process.wait()
        if self.terminal is not None:
            while self.terminal.show_output():
                continue
        assert code is not None
        return 128 + self._fatal if self._fatal else code

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
        if would_be_lost(container.process.pid, number):
            self._fatal = number
            number = syscalls.SIGKILL
        container.process.send_signal(number)

    def _pause(self, container: Container) -> None:
        """Ctrl-Z: stop the container's processes and then ourselves; go on with them when we are continued."""
        assert container.process is not None
        pids = namespaces.of_process(container.process.pid)["pid"]
        _signal_all(pids, syscalls.SIGSTOP)
        if self.terminal is not None:
            self.terminal.restore()
        syscalls.block_signals(self._forwarded)
        os.kill(os.getpid(), syscalls.SIGTSTP)  # here we sleep until SIGCONT
        syscalls.block_signals([*self._forwarded, *OURS])
        self._refresh_terminal()
        _signal_all(pids, syscalls.SIGCONT)

    def _refresh_terminal(self) -> None:
        if self.terminal is not None:
            self.terminal.raw()
            self.terminal.copy_size()


def would_be_lost(pid: int, number: int) -> bool:
    """Whether PID 1 drops a signal that would end another process: neither caught nor ignored. signal(7)."""
    status = _status(pid)
    return not (_has(status, "SigCgt", number) or _has(status, "SigIgn", number))


def _is_ignored(number: int) -> bool:
    """Whether whoever started us wants a signal ignored, as nohup(1) does with SIGHUP. Then it is not for us."""
    return _has(_status(os.getpid()), "SigIgn", number)


def _has(status: dict[str, str], field: str, number: int) -> bool:
    return bool(int(status.get(field, "0"), 16) >> (number - 1) & 1)


def _status(pid: int) -> dict[str, str]:
    """/proc/PID/status as a dictionary; empty when the process is gone. proc_pid_status(5)."""
    try:
        with open(f"/proc/{pid}/status") as file:
            return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    except OSError:
        return {}


def _signal_all(pid_namespace: int, number: int) -> None:
    """Signal every process of a pid namespace; again, until no new one has been forked meanwhile."""
    reached: set[int] = set()
    while new := set(namespaces.processes_in("pid", pid_namespace)) - reached:
        for pid in new:
            _signal_member(pid, pid_namespace, number)
        reached |= new


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


def _wait_for_foreground() -> None:
    """Stop like any job that wants to read the terminal in the background, until `fg`: tcsetpgrp(3), SIGTTIN."""
    if os.isatty(0) and _in_background():
        os.kill(os.getpid(), syscalls.SIGTTIN)


def _in_background() -> bool:
    try:
        return os.tcgetpgrp(0) != os.getpgrp()
    except OSError:  # it is not our controlling terminal: no job control
        return False
