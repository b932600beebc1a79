"""`mydocker-runtime` in runc's place: the commands and flags that engines and people use of it."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ch04_images import busybox
from ch07_practice.oci.document import SPEC
from tests.ch07_practice.bundles import Runtime
from tests.support.engines import ENGINE_FAILED, fails
from tests.support.hosts import REPOSITORY, Host
from tests.support.leaks import cgroup_roots
from tests.support.ordinary_user import PYTHON, become, readable_engine

pytestmark = pytest.mark.kernel
SLEEP = ["sleep", "1000"]


@pytest.fixture
def runtime(host: Host, tmp_path: Path) -> Iterator[Runtime]:
    """A runtime; its containers are removed after the test."""
    runtime = Runtime(host, tmp_path, "final.runtime")
    yield runtime
    runtime.remove_all()


@pytest.fixture
def running(runtime: Runtime) -> Runtime:
    """A runtime with a container `box` that runs."""
    assert runtime.create("box", SLEEP).code == 0
    assert runtime.raw("start", "box").code == 0
    return runtime


@pytest.mark.parametrize(
    "words", [("checkpoint", "--help"), ("checkpoint", "box"), ("restore", "--image-path", "x", "box")]
)
def test_checkpoints_are_refused_clearly(runtime: Runtime, words: tuple[str, ...]) -> None:
    """podman asks by `--help` whether a runtime has them."""
    fails(runtime.raw(*words), ENGINE_FAILED, words[0], "cannot keep a running container")


def test_features(runtime: Runtime) -> None:
    found = json.loads(runtime.raw("features").text)
    assert found["ociVersionMax"] == SPEC
    assert {"rbind", "rro", "rslave", "nosuid"} <= set(found["mountOptions"])
    linux = found["linux"]
    assert "CAP_CHOWN" in linux["capabilities"] and "mount" in linux["namespaces"]
    assert "SCMP_ACT_NOTIFY" in linux["seccomp"]["actions"] and "SCMP_CMP_EQ" in linux["seccomp"]["operators"]
    assert not linux["intelRdt"]["enabled"]


def test_spec_for_an_ordinary_user(runtime: Runtime) -> None:
    """He is root in it, and only there."""
    if runtime.host.run([*become(65534), "unshare", "-U", "true"]).code:
        pytest.skip("an ordinary user cannot do that here")
    with tempfile.TemporaryDirectory() as top, readable_engine() as path:
        (Path(top) / "rootfs").mkdir()
        busybox.fill(f"{top}/rootfs")
        subprocess.run(["chown", "-hR", "65534:65534", top], check=True)
        ours = [*become(65534), "env", f"PYTHONPATH={path}", PYTHON, "-m", "final.runtime", "--root", f"{top}/state"]
        assert runtime.host.run([*ours, "spec", "--rootless", "--bundle", top], cwd="/").code == 0
        config = json.loads(Path(top, "config.json").read_text())
        config["process"] |= {"terminal": False, "args": ["sh", "-c", "id -u; hostname; touch /dev/shm/x"]}
        Path(top, "config.json").write_text(json.dumps(config))
        assert runtime.host.run([*ours, "run", "--bundle", top, "box"], cwd="/").text.split() == ["0", "box"]


def file_of(name: str, *others: str) -> str:
    """What a file of box's cgroup says, whichever version has it."""
    [found] = [
        path.read_text().strip()
        for root in cgroup_roots()
        for file in (name, *others)
        if (path := Path(root) / "mydocker-runtime/box" / file).exists()
    ]
    return found


def test_update_by_runcs_flags(running: Runtime) -> None:
    words = ("--cpu-share", "512", "--cpu-quota", "50000", "--memory", "48m", "--pids-limit", "33")
    assert running.raw("update", *words, "box").code == 0
    assert file_of("cpu.shares", "cpu.weight") in ("512", "20")
    assert file_of("memory.limit_in_bytes", "memory.max") == str(48 << 20)
    assert file_of("pids.max") == "33"
    assert running.raw("update", "--memory", "-1", "--memory-swap", "-1", "box").code == 0
    fails(running.raw("update", "--memory", "much", "box"), ENGINE_FAILED, "--memory much")


def test_exec_passes_descriptors_on(running: Runtime, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello")
    words = running.words("exec", "--preserve-fds", "1", "box", "sh", "-c", "cat <&3; ls /proc/self/fd | wc -l")
    script = 'exec 3< "$1"; shift; exec "$@"'
    assert running.host.run(["sh", "-c", script, "sh", f"{tmp_path}/file", *words], cwd=REPOSITORY).text == "hello5"


@pytest.mark.parametrize(("flag", "field"), [("--apparmor", "apparmorProfile"), ("--process-label", "selinuxLabel")])
def test_labels_of_exec(running: Runtime, flag: str, field: str) -> None:
    """On a kernel without such labels, the error names the field; one with them knows no such label."""
    assert running.raw("exec", flag, "", "box", "true").code == 0
    fails(running.raw("exec", flag, "no:such:label:s0", "box", "true"), ENGINE_FAILED)


def test_ps_and_events(running: Runtime) -> None:
    pid = running.state("box")["pid"]
    assert json.loads(running.raw("ps", "--format", "json", "box").text) == [pid]
    event = json.loads(running.raw("events", "--stats", "box").text)
    assert (event["type"], event["id"], event["data"]["pids"]["current"]) == ("stats", "box", 1)
