"""Real engines run containers with our runtime in place of runc. Book section 7.5."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ch03_run.launcher import write_launcher
from ch04_images import busybox
from tests.support.hosts import Host, Result

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(shutil.which("podman") is None, reason="podman is not installed"),
]
LIMITS = ["--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"]


class Podman:
    """podman with a store of its own and our runtime."""

    def __init__(self, host: Host, top: Path) -> None:
        self._host = host
        self.storage = top / "root"
        runtime = top / "mydocker-runtime"
        write_launcher("final.runtime", str(runtime))
        places = ["--root", str(self.storage), "--runroot", str(top / "run"), "--storage-driver", "overlay"]
        self._words = ["podman", *places, "--cgroup-manager", "cgroupfs", "--runtime", str(runtime)]
        rootfs = top / "rootfs"
        rootfs.mkdir()
        busybox.fill(str(rootfs))
        subprocess.run(["tar", "-C", str(rootfs), "-cf", str(top / "image.tar"), "."], check=True)
        assert self("import", str(top / "image.tar"), "busybox").code == 0

    def __call__(self, *words: str) -> Result:
        return self._host.run([*self._words, *words], cwd=self.storage.parent)  # conmon writes there

    def run(self, *words: str) -> Result:
        return self("run", *LIMITS, *words)


@pytest.fixture
def podman(host: Host) -> Iterator[Podman]:
    """Its containers are removed after the test, and the mount that it leaves."""
    with tempfile.TemporaryDirectory(prefix="podman-") as top:  # it takes no path of more than 50 characters
        podman = Podman(host, Path(top))
        yield podman
        assert podman("rm", "--all", "--force", "--time", "0").code == 0
        subprocess.run(["umount", str(podman.storage / "overlay")], stderr=subprocess.DEVNULL)


def test_a_life_under_podman(podman: Podman) -> None:
    id = podman.run("-d", "--name", "box", "busybox", "sleep", "1000").text
    assert podman("exec", "box", "hostname").text == id[:12]
    assert podman("exec", "-u", "7:8", "-e", "A=b", "box", "sh", "-c", "echo $A $(id -u):$(id -g)").text == "b 7:8"
    assert podman("exec", "box", "sh", "-c", "exit 9").code == 9
    assert "sleep 1000" in podman("top", "box").text
    assert podman("pause", "box").code == 0
    assert podman("inspect", "-f", "{{.State.Status}}", "box").text == "paused"
    assert podman("unpause", "box").code == 0
    assert podman("stop", "-t", "0", "box").code == 0
    assert podman("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "box").text == "exited 137"
    assert podman("start", "box").code == 0
    assert podman("rm", "--force", "--time", "0", "box").code == 0


def test_what_is_run_comes_back(podman: Podman) -> None:
    assert podman.run("--rm", "busybox", "sh", "-c", "echo out; exit 7")[:2] == (7, b"out\n")
    assert podman.run("--rm", "busybox", "nosuch").code == 127
    assert podman.run("--rm", "busybox", "/etc/passwd").code == 126
    seen = podman.run(
        "--rm", "--read-only", "--cap-drop", "all", "busybox", "sh", "-c", "touch /x; grep CapEff /proc/1/status"
    )
    assert seen.text.endswith("0" * 16) and b"Read-only" in seen.err


def test_limits_of_podman_act(podman: Podman) -> None:
    """Whom the kernel kills is its choice: the one that takes too much, or the shell too."""
    script = "cat /dev/zero | head -c 100m | tail > /dev/null; test $? = 137 && exit 137"
    assert podman.run("--rm", "-m", "20m", "busybox", "sh", "-c", script).code == 137
