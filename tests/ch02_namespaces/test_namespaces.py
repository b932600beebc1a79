"""Namespaces: listing, entering, and processes born in new ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from ch02_namespaces import namespaces, syscalls
from ch02_namespaces.errors import EngineError, SyscallError
from tests.support import processes
from tests.support.hosts import REPOSITORY, Host
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel

ISOLATED = syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process with a UTS and a network namespace of its own."""
    process = subprocess.Popen(["unshare", "--uts", "--net", "sleep", "1000"])
    own = os.stat("/proc/self/ns/net").st_ino
    eventually(lambda: os.stat(f"/proc/{process.pid}/ns/net").st_ino != own, "its namespaces")
    yield process
    process.kill()
    process.wait(60)


def tell(writer: int, look: Callable[[], object]) -> Callable[[], int]:
    """A child's work: look at something and write it into a pipe."""

    def child() -> int:
        os.write(writer, str(look()).encode())
        return 0

    return child


def seen_in(flags: int, look: Callable[[], object], **options: list[int]) -> str:
    """What a process born in new namespaces sees."""
    reader, writer = os.pipe()
    process = namespaces.spawn(flags, tell(writer, look), **options)  # type: ignore[arg-type]
    os.close(writer)
    with open(reader) as pipe:
        text = pipe.read()
    assert process.wait(60) == 0
    return text


def test_own_namespaces_are_those_of_proc() -> None:
    found = namespaces.of_process()
    for kind, inode in found.items():
        assert os.readlink(f"/proc/self/ns/{kind}") == f"{kind}:[{inode}]"
    assert {"user", "mnt", "uts", "ipc", "pid", "net", "cgroup"} <= set(found)


def test_process_that_is_not_there() -> None:
    with pytest.raises(EngineError, match="no such process"):
        namespaces.of_process(1 << 22)


def test_who_shares_a_namespace(other: subprocess.Popen[bytes]) -> None:
    theirs = namespaces.of_process(other.pid)
    assert namespaces.processes_in("net", theirs["net"]) == [other.pid]
    assert other.pid not in namespaces.processes_in("net", namespaces.of_process()["net"])
    assert other.pid in namespaces.processes_in("mnt", theirs["mnt"])


@pytest.mark.vm
def test_entering(other: subprocess.Popen[bytes]) -> None:
    """In a process of its own: ours must stay where it is."""

    def look() -> object:
        namespaces.enter(other.pid, ["uts", "net"])
        return namespaces.of_process()["net"]

    assert seen_in(0, look) == str(namespaces.of_process(other.pid)["net"])


def test_entering_leaves_no_descriptor(other: subprocess.Popen[bytes]) -> None:
    def look() -> object:
        before = os.listdir("/proc/self/fd")
        namespaces.enter(other.pid, ["uts"])
        return os.listdir("/proc/self/fd") == before

    assert seen_in(0, look) == "True"


def test_entering_what_is_gone() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait(60)
    with pytest.raises(SyscallError, match="ESRCH"):
        namespaces.enter(gone.pid, ["uts"])


@pytest.mark.vm
def test_spawned_process_is_pid_one() -> None:
    assert seen_in(syscalls.CLONE_NEWPID, os.getpid) == "1"


@pytest.mark.vm
@pytest.mark.parametrize("kind", ["mnt", "uts", "ipc", "pid", "net", "cgroup", "user"])
def test_spawn_makes_what_is_asked_for_and_nothing_else(kind: str) -> None:
    ours = namespaces.of_process()
    theirs = eval(seen_in(namespaces.KINDS[kind], namespaces.of_process))
    assert {name for name in ours if ours[name] != theirs[name]} == {kind}


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_exit_code(code: int) -> None:
    assert namespaces.spawn(0, lambda: code).wait(60) == code


def test_death_by_signal() -> None:
    process = namespaces.spawn(ISOLATED, lambda: signal.pause() or 0)  # type: ignore[func-returns-value]
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == 128 + signal.SIGKILL
    process.send_signal(signal.SIGKILL)
    process.kill()


@pytest.mark.vm
def test_wait_with_timeout() -> None:
    process = namespaces.spawn(0, lambda: signal.pause() or 0)  # type: ignore[func-returns-value]
    assert process.wait(0.05) is None
    process.kill()
    assert process.wait() == 128 + signal.SIGKILL


