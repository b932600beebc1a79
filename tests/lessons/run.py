"""Run the console blocks of a lesson."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ch02_namespaces import cgroups

SCRIPT = 'ip link set lo up && mount -t tmpfs none /run && mkdir /run/netns && exec "$@"'
HOST = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", SCRIPT, "host"]
"""A network, mounts and processes of its own for a lesson: whatever happens, what it started ends with it."""
TOP = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent
PATH = f"{PROGRAMS}:{os.environ['PATH']}:/usr/sbin:/sbin"
SECONDS_A_STEP = 60


def lessons_of(chapter: Path) -> list[Path]:
    """The pages of a chapter, in order: the parts that its README leads to, which lie below it, and then itself."""
    readme = chapter / "README.md"
    parts = re.findall(r"\]\((\w+/README\.md)\)", readme.read_text())
    return [*(chapter / part for part in dict.fromkeys(parts)), readme]


def play(readme: str | Path, watch: bool) -> int:
    """Type every console block of a README, in order, in one shell at the top of the repo; 0 if all answered as told.

    The engine's state is kept in a directory that goes with the lesson.
    watch: print the steps and their answers as they come.
    """
    with tempfile.TemporaryDirectory(prefix="mydocker-lesson-") as state:
        return _play(readme, watch, state)


def _play(readme: str | Path, watch: bool, state: str) -> int:
    command = [str(PROGRAMS / "byexample"), "-l", "shell", "--timeout", str(SECONDS_A_STEP), "--diff", "ndiff"]
    command += ["--options", "+norm-ws", "--pretty", "none"]  # column widths differ between machines
    if watch:
        command += ["--ff", "--no-progress-bar", "--modules", str(TOP / "tests/lessons/watch")]
    conditions = {name: "yes" if is_met else "" for name, is_met in conditions_met().items()}
    command += ["--capture-env-var", ",".join(conditions)]  # what steps may ask for: `+if=on_v2`
    environment = (
        os.environ
        | conditions
        | {
            "PATH": PATH,
            "LC_ALL": "C.UTF-8",
            "SHELL": "/bin/sh",
            "MYDOCKER_ROOT": state,
        }
    )
    return subprocess.run([*HOST, *command, str(readme)], cwd=TOP, env=environment, stdin=subprocess.DEVNULL).returncode


def conditions_met() -> dict[str, bool]:
    """What a step may need: limits on a version of cgroups, other people's programs."""
    programs = {
        "has_containerd": ("containerd", "ctr"),
        "has_runc": ("runc", "strace"),
        "has_registry": ("docker-registry",),
    }
    return {
        **{f"on_v{number}": number in versions_of_limits() for number in (1, 2)},
        **{name: all(shutil.which(program, path=PATH) for program in needed) for name, needed in programs.items()},
    }


def versions_of_limits() -> set[int]:
    """The cgroup versions on which this machine has the memory controller: one, or none."""
    return {hierarchy.number() for hierarchy in cgroups.hierarchies() if "memory" in hierarchy.controllers}
