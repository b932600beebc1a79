"""What config.json says of the process: rights, limits, scheduling. As seen from inside. Section 7.3."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ch07_practice.oci.document import Node
from final.runtime.capabilities import NAMES, NUMBERS
from final.runtime.scheduling import cpus_of
from tests.ch07_practice.bundles import Change, Runtime
from tests.support import processes
from tests.support.engines import ENGINE_FAILED, fails
from tests.support.hosts import Host
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel
SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")
UNLIMITED = (1 << 64) - 1
FILES_HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]


@pytest.fixture
def runtime(host: Host, tmp_path: Path) -> Iterator[Runtime]:
    """A runtime; its containers are removed after the test."""
    runtime = Runtime(host, tmp_path, "final.runtime")
    yield runtime
    runtime.remove_all()


def process(**fields: Any) -> Change:
    """A document whose process has these fields."""
    return lambda config: config["process"].update(fields)


def linux(**fields: Any) -> Change:
    return lambda config: config["linux"].update(fields)


def capabilities(sets: dict[str, list[str]], user: int = 0) -> Change:
    return process(capabilities=sets, user={"uid": user, "gid": user}, noNewPrivileges=False)


def same(*names: str, sets: tuple[str, ...] = SETS) -> dict[str, list[str]]:
    return {name: list(names) for name in sets}


def bits(*names: str) -> int:
    return sum(1 << NUMBERS[name] for name in names)


def seen(runtime: Runtime, change: Change) -> dict[str, int]:
    """The capability sets of a command."""
    lines = runtime.sh("grep ^Cap /proc/self/status", change).text.splitlines()
    return {name: int(value, 16) for name, value in (line.split(":\t") for line in lines)}


class TestCapabilities:
    def test_of_root(self, runtime: Runtime) -> None:
        """execve(2) gives root what is bounding, and adds nothing."""
        given = {**same("CAP_CHOWN", "CAP_KILL", sets=SETS[:3]), "inheritable": ["CAP_KILL"]}
        both = bits("CAP_CHOWN", "CAP_KILL")
        expected = {"CapBnd": both, "CapPrm": both, "CapEff": both, "CapInh": bits("CAP_KILL"), "CapAmb": 0}
        assert seen(runtime, capabilities(given)) == expected

    def test_of_an_ordinary_user(self, runtime: Runtime) -> None:
        """Only what is ambient outlives the change of the user and execve(2)."""
        two = ("CAP_NET_BIND_SERVICE", "CAP_CHOWN")
        found = seen(runtime, capabilities({**same(*two), "ambient": ["CAP_CHOWN"]}, user=1000))
        chown = bits("CAP_CHOWN")
        assert found == {"CapBnd": bits(*two), "CapInh": bits(*two), "CapPrm": chown, "CapEff": chown, "CapAmb": chown}

    def test_they_count(self, runtime: Runtime) -> None:
        """Root without CAP_CHOWN gives nothing away."""

        def script(*names: str) -> str:
            change = capabilities(same(*names, sets=SETS[:3]))
            return runtime.sh("mkdir /dev/x && chown 1:1 /dev/x || echo refused", change).text

        assert script("CAP_KILL") == "refused"
        assert script("CAP_CHOWN") == ""

    def test_none_at_all(self, runtime: Runtime) -> None:
        assert set(seen(runtime, capabilities({name: [] for name in SETS})).values()) == {0}

    def test_a_set_that_is_missing_is_empty(self, runtime: Runtime) -> None:
        assert seen(runtime, capabilities(same("CAP_KILL", sets=("bounding", "permitted"))))["CapInh"] == 0

    def test_without_the_field_root_has_what_the_runtime_has(self, runtime: Runtime) -> None:
        found = seen(runtime, process(user={"uid": 0, "gid": 0}))
        assert f"{found['CapBnd']:016x}" == processes.status("self", "CapBnd")

    def test_without_the_field_an_ordinary_user_has_none(self, runtime: Runtime) -> None:
        assert seen(runtime, process(user={"uid": 1000, "gid": 1000}))["CapEff"] == 0

    def test_user_groups_and_mask(self, runtime: Runtime) -> None:
        user = {"uid": 7, "gid": 8, "additionalGids": [9, 10], "umask": 0o077}
        change = process(user=user, capabilities=same("CAP_CHOWN"))
        assert runtime.sh('echo "$(id -u):$(id -g) $(id -G) $(umask)"', change).text == "7:8 8 9 10 0077"

    def test_what_the_runtime_does_not_have_is_left_out_with_a_warning(self, runtime: Runtime) -> None:
        """In all sets: the ambient one could not be raised."""
        bundle = runtime.bundle(["grep", "CapPrm", "/proc/self/status"], capabilities(same("CAP_CHOWN", "CAP_KILL")))
        words = runtime.words("run", "--bundle", str(bundle), "box")
        result = runtime.host.run(["setpriv", "--bounding-set", "-chown", *words])
        assert result.text.split() == ["CapPrm:", f"{bits('CAP_KILL'):016x}"]
        assert result.error == "mydocker: warning: process.capabilities: the runtime does not have CAP_CHOWN\n"

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({"bounding": ["CAP_CHOWN", "CAP_FLY"]}, ["process.capabilities.bounding[1]", "'CAP_FLY'"]),
            ({"effective": ["chown"]}, ["process.capabilities.effective[0]", "'chown'"]),
            ({"permitted": [7]}, ["process.capabilities.permitted[0]", "string"]),
            ({"effective": ["CAP_KILL"]}, ["process.capabilities.effective", "CAP_KILL", "capabilities.permitted"]),
            ({"inheritable": ["CAP_KILL"]}, ["process.capabilities.inheritable", "CAP_KILL", "capabilities.bounding"]),
            ([], ["process.capabilities", "object"]),
        ],
    )
    def test_wrong_ones(self, runtime: Runtime, given: Any, words: list[str]) -> None:
        fails(runtime.run(["true"], process(capabilities=given)), ENGINE_FAILED, *words)

    @pytest.mark.parametrize("lacking", ["inheritable", "permitted"])
    def test_ambient_ones_that_the_kernel_would_not_raise_are_left_out(self, runtime: Runtime, lacking: str) -> None:
        given = {**same("CAP_KILL"), lacking: [], "effective": []}
        assert runtime.run(["grep", "CapAmb", "/proc/self/status"], capabilities(given)).text.split()[1] == "0" * 16

    def test_names_and_numbers(self) -> None:
        """Ours are the kernel's: it has no more, and samples from its header are where they are there."""
        last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
        assert last <= NUMBERS["CAP_CHECKPOINT_RESTORE"] == len(NAMES) - 1
        assert (NUMBERS["CAP_SYS_ADMIN"], NUMBERS["CAP_SYSLOG"], NUMBERS["CAP_SETFCAP"]) == (21, 34, 31)


