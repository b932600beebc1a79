"""Builds by the full engine, on a host and with a context of their own."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ch04_images import images
from final.build import cache
from final.images import store
from tests.final.images.stores import leftovers_in
from tests.support import leaks
from tests.support.engines import Engine, fails, state_root
from tests.support.hosts import Host, Result, Word
from tests.support.polling import eventually

NAME = "made"


class Builder:
    """`mydocker build`, with a directory for its context. What is built is called NAME."""

    def __init__(self, engine: Engine, context: Path) -> None:
        self.engine = engine
        self.host = engine.host
        self.context = context
        self.network = ["--network", "none"]
        self._groups = set(leaks.cgroups())

    def write(self, name: str, content: str | bytes, mode: int = 0o644) -> Path:
        """A file of the context."""
        path = self.context / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return path

    def words(self, *flags: Word) -> list[Word]:
        """The arguments of a build."""
        return ["build", "-t", NAME, *self.network, *flags, str(self.context)]

    def raw(self, text: str, *flags: Word, **options: Any) -> Result:
        """Build by a Dockerfile that stands on the image busybox; how that ended."""
        self.write("Dockerfile", text if "FROM" in text else f"FROM busybox\n{text}")
        return self.engine.raw(*self.words(*flags), **options)

    def __call__(self, text: str, *flags: Word, **options: Any) -> str:
        """The same; what it prints. It must succeed."""
        return self.raw(text, *flags, **options).text

    def fails(self, text: str, *words: str, code: int = 1) -> Result:
        """A build that fails with one line that has these words; and nothing is left of it."""
        result = self.raw(text)
        fails(result, code, *words)
        assert self.do("ps", "-a", "-q") == ""
        return result

    def do(self, *words: Word, **options: Any) -> str:
        """What any command prints; it must succeed."""
        return self.engine.raw(*words, **options).text

    def sh(self, script: str, image: str = NAME) -> str:
        """What a shell script prints in a container of the image."""
        return self.do("run", "--rm", "--net", "none", image, "sh", "-c", script)

    def known(self, name: str = NAME) -> dict[str, Any]:
        """`image inspect`."""
        found: dict[str, Any] = json.loads(self.do("image", "inspect", name))[0]
        return found

    def sweep(self) -> None:
        """Let containers that start remove what killed ones have left; these may take their time to end."""

        def is_swept() -> bool:
            return self.sh("true", image="busybox") == "" and set(leaks.cgroups()) <= self._groups

        eventually(is_swept, "no cgroup of a killed build")

    def id(self) -> str:
        return str(self.known()["Id"])

    def steps(self) -> list[str]:
        """The names of the steps that the cache keeps."""
        with state_root(self.host.root):
            return [image.name for image in images.every() if store.is_step(image)]


@pytest.fixture
def builder(host: Host, tmp_path: Path) -> Iterator[Builder]:
    """A builder; nothing but images and the cache may be left of what the test did, and the cache can be removed."""
    files, context = tmp_path / "files", tmp_path / "context"
    files.mkdir()
    context.mkdir()
    builder = Builder(Engine("final", host, files), context)
    yield builder
    builder.do("builder", "prune", "-f")
    assert builder.steps() == []
    assert builder.do("ps", "-a", "-q") == ""
    assert leftovers_in(host.root) == []
    assert _caches(host) == []


def _caches(host: Host) -> list[str]:
    directory = host.root / cache.DIRECTORY
    return os.listdir(directory) if directory.is_dir() else []


def archive(*members: tuple[str, bytes | str]) -> bytes:
    """A tar archive: (name, content), and of a link (name, where to)."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as writer:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                writer.addfile(member)
            else:
                member.size = len(content)
                writer.addfile(member, io.BytesIO(content))
    return sink.getvalue()
