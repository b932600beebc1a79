"""Filters of system calls: what config.json says of them, and what the command meets. Section 7.3."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import platform
import shutil
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ch07_practice.oci.document import Node
from final.runtime import seccomp_cache
from final.runtime.libseccomp import load_library
from final.runtime.seccomp_filter import ARCHITECTURES, Filter
from tests.ch07_practice.bundles import Change, Runtime
from tests.support.engines import ENGINE_FAILED, fails
from tests.support.hosts import Host, finish
from tests.support.polling import PATIENCE

pytestmark = pytest.mark.kernel
ALLOW, ERRNO, NOTIFY = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_NOTIFY"
KILLED = 128 + signal.SIGSYS
MKDIRS = ["mkdir", "mkdirat"]
KILLS = ["kill", "tkill", "tgkill"]
USUAL = [
    *("accept", "accept4", "access", "arch_prctl", "brk", "chdir", "clone", "clone3", "close", "close_range", "dup"),
    *("dup2", "dup3", "execve", "exit", "exit_group", "faccessat", "faccessat2", "fcntl", "fstat", "futex", "getcwd"),
    *("getegid", "geteuid", "getgid", "getpgrp", "getpid", "getppid", "getrandom", "getuid", "ioctl", "lseek", "lstat"),
    *("madvise", "mmap", "mprotect", "mremap", "munmap", "newfstatat", "open", "openat", "pipe", "pipe2", "poll"),
    *("prctl", "pread64", "prlimit64", "read", "readlink", "readlinkat", "readv", "rseq", "rt_sigaction"),
    *("rt_sigprocmask", "rt_sigreturn", "set_robust_list", "set_tid_address", "stat", "statx", "umask", "uname"),
    *("vfork", "wait4", "write", "writev"),
]
"""What a shell and its starting need."""
RIGHTS = ["setresuid", "setresgid", "setgroups", "capget", "capset"]
"""What becoming the command's user needs."""

SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND = 0xC0502100, 0xC0182101  # linux/seccomp.h


@pytest.fixture
def runtime(host: Host, tmp_path: Path) -> Runtime:
    """A runtime whose containers are all run to their end."""
    return Runtime(host, tmp_path, "final.runtime")


def seccomp(*calls: dict[str, Any], default: str = ALLOW, privileges: bool = False, **fields: Any) -> Change:
    """A document with a filter. privileges: whether new ones may be gained, so that the filter comes early."""

    def change(config: dict[str, Any]) -> None:
        config["linux"]["seccomp"] = {"defaultAction": default, "syscalls": list(calls), **fields}
        config["process"]["noNewPrivileges"] = not privileges

    return change


def rule(names: list[str], action: str = ERRNO, *args: tuple[Any, ...], **fields: Any) -> dict[str, Any]:
    """args: (index, operator, value[, valueTwo])."""
    keys = ("index", "op", "value", "valueTwo")
    return {"names": names, "action": action, "args": [dict(zip(keys, arg, strict=False)) for arg in args], **fields}


def mkdir(runtime: Runtime, change: Change) -> tuple[int, str]:
    """How a shell ends that makes a directory, and what is said about it."""
    result = runtime.sh("mkdir /dev/made; code=$?; test -d /dev/made && echo made; exit $code", change)
    return result.code, (result.out + result.err).decode().strip()


