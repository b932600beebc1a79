"""Task atomic-record."""

from __future__ import annotations

import json
from typing import Any

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

SCRIPT = """
import os
from ch04_images import state

events = []
def heard(name, real):
    def call(*arguments, **options):
        events.append(name)
        return real(*arguments, **options)
    return call
os.fsync, os.rename, os.replace = heard("fsync", os.fsync), heard("rename", os.rename), heard("rename", os.replace)
if given["unwritable"]:
    given["record"]["bad"] = object()
try:
    state.write_record(given["path"], given["record"], given["durable"])
    failed = ""
except NotImplementedError:
    raise
except Exception as error:
    failed = type(error).__name__
answer([events, failed])
"""


def write(
    sandbox: Sandbox, record: dict[str, Any], durable: bool = True, unwritable: bool = False
) -> tuple[list[str], str]:
    """The calls of fsync and rename, and the error."""
    path = str(sandbox.directory / "store" / "record.json")
    events, failed = sandbox.ask(SCRIPT, path=path, record=record, durable=durable, unwritable=unwritable)
    return events, failed


def test_replaced_whole(sandbox: Sandbox, draw: Draw) -> None:
    """The file has the new record; whoever has opened the old one goes on reading that, whole."""
    store = sandbox.directory / "store"
    store.mkdir()
    before, after = {"name": draw.content()}, {"name": draw.name(), "list": [draw.randint(1, 99)], "none": None}
    (store / "record.json").write_text(json.dumps(before))
    with open(store / "record.json") as reader:
        write(sandbox, after)
        equal(json.loads((store / "record.json").read_text()), after, "the record")
        equal(json.loads(reader.read()), before, "what somebody reads who has opened it before")
    equal([path.name for path in store.iterdir()], ["record.json"], "files in the directory")


def test_a_failure_changes_nothing(sandbox: Sandbox, draw: Draw) -> None:
    """If it cannot be written, the caller is told, the old record stays, and nothing is left beside it."""
    store = sandbox.directory / "store"
    store.mkdir()
    old = json.dumps({"name": draw.name()})
    (store / "record.json").write_text(old)
    _, failed = write(sandbox, {"name": draw.name()}, unwritable=True)
    holds(failed and failed != "NotImplementedError", "an error", failed or "none")
    equal((store / "record.json").read_text(), old, "the record")
    equal([path.name for path in store.iterdir()], ["record.json"], "files in the directory")


def test_survives_a_loss_of_power(sandbox: Sandbox, draw: Draw) -> None:
    """A durable record is on the disk (fsync) before it gets its name; one that need not be is not waited for."""
    (sandbox.directory / "store").mkdir()
    record = {"name": draw.name()}
    equal(write(sandbox, record)[0], ["fsync", "rename"], "the calls for a durable one")
    equal(write(sandbox, record, durable=False)[0], ["rename"], "the calls for one that is not")
