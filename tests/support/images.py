"""Images of real programs: chapter 7's scripts make them of the distribution's packages, once."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

import pytest

from tests.support.hosts import REPOSITORY

SECONDS = 900
UNREACHABLE = ("Failed to fetch", "Temporary failure resolving", "Could not connect")


def archive(script: str) -> str:
    """The path of the archive that a script below ch07_practice makes; the test is skipped where that takes a network
    that is not there."""
    made = run_once(script)
    skip_without_mirror(made)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def skip_without_mirror(made: subprocess.CompletedProcess[str]) -> None:
    """Skip the test if the script has failed for want of a network."""
    if made.returncode and any(words in made.stderr for words in UNREACHABLE):
        pytest.skip("no mirror of packages can be reached")


@functools.cache
def run_once(script: str) -> subprocess.CompletedProcess[str]:
    """Run it, and know for the rest of the session how it has ended: a mirror that is not there is waited for once."""
    return subprocess.run([REPOSITORY / "ch07_practice" / script], capture_output=True, text=True, timeout=SECONDS)


def make_those_of(lesson: Path) -> None:
    """Make the images of a lesson, which itself is played without a network."""
    for script in sorted(lesson.parent.glob("build*.sh")):
        archive(f"{lesson.parent.name}/{script.name}")