class TestLimits:
    def test_soft_and_hard(self, runtime: Runtime) -> None:
        limits = [
            {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
            {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
            {"type": "RLIMIT_FSIZE", "soft": 512 * 1000, "hard": UNLIMITED},
        ]
        script = "ulimit -n; ulimit -Hn; ulimit -Hc; ulimit -f; ulimit -Hf"
        assert runtime.sh(script, process(rlimits=limits)).text.split() == ["100", "200", "0", "1000", "unlimited"]

    @pytest.mark.parametrize(
        ("name", "most"),
        [("RLIMIT_AS", 8 << 20), ("RLIMIT_DATA", 8 << 20), ("RLIMIT_STACK", 8 << 20), ("RLIMIT_NOFILE", 5)],
    )
    def test_small_ones_do_not_keep_the_runtime_from_its_work(self, runtime: Runtime, name: str, most: int) -> None:
        """The command is a tenth of the runtime's size, and has three files open, one more for the program itself."""
        limit = {"type": name, "soft": most, "hard": most}
        assert runtime.sh("grep -c . /proc/self/limits", process(rlimits=[limit])).code == 0

    def test_raising_a_hard_limit(self, runtime: Runtime) -> None:
        """It takes CAP_SYS_RESOURCE, which not every machine gives to root."""
        limit = {"type": "RLIMIT_NOFILE", "soft": 10, "hard": FILES_HARD + 1}
        result = runtime.sh("ulimit -Hn", process(rlimits=[limit]))
        if int(processes.status("self", "CapEff"), 16) & bits("CAP_SYS_RESOURCE"):
            assert result.text == str(FILES_HARD + 1)
        else:
            fails(result, ENGINE_FAILED, "process.rlimits[0]", "RLIMIT_NOFILE", "CAP_SYS_RESOURCE")

    @pytest.mark.parametrize(
        ("limits", "words"),
        [
            ([{"type": "RLIMIT_LUCK", "soft": 1, "hard": 1}], ["process.rlimits[0].type", "RLIMIT_LUCK"]),
            ([{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}], ["process.rlimits[0].soft", "hard limit"]),
            ([{"type": "RLIMIT_CORE", "soft": 2}], ["process.rlimits[0].hard", "missing"]),
            ([{"type": "RLIMIT_CORE", "soft": -1, "hard": 1}], ["process.rlimits[0].soft", "-1"]),
            ([{"type": "RLIMIT_CORE", "soft": 1, "hard": 1 << 64}], ["process.rlimits[0].hard"]),
            ([{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}] * 2, ["process.rlimits[1].type", "twice"]),
        ],
    )
    def test_wrong_ones(self, runtime: Runtime, limits: list[Any], words: list[str]) -> None:
        fails(runtime.run(["true"], process(rlimits=limits)), ENGINE_FAILED, *words)


class TestAttributes:
    @pytest.mark.parametrize("wanted", [True, False])
    def test_no_new_privileges(self, runtime: Runtime, wanted: bool) -> None:
        result = runtime.sh("grep NoNewPrivs /proc/self/status", process(noNewPrivileges=wanted))
        assert result.text.split() == ["NoNewPrivs:", str(int(wanted))]

    def test_oom_score(self, runtime: Runtime) -> None:
        assert runtime.run(["cat", "/proc/self/oom_score_adj"], process(oomScoreAdj=500)).text == "500"

    def test_oom_score_of_the_runtime(self, runtime: Runtime) -> None:
        bundle = runtime.bundle(["cat", "/proc/self/oom_score_adj"])
        words = runtime.words("run", "--bundle", str(bundle), "box")
        assert (
            runtime.host.run(["sh", "-c", 'echo 77 > /proc/self/oom_score_adj; exec "$@"', "sh", *words]).text == "77"
        )

    def test_lower_oom_score(self, runtime: Runtime) -> None:
        result = runtime.run(["cat", "/proc/self/oom_score_adj"], process(oomScoreAdj=-500))
        if int(processes.status("self", "CapEff"), 16) & bits("CAP_SYS_RESOURCE"):
            assert result.text == "-500"
        else:
            fails(result, ENGINE_FAILED, "process.oomScoreAdj", "CAP_SYS_RESOURCE")

    @pytest.mark.skipif(platform.machine() != "x86_64", reason="another name elsewhere")
    @pytest.mark.parametrize(("domain", "machine"), [("LINUX", "x86_64"), ("LINUX32", "i686")])
    def test_personality(self, runtime: Runtime, domain: str, machine: str) -> None:
        """With a filter and a change of the user behind it: what these do must not ask uname(2)."""

        def change(config: dict[str, Any]) -> None:
            config["linux"]["personality"] = {"domain": domain}
            config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW"}
            config["process"]["user"] = {"uid": 1, "gid": 1}
            config["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_IDLE", "priority": 0}

        assert runtime.run(["uname", "-m"], change).text == machine

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (process(noNewPrivileges=1), ["process.noNewPrivileges", "true or false"]),
            (process(oomScoreAdj=1001), ["process.oomScoreAdj", "1001"]),
            (process(oomScoreAdj=-1001), ["process.oomScoreAdj", "-1001"]),
            (linux(personality={}), ["linux.personality.domain", "missing"]),
            (linux(personality={"domain": "SOLARIS"}), ["linux.personality.domain", "SOLARIS"]),
            (linux(personality={"domain": "LINUX", "flags": ["X"]}), ["linux.personality.flags[0]", "'X'"]),
        ],
    )
    def test_wrong_ones(self, runtime: Runtime, change: Change, words: list[str]) -> None:
        fails(runtime.run(["true"], change), ENGINE_FAILED, *words)


