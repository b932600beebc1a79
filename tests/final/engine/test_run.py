"""Flags of `run` and `create`: what a container is told, whose namespaces it has, how it ends."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.final.engine.conftest import Box
from tests.support.engines import ENGINE_FAILED, NOT_FOUND, fails
from tests.support.hosts import Word
from tests.support.leaks import cgroups
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel


def test_entrypoint_and_command(box: Box) -> None:
    box.image("said", Entrypoint=["echo", "one"], Cmd=["two"])
    once = ["run", "--rm", "--net", "none"]
    assert box(*once, "said") == "one two"
    assert box(*once, "said", "three", "-n") == "one three -n"
    assert box(*once, "--entrypoint", "printf", "said", "x%s", "y") == "xy"
    assert box(*once, "--entrypoint", "", "said", "echo", "plain") == "plain"
    fails(box.raw(*once, "--entrypoint", "", "said"), ENGINE_FAILED, "no command")
    assert box.raw(*once, "--entrypoint", "nosuch", "said").code == NOT_FOUND
    box("create", "--name", "one", "--init", "--entrypoint", "printf", "said", "x%s", "y")
    assert box.show("one", "{{json .Config.Entrypoint}} {{json .Config.Cmd}} {{.Path}} {{.Args}}") == (
        '["printf"] ["x%s","y"] printf [x%s y]'
    )
    assert box("ps", "-a", "--no-trunc", "--format", "{{.Command}} {{.Mounts}}").strip() == '"printf x%s y"'


def test_init_is_pid_1_and_reaps(box: Box) -> None:
    box.sleeper("one", "--init")
    assert "init" in box.inside("one", "cat /proc/1/cmdline")
    box.inside("one", "(sleep 0.01 &) ; true")
    eventually(lambda: "Z" not in box.inside("one", "cat /proc/[0-9]*/stat | cut -d' ' -f3"), "no zombies")


def test_labels(box: Box, tmp_path: Path) -> None:
    file = tmp_path / "labels"
    file.write_text("# a comment\n\ntier=back\ncolour=red\nempty\n")
    box.image("labelled", Labels={"maker": "us", "tier": "none"})
    box("create", "--name", "one", "--label-file", str(file), "-l", "colour=blue", "--label", "x=a=b", "labelled", "sh")
    labels = {"maker": "us", "tier": "back", "colour": "blue", "empty": "", "x": "a=b"}
    assert json.loads(box.show("one", "{{json .Config.Labels}}")) == labels
    for wanted, found in (("tier", "one"), ("tier=back", "one"), ("tier=front", ""), ("x=a=b", "one"), ("y", "")):
        assert box("ps", "-a", "--filter", f"label={wanted}", "--format", "{{.Names}}") == found, wanted
    assert box("ps", "-a", "--filter", "label=tier", "--filter", "label=y", "-q") == ""
    assert box("ps", "-a", "--format", '{{.Label "colour"}}|{{.Label "nosuch"}}') == "blue|"
    fails(box.raw("run", "--label-file", "/nosuch", "busybox", "true"), ENGINE_FAILED, "/nosuch")


def test_cidfile(box: Box, tmp_path: Path) -> None:
    file = tmp_path / "id"
    once = ["run", "--rm", "--net", "none", "--cidfile", str(file), "busybox"]
    assert box(*once, "echo", "done") == "done"
    assert len(file.read_text()) == 64
    fails(box.raw(*once, "true"), ENGINE_FAILED, str(file))
    file.unlink()
    for detach in ([], ["-d"]):  # what could not start leaves neither container nor file
        assert box.raw("run", *detach, "--cidfile", str(file), "busybox", "nosuch").code == NOT_FOUND
        assert not file.exists() and box("ps", "-a", "-q") == ""
    fails(box.raw("run", "--cidfile", "/nosuch/id", "busybox", "true"), ENGINE_FAILED, "/nosuch/id")
    assert box.ids() == []
    id = box("create", "--name", "one", "--cidfile", str(file), "busybox")
    assert file.read_text() == id


def test_namespaces_of_the_host_and_of_others(box: Box) -> None:
    look = "for name in pid ipc uts net mnt cgroup; do readlink /proc/self/ns/$name; done"
    ours = {name: os.readlink(f"/proc/self/ns/{name}") for name in ("pid", "ipc", "uts", "cgroup")}
    ours["net"] = f"net:[{os.stat(box.engine.host.network).st_ino}]"

    def kinds(*flags: Word) -> dict[str, str]:
        found = box("run", "--rm", *flags, "busybox", "sh", "-c", look).split()
        return {text.partition(":")[0]: text for text in found}

    alone = kinds("--net", "none")
    assert not set(alone.values()) & set(ours.values())
    shared = kinds("--pid", "host", "--ipc", "host", "--uts", "host", "--net", "host")
    assert {name for name in ours if shared[name] == ours[name]} == {"pid", "ipc", "uts", "net"}
    box.sleeper("one", "--ipc", "shareable")
    theirs = dict(text.split(":", 1) for text in box.inside("one", look).split())
    joined = kinds("--pid", "container:one", "--ipc", "container:one", "--net", "container:one")
    assert {name for name in theirs if joined[name].endswith(theirs[name])} == {"pid", "ipc", "net"}
    assert "sleep 1000" in box("run", "--rm", "--net", "none", "--pid", "container:one", "busybox", "ps")
    assert box.once("hostname", "--uts", "host") == os.uname().nodename
    box("stop", "-t", "0", "one")
    for flag in ("--pid", "--ipc"):
        fails(box.raw("run", "--rm", flag, "container:one", "busybox", "true"), ENGINE_FAILED, "does not run")
        fails(box.raw("run", "--rm", flag, "container:nosuch", "busybox", "true"), ENGINE_FAILED, "nosuch")
    assert box.ids() == [box.show("one", "{{.Id}}")]


def test_cgroups(box: Box) -> None:
    flags = ["-m", "64m", "--memory-reservation", "32m", "--cpu-quota", "50000", "--cpu-period", "100000"]
    id = box.sleeper("one", *flags, "--pids-limit", "20", "--cgroup-parent", "/mydocker-test-parent")
    places = [Path(path) for path in cgroups() if path.endswith(f"/mydocker-test-parent/{id}")]
    assert places

    def reads(*names: str) -> str:
        return next(text for name in names for place in places if (text := read(place / name)))

    assert reads("memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert reads("memory.soft_limit_in_bytes", "memory.low") == str(32 << 20)
    assert reads("cpu.cfs_quota_us", "cpu.max").split()[0] == "50000"
    assert reads("pids.max") == "20"
    shape = "{{.HostConfig.CgroupParent}} {{.HostConfig.Memory}} {{.HostConfig.MemoryReservation}}"
    assert box.show("one", f"{shape} {{{{.HostConfig.CpuQuota}}}}").split() == [
        "mydocker-test-parent",
        str(64 << 20),
        str(32 << 20),
        "50000",
    ]
    box("pause", "one")
    assert box.show("one", "{{.State.Status}}") == "paused"
    box("rm", "-f", "one")
    assert not any(place.exists() for place in places)
    for place in places:
        place.parent.rmdir()  # the user's: the engine leaves it


def read(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


def test_stop_signal_and_timeout(box: Box) -> None:
    script = "trap 'exit 7' USR1; trap 'exit 8' TERM; echo up; while :; do sleep 0.02; done"
    for name, flags in (("one", ["--stop-signal", "USR1"]), ("two", []), ("three", ["--stop-signal", "SIGUSR1"])):
        box.sh(script, "--name", name, "--net", "none", *flags)
        eventually(lambda name=name: "up" in box("logs", name), "it is up")  # type: ignore[misc]
    box("stop", "one", "two")
    assert box.show("one", "{{.State.ExitCode}}") == "7" and box.show("two", "{{.State.ExitCode}}") == "8"
    assert box.show("three", "{{.Config.StopSignal}}") == "SIGUSR1"
    box("stop", "-s", "TERM", "three")
    assert box.show("three", "{{.State.ExitCode}}") == "8"
    box.sleeper("four", "--stop-timeout", "0")  # PID 1 that does not listen: killed at once, and not after ten seconds
    box("stop", "four")
    assert box.show("four", "{{.State.ExitCode}} {{.Config.StopTimeout}}") == "137 0"


def test_restart_policies(box: Box) -> None:
    box.sh("exit 3", "--name", "one", "--net", "none", "--restart", "on-failure:2")
    eventually(lambda: box.show("one", "{{.RestartCount}} {{.State.Status}}") == "2 exited", "two restarts")
    assert box.show("one", "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}") == (
        "on-failure 2"
    )
    box.sleeper("two", "--restart", "unless-stopped")
    box("kill", "two")
    box.has_ended("two")


def test_logs_have_a_limit(box: Box) -> None:
    box.sh("seq 1 200000", "--name", "one", "--net", "none", "--log-opt", "max-size=20k", "--log-opt", "max-file=2")
    box.has_ended("one")
    lines = box.lines("logs", "one")
    assert lines[-1] == "200000" and len(lines) < 100_000
    config = box.show("one", "{{json .HostConfig.LogConfig}}")
    assert json.loads(config) == {"Type": "json-file", "Config": {"max-size": "20480", "max-file": "2"}}


def test_pull_and_platform(box: Box) -> None:
    fails(box.raw("run", "--rm", "--pull", "never", "nosuch", "true"), ENGINE_FAILED, "nosuch", "there is none")
    fails(box.raw("run", "--rm", "127.0.0.1:1/nosuch", "true"), ENGINE_FAILED, "127.0.0.1:1")
    fails(box.raw("run", "--rm", "--pull", "always", "127.0.0.1:1/busybox", "true"), ENGINE_FAILED, "127.0.0.1:1")
    fails(box.raw("run", "--rm", "--platform", "linux/s390x", "--pull", "never", "busybox", "true"), ENGINE_FAILED)
    machine = box("version", "--format", "{{.Server.Arch}}")
    assert box.once("echo ran", "--platform", f"linux/{machine}", "--pull", "never") == "ran"
    assert box.ids() == []


WRONG: dict[str, str] = {
    "--cap-add NOSUCH": "NOSUCH",
    "--cap-drop cap_": "no capability",
    "--ulimit nofile": "no limit",
    "--ulimit nofile=x": "x",
    "--ulimit nofile=9:8": "higher",
    "--ulimit nosuch=1": "nosuch",
    "--ulimit nofile=-5": "negative",
    "--device nosuch": "no device",
    "--device /dev/null:/dev/x:rwx": "no device",
    "--device /etc": "no device",
    "--device /dev/nosuch": "nosuch",
    "--security-opt nosuch": "nosuch",
    "--security-opt seccomp=": "seccomp",
    "--sysctl x": "x",
    "--oom-score-adj 1001": "1000",
    "--oom-score-adj x": "x",
    "--cgroup-parent ../../x": "cgroup",
    "--cgroup-parent /": "cgroup",
    "--pid x": "host",
    "--pid container:": "container:NAME",
    "--ipc x": "x",
    "--uts container:x": "host",
    "--uts host --hostname x": "--hostname",
    "--net host --net bridge": "other networks",
    "--net none -p 80:80": "no network of its own",
    "--pull sometimes": "sometimes",
    "--platform /": "/",
    "--log-opt max-size=x": "x",
    "--log-opt max-file=0": "max-file",
    "--log-opt nosuch=1": "nosuch",
    "--log-driver syslog": "syslog",
    "--stop-timeout -3": "-3",
    "--stop-timeout nan": "nan",
    "--stop-signal NOSUCH": "NOSUCH",
    "--restart nosuch": "nosuch",
    "--restart on-failure:x": "x",
    "--rm --restart always": "--restart",
    "--cpus 0.5 --cpu-quota 50000": "--cpu-quota",
    "--cpus 0.5 --cpu-period 50000": "--cpu-period",
    "--cpu-period 10": "1000",
    "--cpu-quota 10": "1000",
    "--cpu-rt-runtime 0": "0",
    "--cpuset-mems 4096": "mems",
    "--memory-swappiness 101": "100",
    "--oom-kill-disable": "-m",
    "--blkio-weight 5": "10",
    "--blkio-weight-device /dev/null:100": "block device",
    "--device-read-bps /dev/nosuch:1m": "/dev/nosuch",
    "--device-read-bps sda:1m": "/dev/sda",
    "--device-write-iops /dev/null": "/dev/null",
    "--device-cgroup-rule c": "rule",
    "--cgroupns shared": "shared",
    f"--domainname {'x' * 65}": "64",
    "--uts host --domainname x": "--domainname",
    "--attach stderr": "2>/dev/null",
    "--attach nosuch": "stdin",
    "--runtime runc": "mydocker-runtime",
    "--volume-driver nfs": "local",
    "--sig-proxy=false": "-d",
    "--disable-content-trust=false": "signatures",
    "--gpus all": "--device",
    "--link db": "--network",
    "--mac-address 02:42:ac:11:00:02": "--ip",
    "--kernel-memory 1m": "given it up",
    "--detach-keys ctrl-x": "ctrl-p ctrl-q",
    "--storage-opt size=1g": "no options",
    "--cpus nan": "nan",
    "--cpu-shares 1": "2",
    "-m 1m": "6m",
    "-m 64m --memory-swap 32m": "smaller",
    "--memory-swap 64m": "-m",
    "-m 64m --memory-reservation 65m": "more than",
    "--shm-size x": "x",
    "--shm-size -1": "negative",
    "-v /a:/b:rx": "rx",
    "-v /a:/b:ro,rw": "either",
    "-v /a:b": "absolute",
    "-v /a:/": "root itself",
    "-v a/b:/c": "a/b",
    "-v :/c": "no volume",
    "-v /a:/c -v /b:/c/": "two volumes",
    "--tmpfs x": "absolute",
    "--tmpfs /x:nosuch": "nosuch",
    "--mount type=nosuch,target=/x": "nosuch",
    "--mount type=bind,source=/nosuch,target=/x": "/nosuch",
    "--mount type=bind,target=/x": "source",
    "--mount type=volume,source=a": "absolute",
    "--mount type=volume,source=a,target=/x,volume-subpath=y": "volume-subpath",
    "--mount type=volume,source=a,target=/x,readonly=perhaps": "perhaps",
    "--mount type=tmpfs,source=a,target=/x": "source",
    "--mount type=tmpfs,target=/x,tmpfs-size=x": "x",
    "--mount type=tmpfs,target=/x,tmpfs-mode=9": "9",
    "--mount type=bind,source=/tmp,target=/x,bind-propagation=x": "propagation",
    "--name a/b": "a/b",
    "--workdir relative": "relative",
    f"--hostname {'x' * 65}": "64",
    "--label =x": "no name",
    "--env-file /nosuch": "/nosuch",
    "--group-add": "value",
    "--nosuch": "--nosuch",
    "--storage-driver nosuch": "nosuch",
}


IN_ONE_PROCESS = """
import os, sys
from final.cli import main
for line in sys.argv[1:]:
    code = main(line.split(" "))
    os.write(2, f"exit code {code}\\n".encode())
"""
"""Many command lines: each would take most of its time to start."""


def test_wrong_values_are_one_line_and_leave_nothing(box: Box) -> None:
    lines = [f"run {words}" if words.endswith("--group-add") else f"run {words} busybox true" for words in WRONG]
    told = box.engine.host.python(IN_ONE_PROCESS, *lines).error.splitlines()
    assert len(told) == 2 * len(WRONG), told
    for (words, expected), error, code in zip(WRONG.items(), told[::2], told[1::2], strict=True):
        assert error.startswith("mydocker: ") and expected in error, words
        assert code == f"exit code {ENGINE_FAILED}", words
    assert box.ids() == []
    assert box.lines("volume", "ls", "-q") == []
