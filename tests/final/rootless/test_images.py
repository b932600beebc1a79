"""Images of an ordinary user: built, pushed and pulled, saved for others, and copied into volumes. Section 4.4."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.final.images.real_registry import RealRegistry
from tests.final.rootless.conftest import User
from tests.support.engines import ENGINE_FAILED, fails
from tests.support.ordinary_user import PYTHON

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("uplink")]


@pytest.fixture
def registry(user: User, tmp_path: Path) -> Iterator[RealRegistry]:
    with RealRegistry(tmp_path, before=user.host.argv([])) as registry:
        yield registry


@pytest.fixture
def built(user: User) -> str:
    """The name of an image with files of two users; one tells which network devices its builder saw."""
    context = user.home / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(
        "FROM busybox\n"
        "RUN ls /sys/class/net > /devices && echo other > /other && chown 7:8 /other\n"
        'USER 7\nCMD ["cat", "/devices", "/other"]\n'
    )
    assert user("build", "-t", "built", str(context)).code == 0
    return "built"


def test_push_and_pull(user: User, registry: RealRegistry, built: str) -> None:
    name = f"{registry.host}/team/built:1"
    assert user("tag", built, name).code == 0
    assert user("push", "-q", name).text == name
    id = user("inspect", "-f", "{{.Id}}", name).text
    assert user("rmi", name, built).code == 0
    assert user("pull", "-q", name).text == name
    assert user("inspect", "-f", "{{.Id}}", name).text == id
    assert user.run("--net", "none", name).text.split() == ["eth0", "lo", "other"]
    assert user.run("--net", "none", name, "stat", "-c", "%u:%g", "/other").text == "7:8"
    fails(user("pull", f"{registry.host}/nosuch"), ENGINE_FAILED, "nosuch")


def test_an_archive_for_somebody_else(user: User, built: str, tmp_path: Path) -> None:
    """Its owners are those that the container sees, whoever saved it: root of the machine gets the same image."""
    archive = user("save", built).out
    root = [PYTHON, "-m", "final"]
    environment = {"PYTHONPATH": user.environment["PYTHONPATH"], "MYDOCKER_ROOT": str(tmp_path / "root")}
    loaded = user.host.run([*root, "load", "-q"], input=archive, env=environment, cwd="/").text
    assert loaded == "built:latest"
    words = [*root, "run", "--rm", "--net", "none", built, "stat", "-c", "%u:%g", "/other", "/bin"]
    assert user.host.run(words, env=environment, cwd="/").text.split() == ["7:8", "0:0"]
    ids = [user("inspect", "-f", "{{.Id}}", built).text]
    ids.append(user.host.run([*root, "inspect", "-f", "{{.Id}}", built], env=environment, cwd="/").text)
    assert ids[0] == ids[1]


def test_volumes_by_name(user: User) -> None:
    """A new one is filled from the image, owners and all; it outlives its container, and goes when it is told to."""
    fill = "mkdir /data; echo x > /data/f; chown 7 /data/f"
    look = "cat /data/f; stat -c %u /data/f"
    assert user("run", "--name", "c", "busybox", "sh", "-c", fill).code == 0
    assert user("commit", "c", "filled").code == 0
    for image in ("filled", "busybox"):
        assert user.run("-v", "data:/data", image, "sh", "-c", look).text == "x\n7"
    assert user("volume", "ls", "-q").text == "data"
    assert user("volume", "rm", "data").text == "data"
    assert user("rm", "c").code == 0
    assert not any((user.home / ".local/share/mydocker/volumes").glob("data"))
