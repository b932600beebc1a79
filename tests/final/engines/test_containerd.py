"""What containerd alone has. Book section 7.5."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.final.engines.containerd import Containerd
from tests.support import processes
from tests.support.polling import eventually

pytestmark = [pytest.mark.kernel, pytest.mark.parametrize("manager", ["containerd"], indirect=True)]
SLEEP = ("sleep", "1000")


def test_a_container_whose_shim_dies_ends(manager: Containerd) -> None:
    """containerd finds out, and calls `delete --force`."""
    manager.start("box", *SLEEP)
    pid = manager.pid("box")
    os.kill(int(processes.status(pid, "PPid")), signal.SIGKILL)
    eventually(lambda: not processes.is_alive(pid), "the end of its process")
    eventually(lambda: manager.status("box") == "none", "the end of its task")


def test_a_checkpoint_is_refused(manager: Containerd) -> None:
    manager.start("box", *SLEEP)
    result = manager("task", "checkpoint", "box")
    assert result.code != 0 and "cannot keep a running container in files" in result.error
    assert manager.status("box") == "running"


def test_a_root_file_system_without_an_image(manager: Containerd, archive: Path) -> None:
    container = manager.container("box", ["ls", "/bin/busybox"], ["--rootfs"], root=str(archive.parent / "rootfs"))
    assert manager("run", "--rm", *container).text == "/bin/busybox"


def test_a_network_namespace_of_the_host(manager: Containerd) -> None:
    """By its path, as CNI gives it."""
    join = ("--with-ns", f"network:{manager.host.network}")
    seen = manager.run("readlink", "/proc/self/ns/net", flags=join).text
    assert seen == os.readlink(manager.host.network)
