"""Task overlay-root."""

from __future__ import annotations

from pathlib import Path

from tests.labs.checks import Draw, equal
from tests.labs.sandbox import Sandbox

SCRIPT = """
import os
from types import SimpleNamespace
from ch04_images.containers import ContainerRecord
from ch04_images.rootfs import Overlay

record = ContainerRecord(given["id"], "image", given["layers"], "overlay", 0)
Overlay(SimpleNamespace(record=record)).enter(None)
answer(record.path("rootfs"))
"""


def container(sandbox: Sandbox, draw: Draw, count: int) -> tuple[str, list[Path], Path]:
    """The id of a container on so many layers, these, the lowest first, and its directory."""
    state, id = sandbox.directory / "state", "".join(draw.choices("0123456789abcdef", k=64))
    layers = [state / "layers" / "".join(draw.choices("0123456789abcdef", k=16)) for _ in range(count)]
    for path in [*layers, *(state / "containers" / id / name for name in ("upper", "work", "rootfs"))]:
        path.mkdir(parents=True)
    return id, layers, state / "containers" / id


def test_layers_in_their_order(sandbox: Sandbox, draw: Draw) -> None:
    """The record has the lowest layer first: what a later one has hides what an earlier one has."""
    id, layers, _ = container(sandbox, draw, draw.randint(3, 40))
    name, contents = draw.name(), draw.names(len(layers))
    for layer, content in zip(layers, contents, strict=True):
        (layer / name).write_text(content)
        (layer / f"of-{content}").touch()
    root = sandbox.ask(SCRIPT, id=id, layers=[layer.name for layer in layers])
    equal(sandbox.shell(f"cat {root}/{name}"), contents[-1], "the file that all layers have")
    equal(sandbox.shell(f"ls {root} | grep -c of-"), str(len(layers)), "how many of the layers show")


def test_changes_are_the_containers(sandbox: Sandbox, draw: Draw) -> None:
    """What is changed lies in the container's own layer, a whiteout for what is deleted; those of the image stay."""
    id, (lower, upper), directory = container(sandbox, draw, 2)
    changed, deleted, new = draw.names(3)
    (lower / changed).write_text("before")
    (upper / deleted).write_text("before")
    root = sandbox.ask(SCRIPT, id=id, layers=[lower.name, upper.name])
    sandbox.shell(f"echo after > {root}/{changed}; rm {root}/{deleted}; echo after > {root}/{new}")
    own = {
        path.name: path.read_text().strip() if path.is_file() else "whiteout"
        for path in (directory / "upper").iterdir()
    }
    equal(own, {changed: "after", deleted: "whiteout", new: "after"}, "what is in the container's layer")
    images = [(lower / changed).read_text(), (upper / deleted).read_text()]
    equal(images, ["before", "before"], "the files of the image's layers")