class TestActions:
    @pytest.mark.parametrize("privileges", [False, True])
    @pytest.mark.parametrize(
        ("fields", "message"),
        [({}, "Operation not permitted"), ({"errnoRet": errno.ENOSPC}, "No space left on device")],
    )
    def test_errno(self, runtime: Runtime, privileges: bool, fields: dict[str, Any], message: str) -> None:
        code, said = mkdir(runtime, seccomp(rule(MKDIRS, **fields), privileges=privileges))
        assert code == 1
        assert message in said
        assert "made" not in said.splitlines()

    def test_no_rule_forbids_nothing(self, runtime: Runtime) -> None:
        assert mkdir(runtime, seccomp()) == (0, "made")

    @pytest.mark.parametrize(
        "action", ["SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"]
    )
    def test_killed(self, runtime: Runtime, action: str) -> None:
        code, said = mkdir(runtime, seccomp(rule(MKDIRS, action)))
        assert (code, "made" in said.splitlines()) == (KILLED, False)

    def test_trace_without_a_tracer(self, runtime: Runtime) -> None:
        code, said = mkdir(runtime, seccomp(rule(MKDIRS, "SCMP_ACT_TRACE", errnoRet=1)))
        assert (code, "not implemented" in said) == (1, True)

    def test_log_lets_pass(self, runtime: Runtime) -> None:
        assert mkdir(runtime, seccomp(rule(MKDIRS, "SCMP_ACT_LOG"))) == (0, "made")

    @pytest.mark.parametrize(
        ("fields", "message"),
        [({}, "Operation not permitted"), ({"defaultErrnoRet": errno.ENOSYS}, "Function not implemented")],
    )
    def test_default_and_exceptions(self, runtime: Runtime, fields: dict[str, Any], message: str) -> None:
        """All is forbidden but what is listed: with the many calls of a profile, and some that no kernel has."""
        code, said = mkdir(runtime, seccomp(rule(["no_such_call", *USUAL], ALLOW), default=ERRNO, **fields))
        assert (code, message in said) == (1, True)
        more = rule([*USUAL, *MKDIRS], ALLOW)
        assert mkdir(runtime, seccomp(more, default=ERRNO, **fields)) == (0, "made")

    @pytest.mark.parametrize("privileges", [False, True])
    def test_a_profile_older_than_close_range(self, runtime: Runtime, privileges: bool) -> None:
        """It forbids what it does not know; the command starts, and has no descriptor of ours."""
        old = [name for name in (*USUAL, *RIGHTS, "getdents64") if name != "close_range"]
        result = runtime.sh("ls /proc/$$/fd; exit", seccomp(rule(old, ALLOW), default=ERRNO, privileges=privileges))
        assert result.text.split() == ["0", "1", "2"]

    def test_a_rule_that_says_what_holds_anyway(self, runtime: Runtime) -> None:
        assert mkdir(runtime, seccomp(rule(MKDIRS, ALLOW), rule(["rmdir"]))) == (0, "made")

    def test_filter_of_an_ordinary_user(self, runtime: Runtime) -> None:
        """Loading takes no right with no_new_privs: it comes after the change of the user."""

        def change(config: dict[str, Any]) -> None:
            seccomp(rule([*MKDIRS, "setresuid", "setgroups", "capset"]))(config)
            config["process"]["user"] = {"uid": 1000, "gid": 1000}
            config["process"]["capabilities"] = {}

        result = runtime.sh("id -u; grep Seccomp: /proc/self/status; mkdir /tmp/x", change)
        assert result.out.split() == [b"1000", b"Seccomp:", b"2"]
        assert b"not permitted" in result.err

    def test_without_no_new_privileges_it_is_loaded_before(self, runtime: Runtime) -> None:
        """As a filter that forbids the change of the user shows."""

        def change(config: dict[str, Any]) -> None:
            seccomp(rule(["setresuid"]), privileges=True)(config)
            config["process"]["user"] = {"uid": 1000, "gid": 1000}

        fails(runtime.run(["true"], change), ENGINE_FAILED, "Credentials", "setresuid")


