"""Killed or interrupted at any moment: an image is there, whole, or not; and the next command puts all in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.final.images.fake_registry import FakeRegistry, Handler
from tests.final.images.stores import Store, rootfs
from tests.support import kill_at as steps
from tests.support.hosts import REPOSITORY
from tests.support.polling import PATIENCE, eventually
from tests.support.processes import descendants

LAYERS = [rootfs({"a": b"1"}), rootfs({"b": b"2"})]
STEPS_BETWEEN = 3  # a choice of the steps that takes seconds; 1 takes them all


def kill_at(store: Store, step: int, *words: str, input: bytes = b"") -> bool:
    """Run a command that is killed at a certain step; False if it ended before. See tests/support/kill_at.py."""
    counter = store.home / "steps"
    steps.begin(counter)
    module = [sys.executable, "-m", "tests.support.kill_at", str(step), str(counter), "final.images"]
    subprocess.run(
        [*module, *words],
        cwd=REPOSITORY,
        env=store.environment,
        input=input,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    return steps.has_killed(counter)


def test_pull_killed_at_each_step(store: Store, fake: FakeRegistry) -> None:
    """The next pull completes, and nothing is left of the killed one (the fixture looks)."""
    fake.add_image("x", LAYERS)
    name = f"{fake.host}/x"
    outcomes = set()
    step, was_killed = 1, True
    while was_killed:
        was_killed = kill_at(store, step, "pull", "-q", name)
        is_there = bool(list(store.root.glob("images/*x:latest.json")))
        outcomes.add((was_killed, is_there))
        if is_there:
            assert store.files(name) == {"a": b"1", "b": b"2"}
        if step % 2:  # by turns: the same again, or the removal of what is there
            assert store("pull", "-q", name).code == 0
            assert store.files(name) == {"a": b"1", "b": b"2"}
            assert store.leftovers() == []
        store("rmi", "-f", name)
        step += STEPS_BETWEEN
    assert {(True, False), (True, True), (False, True)} <= outcomes
    assert store("images", "-q").text == ""


@pytest.mark.parametrize("command", ["load", "rmi", "tag"])
def test_changes_killed_at_each_step(store: Store, other_store: Store, command: str) -> None:
    store("import", "-", "x", input=LAYERS[0])
    archive = store("save", "x").out
    words = {"load": ["load", "-q"], "rmi": ["rmi", "x"], "tag": ["tag", "x", "y"]}[command]
    before, after = {"load": ([], ["x"]), "rmi": (["x"], []), "tag": (["x"], ["x", "y"])}[command]
    step, was_killed = 1, True
    while was_killed:
        other_store("load", input=archive) if before else None
        was_killed = kill_at(other_store, step, *words, input=archive)
        names = [name.removesuffix(":latest") for name in other_store.names()]
        assert names in (before, after)
        assert all(other_store.files(name) == {"a": b"1"} for name in names)
        other_store("rmi", "-f", *names) if names else other_store("load", input=archive)
        other_store("rmi", "-f", "x")
        assert other_store.leftovers() == []
        step += STEPS_BETWEEN


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_pull_leaves_nothing(store: Store, fake: FakeRegistry, number: int) -> None:
    """In the middle of a body that does not come on: it does not wait for the registry."""
    manifest = fake.add_image("x", [rootfs({"noise": os.urandom(1 << 20)}), LAYERS[0]])
    victim = manifest["layers"][0]["digest"]
    stalled, go_on = threading.Event(), threading.Event()

    def stall(handler: Handler) -> None:
        data = handler.server.registry.blobs[victim]
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[: 1 << 19])
        stalled.set()
        go_on.wait(PATIENCE)
        handler.close_connection = True

    fake.plan("GET", f"/v2/x/blobs/{victim}", stall)
    process = store.spawn("pull", "-q", f"{fake.host}/x")
    try:
        assert stalled.wait(PATIENCE)
        eventually(lambda: list(store.root.glob("layers/*")), "the layer's directory")
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        go_on.set()
        process.kill()
    assert (process.returncode, out, err) == (130, b"", b"")
    assert store.leftovers() == []
    assert process.pid not in descendants(os.getpid())


def test_many_at_once(store: Store, fake: FakeRegistry) -> None:
    """Pulls of images that share layers, while others are removed: each ends well, and nothing is left over."""
    shared = [rootfs({f"s{number}": b"x" * 1000}) for number in range(4)]
    for number in range(3):
        fake.add_image(f"i{number}", [*shared, rootfs({"own": b"%d" % number})])
    names = [f"{fake.host}/i{number % 3}" for number in range(9)]
    running = [store.spawn("pull", "-q", name) for name in names]
    running += [store.spawn("rmi", "-f", names[number]) for number in range(3)]
    for process in running:
        _, err = process.communicate(timeout=PATIENCE)
        if process.returncode:
            assert b"there is none of this name" in err or b"just been removed" in err, err
    for number, name in enumerate(names[:3]):
        assert store("pull", "-q", name).code == 0
        assert store.files(name)["own"] == b"%d" % number


def test_many_loads_at_once(store: Store, other_store: Store, tmp_path: Path) -> None:
    """Archives with several images each, and layers in common: nobody waits for the other for ever."""
    for number in range(3):
        store("import", "-", f"i{number}", input=rootfs({"f": b"%d" % number}))
    archives = []
    for order in (["i0", "i1", "i2"], ["i2", "i1", "i0"], ["i1", "i2"]):
        archives.append(tmp_path / "-".join(order))
        store("save", "-o", str(archives[-1]), *order)
    running = [other_store.spawn("load", "-q", "-i", str(archives[number % 3])) for number in range(9)]
    for process in running:
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0 and err == b"" and out
    for number in range(3):
        assert other_store.files(f"i{number}") == {"f": b"%d" % number}


def test_two_names_at_once(store: Store) -> None:
    """save to load in a pipe, on one store."""
    store("import", "-", "x", input=LAYERS[0])
    save, load = ([sys.executable, "-m", "final.images", *words] for words in (["save", "x"], ["load", "-q"]))
    with subprocess.Popen(save, cwd=REPOSITORY, env=store.environment, stdout=subprocess.PIPE) as saving:
        loading = subprocess.run(
            load, cwd=REPOSITORY, env=store.environment, stdin=saving.stdout, capture_output=True, timeout=PATIENCE
        )
    assert loading.stdout == b"x:latest\n"


def test_a_full_disk(store: Store, fake: FakeRegistry, tmp_path: Path) -> None:
    """As far as a limit of file sizes stands for it: setrlimit(2), RLIMIT_FSIZE."""
    fake.add_image("x", [rootfs({"noise": os.urandom(1 << 20)})])
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, 1 << 19));"
        "from final.images.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, "pull", "-q", f"{fake.host}/x"]
    ended = subprocess.run(command, cwd=REPOSITORY, env=store.environment, capture_output=True, check=False)
    assert ended.returncode == 125 and ended.stderr.startswith(b"mydocker: ")
