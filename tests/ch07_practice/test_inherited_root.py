"""A container that lists no mount namespace has the runtime's: its root is a directory, its mounts are the host's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ch02_namespaces import syscalls
from tests.ch07_practice.bundles import Runtime
from tests.support import processes
from tests.support.engines import ENGINE_FAILED, NOT_FOUND, fails
from tests.support.hosts import finish
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel
SLEEP = ["sleep", "1000"]


def nothing_of_its_own(config: dict[str, Any]) -> None:
    config["linux"]["namespaces"] = []
    del config["hostname"]


def mounts_below(path: Path) -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {path}" in line]


def test_it_has_the_runtimes_namespaces_and_a_root_of_its_own(runtime: Runtime) -> None:
    kinds = ("cgroup", "ipc", "mnt", "pid", "user", "uts")
    links = [f"/proc/self/ns/{kind}" for kind in kinds]
    (runtime.rootfs / "own").touch()
    result = runtime.sh(f"cd ../..; ls /own; for n in {' '.join(links)}; do readlink $n; done", nothing_of_its_own)
    assert result.text.splitlines() == ["/own", *map(os.readlink, links)]


def test_the_host_sees_its_mounts_as_long_as_it_is_there(runtime: Runtime) -> None:
    def change(config: dict[str, Any]) -> None:
        nothing_of_its_own(config)
        config["mounts"].append({"destination": "/tmp/etc", "source": "/etc", "options": ["rbind", "ro"]})

    before = Path("/proc/self/mountinfo").read_text()
    assert runtime.create("box", SLEEP, change).code == 0
    assert runtime.raw("start", "box").code == 0
    assert mounts_below(runtime.rootfs / "proc") and (runtime.rootfs / "tmp/etc/passwd").exists()
    assert runtime.raw("delete", "--force", "box").code == 0
    assert Path("/proc/self/mountinfo").read_text() == before
    assert list((runtime.rootfs / "tmp").iterdir()) == [runtime.rootfs / "tmp/etc"]


def test_what_else_is_mounted_there_stays(runtime: Runtime) -> None:
    """The root file system may be a mount itself, and something may be mounted over the container's."""
    syscalls.mount(str(runtime.rootfs), str(runtime.rootfs), None, syscalls.MS_BIND)
    try:
        before = mounts_below(runtime.rootfs)
        assert runtime.run(["true"], nothing_of_its_own).code == 0
        assert mounts_below(runtime.rootfs) == before
        assert runtime.create("box", SLEEP, nothing_of_its_own).code == 0
        syscalls.umount(str(runtime.rootfs), syscalls.MNT_DETACH)
        assert runtime.raw("delete", "--force", "box").code == 0
        assert mounts_below(runtime.rootfs) == before
    finally:
        syscalls.umount(str(runtime.rootfs), syscalls.MNT_DETACH)


def test_a_create_that_fails_leaves_no_mount(runtime: Runtime) -> None:
    fails(runtime.create("box", ["nosuch"], nothing_of_its_own), NOT_FOUND, "nosuch")
    assert mounts_below(runtime.rootfs) == []


def test_a_create_that_is_killed_leaves_what_delete_finds(runtime: Runtime) -> None:
    def change(config: dict[str, Any]) -> None:
        nothing_of_its_own(config)
        config["hooks"] = {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "2"]}]}

    started = runtime.spawn("create", "--bundle", str(runtime.bundle(SLEEP, change)), "box")
    eventually(lambda: processes.descendants(started.pid) and mounts_below(runtime.rootfs), "the hook")
    started.kill()
    finish(started)
    assert runtime.raw("delete", "--force", "box").code == 0
    assert mounts_below(runtime.rootfs) == []


def test_links_of_the_root_lead_nowhere_outside(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (runtime.rootfs / "link").symlink_to(tmp_path / "outside")

    def change(config: dict[str, Any]) -> None:
        nothing_of_its_own(config)
        config["root"]["readonly"] = False
        config["mounts"].append({"destination": "/link/x", "type": "tmpfs", "source": "x"})

    assert runtime.run(["true"], change).code == 0
    assert list((tmp_path / "outside").iterdir()) == []


def test_it_may_pass_nothing_on(runtime: Runtime) -> None:
    """Nor does an ordinary container's root file system, where the host's mounts are shared."""
    syscalls.mount(str(runtime.rootfs), str(runtime.rootfs), None, syscalls.MS_BIND)
    syscalls.mount(None, str(runtime.rootfs), None, syscalls.MS_SHARED)
    try:
        assert runtime.create("box", SLEEP, nothing_of_its_own).code == 0
        [top] = [line for line in mounts_below(runtime.rootfs) if f" {runtime.rootfs} " in line][1:]
        assert "shared:" not in top
        assert runtime.raw("delete", "--force", "box").code == 0
        assert len(mounts_below(runtime.rootfs)) == 1
    finally:
        syscalls.umount(str(runtime.rootfs), syscalls.MNT_DETACH)


@pytest.mark.parametrize("runtime", ["final.runtime"], indirect=True)
def test_exec_is_in_the_same_root(runtime: Runtime) -> None:
    (runtime.rootfs / "own").touch()
    assert runtime.create("box", SLEEP, nothing_of_its_own).code == 0
    assert runtime.raw("start", "box").code == 0
    assert runtime.raw("exec", "box", "sh", "-c", "cd ../..; ls /own; ls own").text.split() == ["/own", "own"]


@pytest.mark.parametrize("runtime", ["final.runtime"], indirect=True)
def test_a_user_namespace_has_no_right_to_such_mounts(runtime: Runtime) -> None:
    def change(config: dict[str, Any]) -> None:
        nothing_of_its_own(config)
        mapping = [{"containerID": 0, "hostID": 100_000, "size": 65_536}]
        config["linux"] |= {"namespaces": [{"type": "user"}], "uidMappings": mapping, "gidMappings": mapping}

    fails(runtime.run(["true"], change), ENGINE_FAILED, "Operation not permitted")
    assert mounts_below(runtime.rootfs) == []