class TestConditions:
    """On kill(2) with signals that the shell ignores: argument 1 is the signal's number."""

    @pytest.mark.parametrize(
        ("args", "refused"),
        [
            ([(1, "SCMP_CMP_EQ", 15)], {15}),
            ([(1, "SCMP_CMP_NE", 15)], {10, 12, 14}),
            ([(1, "SCMP_CMP_LT", 12)], {10}),
            ([(1, "SCMP_CMP_LE", 12)], {10, 12}),
            ([(1, "SCMP_CMP_GE", 14)], {14, 15}),
            ([(1, "SCMP_CMP_GT", 14)], {15}),
            ([(1, "SCMP_CMP_MASKED_EQ", 4, 4)], {12, 14, 15}),
            ([(1, "SCMP_CMP_MASKED_EQ", 5, 4)], {12, 14}),
            ([(1, "SCMP_CMP_GE", 12), (0, "SCMP_CMP_EQ", 1)], {12, 14, 15}),
            ([(1, "SCMP_CMP_GE", 12), (0, "SCMP_CMP_EQ", 2)], set()),
            ([(1, "SCMP_CMP_EQ", 10), (1, "SCMP_CMP_EQ", 15)], {10, 15}),
            ([(1, "SCMP_CMP_EQ", 10), (1, "SCMP_CMP_EQ", 15), (0, "SCMP_CMP_EQ", 2)], {10, 15}),
        ],
    )
    def test_operators(self, runtime: Runtime, args: list[tuple[Any, ...]], refused: set[int]) -> None:
        """Of one rule, all conditions must hold; but several on one argument are rules of their own."""
        script = 'trap "" 10 12 14 15; for n in 10 12 14 15; do kill -$n 1 2>/dev/null || echo $n; done'
        result = runtime.sh(script, seccomp(rule(["kill"], ERRNO, *args)))
        assert {int(word) for word in result.text.split()} == refused

    def test_sixty_four_bits(self, runtime: Runtime) -> None:
        """truncate -s: argument 1 of ftruncate(2)."""
        change = seccomp(rule(["ftruncate"], ERRNO, (1, "SCMP_CMP_GT", 1 << 32)))
        script = "cd /dev; for s in 4294967296 4294967297; do truncate -s $s x 2>/dev/null; echo $?; done"
        assert runtime.sh(script, change).text.split() == ["0", "1"]


class TestDocument:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (seccomp(default="SCMP_ACT_MAYBE"), ["linux.seccomp.defaultAction", "SCMP_ACT_MAYBE"]),
            (seccomp(default=NOTIFY), ["linux.seccomp.defaultAction", NOTIFY]),
            (seccomp(defaultErrnoRet=1), ["linux.seccomp.defaultErrnoRet", ALLOW]),
            (seccomp(default=ERRNO, defaultErrnoRet=1 << 16), ["linux.seccomp.defaultErrnoRet", "65536"]),
            (seccomp(architectures=["SCMP_ARCH_Z80"]), ["linux.seccomp.architectures[0]", "SCMP_ARCH_Z80"]),
            (seccomp(architectures=["SCMP_ARCH_S390X"]), ["linux.seccomp.architectures[0]", "libseccomp"]),
            (seccomp(flags=["FAST"]), ["linux.seccomp.flags[0]", "FAST"]),
            (seccomp(listenerMetadata="x"), ["linux.seccomp.listenerMetadata", "listenerPath"]),
            (seccomp(rule([])), ["linux.seccomp.syscalls[0].names", "empty"]),
            (seccomp(rule(["read"]), rule(MKDIRS, "DENY")), ["linux.seccomp.syscalls[1].action", "'DENY'"]),
            (seccomp(rule(MKDIRS, ALLOW, errnoRet=1)), ["linux.seccomp.syscalls[0].errnoRet", ALLOW]),
            (seccomp(rule(MKDIRS, ERRNO, errnoRet=4096)), ["linux.seccomp.syscalls[0].errnoRet", "4096"]),
            (seccomp(rule(MKDIRS, ERRNO, (6, "SCMP_CMP_EQ", 1))), ["syscalls[0].args[0].index", "6"]),
            (seccomp(rule(MKDIRS, ERRNO, (0, "SCMP_CMP_EQ", -1))), ["syscalls[0].args[0].value", "-1"]),
            (seccomp(rule(MKDIRS, ERRNO, (0, "LIKE", 1))), ["syscalls[0].args[0].op", "'LIKE'"]),
            (seccomp(rule(MKDIRS, ERRNO, (0, "SCMP_CMP_EQ"))), ["syscalls[0].args[0].value", "missing"]),
            (seccomp(rule(MKDIRS, NOTIFY)), ["linux.seccomp.listenerPath", "missing"]),
            (
                seccomp(rule(["read", "sendmsg"], NOTIFY), listenerPath="/x"),
                ["linux.seccomp.syscalls[0].names[1]", "sendmsg"],
            ),
            (seccomp(rule(MKDIRS, NOTIFY), listenerPath="/no/socket"), ["listenerPath", "/no/socket", "No such file"]),
        ],
    )
    def test_wrong_ones(self, runtime: Runtime, change: Change, words: list[str]) -> None:
        fails(runtime.run(["true"], change), ENGINE_FAILED, *words)

    def test_default_is_required(self, runtime: Runtime) -> None:
        change: Change = lambda config: config["linux"].update(seccomp={})  # noqa: E731
        fails(runtime.run(["true"], change), ENGINE_FAILED, "linux.seccomp.defaultAction", "missing")

    @pytest.mark.parametrize(
        "flags",
        [
            ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
            ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_LOG"],
        ],
    )
    def test_flags(self, runtime: Runtime, flags: list[str]) -> None:
        code, said = mkdir(runtime, seccomp(rule(MKDIRS), flags=flags))
        assert (code, "not permitted" in said) == (1, True)

    @pytest.mark.skipif(platform.machine() != "x86_64", reason="an architecture of x86_64")
    def test_architectures_make_the_program_longer(self) -> None:
        def length(*names: str) -> int:
            document = {"defaultAction": ALLOW, "syscalls": [rule(MKDIRS)]}
            return len(Filter(Node(document | {"architectures": list(names)}, "")).compile())

        alone = length()
        assert length("SCMP_ARCH_X86_64") == alone
        assert length("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32") > alone

    def test_every_name_of_an_architecture_is_taken(self) -> None:
        """Whether the library can have it beside this machine's is another matter."""
        assert len(ARCHITECTURES) == 23
        Filter(Node({"defaultAction": ALLOW, "architectures": ARCHITECTURES}, ""))

    def test_without_the_library(self, runtime: Runtime) -> None:
        """A directory without libraries stands where this one is looked for."""
        bundle = runtime.bundle(["true"], seccomp())
        words = runtime.words("run", "--bundle", str(bundle), "box")
        hide = 'for file in /usr/lib/*/libseccomp.so.2*; do mount --bind /dev/null "$file"; done; exec "$@"'
        result = runtime.host.run(["unshare", "--mount", "sh", "-c", hide, "sh", *words], cwd=Path(__file__).parents[2])
        fails(result, ENGINE_FAILED, "libseccomp.so.2", "libseccomp2")


