"""Builds without root: what RUN --mount brings is reached, and nothing of a secret stays."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.final.rootless.conftest import UID, User

pytestmark = pytest.mark.kernel

SECRET = "Ael4quoh7ohr"


def test_mounts_of_run(user: User) -> None:
    context = user.home / "context"
    context.mkdir()
    (context / "file").write_text("x")
    (context / "secret").write_text(SECRET)
    (context / "Dockerfile").write_text(
        "FROM busybox AS one\nRUN echo 1 > /one; chown 7:8 /one\nFROM busybox\n"
        "RUN --mount=target=/c,rw --mount=from=one,target=/o stat -c '%u:%g' /c/file /o/one > /said; touch /c/new\n"
        "RUN --mount=type=secret,id=s,uid=5,mode=0440 stat -c '%u:%g %a' /run/secrets/s >> /said\n"
        "RUN --mount=type=secret,id=s,env=S test ${#S} = 12\n"
        "RUN --mount=type=cache,target=/k,uid=7 stat -c %u /k >> /said\n"
        "USER 1000\nRUN --mount=type=ssh,uid=1000 test -S $SSH_AUTH_SOCK && test -w $SSH_AUTH_SOCK\n"
    )
    with socket.socket(socket.AF_UNIX) as agent:
        path = str(user.home / "agent")
        agent.bind(path)
        os.chown(path, UID, UID)
        agent.listen()
        flags = ["--secret", f"id=s,src={context}/secret", "--ssh", f"default={path}"]
        built = user("build", "-t", "built", "--network", "none", *flags, str(context))
    assert built.code == 0, built.error
    assert user.run("--net", "none", "built", "cat", "/said").text.split() == ["0:0", "7:8", "5:0", "440", "7"]
    assert not (context / "new").exists()
    state = Path(user.home, ".local/share/mydocker")
    found = subprocess.run(["grep", "-rlF", "-D", "skip", SECRET, state], capture_output=True, check=False)
    assert found.stdout == b"" and state.is_dir()
    assert user("builder", "prune", "-f").code == 0
