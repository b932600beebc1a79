"""Limits of an ordinary user's containers: they act below a group that is delegated to him. Section 2.2.3."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.final.rootless.conftest import User
from tests.support.engines import ENGINE_FAILED, fails
from tests.support.hosts import Result, Word

pytestmark = pytest.mark.kernel
ALONE = ("--net", "none")
TRY = "tail /dev/zero; echo $?; for i in $(seq 30); do sleep 100 & done"


class Session:
    """Commands of the user's, in the group of his session."""

    def __init__(self, user: User, top: str) -> None:
        self.user = user
        self.top = Path(top)

    def __call__(self, *words: Word) -> Result:
        enter = f'echo $$ > {self.top}/session/cgroup.procs; exec "$@"'
        return self.user.plain(["sh", "-c", enter, "sh", *self.user.words(*words)])


@pytest.fixture
def session(user: User, controllers: None, delegated: str) -> Session:
    return Session(user, delegated)


@pytest.mark.vm
def test_limits_act(session: Session) -> None:
    flags = ("-m", "32m", "--pids-limit", "20", "--cpus", "0.5", "--cpuset-cpus", "0")
    id = session("run", "-d", "--name", "c", *ALONE, *flags, "busybox", "sleep", "1000").text
    group = session.top / "mydocker" / id
    files = ("memory.max", "pids.max", "cpu.max", "cpuset.cpus")
    values = [(group / name).read_text().strip() for name in files]
    assert values == [str(32 << 20), "20", "50000 100000", "0"]
    tried = session("exec", "c", "sh", "-c", TRY)
    assert tried.out == b"137\n" and "can't fork" in tried.error
    assert "/ 32MiB" in session("stats", "--no-stream", "c").text
    assert session("update", "-m", "48m", "--memory-swap", "48m", "c").code == 0
    assert (group / "memory.max").read_text() == f"{48 << 20}\n"
    assert session("rm", "-f", "c").code == 0
    assert not group.exists()


@pytest.mark.vm
def test_without_delegation_they_are_refused(user: User) -> None:
    """Whatever cgroups the machine has."""
    for flag, value in (("-m", "64m"), ("--cgroup-parent", "elsewhere")):
        fails(user.run(*ALONE, flag, value, "busybox", "true"), ENGINE_FAILED, "delegated")
    assert user.run(*ALONE, "busybox", "echo", "runs").text == "runs"
    shown = user("info", "--format", "{{.CgroupDriver}} {{.MemoryLimit}} {{.PidsLimit}}")
    assert shown.text == "none false false"
    assert "without cgroups" in user("info").error


def test_what_nobody_counts_is_not_shown_as_nothing(user: User) -> None:
    assert user("run", "-d", "--name", "c", *ALONE, "busybox", "sleep", "1000").code == 0
    shown = user("stats", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}").text
    assert shown == "c -- -- / -- --"
    assert user("rm", "-f", "c").code == 0