class TestUnknownCalls:
    """A profile that allows all that libseccomp knows up to faccessat2(2), but not acct(2)."""

    LAST, FORBIDDEN, NEWER, NOT_YET = "faccessat2", "acct", "process_madvise", 100_000

    @pytest.fixture
    def python(self, runtime: Runtime) -> Callable[..., list[int]]:
        """The errno of each of some system calls, made by a Python in a container."""
        for name in ("lib", "lib64"):
            if os.path.islink(f"/{name}"):
                shutil.rmtree(runtime.rootfs / name, ignore_errors=True)
                os.symlink(os.readlink(f"/{name}"), runtime.rootfs / name)
        places = [name for name in ("/usr", "/lib", "/lib64") if os.path.isdir(name) and not os.path.islink(name)]
        mounts = [
            {"destination": place, "source": place, "type": "bind", "options": ["bind", "ro"]} for place in places
        ]

        def call(numbers: list[int], default: str = ERRNO, **fields: Any) -> list[int]:
            def change(config: dict[str, Any]) -> None:
                seccomp(rule(self.allowed(), ALLOW), default=default, **fields)(config)
                config["mounts"] += mounts

            script = (
                "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"
                f"for number in {numbers}:\n"
                "    libc.syscall(*map(ctypes.c_long, (number, -1, 0, 0, 0, 0, 0)))\n"
                "    print(ctypes.get_errno())"
            )
            result = runtime.run([os.path.realpath(sys.executable), "-IS", "-c", script], change)
            assert result.code == 0, result
            return [int(word) for word in result.text.split()]

        return call

    def allowed(self) -> list[str]:
        library = load_library()
        library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_char_p
        native, last = library.seccomp_arch_native(), self.number(self.LAST)
        names = (library.seccomp_syscall_resolve_num_arch(native, number) for number in range(last + 1))
        return [name.decode() for name in names if name and name.decode() != self.FORBIDDEN]

    def number(self, name: str) -> int:
        return int(load_library().seccomp_syscall_resolve_name(name.encode()))

    @property
    def numbers(self) -> list[int]:
        return [self.number(self.FORBIDDEN), self.number(self.NEWER), self.NOT_YET]

    def test_those_beyond_the_last_one_that_is_named(self, python: Callable[..., list[int]]) -> None:
        assert python(self.numbers) == [errno.EPERM, errno.ENOSYS, errno.ENOSYS]

    def test_whatever_the_default_returns(self, python: Callable[..., list[int]]) -> None:
        assert python(self.numbers, defaultErrnoRet=errno.ENOSPC) == [errno.ENOSPC, errno.ENOSYS, errno.ENOSYS]

    def test_not_if_the_default_lets_pass(self, python: Callable[..., list[int]]) -> None:
        """Then the kernel itself answers: -1 is no descriptor."""
        assert python(self.numbers[1:], default="SCMP_ACT_LOG") == [errno.EBADF, errno.ENOSYS]

    @pytest.mark.skipif(platform.machine() != "x86_64", reason="x32 is of x86_64")
    def test_x32_has_numbers_of_its_own(self, python: Callable[..., list[int]]) -> None:
        """The calls that are different there are the last: up to 547, and so the profile knows them."""
        of_x32 = [1 << 30 | number for number in self.numbers]
        found = python([*self.numbers, *of_x32], architectures=["SCMP_ARCH_X86", "SCMP_ARCH_X32"])
        assert found[:3] == [errno.EPERM, errno.ENOSYS, errno.ENOSYS]
        assert found[3:] == [errno.EPERM, errno.EPERM, errno.ENOSYS]


