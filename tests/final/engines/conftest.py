"""The fixtures: an engine of others, started for one test, with our runtime and an image."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ch03_run.launcher import write_launcher
from ch04_images.kept_view import remove_kept
from tests.final.engines.containerd import Containerd
from tests.final.engines.daemons import emptied
from tests.final.engines.docker_like import Docker, Podman
from tests.final.engines.image import write_image
from tests.final.engines.manager import Manager, remove_cgroups
from tests.support.hosts import Host

MANAGERS: dict[str, type[Manager]] = {"podman": Podman, "docker": Docker, "containerd": Containerd}
TAKEN = ("/run", "/etc/docker", "/opt/containerd", "/var/lib/containers")
"""Directories that engines use whatever they are told: for sockets, a key, a cache."""


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image, for all."""
    top = tmp_path_factory.mktemp("image")
    (top / "rootfs").mkdir()
    write_image(top / "image.tar", top / "rootfs")
    return top / "image.tar"


@pytest.fixture(params=list(MANAGERS))
def manager(request: pytest.FixtureRequest, host: Host, archive: Path) -> Iterator[Manager]:
    """Each of the engines. What it starts ends with the test, in good order; the leak check sees what does not."""
    kind = MANAGERS[request.param]
    if missing := kind.missing():
        pytest.skip(f"not installed: {', '.join(missing)}")
    with contextlib.ExitStack() as stack:
        for directory in TAKEN:
            stack.enter_context(emptied(directory))
        stack.callback(remove_kept)  # what our runtime mounts below /run
        stack.callback(remove_cgroups)
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="e-")))  # sockets have short paths only
        runtime = top / "mydocker-runtime"
        write_launcher("final.runtime", str(runtime))
        manager = kind(host, top, runtime)
        stack.callback(manager.end)
        manager.begin(archive)
        yield manager
