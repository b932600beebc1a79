"""Namespaces: what a process can see. List them, join them, start a process in new ones.

Book section 2.1; namespaces(7).
"""

from __future__ import annotations

import os
import select
from errno import ESRCH

from ch02_namespaces import syscalls
from ch02_namespaces.errors import NOT_EXECUTABLE, NOT_FOUND, EngineError, SyscallError, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

KINDS = {
    "user": syscalls.CLONE_NEWUSER,
    "mnt": syscalls.CLONE_NEWNS,
    "uts": syscalls.CLONE_NEWUTS,
    "ipc": syscalls.CLONE_NEWIPC,
    "pid": syscalls.CLONE_NEWPID,
    "net": syscalls.CLONE_NEWNET,
    "cgroup": syscalls.CLONE_NEWCGROUP,
    "time": syscalls.CLONE_NEWTIME,
}
"""The names in /proc/PID/ns and their clone flags, in the order in which they must be joined (user first)."""


def of_process(pid: int | str = "self") -> dict[str, int]:
    """Namespaces of a process: kind to inode number. Two processes share one if the numbers are equal.

    Raises SyscallError: ENOENT when there is no such process, EACCES when it is somebody else's. Source: namespaces(7).
    """
    found = {}
    for kind in KINDS:
        path = f"/proc/{pid}/ns/{kind}"
        try:
            found[kind] = os.stat(path).st_ino
        except FileNotFoundError:
            if not os.path.exists(f"/proc/{pid}"):
                raise EngineError(f"namespaces of {pid}", "there is no such process") from None
            continue  # this kernel was built without this kind
        except OSError as refused:
            raise SyscallError(
                f'stat("{path}")', refused.errno or 0, "to look at others takes CAP_SYS_PTRACE"
            ) from None
    return found


def processes_in(kind: str, inode: int) -> list[int]:
    """The processes that share one namespace, by pid. Those that we may not look at are left out."""
    members = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            if os.stat(f"/proc/{entry}/ns/{kind}").st_ino == inode:
                members.append(int(entry))
        except OSError:  # it ended meanwhile, or it is another user's
            continue
    return sorted(members)


def enter(pid: int, kinds: Iterable[str]) -> None:
    """Move this process into namespaces of another one: setns(2).

    The pid namespace is special: only our children are born there. User and mount namespaces need a process
    with a single thread. Raises SyscallError; EPERM without CAP_SYS_ADMIN in the target's user namespace.
    """
    flags = 0
    for kind in kinds:
        flags |= KINDS[kind]
    pidfd = syscalls.pidfd_open(pid)
    try:
        syscalls.setns(pidfd, flags)
    finally:
        os.close(pidfd)