@pytest.mark.parametrize("error", [EngineError("a thing", "broke", "", 77), OSError(5, "broke"), ValueError("broke")])
def test_failing_child_reports_on_one_line(error: Exception, capfd: pytest.CaptureFixture[str]) -> None:
    def child() -> int:
        raise error

    code = namespaces.spawn(0, child).wait(60)
    assert code == (77 if isinstance(error, EngineError) else 125)
    printed = capfd.readouterr().err
    assert printed.startswith("mydocker: ")
    assert printed.count("\n") == 1


def test_child_has_neither_our_handlers_nor_our_mask() -> None:
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        fields = seen_in(0, lambda: [processes.status("self", name) for name in ("SigBlk", "SigIgn", "SigCgt")])
        assert {int(mask, 16) for mask in eval(fields)} == {0}
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def test_spawn_leaves_our_mask_alone() -> None:
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        namespaces.spawn(0, lambda: 0).wait(60)
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == {signal.SIGUSR1}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def test_failed_spawn_leaves_our_mask_alone() -> None:
    with pytest.raises(SyscallError):
        namespaces.spawn(syscalls.CLONE_NEWUSER | 0x200, lambda: 0, cgroup=0)  # 0 is no cgroup
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


@pytest.mark.vm
@pytest.mark.parametrize("flags", [0, syscalls.CLONE_NEWPID, syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID])
def test_joined_namespace(host: Host, flags: int) -> None:
    descriptor = os.open(host.network, os.O_RDONLY)
    seen = seen_in(flags, lambda: (os.readlink("/proc/self/ns/net"), os.getpid()), join=[descriptor])
    os.close(descriptor)
    network, pid = eval(seen)
    if not flags & syscalls.CLONE_NEWPID:  # else /proc is another pid namespace's, where we have no /proc/self
        assert network == os.readlink(host.network)
    assert (pid == 1) == bool(flags & syscalls.CLONE_NEWPID)


def test_joining_what_is_no_namespace_is_an_error_and_leaves_nobody() -> None:
    descriptor = os.open("/dev/null", os.O_RDONLY)
    with pytest.raises(EngineError, match="ENOTTY"):
        namespaces.spawn(0, lambda: 0, join=[descriptor])
    os.close(descriptor)


@pytest.mark.vm
def test_user_namespace_maps_an_ordinary_user_to_root() -> None:
    reader, writer = os.pipe()
    go_reader, go_writer = os.pipe()

    def child() -> int:
        os.read(go_reader, 1)
        os.write(writer, str((os.getuid(), os.getgid())).encode())
        return 0

    process = namespaces.spawn(syscalls.CLONE_NEWUSER, child)
    namespaces.write_id_maps(process.pid, "0 0 1", "0 0 1")
    with pytest.raises(SyscallError, match="EPERM"):
        namespaces.write_id_maps(process.pid, "0 0 1", "0 0 1")
    os.write(go_writer, b"x")
    os.close(writer)
    with open(reader) as pipe:
        assert pipe.read() == "(0, 0)"
    assert process.wait(60) == 0
    os.close(go_reader)
    os.close(go_writer)


def test_many_spawns_leave_no_descriptor() -> None:
    before = os.listdir("/proc/self/fd")
    for _ in range(300):
        namespaces.spawn(0, lambda: 0).wait(60)
    assert os.listdir("/proc/self/fd") == before
    assert processes.zombies(os.getpid()) == []


@pytest.mark.parametrize(
    ("argv", "code"), [(["true"], 0), (["nosuchcommand"], 127), (["/etc"], 126), (["/etc/passwd"], 126)]
)
def test_become_a_command(argv: list[str], code: int) -> None:
    script = "import sys; from ch02_namespaces import errors, namespaces\n"
    script += (
        "try: namespaces.run_command(sys.argv[1:])\nexcept errors.EngineError as error: sys.exit(errors.report(error))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, *argv], cwd=REPOSITORY, capture_output=True, timeout=60, check=False
    )
    assert ended.returncode == code
    assert b"Traceback" not in ended.stderr
