"""Bundles for tests, and a runtime to run them with."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ch04_images import busybox
from ch07_practice.oci.example import example
from tests.support.hosts import REPOSITORY, Host, Result

Change = Callable[[dict[str, Any]], None]


class Runtime:
    """The runtime's command line on a host, with a directory of its own for what it keeps."""

    def __init__(self, host: Host, top: Path, module: str = "ch07_practice.oci", python: str = sys.executable) -> None:
        self.host = host
        self.root = host.root / "runtime"
        host.may_stay.add("runtime/@seccomp")
        self._top = top
        self._rootfs = top / "rootfs"
        self._rootfs.mkdir()
        busybox.fill(str(self._rootfs))
        self._program = [python, "-m", module, "--root", str(self.root)]
        self._count = 0

    @property
    def rootfs(self) -> Path:
        return self._rootfs

    def bundle(self, command: Sequence[str], change: Change | None = None) -> Path:
        """A bundle that runs a command, with a document that `change` has changed."""
        config = copy.deepcopy(example())
        config["process"]["terminal"] = False
        config["process"]["args"] = list(command)
        config["root"]["path"] = str(self._rootfs)
        if change is not None:
            change(config)
        self._count += 1
        directory = self._top / f"bundle{self._count}"
        directory.mkdir()
        (directory / "config.json").write_text(json.dumps(config))
        return directory

    def sh(self, script: str, change: Change | None = None) -> Result:
        """`run` a shell script in a new container."""
        return self.run(["sh", "-c", script], change)

    def run(self, command: Sequence[str], change: Change | None = None) -> Result:
        return self.raw("run", "--bundle", str(self.bundle(command, change)), f"c{self._count}")

    def create(self, id: str, command: Sequence[str], change: Change | None = None) -> Result:
        return self.raw("create", "--bundle", str(self.bundle(command, change)), id)

    def raw(self, *words: str, **options: Any) -> Result:
        """Any command line. Its output goes to files: a container that goes on keeps the streams of `create`."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            ended = self.host.run([*self._program, *words], cwd=REPOSITORY, stdout=out, stderr=err, **options)
            out.seek(0)
            err.seek(0)
            return Result(ended.code, out.read(), err.read())

    def words(self, *words: str) -> list[str]:
        """A whole command line."""
        return [*self._program, *words]

    def spawn(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        return self.host.spawn([*self._program, *words], cwd=REPOSITORY, **options)

    def remove_all(self) -> None:
        """`delete --force` of all that it keeps; nothing is left."""
        for path in self._kept():
            deleted = self.raw("delete", "--force", path.name)
            assert deleted.code == 0, deleted
        assert self._kept() == []

    def _kept(self) -> list[Path]:
        """The directories of its containers."""
        return [path for path in self.root.glob("*") if not path.name.startswith("@")]

    def state(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw("state", id).text)
        return found

    def status(self, id: str) -> str:
        return str(self.state(id)["status"])
