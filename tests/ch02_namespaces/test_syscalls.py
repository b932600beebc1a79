"""The kernel calls: what the observer hears, what errors say, and the numbers behind the names."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ch02_namespaces import syscalls
from ch02_namespaces.errors import SyscallError

pytestmark = pytest.mark.kernel

Heard = list[tuple[str, int]]


@pytest.fixture
def heard() -> Iterator[Heard]:
    """What the observer hears."""
    calls: Heard = []
    syscalls.observer = lambda text, result: calls.append((text, result))
    yield calls
    syscalls.observer = None


def in_child(work: Callable[[], object]) -> int:
    """Run something that changes the process in a process of its own; its exit code: 0, or the errno of a refusal."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except SyscallError as error:
            os._exit(error.errno)
        except BaseException:
            os._exit(255)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda path: syscalls.mount("none", f"{path}/nosuch", "tmpfs", syscalls.MS_NOSUID),
            r"mount\('none', '.*/nosuch', 'tmpfs', MS_NOSUID, NULL\)",
        ),
        (lambda path: syscalls.umount(f"{path}/nosuch"), r"umount2\('.*/nosuch', 0\)"),
        (lambda path: syscalls.mkdir(f"{path}/nosuch/below"), r"mkdir\('.*/nosuch/below'\)"),
        (lambda path: syscalls.rmdir(f"{path}/nosuch"), r"rmdir\('.*/nosuch'\)"),
        (lambda path: syscalls.write_file(f"{path}/nosuch", "x"), r"write\('.*/nosuch', 'x'\)"),
        (lambda path: syscalls.execve(f"{path}/nosuch", [b"a"], {}), r"execve\('.*/nosuch'\)"),
    ],
)
def test_refused_call_says_what_and_why(call: Callable[[Path], None], text: str, tmp_path: Path) -> None:
    with pytest.raises(SyscallError) as caught:
        call(tmp_path)
    assert caught.value.errno == errno.ENOENT
    assert re.fullmatch(text, caught.value.call)
    assert "No such file or directory [ENOENT]" in str(caught.value)


def test_observer_hears_calls_and_their_results(heard: Heard, tmp_path: Path) -> None:
    syscalls.mkdir(f"{tmp_path}/a")
    with pytest.raises(SyscallError):
        syscalls.mkdir(f"{tmp_path}/a")
    syscalls.rmdir(f"{tmp_path}/a")
    assert heard == [
        (f"mkdir('{tmp_path}/a')", 0),
        (f"mkdir('{tmp_path}/a')", -errno.EEXIST),
        (f"rmdir('{tmp_path}/a')", 0),
    ]


