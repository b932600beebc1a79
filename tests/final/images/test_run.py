"""Containers on images that came from a registry or an archive."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from ch04_images import busybox
from ch04_images.pack import pack
from tests.final.images.fake_registry import FakeRegistry
from tests.final.images.stores import Store, rootfs
from tests.support.engines import increments
from tests.support.hosts import REPOSITORY, Host
from tests.support.terminals import Terminal

pytestmark = pytest.mark.kernel


@pytest.fixture
def busybox_layer(tmp_path: Path) -> bytes:
    """A root file system as a layer."""
    top = tmp_path / "rootfs"
    top.mkdir()
    busybox.fill(str(top))
    sink = io.BytesIO()
    pack(str(top), sink)
    return sink.getvalue()


def run(host: Host, store: Store, *words: str) -> str:
    """The newest increment's `run`, on another store than the host's."""
    command = [sys.executable, "-m", increments()[-1], "run", "--rm", "--net", "none", *words]
    return host.run(command, env={"MYDOCKER_ROOT": str(store.root)}, cwd=REPOSITORY).text


def test_a_pulled_image_runs(host: Host, store: Store, fake: FakeRegistry, busybox_layer: bytes) -> None:
    """Layers in their order, whiteouts, and what the configuration says."""
    changes = rootfs({"greeting": b"hello\n", "etc/.wh.group": b"", "home/.wh..wh..opq": b""})
    config = {"Cmd": ["sh", "-c", "cat /greeting; pwd; echo $A"], "Env": ["PATH=/bin", "A=b"], "WorkingDir": "/etc"}
    fake.add_image("box", [busybox_layer, changes], config=config)
    name = f"{fake.host}/box"
    assert store("pull", "-q", name).code == 0
    assert run(host, store, name).split() == ["hello", "/etc", "b"]
    assert "group" not in run(host, store, name, "ls", "/etc").split()
    assert run(host, store, name, "ls", "/bin/busybox") == "/bin/busybox"


def test_an_image_of_many_layers_runs(host: Host, store: Store, fake: FakeRegistry, busybox_layer: bytes) -> None:
    """Of which two are the same, as builders make them."""
    layers = [rootfs({f"f{number % 60}": b"%d" % (number % 60)}) for number in range(61)]
    fake.add_image("many", [busybox_layer, *layers])
    name = f"{fake.host}/many"
    assert store("pull", "-q", name).code == 0
    assert run(host, store, name, "cat", "/f0", "/f59") == "059"


def test_a_loaded_image_runs(
    host: Host, store: Store, other_store: Store, fake: FakeRegistry, busybox_layer: bytes
) -> None:
    fake.add_image("box", [busybox_layer])
    store("pull", "-q", f"{fake.host}/box")
    store("tag", f"{fake.host}/box", "box")
    assert other_store("load", input=store("save", "box").out).code == 0
    assert run(host, other_store, "box", "echo", "runs") == "runs"


def test_bars_on_a_terminal(host: Host, store: Store, fake: FakeRegistry) -> None:
    fake.add_image("x", [rootfs({"f": bytes(1 << 20)})])
    command = [sys.executable, "-m", "final.images", "pull", f"{fake.host}/x"]
    command = ["env", "-C", str(REPOSITORY), *(f"{key}={value}" for key, value in store.environment.items()), *command]
    terminal = Terminal(host, ["nsenter", f"--net=/proc/{os.getpid()}/ns/net", *command])
    assert terminal.wait() == 0
    assert b"Downloading" in terminal.screen
    assert terminal.screen.rstrip().endswith(f"{fake.host}/x:latest".encode())
