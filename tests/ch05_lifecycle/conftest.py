"""Containers that outlive the command that made them: the engine as chapter 5 has it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import leaks
from tests.support.engines import Engine
from tests.support.hosts import Word, finish
from tests.support.polling import eventually


class Keeper:
    """An engine whose containers stay. What a test starts is removed after it; nothing else may be left."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        engine.flags.clear()
        self.raw = engine.raw
        self.root = engine.host.root

    def start(self, command: list[str], *flags: Word, image: str = "busybox") -> str:
        """`run -d`; the id."""
        return self.raw("run", "-d", *flags, image, *command).text

    def sh(self, script: str, *flags: Word) -> str:
        return self.start(["sh", "-c", script], *flags)

    def inspect(self, container: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw("inspect", container).text)[0]
        return as_chapter_5(found) if self.engine.is_full else found

    def status(self, container: str) -> dict[str, Any]:
        state: dict[str, Any] = self.inspect(container)["state"]
        return state

    def waits_until_it_runs(self, container: str) -> None:
        """What runs in the foreground may have printed something before its engine has written down that it runs."""
        eventually(lambda: self.status(container)["status"] == "running", "that it runs")

    def is_empty(self) -> bool:
        """Whether neither a container nor a name is left; the name goes last."""
        return self.ids() == [] and os.listdir(self.root / "names") == []

    def remove(self, *ids: str) -> None:
        """`rm -f`, while we reap: the orphans of killed engines are our children in tests, and as long as one is a
        zombie, its pid namespace does not end. Elsewhere the machine's init sees to that."""
        started = self.engine.host.spawn(self.engine.command_line("rm", "-f", *ids))

        def has_ended() -> bool:
            leaks.reap_orphans_but([started.pid])
            return started.poll() is not None

        eventually(has_ended, "the removal")
        result = finish(started)
        assert result.code == 0, result

    def ids(self) -> list[str]:
        path = self.root / "containers"
        return sorted(os.listdir(path)) if path.exists() else []


def as_chapter_5(found: dict[str, Any]) -> dict[str, Any]:
    """What the full engine's `inspect` says, which has Docker's shape."""
    names = {"status": "Status", "pid": "Pid", "exit_code": "ExitCode", "out_of_memory": "OOMKilled", "error": "Error"}
    names |= {"started": "StartedAt", "finished": "FinishedAt"}
    state = {ours: found["State"][dockers] for ours, dockers in names.items()}
    return {
        "id": found["Id"],
        "name": found["Name"].removeprefix("/"),
        "state": {**state, "restarts": found["RestartCount"]},
        "settings": {"command": [found["Path"], *found["Args"]]},
    }


@pytest.fixture
def keeper(engine: Engine) -> Iterator[Keeper]:
    keeper = Keeper(engine)
    yield keeper
    if ids := keeper.ids():
        keeper.remove(*ids)
    assert keeper.raw("ps", "-a", "-q").text == ""