class TestCache:
    """Filters are kept in the runtime's directory."""

    @pytest.fixture
    def kept(self, runtime: Runtime) -> Path:
        """The file of the filter that forbids mkdir(2)."""
        assert mkdir(runtime, seccomp(rule(MKDIRS)))[0] == 1
        (path,) = (runtime.root / seccomp_cache.DIRECTORY).iterdir()
        return path

    def test_a_filter_is_compiled_once(self, runtime: Runtime, kept: Path) -> None:
        """As another one in its file shows. A profile that differs has its own."""
        status = kept.stat()
        assert mkdir(runtime, seccomp(rule(MKDIRS)))[0] == 1
        assert kept.stat().st_ino == status.st_ino
        assert mkdir(runtime, seccomp(rule(["rmdir"]))) == (0, "made")
        (other,) = {*kept.parent.iterdir()} - {kept}
        kept.write_bytes(other.read_bytes())
        assert mkdir(runtime, seccomp(rule(MKDIRS))) == (0, "made")

    @pytest.mark.parametrize("change", [lambda data: data[:-8], lambda data: data[:20] + b"x" + data[21:], bytes.upper])
    def test_a_damaged_file_is_written_anew(
        self, runtime: Runtime, kept: Path, change: Callable[[bytes], bytes]
    ) -> None:
        good = kept.read_bytes()
        kept.write_bytes(change(good))
        assert mkdir(runtime, seccomp(rule(MKDIRS)))[0] == 1
        assert kept.read_bytes() == good

    def test_there_are_never_many(self, runtime: Runtime, kept: Path) -> None:
        for number in range(seccomp_cache.MOST):
            kept.with_name(f"{number:032x}").write_bytes(b"")
        assert mkdir(runtime, seccomp(rule(MKDIRS)))[0] == 1, "it is still there"
        assert mkdir(runtime, seccomp(rule(["rmdir"]))) == (0, "made")
        assert len(list(kept.parent.iterdir())) == 1