class TestHome:
    """HOME, which engines leave to the runtime."""

    @pytest.mark.parametrize(("uid", "home"), [(0, "/root"), (65534, "/home"), (7, "/")])
    def test_it_is_the_users_own(self, runtime: Runtime, uid: int, home: str) -> None:
        user = {"uid": uid, "gid": 0}
        assert runtime.sh("echo $HOME", process(env=["PATH=/bin"], user=user)).text == home
        assert runtime.sh("echo $HOME", process(env=["PATH=/bin", "HOME="], user=user)).text == home
        assert runtime.sh("echo $HOME", process(env=["PATH=/bin", "HOME=/given"], user=user)).text == "/given"

    @pytest.mark.parametrize("passwd", ["root:x:0:0:root:/a\0b:/bin/sh", "root:x:0", "\n::::::\n", "root:x:0:0:::"])
    def test_whatever_the_image_says_of_it(self, runtime: Runtime, passwd: str) -> None:
        (runtime.rootfs / "etc/passwd").write_text(passwd)
        assert runtime.sh("echo $HOME", process(env=["PATH=/bin"])).text in ("/", "/ab")


class TestScheduling:
    @pytest.mark.parametrize(
        ("scheduler", "policy", "nice"),
        [
            ({"policy": "SCHED_OTHER", "nice": 5}, 0, 5),
            ({"policy": "SCHED_OTHER", "nice": -5}, 0, -5),
            ({"policy": "SCHED_BATCH", "flags": ["SCHED_FLAG_RESET_ON_FORK"]}, 3, 0),
            ({"policy": "SCHED_IDLE"}, 5, 0),
            ({"policy": "SCHED_DEADLINE", "runtime": 10**6, "deadline": 10**7, "period": 10**8}, 6, 0),
        ],
    )
    def test_policy_and_nice(self, runtime: Runtime, scheduler: dict[str, Any], policy: int, nice: int) -> None:
        """Fields 19 and 41 of proc_pid_stat(5), of PID 1 in the container."""
        fields = runtime.sh("cat /proc/1/stat", process(scheduler=scheduler)).text.rpartition(")")[2].split()
        assert (int(fields[41 - 3]), int(fields[19 - 3])) == (policy, nice)

    @pytest.mark.parametrize("policy", ["SCHED_FIFO", "SCHED_RR"])
    def test_real_time(self, runtime: Runtime, policy: str) -> None:
        """Field 40 of proc_pid_stat(5). A cgroup may have no real time to give: then the error says so."""
        result = runtime.sh("cat /proc/1/stat", process(scheduler={"policy": policy, "priority": 42}))
        if result.code == 0:
            assert result.text.rpartition(")")[2].split()[40 - 3] == "42"
        else:
            fails(result, ENGINE_FAILED, "Scheduler", "sched_setattr", "real time")

    @pytest.mark.parametrize(
        ("kind", "level", "expected"),
        [
            ("IOPRIO_CLASS_BE", 6, "best-effort: prio 6"),
            ("IOPRIO_CLASS_IDLE", 0, "idle"),
            ("IOPRIO_CLASS_RT", 3, "realtime: prio 3"),
        ],
    )
    def test_io_priority(self, runtime: Runtime, kind: str, level: int, expected: str) -> None:
        assert runtime.run(["ionice"], process(ioPriority={"class": kind, "priority": level})).text == expected

    @pytest.mark.parametrize("moment", ["initial", "final"])
    def test_affinity_is_that_of_exec_alone(self, runtime: Runtime, moment: str) -> None:
        """The initial one stays, if there is no final one."""
        cpu = str(max(os.sched_getaffinity(0)))
        grep = ["grep", "Cpus_allowed_list", "/proc/self/status"]
        script = "grep Cpus_allowed_list /proc/self/status > /dev/shm/own; exec sleep 1000"
        assert runtime.create("box", ["sh", "-c", script], process(execCPUAffinity={moment: cpu})).code == 0
        assert runtime.raw("start", "box").code == 0
        assert runtime.raw("exec", "box", *grep).text.split()[1] == cpu
        own = eventually(lambda: runtime.raw("exec", "box", "cat", "/dev/shm/own").out.decode(), "its own")
        assert cpus_of(Node(own.split()[1], "")) == os.sched_getaffinity(0)

    def test_affinity_to_what_is_not_there(self, runtime: Runtime) -> None:
        runtime.create("box", ["sleep", "1000"], process(execCPUAffinity={"final": "8000"}))
        runtime.raw("start", "box")
        fails(runtime.raw("exec", "box", "true"), ENGINE_FAILED, "sched_setaffinity", "cpuset")

    @pytest.mark.parametrize(
        ("text", "expected"),
        [("", set()), ("0", {0}), ("0-2,7", {0, 1, 2, 7}), ("3,1-1", {1, 3})],
    )
    def test_lists_of_processors(self, text: str, expected: set[int]) -> None:
        assert cpus_of(Node(text, "")) == expected

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (process(scheduler={}), ["process.scheduler.policy", "missing"]),
            (process(scheduler={"policy": "SCHED_LUCK"}), ["process.scheduler.policy", "SCHED_LUCK"]),
            (process(scheduler={"policy": "SCHED_ISO"}), ["sched_setattr", "policy"]),
            (process(scheduler={"policy": "SCHED_OTHER", "nice": 20}), ["process.scheduler.nice", "20"]),
            (process(scheduler={"policy": "SCHED_OTHER", "priority": 1}), ["process.scheduler.priority"]),
            (process(scheduler={"policy": "SCHED_FIFO"}), ["process.scheduler.priority", "SCHED_FIFO"]),
            (process(scheduler={"policy": "SCHED_IDLE", "period": 9}), ["process.scheduler.period", "SCHED_IDLE"]),
            (process(scheduler={"policy": "SCHED_DEADLINE", "runtime": 9, "deadline": 8}), ["process.scheduler"]),
            (
                process(scheduler={"policy": "SCHED_IDLE", "flags": ["FAST"]}),
                ["process.scheduler.flags[0]", "FAST"],
            ),
            (process(ioPriority={"class": "IOPRIO_CLASS_BE"}), ["process.ioPriority.priority", "missing"]),
            (process(ioPriority={"class": "BE", "priority": 1}), ["process.ioPriority.class", "'BE'"]),
            (process(ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 8}), ["process.ioPriority.priority", "8"]),
            (process(execCPUAffinity={"initial": "3-1"}), ["process.execCPUAffinity.initial", "'3-1'"]),
            (process(execCPUAffinity={"final": "x"}), ["process.execCPUAffinity.final", "'x'"]),
            (process(execCPUAffinity={"final": "0,"}), ["process.execCPUAffinity.final", "''"]),
            (process(execCPUAffinity={"final": "9999"}), ["process.execCPUAffinity.final", "9999"]),
        ],
    )
    def test_wrong_ones(self, runtime: Runtime, change: Change, words: list[str]) -> None:
        fails(runtime.run(["true"], change), ENGINE_FAILED, *words)


