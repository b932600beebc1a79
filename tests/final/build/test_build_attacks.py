"""Contexts, Dockerfiles and images that want out; and builds that are killed, interrupted or fail."""

from __future__ import annotations

import io
import os
import signal
import tarfile
from pathlib import Path

import pytest

from ch04_images import images
from tests.final.build.conftest import NAME, Builder, archive
from tests.support.engines import ENGINE_FAILED, fails, state_root
from tests.support.hosts import finish

pytestmark = pytest.mark.kernel

STEPS_BETWEEN = 43  # a choice of the steps that takes seconds


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of the host that no build may read or write."""
    path = tmp_path / "secret"
    path.write_text("untouched")
    return path


def test_links_of_a_context_lead_to_what_is_in_it(builder: Builder, secret: Path) -> None:
    builder.write("in/a", "x")
    os.symlink("in", builder.context / "inside")
    os.symlink("/in/a", builder.context / "absolute")
    os.symlink(secret, builder.context / "out")
    os.symlink("../secret", builder.context / "upwards")
    os.symlink("/", builder.context / "root")
    builder("COPY inside/a /1\nCOPY absolute /2\nCOPY root/in/a /3")
    assert builder.sh("cat /1 /2 /3") == "xxx"
    for source in ("out", "upwards", f"root{secret}", "root/etc/passwd"):
        builder.fails(f"COPY {source} /x", "Dockerfile:2: COPY", "not there")
    builder.fails("COPY ../secret /x", "leads out of the context")
    builder.fails("COPY in/../../secret /x", "leads out of the context")
    builder("COPY . /all/")
    assert builder.sh("readlink /all/out") == str(secret)  # a link in a directory stays a link


def test_the_dockerfile_is_one_of_the_context(builder: Builder, secret: Path) -> None:
    os.symlink(secret, builder.context / "Dockerfile")
    fails(builder.engine.raw(*builder.words()), 1, "Dockerfile", "none in the context")
    (builder.context / "Dockerfile").unlink()
    os.mkfifo(builder.context / "Dockerfile")
    fails(builder.engine.raw(*builder.words()), 1, "no regular file")


def test_links_of_an_image_lead_to_what_is_in_it(builder: Builder, secret: Path) -> None:
    builder.write("a", "new")
    builder.write("d/a", "new")
    base = f"FROM busybox AS base\nRUN mkdir -p /t {secret.parent} /real; ln -s {secret} /file; ln -s /t /dir\n"
    base += "RUN ln -s /nowhere /none; ln -s ../../../../../../../../../../t /up; ln -s /etc/passwd /real/link\n"
    base += "FROM base\n"
    builder(
        base
        + "COPY a /file\nCOPY d /dir\nCOPY a /up/b\nADD d /real\nWORKDIR /dir/w\nCOPY --from=base /real/link /copied"
    )
    assert secret.read_text() == "untouched"
    assert builder.sh(f"cat {secret} /t/a /t/b /real/a; ls -d /t/w; head -c4 /copied") == "newnewnewnew/t/w\nroot"
    builder.fails(base + "COPY a /none/x", "COPY", code=ENGINE_FAILED)
    builder.fails(base + f"COPY --from=base {secret} /x", "not there")
    builder.write("over/dir/x", "y")
    builder.fails(base + "COPY over /", "cannot take each other's place", code=ENGINE_FAILED)


def test_archives_that_lead_outside(builder: Builder, secret: Path) -> None:
    words = [*builder.words()[:-1], "-"]
    dockerfile = ("Dockerfile", b"FROM busybox\nCOPY . /x/")
    for members in (
        [("../secret", b"changed")],
        [("d", str(secret.parent)), ("d/secret", b"changed")],
    ):
        fails(builder.engine.raw(*words, input=archive(dockerfile, *members)), ENGINE_FAILED)
        builder.write("evil.tar", archive(*members))
        builder.fails("ADD evil.tar /", "Dockerfile:2: ADD", code=ENGINE_FAILED)
    assert secret.read_text() == "untouched"
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as writer:
        device = tarfile.TarInfo("null")
        device.type, device.devmajor, device.devminor = tarfile.CHRTYPE, 1, 3
        writer.addfile(device)
    fails(builder.engine.raw(*words, input=sink.getvalue()), ENGINE_FAILED, "device")


def test_an_image_whose_wishes_cannot_be(builder: Builder) -> None:
    with state_root(builder.host.root):
        busybox = images.find("busybox")
        for number, wish in enumerate(("FROM x", "NONSENSE", "ONBUILD RUN x")):
            config = {**busybox.config, "OnBuild": [wish]}
            images.put(images.Image(f"base{number}:latest", busybox.layers, config, 0, 0))
    for number in range(3):
        builder.fails(f"FROM base{number}", "ONBUILD:1")
        builder.do("rmi", f"base{number}")


def test_a_command_that_fails(builder: Builder) -> None:
    result = builder.fails("RUN echo a > /a\nRUN \\\n  # why\n  exit 3", "Dockerfile:3: RUN", "exit code 3")
    assert b"Step 3/3" in result.out
    builder.fails('RUN ["/none"]', "Dockerfile:2: RUN", "/none")
    builder.fails("USER none\nRUN true", "Dockerfile:3: RUN", "none", code=ENGINE_FAILED)
    assert NAME not in builder.do("images", "-q", "--format", "{{.Repository}}").split()
    assert len(builder.steps()) == 1  # what was done before it failed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ended_while_a_command_runs(builder: Builder, number: signal.Signals) -> None:
    builder.network = []
    builder.write("Dockerfile", "FROM busybox\nRUN echo ready; exec sleep 1000")
    process = builder.engine.host.spawn(builder.engine.command_line(*builder.words()))
    assert process.stdout is not None
    while process.stdout.readline() != b"ready\n":
        assert process.poll() is None
    assert not os.access(f"/proc/{process.pid}/exe", os.W_OK)  # the interpreter that enters containers: sealed.py
    process.send_signal(number)
    assert finish(process).code == (-number if number == signal.SIGKILL else 130)
    if number == signal.SIGKILL:
        builder.sweep()
    assert builder.do("ps", "-a", "-q") == ""
    assert os.listdir(builder.host.root / "containers") == []


MOUNTS = "--mount=target=/c,rw --mount=from=0,target=/i --mount=type=secret,id=s --mount=type=cache,target=/k"


@pytest.mark.parametrize("mounts", ["", MOUNTS])
def test_killed_at_each_step(builder: Builder, secret: Path, mounts: str) -> None:
    """The next build completes; nothing is left of the killed one."""
    builder.write("a", "x")
    builder.write("Dockerfile", f"FROM busybox\nFROM busybox\nCOPY a /a\nRUN {mounts} echo b > /b\n")
    words = builder.words("--secret", f"id=s,src={secret}")
    step, was_killed, outcomes = 1, True, set()
    while was_killed:
        was_killed = builder.engine.kill_at(step, *words)
        outcomes.add((was_killed, is_there(builder)))
        if step % 2:
            builder.do(*words, "-q")
            assert builder.sh("cat /a /b") == "xb"
        if is_there(builder):
            builder.do("rmi", NAME)
        builder.do("builder", "prune", "-f")
        step += STEPS_BETWEEN
    builder.sweep()
    assert {(True, False), (False, True)} <= outcomes


def is_there(builder: Builder) -> bool:
    """Whether there is an image."""
    with state_root(builder.host.root):
        return images.has(NAME)
