"""What a container may do: capabilities, filters of system calls, devices, and what is masked of /proc and /sys."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from final.runtime.capabilities import NUMBERS
from final.runtime.libseccomp import load_library
from tests.final.engine.conftest import Box
from tests.support import processes
from tests.support.engines import ENGINE_FAILED, fails
from tests.support.hosts import Word

pytestmark = pytest.mark.kernel
DOCKERS = 0xA80425FB
"""Docker's 14 capabilities, as /proc/self/status shows them."""
EVERY = int(processes.status("self", "CapBnd"), 16)
CALLS = ("keyctl", "add_key", "unshare", "mount", "setns", "bpf", "perf_event_open", "userfaultfd", "io_uring_setup")
CAPABILITIES = "grep Cap /proc/self/status"


def bit(name: str) -> int:
    return 1 << NUMBERS[f"CAP_{name}"]


def sets_of(text: str) -> dict[str, int]:
    return {name.removeprefix("Cap").rstrip(":"): int(value, 16) for name, value in map(str.split, text.splitlines())}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], DOCKERS),
        (["--cap-add", "NET_ADMIN", "--cap-add", "cap_sys_time"], DOCKERS | bit("NET_ADMIN") | bit("SYS_TIME")),
        (["--cap-drop", "CAP_CHOWN", "--cap-drop", "kill"], DOCKERS & ~(bit("CHOWN") | bit("KILL"))),
        (["--cap-drop", "all"], 0),
        (["--cap-drop", "ALL", "--cap-add", "CHOWN"], bit("CHOWN")),
        (["--cap-add", "ALL"], EVERY),
        (["--cap-add", "ALL", "--cap-drop", "SYS_ADMIN"], EVERY & ~bit("SYS_ADMIN")),
        (["--privileged"], EVERY),
    ],
)
def test_capabilities(box: Box, flags: list[Word], expected: int) -> None:
    found = sets_of(box.once(CAPABILITIES, *flags))
    assert (found["Eff"], found["Prm"], found["Bnd"]) == (expected, expected, expected)
    assert found["Inh"] == found["Amb"] == 0


def test_capabilities_of_another_user_and_of_exec(box: Box) -> None:
    found = sets_of(box.once(CAPABILITIES, "-u", "nobody"))
    assert found["Eff"] == found["Prm"] == 0 and found["Bnd"] == DOCKERS
    box.sleeper("one", "--cap-drop", "ALL", "--cap-add", "CHOWN")
    assert sets_of(box.inside("one", CAPABILITIES))["Eff"] == bit("CHOWN")
    assert sets_of(box("exec", "--privileged", "one", "sh", "-c", CAPABILITIES))["Eff"] == EVERY
    assert box.show("one", "{{.HostConfig.CapAdd}} {{.HostConfig.CapDrop}}") == "[CAP_CHOWN] [ALL]"


def errors_of(box: Box, names: tuple[str, ...], *flags: Word) -> dict[str, str]:
    """How each of some system calls ends that has wrong arguments, so that none does anything."""
    library = load_library()
    numbers = [int(library.seccomp_syscall_resolve_name(name.encode())) for name in names]
    script = (
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"
        f"for number in {numbers}:\n"
        "    ctypes.set_errno(0); libc.syscall(*map(ctypes.c_long, (number, -1, 0, 0, 0, 0, 0)))\n"
        "    print(ctypes.get_errno())"
    )
    words = box.python(script, *flags).split()
    return {name: errno.errorcode.get(int(word), "0") for name, word in zip(names, words, strict=True)}


def test_the_usual_filter(box: Box, tmp_path: Path) -> None:
    """With all capabilities, so that it is the filter who refuses."""
    assert set(errors_of(box, CALLS).values()) == {"EPERM"}
    rights = errors_of(box, CALLS, "--cap-add", "SYS_ADMIN")
    assert [name for name in CALLS if rights[name] == "EPERM"] == ["keyctl", "add_key", "userfaultfd", "io_uring_setup"]
    free = errors_of(box, CALLS, "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined")
    assert free["keyctl"] != "EPERM" and free["add_key"] != "EPERM"
    assert box.once("grep Seccomp: /proc/self/status").split() == ["Seccomp:", "2"]
    assert box.once("grep Seccomp: /proc/self/status", "--privileged").split() == ["Seccomp:", "0"]
    assert errors_of(box, ("clone3",)) == {"clone3": "ENOSYS"}


def test_a_filter_of_the_user(box: Box, tmp_path: Path) -> None:
    """Docker's format, with conditions; the file may be gone when the container starts again."""
    profile = tmp_path / "profile.json"
    denied = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSPC}
    with_right = {"names": ["sethostname"], "action": "SCMP_ACT_ERRNO", "includes": {"caps": ["CAP_NET_ADMIN"]}}
    other_machine = {"names": ["write"], "action": "SCMP_ACT_KILL", "includes": {"arches": ["s390x"]}}
    profile.write_text(
        json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "archMap": [], "syscalls": [denied, with_right, other_machine]})
    )
    option = ["--security-opt", f"seccomp={profile}"]
    box("create", "--name", "one", "--net", "none", *option, "busybox", "mkdir", "/new")
    profile.unlink()
    started = box.raw("start", "-a", "one")
    assert started.code == 1 and b"No space left" in started.err
    for text in ("", "{", "[]", "{}", '{"defaultAction": 1}', '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [1]}'):
        profile.write_text(text)
        fails(box.raw("run", "--rm", *option, "busybox", "true"), ENGINE_FAILED)
    fails(box.raw("run", "--security-opt", "seccomp=/nosuch", "busybox", "true"), ENGINE_FAILED, "/nosuch")


