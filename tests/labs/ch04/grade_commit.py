"""Task commit."""

from __future__ import annotations

from typing import Any

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

SCRIPT = """
import fcntl, json, os
from ch02_namespaces.errors import EngineError
from ch04_images import commit, containers, images, state

def write_record(path, record, durable=True):
    with open(path, "w") as file:
        json.dump(record, file)

def fill(directory):
    for name, content in given["image"].items():
        with open(f"{directory}/{name}", "w") as file:
            file.write(content)
    return 1

class Watched(commit.Paused):
    def __enter__(self):
        super().__enter__()
        held = os.open(self._record.path(), os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            seen.append("locked")
        os.close(held)

seen = []
commit.Paused, state.write_record, images._sweep = Watched, write_record, lambda: None
base = images.create("base", fill, config={"Cmd": given["command"]})
record, held = containers.create(given["id"], base.name, base.layers, "overlay", False)
os.close(held)
for name, content in given["changes"].items():
    with open(record.path("upper", name), "w") as file:
        file.write(content)
try:
    made = commit.commit(given["text"], given["name"])
except EngineError as error:
    answer({"error": str(error)})
    raise SystemExit
known = images.find(given["name"])
answer({
    "below": known.layers[:-1] == base.layers,
    "config": known.config,
    "files": {name: open(f"{images.layer_directory(known.layers[-1])}/{name}").read()
              for name in os.listdir(images.layer_directory(known.layers[-1]))},
    "base": sorted(os.listdir(images.layer_directory(base.layers[-1]))),
    "seen": seen,
    "same": made.layers == known.layers,
})
os.close(containers.lock(record.path(), fcntl.LOCK_EX | fcntl.LOCK_NB))
"""


def commit(sandbox: Sandbox, draw: Draw, text: str = "", **given: Any) -> dict[str, Any]:
    id = "".join(draw.choices("0123456789abcdef", k=64))
    found: dict[str, Any] = sandbox.ask(SCRIPT, id=id, text=text or id[:12], name=draw.name(), **given)
    return found


def test_one_layer_more(sandbox: Sandbox, draw: Draw) -> None:
    """The image has the container's layers and one more, in which is what the container changed, and nothing else."""
    image, changes = {draw.name(): "1"}, {draw.name(): draw.content(), draw.name(): "2"}
    found = commit(sandbox, draw, image=image, changes=changes, command=[])
    equal([found["below"], found["same"]], [True, True], "whether the layers below, and the result, are right")
    equal([found["files"], found["base"]], [changes, sorted(image)], "the new layer's files, and the old one's names")


def test_configuration_is_kept(sandbox: Sandbox, draw: Draw) -> None:
    """The new image has the configuration of the one that the container stands on."""
    command = draw.names(2)
    found = commit(sandbox, draw, image={}, changes={draw.name(): "1"}, command=command)
    equal(found["config"], {"Cmd": command}, "the configuration")


def test_in_use_meanwhile(sandbox: Sandbox, draw: Draw) -> None:
    """While it is read, the container is paused, and in use so that nobody can remove it; afterwards it is not."""
    found = commit(sandbox, draw, image={}, changes={draw.name(): "1"}, command=[])
    equal(found["seen"], ["locked"], "whether its directory was locked while it was paused")


def test_no_such_container(sandbox: Sandbox, draw: Draw) -> None:
    """An id that no container has is an EngineError that names it."""
    text = draw.name()
    found = commit(sandbox, draw, text, image={}, changes={}, command=[])
    holds(text in found.get("error", ""), f"an error about {text}", str(found))