class Process:
    """A child of ours, known by pid and by pidfd, so that a signal never reaches a stranger with its old number."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.exit_code: int | None = None

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens when the process has ended already."""
        if self.exit_code is not None:
            return
        try:
            syscalls.pidfd_send_signal(self.pidfd, number)
        except SyscallError as error:
            if error.errno != ESRCH:
                raise

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the end, at most `timeout` seconds; the exit code (128+n after signal n), or None if it runs on."""
        if self.exit_code is not None:
            return self.exit_code
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        if not poll.poll(None if timeout is None else timeout * 1000):
            return None
        ended = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        assert ended is not None
        self.exit_code = ended.si_status if ended.si_code == os.CLD_EXITED else 128 + ended.si_status
        os.close(self.pidfd)
        return self.exit_code

    def kill(self) -> None:
        """End it at once (SIGKILL) and reap it."""
        self.send_signal(syscalls.SIGKILL)
        self.wait()


def spawn(flags: int, child: Callable[[], int], *, join: Sequence[int] = (), cgroup: int | None = None) -> Process:
    """Start a process in new namespaces, all made by one clone(2), and run `child` there.

    flags: CLONE_NEW*; child: its result is the exit code; join: descriptors of existing namespaces to enter
    first, in this order; cgroup: descriptor of a version 2 cgroup to be born in.
    The child joins them itself, but for pid namespaces: into these it must be born. Is a user namespace among them, or
    is there no way back into our own pid namespace, a helper enters it and clones there. Signals wait until the child
    has left our handlers behind; then the caller's signals are blocked as before. The child never returns into the
    caller's code. Raises SyscallError.
    Example: spawn(syscalls.CLONE_NEWPID, os.getpid).wait() is 1.
    """
    kinds = {descriptor: syscalls.namespace_kind(descriptor) for descriptor in join}
    no_way_back = syscalls.CLONE_NEWPID in kinds.values() and syscalls.in_user_namespace()
    if no_way_back or syscalls.CLONE_NEWUSER in kinds.values():
        return _spawn_below(flags, child, join, cgroup)
    pid_namespaces = [descriptor for descriptor in join if kinds[descriptor] == syscalls.CLONE_NEWPID]
    others = [descriptor for descriptor in join if descriptor not in pid_namespaces]
    blocked = syscalls.block_signals(syscalls.SIGNALS)
    try:
        with _BirthPlace(pid_namespaces):
            pid, pidfd = syscalls.clone3(flags, cgroup)
            if pid == 0:
                _be_child(child, others)
    finally:
        syscalls.block_signals(blocked)
    return Process(pid, pidfd)


class _BirthPlace:
    """The pid namespace that our children are born in, for a while: the only kind that a process cannot enter itself.

    setns(2) with it moves the caller's children alone, and can be taken back by who has rights over his own. Whoever
    lives there sees the child at once, and must not reach through it what we have open (CVE-2016-9962): it is born
    undumpable.
    """

    def __init__(self, pid_namespaces: Sequence[int]) -> None:
        self._theirs = pid_namespaces
        self._ours = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC) if pid_namespaces else -1

    def __enter__(self) -> None:
        for descriptor in self._theirs:
            syscalls.setns(descriptor, syscalls.CLONE_NEWPID)
            syscalls.set_dumpable(False)

    def __exit__(self, *_: object) -> None:
        if self._ours >= 0:
            syscalls.set_dumpable(True)
            syscalls.setns(self._ours, syscalls.CLONE_NEWPID)
            os.close(self._ours)


def _be_child(child: Callable[[], int], join: Sequence[int] = ()) -> None:
    code = 1
    try:
        for descriptor in join:
            syscalls.setns(descriptor)
        syscalls.default_signals()
        syscalls.block_signals(())
        code = child()
    except BaseException as error:
        code = report(error)
    finally:
        os._exit(code)  # never back into the parent's code: two of us would run it


def _spawn_below(flags: int, child: Callable[[], int], join: Sequence[int], cgroup: int | None) -> Process:
    """Enter the given namespaces in a helper process and clone from there: a user namespace among them is to own the
    new ones, and gives the right to enter the others.

    We must not enter it ourselves (there is no way back), so the helper does, and makes its child ours by CLONE_PARENT.
    It tells us the child's pid; as its own pid namespace is still ours (setns(2) moves only its children), the number
    means the same to us. An ordinary user's stays dumpable: else its files in /proc would not be his to write.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    is_root = os.geteuid() == 0

    def helper() -> int:
        for descriptor in join:
            syscalls.setns(descriptor)
        if is_root:
            syscalls.set_dumpable(False)  # as in _BirthPlace
        pid, _ = syscalls.clone3(flags | syscalls.CLONE_PARENT, cgroup)
        if pid == 0:
            os.close(writer)
            _be_child(child)
        os.write(writer, b"%d" % pid)
        return 0

    starter = spawn(0, helper)
    os.close(writer)
    number = os.read(reader, 32)
    os.close(reader)
    starter.wait()
    if not number:
        raise EngineError("spawn", "the namespaces could not be joined", "the line above says why")
    return Process(int(number), syscalls.pidfd_open(int(number)))


def write_id_maps(pid: int | str, uid_map: str, gid_map: str) -> None:
    """Say who the inside's users are on the outside, once per user namespace: user_namespaces(7).

    Each map has lines `inside outside count`. An ordinary user may map its own id only, and must deny
    setgroups(2) first: else a process could leave a group that forbids it something.
    Example: by write_id_maps(pid, "0 1000 1", "0 1000 1"), root inside is the user 1000 outside.
    Raises SyscallError; EPERM for a map that we may not write, or a second one.
    """
    if os.geteuid() != 0:
        syscalls.write_file(f"/proc/{pid}/setgroups", "deny")
    syscalls.write_file(f"/proc/{pid}/uid_map", uid_map)
    syscalls.write_file(f"/proc/{pid}/gid_map", gid_map)


def run_command(argv: list[str]) -> int:
    """Become a command, found on our PATH. Returns only by raising EngineError (126, 127 as in a shell)."""
    try:
        os.execvp(argv[0], argv)
    except FileNotFoundError:
        raise EngineError(argv[0], "command not found", exit_code=NOT_FOUND) from None
    except OSError as refused:
        why = os.strerror(refused.errno or 0)
        raise EngineError(argv[0], why, exit_code=NOT_EXECUTABLE) from None
