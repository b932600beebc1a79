"""What podman alone has. Book section 7.5."""

from __future__ import annotations

import pytest

from tests.final.engines.docker_like import Podman
from tests.final.engines.manager import PARENT

pytestmark = [pytest.mark.kernel, pytest.mark.parametrize("manager", ["podman"], indirect=True)]


def test_a_checkpoint_is_refused(manager: Podman) -> None:
    manager.start("box", "sleep", "1000")
    result = manager("container", "checkpoint", "box")
    assert result.code != 0
    assert "checkpoint" in result.error or "CRIU" in result.error
    assert manager.status("box") == "running"


def test_the_flag_for_systemd_does_no_harm_to_a_plain_path(manager: Podman) -> None:
    container = manager.container("run", ["cat", "/proc/self/cgroup"], [])
    assert f"/{PARENT}/libpod-" in manager("--runtime-flag", "systemd-cgroup", "run", *container).text
