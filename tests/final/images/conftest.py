"""Stores, and registries to fill them from."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.final.images.fake_registry import FakeRegistry
from tests.final.images.real_registry import RealRegistry
from tests.final.images.stores import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store; whatever the test did, nothing is in it that nobody needs."""
    store = Store(tmp_path)
    yield store
    assert store.leftovers() == []


@pytest.fixture
def other_store(tmp_path: Path) -> Iterator[Store]:
    """The store of another machine."""
    store = Store(tmp_path / "other")
    yield store
    assert store.leftovers() == []


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    """A registry that does what the test wants."""
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """The distribution project's registry, plain."""
    with RealRegistry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture(scope="module")
def tls_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """The same, over TLS, for the user `alice` with the password `secret`."""
    with RealRegistry(tmp_path_factory.mktemp("tls-registry"), tls=True, users=True) as registry:
        yield registry


@pytest.fixture
def podman() -> Iterator[list[str]]:
    """podman with a store of its own, which needs no mounts. It takes no run directory of more than 50 characters."""
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed")
    with tempfile.TemporaryDirectory() as top:
        yield ["podman", "--root", f"{top}/p", "--runroot", f"{top}/r", "--storage-driver", "vfs"]
