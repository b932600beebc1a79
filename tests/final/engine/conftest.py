"""The full engine as a user of Docker has it: its own commands and flags."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ch04_images import images
from tests.support.engines import Engine, state_root
from tests.support.hosts import Host, Word
from tests.support.networks import NetKeeper
from tests.support.polling import eventually

PYTHON = [os.path.realpath(sys.executable), "-IS", "-c"]


class Box(NetKeeper):
    """The full engine on a host of its own. What a test makes is removed after it; nothing else may be left."""

    def __call__(self, *words: Word, **options: Any) -> str:
        """What a command prints; it must succeed."""
        return self.raw(*words, **options).text

    def lines(self, *words: Word) -> list[str]:
        return self(*words).splitlines()

    def once(self, script: str, *flags: Word, image: str = "busybox") -> str:
        """What a shell script prints in a container that is removed afterwards, and has no network."""
        return self("run", "--rm", "--net", "none", *flags, image, "sh", "-c", script)

    def python(self, script: str, *flags: Word) -> str:
        """What Python code prints in a container: this machine's Python, brought in by volumes."""
        places = [name for name in ("/usr", "/lib", "/lib64") if os.path.isdir(name)]
        volumes = [word for name in places for word in ("-v", f"{name}:{name}:ro")]
        return self("run", "--rm", "--net", "none", *volumes, *flags, "busybox", *PYTHON, script)

    def sleeper(self, name: str, *flags: Word) -> str:
        """A container that sleeps, and has no network; its id."""
        return self.start(["sleep", "1000"], "--net", "none", "--name", name, *flags)

    def show(self, name: str, template: str) -> str:
        """`inspect -f`."""
        return self("inspect", "-f", template, name)

    def known(self, name: str, *flags: Word) -> dict[str, Any]:
        """`inspect`."""
        found: dict[str, Any] = json.loads(self("inspect", *flags, name))[0]
        return found

    def image(self, name: str, **config: Any) -> None:
        """An image of busybox's files that is run in another way."""
        with state_root(self.root):
            busybox = images.find("busybox")
            changed = {**busybox.config, **config}
            images.put(images.Image(f"{name}:latest", busybox.layers, changed, busybox.size, busybox.created))

    def has_ended(self, name: str) -> None:
        """Wait until a container has ended."""
        eventually(lambda: self.show(name, "{{.State.Status}}") == "exited", f"the end of {name}")


@pytest.fixture
def box(host: Host, tmp_path: Path) -> Iterator[Box]:
    """The full engine; what a test leaves is removed, and then there must be nothing."""
    files = tmp_path / "files"
    files.mkdir()
    box = Box(Engine("final", host, files))
    yield box
    box.remove_all()
    assert box("ps", "-a", "-q") == ""
    box.prune()
    assert box.lines("network", "ls", "-q") == []
    box("volume", "prune", "-a", "-f")
    assert box.lines("volume", "ls", "-q") == []
    assert box.devices() == ["lo"]
