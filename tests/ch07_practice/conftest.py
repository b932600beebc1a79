"""The OCI runtime, as chapter 7 has it and as `final` does; and for real programs, the newest engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ch06_network.conftest import client, keeper
from tests.ch07_practice.bundles import Runtime
from tests.support.hosts import Host

__all__ = ["client", "keeper", "runtime"]


@pytest.fixture(params=["ch07_practice.oci", "final.runtime"])
def runtime(request: pytest.FixtureRequest, host: Host, tmp_path: Path) -> Iterator[Runtime]:
    """A runtime; its containers are removed after the test."""
    runtime = Runtime(host, tmp_path, request.param)
    yield runtime
    runtime.remove_all()
