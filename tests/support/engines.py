"""The engine as a user has it: the command line of each chapter's increment."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.hosts import REPOSITORY, Host, Result, Word
from tests.support.terminals import Terminal

INCREMENTS = ("ch03_run", "ch04_images", "ch05_lifecycle", "ch06_network", "ch07_practice", "final")
HOST_ROOT = "ch03_run"  # the increment whose containers still see the host's files
SHARES = 12
ENGINE_FAILED, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127


def increments() -> list[str]:
    """The increments that exist."""
    return [name for name in INCREMENTS if (REPOSITORY / name / "cli.py").exists()]


def increments_from(first: str, test: str) -> list[str]:
    """What a test of a chapter has to pass on: that increment and the newest, and those between by turns, each with
    its share of the tests. MYDOCKER_TEST_INCREMENTS=all: on all of them; =newest: on that alone.

    Chapter 7 has no engine of its own: its programs run on that of chapter 6.
    """
    number = INCREMENTS.index(first)
    until = [name for name in increments() if INCREMENTS.index(name) <= number]
    later = [*until[-1:], *(name for name in increments() if INCREMENTS.index(name) > number)]
    wish = os.environ.get("MYDOCKER_TEST_INCREMENTS")
    if wish == "all" or len(later) == 1:
        return later
    if wish == "newest":
        return later[-1:]
    turn = zlib.crc32(test.encode()) % SHARES
    between = [name for number, name in enumerate(later[1:-1]) if number % SHARES == turn]
    return [later[0], *between, later[-1]]


class Engine:
    """`python3 -m INCREMENT ...` on a host. `run` takes the command that the container shall run, and then flags.

    From chapter 4 on, containers stand on the image busybox, and what they change is removed with them (--rm).
    """

    def __init__(self, increment: str, host: Host, files: Path) -> None:
        self.increment = increment
        self.host = host
        self.flags: list[Word] = []
        """What every `run` gets besides the flags of the test, such as --storage-driver."""
        self._files = files
        self._planted = False
        if not self.sees_host_files:
            self.flags.append("--rm")
            host.may_stay |= {"images", "layers"}
            if self.has_networks:
                self.flags += ["--net", "none"]  # tests of networks and of the lifecycle do without this
                host.may_stay |= {"networks", "runtime"}
            if self.is_full:
                host.may_stay |= {"events", "oci", "volumes"}
            from ch04_images import busybox  # not above: the lab of an earlier chapter goes without this one

            with state_root(host.root):
                busybox.make_image()

    @property
    def sees_host_files(self) -> bool:
        """Whether the container's root file system is the host's: Python and the like can be run inside."""
        return self.increment == HOST_ROOT

    @property
    def has_networks(self) -> bool:
        """Whether a container gets a network if nobody says otherwise."""
        return INCREMENTS.index(self.increment) >= INCREMENTS.index("ch06_network")

    @property
    def rights(self) -> list[Word]:
        """Flags for a container that may mount and rename its machine: the full engine gives less, as Docker does."""
        return ["--privileged"] if self.is_full else []

    @property
    def is_full(self) -> bool:
        """Whether it is the full engine, which runs its containers by the parts of the OCI runtime."""
        return self.increment == "final"

    def image(self) -> list[Word]:
        """What stands between flags and command: nothing in chapter 3, an image from chapter 4 on."""
        return [] if self.sees_host_files else ["busybox"]

    def plant(self, name: Word, content: bytes, mode: int = 0o755) -> bytes:
        """Put a file where the containers of this engine see it; its path inside."""
        self._planted = True
        path = os.path.join(os.fsencode(self._files), os.fsencode(name))
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, mode)
        return path

    def keep(self) -> None:
        """Let containers stay when they have ended; the test may leave them."""
        self.flags.remove("--rm")
        self.host.may_stay |= {"containers", "names"}

    def command_line(self, *arguments: Word) -> list[Word]:
        return [sys.executable, "-m", self.increment, *arguments]

    def run_words(self, command: Sequence[Word], *flags: Word) -> list[Word]:
        """The whole command line of a `run`."""
        volume: list[Word] = (
            ["-v", b"%b:%b" % (2 * (os.fsencode(self._files),))] if self._planted and self.image() else []
        )
        return self.command_line("run", *self.flags, *volume, *flags, *self.image(), *command)

    def raw(self, *arguments: Word, **options: Any) -> Result:
        """Any command line, also a wrong one."""
        return self.host.run(self.command_line(*arguments), **options)

    def kill_at(self, step: int, *arguments: Word, **options: Any) -> bool:
        """Run a command line whose process is killed at a certain step; False if it ended before. See kill_at.py."""
        from tests.support import kill_at  # not above: labs go without

        counter = self.host.root.with_suffix(".steps")
        kill_at.begin(counter)
        module: list[Word] = [sys.executable, "-m", "tests.support.kill_at", str(step), str(counter), self.increment]
        self.host.run([*module, *arguments], cwd=REPOSITORY, **options)
        return kill_at.has_killed(counter)

    def run(self, command: Sequence[Word], *flags: Word, **options: Any) -> Result:
        return self.host.run(self.run_words(command, *flags), **options)

    def sh(self, script: Word, *flags: Word, **options: Any) -> Result:
        """Run a shell script in a container."""
        return self.run(["sh", "-c", script], *flags, **options)

    def spawn(self, command: Sequence[Word], *flags: Word, **options: Any) -> subprocess.Popen[bytes]:
        """Start a container and go on; the streams are pipes unless told otherwise."""
        return self.host.spawn(self.run_words(command, *flags), **options)

    def pty(self, command: Sequence[Word], *flags: Word, **options: Any) -> Terminal:
        """Start a container on a terminal."""
        return Terminal(self.host, self.run_words(command, *flags), **options)


@contextlib.contextmanager
def state_root(root: Path) -> Iterator[None]:
    """Let the engine's own functions, called in this process, work on a host's state directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYDOCKER_ROOT", str(root))
        yield


def one_line(result: Result) -> str:
    """The error as the engine's contract wants it: one line on standard error that starts with its name."""
    lines = result.error.splitlines()
    assert len(lines) == 1, result.error
    assert lines[0].startswith("mydocker: "), result.error
    return lines[0]


def fails(result: Result, code: int, *words: str) -> str:
    """Assert that a command failed with this code and with a one-line error that has these words."""
    assert result.code == code, result
    line = one_line(result)
    for word in words:
        assert word in line
    return line
