"""What docker and podman can do besides, in the same words. Book section 7.5."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.final.engines.docker_like import DockerLike
from tests.support.polling import eventually

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.parametrize("manager", ["podman", "docker"], indirect=True),
]
SLEEP = ("sleep", "1000")
POLITE = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.02; done"


def test_stop_restart_and_logs(manager: DockerLike) -> None:
    manager.start("box", "sh", "-c", POLITE)
    eventually(lambda: "up" in manager("logs", "box").text, "its first word")
    assert manager("stop", "box").code == 0
    assert manager("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "box").text == "exited 3"
    assert manager("restart", "box").code == 0
    eventually(lambda: manager("logs", "box").text.split() == ["up", "bye", "up"], "its log")


def test_who_and_where(manager: DockerLike) -> None:
    script = "id -u; id -g; pwd; echo $A $HOME; hostname"
    flags = ("-u", "65534:8", "-w", "/usr", "-e", "A=x y")
    seen = manager.run("sh", "-c", script, flags=(*flags, "--hostname", "web")).text
    assert seen.splitlines() == ["65534", "8", "/usr", "x y /home", "web"]
    manager.start("box", *SLEEP)
    seen = manager.execute("box", "sh", "-c", script, flags=["-u", "7:8", "-w", "/tmp", "-e", "A=x y"]).text
    assert seen.splitlines()[:4] == ["7", "8", "/tmp", "x y /"]


def test_volumes(manager: DockerLike, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello\n")
    flags = ("-v", f"{tmp_path}:/data", "-v", f"{tmp_path}:/fixed:ro", "--tmpfs", "/t:size=1m")
    result = manager.run("sh", "-c", "cat /data/file; echo x > /fixed/y; echo new > /data/z; df -k /t", flags=flags)
    assert result.out.startswith(b"hello\n") and b" 1024 " in result.out
    assert b"Read-only" in result.err
    assert [path.name for path in tmp_path.iterdir() if path.name in "yz"] == ["z"]


def test_limits(manager: DockerLike) -> None:
    script = "nproc; ulimit -n; sleep 5 & sleep 5 & sleep 5 & sleep 5 & sleep 5 & sleep 5 &"
    result = manager.run("sh", "-c", script, flags=("--pids-limit", "5", "--cpuset-cpus", "0"))
    assert result.out.startswith(b"1\n")
    assert b"can't fork" in result.err


def test_limits_of_one_that_runs(manager: DockerLike) -> None:
    manager.start("box", *SLEEP)
    assert manager("update", "--memory", "50m", "--memory-swap", "50m", "box").code == 0
    files = "/sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes"
    assert manager.execute("box", "sh", "-c", f"cat {files} 2> /dev/null; true").text == str(50 << 20)


def test_namespaces_of_another(manager: DockerLike) -> None:
    manager.start("box", *SLEEP)
    command = ("sh", "-c", "readlink /proc/self/ns/pid; readlink /proc/self/ns/ipc")
    its_own = manager.execute("box", *command).text.split()
    assert manager.run(*command, flags=["--pid", "container:box"]).text.split()[0] == its_own[0]
    assert not set(manager.run(*command).text.split()) & set(its_own)
