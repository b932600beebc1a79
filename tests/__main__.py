"""`python3 -m tests`: the whole suite, as `make test` runs it, in three lanes at a time.

Tests marked `kernel` use the machine: half of them have its cgroups for themselves, and the other half has cgroups of
its own (lane.py). All others need nothing of it. What a lane says comes when those before it have ended.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from typing import IO

from ch02_namespaces import cgroups
from ch03_run.clean_host import remove_if_empty
from ch07_practice.oci import resources
from tests import lane
from tests.support.polling import PATIENCE

FIRST_HALF = [
    *("tests/ch02_namespaces", "tests/ch03_run", "tests/ch04_images", "tests/ch05_lifecycle", "tests/labs"),
    *("tests/ch07_practice/test_oci.py", "tests/test_lessons.py"),
]
PYTEST = [sys.executable, "-m", "pytest", "--durations=20", "--durations-min=5", "-m"]


def main() -> int:
    """The exit code: 0 if all tests pass."""
    second_half = [f"--ignore={directory}" for directory in FIRST_HALF]
    own_group = f"{lane.PREFIX}{os.getpid()}"  # another suite may run at the same time
    lane.remove_abandoned()
    with contextlib.ExitStack() as stack:
        for parent in (cgroups.PARENT, resources.PARENT):
            stack.callback(remove_if_empty, [f"{root}/{parent}" for root in lane.roots()])
        stack.callback(lane.remove, own_group, PATIENCE)
        lines = [
            [sys.executable, "-m", "tests.lane", own_group, *PYTEST, "kernel", *second_half],
            [*PYTEST, "not kernel"],
        ]
        beside = [Beside(line, stack.enter_context(tempfile.TemporaryFile())) for line in lines]
        for one in beside:
            stack.callback(one.process.wait)
        code = subprocess.run([*PYTEST, "kernel", *FIRST_HALF], check=False).returncode
        return max([code, *(one.finish() for one in beside)])


class Beside:
    """A lane that runs while we do something else. said: where it writes meanwhile."""

    def __init__(self, words: list[str], said: IO[bytes]) -> None:
        self._said = said
        self.process = subprocess.Popen(words, stdout=said, stderr=subprocess.STDOUT)

    def finish(self) -> int:
        """Wait for its end and print what it has said; its exit code."""
        code = self.process.wait()
        self._said.seek(0)
        sys.stdout.buffer.write(self._said.read())
        sys.stdout.flush()
        return code


if __name__ == "__main__":
    sys.exit(main())
