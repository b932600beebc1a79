"""A container engine of others with our runtime in place of runc, and with everything of its own.

All are asked for the same, each in its own words; what a wish means, the table FLAGS of each says.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from tests.support import leaks
from tests.support.hosts import PATH, Host, Result
from tests.support.polling import eventually
from tests.support.terminals import Terminal

IMAGE = "busybox"
PARENT = "mydocker-engines"
"""The cgroup of all containers, below that of each hierarchy; its name is one that the leak check looks at."""


class Manager:
    """A container engine of others. top: its directory; runtime: the program that it shall call."""

    NEEDS: tuple[str, ...] = ()
    """Programs without which the tests are skipped."""
    FLAGS: ClassVar[dict[str, list[str]]] = {}
    """What `run` gets for a wish: read-only, no-chown, limit (20 MiB of memory), seccomp (the engine's own filter),
    open (no filter), terminal."""
    SHOWN_LIMIT = ""
    """20 MiB, as its statistics show it."""
    NOT_FOUND, NOT_EXECUTABLE = 127, 126
    """Exit codes of `run`."""

    def __init__(self, host: Host, top: Path, runtime: Path) -> None:
        self.host = host
        self.top = top
        self.runtime = runtime

    @classmethod
    def missing(cls) -> list[str]:
        """Programs that are not installed."""
        return [program for program in cls.NEEDS if shutil.which(program, path=PATH) is None]

    def begin(self, archive: Path) -> None:
        """Start its server, if it has one, and give it the image. archive: of `docker save`."""
        raise NotImplementedError

    def end(self) -> None:
        """Remove all containers and stop its server."""
        raise NotImplementedError

    def words(self, *words: str) -> list[str]:
        """A whole command line."""
        raise NotImplementedError

    def container(self, name: str, command: Sequence[str], flags: Sequence[str]) -> list[str]:
        """What stands behind `run`: flags, image and command."""
        raise NotImplementedError

    def exec_words(self, name: str, command: Sequence[str], *flags: str) -> list[str]:
        """The command line for one more process."""
        raise NotImplementedError

    def status(self, name: str) -> str:
        """running, paused, or another word."""
        raise NotImplementedError

    def kill(self, name: str) -> int:
        """End it; its exit code."""
        raise NotImplementedError

    def __call__(self, *words: str) -> Result:
        """Any command line, run to its end."""
        return self._run(self.words(*words))

    def _run(self, words: list[str], **options: Any) -> Result:
        return self.host.run(words, cwd=self.top, **options)  # conmon writes where it is

    def terminal(self, words: list[str]) -> Terminal:
        """A user at a terminal who types a whole command line."""
        return Terminal(self.host, words, cwd=self.top)

    def run_words(self, name: str, *command: str, wishes: Sequence[str] = (), flags: Sequence[str] = ()) -> list[str]:
        """The command line for a container in the foreground that is removed at its end."""
        return self.words("run", "--rm", *self.container(name, command, [*self._flags(wishes), *flags]))

    def run(self, *command: str, wishes: Sequence[str] = (), flags: Sequence[str] = ()) -> Result:
        """Run a container to its end."""
        return self._run(self.run_words("run", *command, wishes=wishes, flags=flags))

    def start(self, name: str, *command: str, wishes: Sequence[str] = (), flags: Sequence[str] = ()) -> None:
        """Start one in the background."""
        assert self("run", "-d", *self.container(name, command, [*self._flags(wishes), *flags])).code == 0

    def _flags(self, wishes: Sequence[str]) -> list[str]:
        return [flag for wish in wishes for flag in self.FLAGS[wish]]

    def execute(self, name: str, *command: str, flags: Sequence[str] = (), **options: Any) -> Result:
        """Run one more process in a container."""
        return self._run(self.exec_words(name, command, *flags), **options)

    def pause(self, name: str) -> Result:
        """Stop all its processes for a while."""
        return self("pause", name)

    def resume(self, name: str) -> Result:
        """Let them go on."""
        return self("unpause", name)

    def again(self, name: str) -> Result:
        """Start one that has ended."""
        return self("start", name)

    def remove(self, name: str) -> Result:
        """Remove one, and end it before."""
        return self("rm", "-f", name)

    def statistics(self, name: str) -> str:
        """What it uses, as a user sees it."""
        return self("stats", "--no-stream", name).text

    def processes(self, name: str) -> str:
        """What runs in it, as a user sees it."""
        return self("top", name).text


def remove_cgroups() -> None:
    """The group of all containers, which engines leave there, and in it that of podman's watchers and that of docker's
    builder. Those of containers must be gone."""
    ours = ("/conmon", "/buildkit", "")
    for directory in [f"{root}/{PARENT}{below}" for root in leaks.cgroup_roots() for below in ours]:
        eventually(partial(_is_removed, directory), f"the end of all processes in {directory}")


def _is_removed(directory: str) -> bool:
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError:  # a watcher is just ending
        return False
    return True
