"""Run the console blocks of a lesson."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ch02_namespaces import cgroups

SCRIPT = 'ip link set lo up && mkdir -p /run/netns && mount -t tmpfs none /run/netns && exec "$@"'
HOST = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", SCRIPT, "host"]
"""A network, mounts and processes of its own for a lesson: whatever happens, what it started ends with it."""
TOP = Path(__file__).parents[2]
SECONDS_A_STEP = 60


def play(readme: str | Path, watch: bool) -> int:
    """Type every console block of a README, in order, in one shell at the top of the repo; 0 if all answered as told.

    The engine's state is kept in a directory that goes with the lesson.
    watch: print the steps and their answers as they come.
    """
    with tempfile.TemporaryDirectory(prefix="mydocker-lesson-") as state:
        return _play(readme, watch, state)


def _play(readme: str | Path, watch: bool, state: str) -> int:
    programs = Path(sys.executable).parent
    command = [str(programs / "byexample"), "-l", "shell", "--timeout", str(SECONDS_A_STEP), "--diff", "ndiff"]
    command += ["--options", "+norm-ws", "--pretty", "none"]  # column widths differ between machines
    if watch:
        command += ["--ff", "--no-progress-bar", "--modules", str(TOP / "tests/lessons/watch")]
    conditions = {f"on_v{number}": "yes" if number in versions_of_limits() else "" for number in (1, 2)}
    command += ["--capture-env-var", ",".join(conditions)]  # what steps may ask for: `+if=on_v2`
    environment = (
        os.environ
        | conditions
        | {
            "PATH": f"{programs}:{os.environ['PATH']}:/usr/sbin:/sbin",
            "LC_ALL": "C.UTF-8",
            "SHELL": "/bin/sh",
            "MYDOCKER_ROOT": state,
        }
    )
    return subprocess.run([*HOST, *command, str(readme)], cwd=TOP, env=environment, stdin=subprocess.DEVNULL).returncode


def versions_of_limits() -> set[int]:
    """The cgroup versions on which this machine has the memory controller: one, or none."""
    return {hierarchy.number() for hierarchy in cgroups.hierarchies() if "memory" in hierarchy.controllers}