class TestMemoryPolicy:
    """linux.memoryPolicy, as proc_pid_numa_maps(5) shows it."""

    @pytest.mark.skipif(not os.path.exists("/proc/self/numa_maps"), reason="this kernel knows no memory nodes")
    @pytest.mark.parametrize(
        ("policy", "shown"),
        [
            ({"mode": "MPOL_BIND", "nodes": "0"}, "bind:0"),
            ({"mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}, "interleave=static:0"),
            ({"mode": "MPOL_DEFAULT"}, "default"),
        ],
    )
    def test_of_a_container_and_of_exec(self, runtime: Runtime, policy: dict[str, Any], shown: str) -> None:
        assert runtime.create("box", ["sleep", "1000"], linux(memoryPolicy=policy)).code == 0
        assert runtime.raw("start", "box").code == 0
        for of in ("1", "self"):
            lines = runtime.raw("exec", "box", "cat", f"/proc/{of}/numa_maps").text.splitlines()
            assert {line.split()[1] for line in lines} == {shown}

    @pytest.mark.parametrize(
        ("policy", "words"),
        [
            ({}, ["linux.memoryPolicy.mode", "missing"]),
            ({"mode": "MPOL_FAST"}, ["linux.memoryPolicy.mode", "MPOL_FAST"]),
            ({"mode": "MPOL_LOCAL", "flags": ["X"]}, ["linux.memoryPolicy.flags[0]", "'X'"]),
            ({"mode": "MPOL_BIND", "nodes": "2-1"}, ["linux.memoryPolicy.nodes", "'2-1'", "memory nodes"]),
            ({"mode": "MPOL_BIND", "nodes": "1000"}, ["linux.memoryPolicy", "nodes"]),
            ({"mode": "MPOL_BIND"}, ["linux.memoryPolicy", "nodes"]),
        ],
    )
    def test_wrong_ones(self, runtime: Runtime, policy: dict[str, Any], words: list[str]) -> None:
        fails(runtime.run(["true"], linux(memoryPolicy=policy)), ENGINE_FAILED, *words)


class TestLabels:
    @pytest.mark.skipif(os.path.exists("/sys/module/apparmor"), reason="this kernel has AppArmor")
    def test_no_apparmor(self, runtime: Runtime) -> None:
        change = process(apparmorProfile="profile")
        fails(runtime.run(["true"], change), ENGINE_FAILED, "process.apparmorProfile", "no AppArmor")

    @pytest.mark.skipif(not os.path.exists("/sys/module/apparmor"), reason="this kernel has no AppArmor")
    def test_apparmor(self, runtime: Runtime) -> None:
        script = "cat /proc/self/attr/current"
        assert runtime.sh(script, process(apparmorProfile="unconfined")).text == "unconfined"
        assert "Labels" in runtime.sh(script, process(apparmorProfile="no-such-profile")).error

    @pytest.mark.skipif(os.path.exists("/sys/fs/selinux/enforce"), reason="this kernel has SELinux")
    @pytest.mark.parametrize(
        ("change", "place"),
        [
            (process(selinuxLabel="system_u:system_r:container_t:s0"), "process.selinuxLabel"),
            (linux(mountLabel="system_u:object_r:container_file_t:s0"), "linux.mountLabel"),
        ],
    )
    def test_no_selinux(self, runtime: Runtime, change: Change, place: str) -> None:
        fails(runtime.run(["true"], change), ENGINE_FAILED, place, "no SELinux")

    @pytest.mark.parametrize("change", [process(apparmorProfile="", selinuxLabel=""), linux(mountLabel="")])
    def test_empty_ones_mean_none(self, runtime: Runtime, change: Callable[[dict[str, Any]], None]) -> None:
        assert runtime.run(["true"], change).code == 0