def test_no_new_privileges(box: Box) -> None:
    look = "grep NoNewPrivs /proc/self/status"
    assert box.once(look).split()[1] == "0"
    assert box.once(look, "--security-opt", "no-new-privileges").split()[1] == "1"
    assert box.once(look, "--security-opt", "no-new-privileges:true").split()[1] == "1"
    assert box.once(look, "--security-opt", "no-new-privileges=false").split()[1] == "0"
    assert box.once(look, "--security-opt", "label=disable").split()[1] == "0"  # there are none of SELinux's anyhow


def test_what_is_masked_and_what_is_read_only(box: Box) -> None:
    script = """
        for path in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; do
            if [ -e $path ]; then head -c1 $path | wc -c; fi
        done
        for path in /proc/acpi /proc/scsi /sys/firmware; do ls -A $path 2>/dev/null; done
        for path in /proc/sys/kernel/panic /proc/sysrq-trigger /proc/irq/default_smp_affinity /sys/kernel/profiling; do
            if [ -e $path ] && (: >> $path) 2>/dev/null; then echo $path can be written to; fi
        done
        ! mkdir /sys/fs/cgroup/new 2>/dev/null || echo a cgroup can be made"""
    assert set(box.once(script).split()) == {"0"}
    writes = ": >> /proc/sys/kernel/panic && echo written"
    assert box.once(writes, "--privileged") == "written"


def test_devices(box: Box) -> None:
    usual = {"console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr"}
    assert set(box.once("ls /dev").split()) <= usual | {"stdin", "stdout", "tty", "urandom", "zero"}
    assert box.once("echo x > /dev/null; head -c2 /dev/zero | wc -c") == "2"
    fuse = ["--device", "/dev/fuse:/dev/inside:r"]
    assert "crw" in box.once("ls -l /dev/inside", *fuse)
    opened = "(: < {}) 2>/dev/null && echo r; (: > {}) 2>/dev/null && echo w; true"
    assert box.once(opened.format("/dev/inside", "/dev/inside"), *fuse).split() == ["r"]
    number = os.stat("/dev/fuse").st_rdev
    made = f"mknod /tmp/node c {os.major(number)} {os.minor(number)}; " + opened.format("/tmp/node", "/tmp/node")
    assert box.once(made) == ""
    assert box.once(made, "--privileged").split() == ["r", "w"]
    assert "fuse" in box.once("ls /dev", "--privileged").split()


def test_groups_and_users(box: Box) -> None:
    assert box.once("id -G", "-u", "1000:1001", "--group-add", "7", "--group-add", "nobody").split() == [
        "1001",
        "7",
        "65534",
    ]
    groups = "grep Groups: /proc/self/status"
    assert box.once(groups, "-u", "1000:1001").split() == ["Groups:", "1001"]  # he cannot get out of it: CVE-2022-36109
    assert box.once("id -u; id -g", "-u", ":5").split() == ["0", "5"]
    box.sleeper("one", "--group-add", "7")
    assert "7" in box.inside("one", "id -G").split()
    refused = box.raw("run", "--rm", "--net", "none", "--group-add", "nosuch", "busybox", "true")
    fails(refused, ENGINE_FAILED, "nosuch")


def test_limits_of_processes(box: Box) -> None:
    flags = ["--ulimit", "nofile=100:200", "--ulimit", "core=0"]
    assert box.once("ulimit -Sn; ulimit -Hn; ulimit -c", *flags).split() == ["100", "200", "0"]
    box.sleeper("one", *flags, "--oom-score-adj", "500")
    assert box.inside("one", "ulimit -Sn; cat /proc/self/oom_score_adj").split() == ["100", "500"]
    assert box.known("one")["HostConfig"]["Ulimits"][0] == {"Name": "nofile", "Soft": 100, "Hard": 200}
    assert box.show("one", "{{.HostConfig.OomScoreAdj}}") == "500"
    assert box.once("cat /proc/self/oom_score_adj") == Path("/proc/self/oom_score_adj").read_text().strip()


def test_kernel_parameters(box: Box) -> None:
    look = "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax"
    assert box.once(look, "--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "kernel.msgmax=9999").split() == [
        "1",
        "9999",
    ]
    for name, *flags in (
        ("kernel.panic",),
        ("vm.swappiness",),
        ("net.ipv4.ip_forward", "--net", "host"),
        ("kernel.msgmax", "--ipc", "host"),
        ("../../etc.x",),
    ):
        refused = box.raw("run", "--rm", "--sysctl", f"{name}=1", *flags, "busybox", "true")
        fails(refused, ENGINE_FAILED, name)
    assert os.path.exists("/proc/sys/kernel/panic")
