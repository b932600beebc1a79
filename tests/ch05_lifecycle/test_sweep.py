"""Commands sweep away what killed ones left, while others are at work: nothing that is whole may go."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ch02_namespaces.errors import EngineError
from ch04_images import containers, state
from ch05_lifecycle import names
from tests.ch05_lifecycle.conftest import Keeper
from tests.support.engines import state_root
from tests.support.hosts import finish

MANY, AT_A_TIME = 120, 4


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    with state_root(tmp_path / "root"):
        yield tmp_path / "root"


def test_one_that_was_being_made_when_it_was_seen(store: Path) -> None:
    """A sweep sees a half-made directory, and comes back to it when the container is whole and its maker has gone."""
    id = state.new_id()
    os.makedirs(store / "containers" / id)
    [seen] = containers.unfinished()
    made, held = containers.create(state.new_id(), "none", [], "overlay", temporary=False)
    os.rmdir(store / "containers" / id)
    os.rename(made.path(), store / "containers" / id)
    os.close(held)
    assert not containers.remove(seen, whole=False)
    assert [record.id for record in containers.every()] == [id]
    assert containers.remove(seen)
    assert containers.every() == []


@pytest.mark.kernel
def test_many_made_at_a_time_are_all_there(keeper: Keeper) -> None:
    words = keeper.engine.command_line("create", "busybox", "true")
    made: list[str] = []
    for _ in range(MANY // AT_A_TIME):
        started = [keeper.engine.host.spawn(words) for _ in range(AT_A_TIME)]
        made += [finish(one).text for one in started]
    assert sorted(keeper.ids()) == sorted(made)
    assert len(os.listdir(keeper.root / "names")) == MANY


def test_names_change_hands(store: Path) -> None:
    """Containers come and go in many processes, all under one name, while sweeps take away names of those that are
    gone: who has got the name keeps it."""

    def live(_: int) -> None:
        for _ in range(4000):
            id = state.new_id()
            os.makedirs(state.place("containers", id))
            with contextlib.suppress(EngineError):
                names.claim("one", id)
                for _ in range(5):
                    assert names.id_of("one") == id
            os.rmdir(state.place("containers", id))
            names.release(id)

    def sweep(_: int) -> None:
        for _ in range(30000):
            names.sweep()

    at_once([live, live, live, sweep, sweep])
    assert os.listdir(store / "names") == []


def at_once(works: list[Callable[[int], None]]) -> None:
    """Each in a process of its own; all must succeed."""
    children = []
    for number, work in enumerate(works):
        child = os.fork()
        if child == 0:
            try:
                work(number)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(children)