class Agent:
    """Who decides about calls, on a Unix socket. Answers each with an errno, or lets it pass."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen(1)
        self._socket.settimeout(PATIENCE)
        self.message: dict[str, Any] = {}
        self.connection_closed = False

    def accept(self) -> int:
        """Take one connection to its end; the descriptor that was sent."""
        connection, _ = self._socket.accept()
        with connection:
            connection.settimeout(PATIENCE)
            data, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 2)
            while more := connection.recv(1 << 16):
                data += more
        self.message = json.loads(data)
        (descriptor,) = descriptors
        return descriptor

    def answer(self, descriptor: int, error: int) -> int:
        """Wait for one call, and refuse it with this errno, or let it pass if it is 0; the pid of the caller."""
        call = bytearray(80)  # struct seccomp_notif
        fcntl.ioctl(descriptor, SECCOMP_IOCTL_NOTIF_RECV, call)
        id, pid = struct.unpack_from("QI", call)
        answer = struct.pack("QqiI", id, 0, -error, 0 if error else 1)  # struct seccomp_notif_resp; 1: continue
        fcntl.ioctl(descriptor, SECCOMP_IOCTL_NOTIF_SEND, answer)
        return int(pid)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(tmp_path / "agent")
    yield agent
    agent.close()


class TestNotify:
    @pytest.mark.parametrize(
        ("error", "said", "privileges", "flags"),
        [
            (errno.ENOMEDIUM, "No medium found", False, []),
            (0, "made", False, ["SECCOMP_FILTER_FLAG_TSYNC"]),
            (errno.EDOM, "Numerical argument", True, ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]),
        ],
    )
    def test_an_agent_decides(
        self, runtime: Runtime, agent: Agent, error: int, said: str, privileges: bool, flags: list[str]
    ) -> None:
        def change(config: dict[str, Any]) -> None:
            fields: dict[str, Any] = {"listenerPath": str(agent.path), "listenerMetadata": "for you", "flags": flags}
            seccomp(rule(MKDIRS, NOTIFY), privileges=privileges, **fields)(config)
            config["annotations"] = {"key": "x" * 300_000}  # more than a socket holds

        bundle = runtime.bundle(["sh", "-c", "mkdir /dev/made && echo made"], change)
        process = runtime.spawn("run", "--bundle", str(bundle), "box")
        descriptor = agent.accept()
        try:
            caller = agent.answer(descriptor, error)
        finally:
            os.close(descriptor)
        result = finish(process)
        assert said in (result.out + result.err).decode()
        message = agent.message
        assert (message["fds"], message["metadata"]) == (["seccompFd"], "for you")
        assert caller > message["pid"]  # the shell's child, as we see it, too
        state = message["state"]
        assert (state["id"], state["status"], state["pid"]) == ("box", "creating", message["pid"])
        assert (state["bundle"], len(state["annotations"]["key"])) == (str(bundle), 300_000)
        assert message["ociVersion"] == state["ociVersion"]

    def test_an_agent_that_hangs_up(self, runtime: Runtime, agent: Agent) -> None:
        """Nobody has the descriptor: that is an error of the start, not calls that wait for ever."""

        def change(config: dict[str, Any]) -> None:
            seccomp(rule(MKDIRS, NOTIFY), listenerPath=str(agent.path))(config)
            config["hooks"] = {
                "createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", f"echo > {ready}; cat {gone}"]}]
            }

        ready, gone = agent.path.with_name("ready"), agent.path.with_name("gone")
        os.mkfifo(ready)
        os.mkfifo(gone)
        process = runtime.spawn("run", "--bundle", str(runtime.bundle(["true"], change)), "box")
        ready.read_text()
        agent.close()
        gone.write_text("")
        fails(finish(process), ENGINE_FAILED, "Seccomp", "linux.seccomp.listenerPath", "Broken pipe")

    def test_a_listener_without_such_a_rule_is_ignored(self, runtime: Runtime) -> None:
        assert runtime.run(["true"], seccomp(listenerPath="/no/socket")).code == 0


def test_structures_are_as_large_as_the_kernel_has_them() -> None:
    """seccomp(2), SECCOMP_GET_NOTIF_SIZES: what Agent takes for granted."""
    sizes = (ctypes.c_uint16 * 3)()
    number = {"x86_64": 317, "aarch64": 277}[platform.machine()]
    assert ctypes.CDLL(None).syscall(number, 3, 0, ctypes.byref(sizes)) == 0
    assert list(sizes) == [80, 24, 64]