def test_observer_hears_of_bytes_that_are_no_text(heard: Heard, tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n")
    syscalls.mkdir(path)
    syscalls.rmdir(path)
    assert all(text.isascii() and "\n" not in text for text, _ in heard)


def test_long_arguments_are_shortened(heard: Heard) -> None:
    with pytest.raises(SyscallError):
        syscalls.mkdir("x" * 5000)
    assert len(heard[0][0]) < 300


@pytest.mark.vm
def test_mount_and_umount(tmp_path: Path) -> None:
    syscalls.mount("none", str(tmp_path), "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "size=1m")
    assert os.path.ismount(tmp_path)
    line = next(line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {tmp_path} " in line)
    assert "nosuid,nodev" in line
    assert "size=1024k" in line
    with open(tmp_path / "busy", "w"):
        with pytest.raises(SyscallError, match="EBUSY"):
            syscalls.umount(str(tmp_path))
        syscalls.umount(str(tmp_path), syscalls.MNT_DETACH)
    assert not os.path.ismount(tmp_path)


def test_host_name_of_64_bytes_and_not_more() -> None:
    def rename(length: int) -> None:
        syscalls.unshare(syscalls.CLONE_NEWUTS)
        syscalls.sethostname("x" * length)

    assert in_child(lambda: rename(64)) == 0
    assert in_child(lambda: rename(65)) == errno.EINVAL
    assert socket.gethostname() not in ("x" * 64, "x" * 65)


def test_setns_of_no_namespace() -> None:
    with open("/dev/null") as file, pytest.raises(SyscallError, match=r"setns.*EINVAL"):
        syscalls.setns(file.fileno())


def test_pidfd_of_nobody() -> None:
    with pytest.raises(SyscallError, match="ESRCH"):
        syscalls.pidfd_open((1 << 22) - 1)


def test_signal_by_pidfd() -> None:
    process = subprocess.Popen(["sleep", "1000"])
    pidfd = syscalls.pidfd_open(process.pid)
    syscalls.pidfd_send_signal(pidfd, signal.SIGTERM)
    assert process.wait(60) == -signal.SIGTERM
    with pytest.raises(SyscallError, match="ESRCH"):
        syscalls.pidfd_send_signal(pidfd, signal.SIGTERM)
    os.close(pidfd)


@pytest.mark.vm
def test_clone3_is_a_fork_with_a_pidfd() -> None:
    pid, pidfd = syscalls.clone3(0)
    if pid == 0:
        os._exit(9)
    assert not os.get_inheritable(pidfd)
    ended = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    assert ended is not None
    assert (ended.si_pid, ended.si_status) == (pid, 9)
    os.close(pidfd)


@pytest.mark.vm
def test_old_clone_does_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a seccomp filter answers ENOSYS to clone3: an unknown number has the kernel say just that."""
    monkeypatch.setattr(syscalls, "SYS_CLONE3", 100_000)
    pid, pidfd = syscalls.clone3(syscalls.CLONE_NEWPID)
    if pid == 0:
        os._exit(9 if os.getpid() == 1 else 1)
    ended = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    assert ended is not None
    assert (ended.si_pid, ended.si_status) == (pid, 9)
    os.close(pidfd)


def test_interpreter_works_on_both_sides_of_clone3() -> None:
    """Locks, hooks and threads are as after os.fork()."""
    seen: list[str] = []
    os.register_at_fork(after_in_parent=lambda: seen.append("parent"), after_in_child=lambda: seen.append("child"))
    pid, pidfd = syscalls.clone3(0)
    if pid == 0:
        import threading

        thread = threading.Thread(target=lambda: seen.append("thread"))
        thread.start()
        thread.join(30)
        os._exit(0 if seen == ["child", "thread"] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(pidfd)
    assert seen == ["parent"]


@pytest.mark.vm
def test_parents_death_is_noticed() -> None:
    reader, writer = os.pipe()

    def parent() -> None:
        if os.fork() == 0:
            syscalls.die_with_parent()
            os.write(writer, b"x")
            signal.pause()
        os.read(reader, 1)

    assert in_child(parent) == 0
    os.close(writer)
    assert os.read(reader, 1) == b""  # end of file: the child that held the other end is gone
    os.close(reader)


def test_blocking_returns_what_was_blocked() -> None:
    before = syscalls.block_signals([signal.SIGUSR1, signal.SIGUSR2])
    try:
        assert before == []
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == {signal.SIGUSR1, signal.SIGUSR2}
    finally:
        assert syscalls.block_signals(before) == [signal.SIGUSR1, signal.SIGUSR2]


def test_all_signals_can_be_blocked_and_restored() -> None:
    before = syscalls.block_signals(syscalls.SIGNALS)
    syscalls.block_signals(before)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_signalfd_tells_which() -> None:
    before = syscalls.block_signals([signal.SIGUSR1])
    descriptor = syscalls.signalfd([signal.SIGUSR1])
    try:
        with pytest.raises(BlockingIOError):
            os.read(descriptor, 128)
        os.kill(os.getpid(), signal.SIGUSR1)
        record = os.read(descriptor, 1024)
        assert len(record) == 128
        assert int.from_bytes(record[:4], "little") == signal.SIGUSR1
        assert fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    finally:
        os.close(descriptor)
        syscalls.block_signals(before)


def test_default_signals() -> None:
    def work() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        syscalls.default_signals()
        text = Path("/proc/self/status").read_text()
        masks = [int(mask, 16) for mask in re.findall(r"Sig(?:Ign|Cgt):\s*(\w+)", text)]
        assert masks == [0, 0]

    assert in_child(work) == 0


def test_signals_that_the_c_library_keeps_to_itself_get_their_default_too() -> None:
    """32 and 33: glibc's own functions refuse them, but a caller may have had them ignored."""

    def work() -> None:
        ignore = (ctypes.c_ulong * 4)(1)  # SIG_IGN
        for number in (32, 33):
            arguments = (number, ignore, None, ctypes.c_size_t(8))
            assert ctypes.CDLL(None).syscall(syscalls.SYS_RT_SIGACTION[os.uname().machine], *arguments) == 0
        assert ignored() >> 31 & 3 == 3
        syscalls.default_signals()
        assert ignored() == 0

    def ignored() -> int:
        return int(re.findall(r"SigIgn:\s*(\w+)", Path("/proc/self/status").read_text())[0], 16)

    assert in_child(work) == 0


@pytest.mark.parametrize("name", [name for name in dir(syscalls) if re.fullmatch(r"SIG(?!NALS|_)[A-Z0-9]+", name)])
def test_signal_numbers(name: str) -> None:
    assert getattr(syscalls, name) == getattr(signal, name)


@pytest.mark.parametrize("name", [name for name in dir(syscalls) if re.match("CLONE_NEW", name) and hasattr(os, name)])
def test_clone_flags(name: str) -> None:
    assert getattr(syscalls, name) == getattr(os, name)


def test_flag_names() -> None:
    assert syscalls.flag_names("MS_", 0) == "0"
    assert syscalls.flag_names("MS_", syscalls.MS_REC | syscalls.MS_PRIVATE) == "MS_REC|MS_PRIVATE"
    assert syscalls.flag_names("CLONE_", syscalls.CLONE_NEWPID) == "CLONE_NEWPID"


def test_control_file_is_written_in_one_write(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before, and longer")
    syscalls.write_file(str(path), "now")
    assert syscalls.read_file(str(path)) == "now"


def test_control_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SyscallError, match="ENOENT"):
        syscalls.write_file(str(tmp_path / "nosuch"), "x")
    with pytest.raises(SyscallError, match="ENOENT"):
        syscalls.read_file(str(tmp_path / "nosuch"))


def test_file_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    """Paths in /proc/self/mountinfo and names in /proc/PID/status are bytes of anybody's choice."""
    path = tmp_path / "file"
    path.write_bytes(b"a\xffb\n")
    assert os.fsencode(syscalls.read_file(str(path))) == b"a\xffb"
