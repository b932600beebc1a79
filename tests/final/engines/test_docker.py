"""What docker alone has. Book section 7.5."""

from __future__ import annotations

import pytest

from tests.final.engines.docker_like import Docker
from tests.support.polling import eventually

pytestmark = [pytest.mark.kernel, pytest.mark.parametrize("manager", ["docker"], indirect=True)]


def test_it_reads_our_version(manager: Docker) -> None:
    components = manager("version", "--format", "{{range .Server.Components}}{{.Name}} {{.Version}}, {{end}}").text
    assert "mydocker 0." in components


def test_a_restart_policy(manager: Docker) -> None:
    manager.start("box", "sh", "-c", "echo up; exit 3", flags=("--restart", "on-failure:2"))
    eventually(lambda: manager("logs", "box").text.split() == ["up"] * 3, "two more starts")
    eventually(lambda: manager.status("box") == "exited", "its end")
    assert manager("inspect", "-f", "{{.RestartCount}} {{.State.ExitCode}}", "box").text == "2 3"


def test_who_was_killed_at_his_limit_is_known(manager: Docker) -> None:
    manager.start("box", "tail", "/dev/zero", wishes=("limit",))
    eventually(lambda: manager.status("box") == "exited", "its end")
    assert manager("inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}}", "box").text == "true 137"


def test_an_init(manager: Docker) -> None:
    assert manager.run("cat", "/proc/1/cmdline", flags=("--init",)).text.startswith("/sbin/docker-init\0")


def test_a_health_check(manager: Docker) -> None:
    flags = ("--health-cmd", "test -e /tmp/well", "--health-interval", "100ms", "--health-retries", "1")
    manager.start("box", "sleep", "1000", flags=flags)
    words = ("inspect", "-f", "{{.State.Health.Status}}", "box")
    eventually(lambda: manager(*words).text == "unhealthy", "a check that fails")
    assert manager.execute("box", "touch", "/tmp/well").code == 0
    eventually(lambda: manager(*words).text == "healthy", "a check that succeeds")


def test_its_own_filter_acts(manager: Docker) -> None:
    """It forbids what a container needs for a user namespace, with which it could try more of the kernel."""
    assert b"not permitted" in manager.run("unshare", "-U", "true").err
    assert manager.run("unshare", "-U", "true", wishes=("open",)).code == 0
