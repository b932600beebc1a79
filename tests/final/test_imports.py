"""What each command of the runtime imports: nothing that it does not use, for that would make it slower."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from ch03_run.launcher import write_launcher
from tests.ch07_practice.bundles import Change, Runtime
from tests.support.hosts import Host
from tests.support.polling import eventually
from tests.test_architecture import CHAPTERS, HEAVY

pytestmark = pytest.mark.kernel

ALWAYS = {
    *("ch02_namespaces", "ch04_images", "ch05_lifecycle", "ch07_practice", "ch07_practice.oci", "final"),
    *("ch02_namespaces.command_line", "ch02_namespaces.errors", "ch02_namespaces.output", "ch02_namespaces.syscalls"),
    *("ch04_images.sealed", "ch04_images.state", "ch05_lifecycle.proc_stat"),
    *("ch07_practice.oci.cli", "ch07_practice.oci.document", "ch07_practice.oci.runtime", "ch07_practice.oci.state"),
    *("final.runtime", "final.runtime.cli", "final.runtime.flags"),
}
CGROUPS = {
    *("ch02_namespaces.cgroups", "ch02_namespaces.cgroup_v1", "ch02_namespaces.cgroup_v2"),
    *("ch02_namespaces.limits", "ch02_namespaces.locks", "ch02_namespaces.mountinfo"),
}
MORE = {
    "state": set[str](),
    "kill": {"ch05_lifecycle.signals"},
    "start": {"ch07_practice.oci.door", "ch07_practice.oci.sockets"},
    "delete": CGROUPS,
}
OF_CREATE = {
    *("ch04_images.filesystems", "ch07_practice.oci.create", "ch07_practice.oci.hooks", "ch07_practice.oci.mounts"),
    *("ch07_practice.oci.root", "final.runtime.devices", "final.runtime.paths", "final.runtime.resources"),
    *("final.runtime.runtime", "final.runtime.wishes"),
}
OF_EXEC = {"ch03_run.foreground", "ch03_run.terminal", "final.runtime.execute"}
SECCOMP = {"defaultAction": "SCMP_ACT_ALLOW"}
FIELDS: dict[str, tuple[str, str, Any]] = {
    "final.runtime.labels": ("process", "apparmorProfile", "unconfined"),
    "final.runtime.network_devices": ("linux", "netDevices", {"lo": {}}),
    "final.runtime.no_new_privileges": ("process", "noNewPrivileges", True),
    "final.runtime.oom_score": ("process", "oomScoreAdj", 1000),
    "final.runtime.memory_policy": ("linux", "memoryPolicy", {"mode": "MPOL_LOCAL"}),
    "final.runtime.personality": ("linux", "personality", {"domain": "LINUX"}),
    "final.runtime.rlimits": ("process", "rlimits", [{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 99}]),
    "final.runtime.scheduling": ("process", "ioPriority", {"class": "IOPRIO_CLASS_IDLE", "priority": 7}),
    "final.runtime.seccomp": ("linux", "seccomp", SECCOMP),
    "final.runtime.sysctl": ("linux", "sysctl", {"net.ipv4.ip_forward": "1"}),
    "final.runtime.time_offsets": ("linux", "timeOffsets", {"monotonic": {"secs": 1}}),
    "final.runtime.user_namespace": ("linux", "uidMappings", [{"containerID": 0, "hostID": 1, "size": 1}]),
}
"""Parts for what most documents leave out, and a field that asks for each, whether this machine can have it or not."""


class Watched(Runtime):
    """The program that users have, and what it imports."""

    def __init__(self, host: Host, top: Path) -> None:
        super().__init__(host, top, "final.runtime")
        program = str(top / "mydocker-runtime")
        write_launcher("final.runtime", program)
        python = [os.path.realpath(sys.executable), "-IS", "-X", "importtime"]
        self._program = [*python, program, "--root", str(self.root)]

    def modules(self, *words: str) -> set[str]:
        """Those of a command line: python(1), -X importtime."""
        said = self.raw(*words).err.decode()
        return {line.rpartition("|")[2].strip() for line in said.splitlines() if line.startswith("import time:")}

    def ours(self, *words: str) -> set[str]:
        return {name for name in self.modules(*words) if name.partition(".")[0] in CHAPTERS}


@pytest.fixture
def runtime(host: Host, tmp_path: Path) -> Watched:
    return Watched(host, tmp_path)


def plain(config: dict[str, Any]) -> None:
    """No field of those above."""
    for place, field, _ in FIELDS.values():
        config[place].pop(field, None)


def with_field(place: str, field: str, value: Any) -> Change:
    def change(config: dict[str, Any]) -> None:
        plain(config)
        config[place][field] = value

    return change


def test_commands_on_a_container_that_is_there(runtime: Watched) -> None:
    bundle = str(runtime.bundle(["sleep", "1000"], plain))
    created = runtime.modules("create", "--bundle", bundle, "box")
    assert created >= OF_CREATE
    assert not created & {*OF_EXEC, *FIELDS, *HEAVY}
    assert runtime.ours("state", "box") == ALWAYS
    assert runtime.ours("start", "box") == ALWAYS | MORE["start"]
    executed = runtime.modules("exec", "box", "true")
    assert executed >= OF_EXEC
    assert not executed & {*OF_CREATE, *FIELDS, *HEAVY}
    assert runtime.ours("kill", "box", "KILL") == ALWAYS | MORE["kill"]
    eventually(lambda: '"stopped"' in runtime.raw("state", "box").text, "the container ends")
    assert runtime.ours("delete", "box") == ALWAYS | MORE["delete"]


def test_run_is_create_start_and_delete(runtime: Watched) -> None:
    bundle = str(runtime.bundle(["true"], plain))
    imported = runtime.modules("run", "--bundle", bundle, "box")
    assert imported >= ALWAYS | OF_CREATE | MORE["start"] | MORE["delete"]
    assert not imported & {*OF_EXEC, *FIELDS, *HEAVY}


@pytest.mark.parametrize("module", FIELDS)
def test_a_part_is_imported_for_its_field(runtime: Watched, module: str) -> None:
    bundle = str(runtime.bundle(["true"], with_field(*FIELDS[module])))
    imported = runtime.modules("run", "--bundle", bundle, "box")
    assert imported & FIELDS.keys() == {module}


@pytest.mark.parametrize("words", [("state", "box"), ("start", "box"), ("delete", "box"), ("list",), ("--version",)])
def test_nothing_heavy(runtime: Watched, words: tuple[str, ...]) -> None:
    assert not runtime.modules(*words) & HEAVY
