"""Hosts with networks: what a test makes is removed after it, and then nothing may be left of networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.engines import Engine
from tests.support.hosts import Host
from tests.support.networks import NetKeeper, join


@pytest.fixture
def keeper(engine: Engine) -> Iterator[NetKeeper]:
    """An engine whose containers stay and have networks; afterwards, all is removed and nothing is left."""
    keeper = NetKeeper(engine)
    yield keeper
    keeper.remove_all()
    keeper.prune()
    assert keeper.raw("network", "ls", "-q").text == ""
    assert [name for name in keeper.devices() if not name.startswith("to")] == ["lo"]
    assert not any((keeper.root / "networks").glob("*"))
    assert "mydocker" not in keeper.ruleset()


@pytest.fixture
def client(host: Host, new_host: Callable[[], Host]) -> Host:
    """A second machine, 192.0.2.2, with a cable to the host, 192.0.2.1."""
    other = new_host()
    join(host, other)
    return other
