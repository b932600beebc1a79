"""Task layer-sweep."""

from __future__ import annotations

import json
from pathlib import Path

from tests.labs.checks import Draw, equal
from tests.labs.sandbox import Sandbox

SCRIPT = """
import fcntl, os
from ch04_images import images, state

held = [os.open(state.place("layers", name), os.O_RDONLY) for name in given["locked"]]
for descriptor in held:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
images.sweep()
answer("done")
"""


class Store:
    """An image store in the sandbox."""

    def __init__(self, sandbox: Sandbox, draw: Draw) -> None:
        self.top = sandbox.directory / "state"
        self._sandbox, self._draw = sandbox, draw
        for name in ("images", "layers", "containers"):
            (self.top / name).mkdir(parents=True)

    def id(self, length: int = 16) -> str:
        return "".join(self._draw.choices("0123456789abcdef", k=length))

    def layer(self, ending: str = "") -> str:
        """A new layer with a file; its id."""
        id = self.id() + ending
        (self.top / "layers" / id).mkdir()
        (self.top / "layers" / id / "file").touch()
        return id

    def image(self, *layers: str) -> None:
        record = {"layers": layers, "config": {}, "size": 1, "created": 1}
        (self.top / "images" / f"{self._draw.name()}:latest.json").write_text(json.dumps(record))

    def container(self, *layers: str) -> Path:
        directory = self.top / "containers" / self.id(64)
        directory.mkdir()
        record = {"image": "gone:latest", "layers": layers, "driver": "overlay", "created": 1}
        (directory / "record.json").write_text(json.dumps(record))
        return directory

    def sweep(self, *locked: str) -> list[str]:
        """The layers that are there afterwards."""
        self._sandbox.ask(SCRIPT, locked=locked)
        return sorted(path.name for path in (self.top / "layers").iterdir())


def test_needed_layers_stay(sandbox: Sandbox, draw: Draw) -> None:
    """Layers of an image stay, and those of a container whose image is gone; all others go, with their files."""
    store = Store(sandbox, draw)
    shared, top, of_container = store.layer(), store.layer(), store.layer()
    store.layer()
    store.layer()
    store.image(shared, top)
    store.image(shared)
    store.container(shared, of_container)
    equal(store.sweep(), sorted([shared, top, of_container]), "the layers that are left")


def test_unfinished_layers(sandbox: Sandbox, draw: Draw) -> None:
    """A layer that is being filled is locked, and stays; one without a lock was left by somebody who was killed."""
    store = Store(sandbox, draw)
    filled, left = store.layer(".new"), store.layer(".new")
    equal(store.sweep(filled), [filled], f"the layers that are left of {filled} (locked) and {left}")


def test_damaged_records(sandbox: Sandbox, draw: Draw) -> None:
    """If a container's record cannot be read, nobody knows what it needs: no finished layer is removed."""
    store = Store(sandbox, draw)
    finished, _ = store.layer(), store.layer(".new")
    (store.container() / "record.json").write_text("{")
    equal(store.sweep(), [finished], "the layers that are left")
