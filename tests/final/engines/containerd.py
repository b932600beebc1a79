"""containerd and its client ctr."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from tests.final.engines.daemons import Daemon
from tests.final.engines.manager import IMAGE, PARENT, Manager
from tests.support.hosts import Result
from tests.support.polling import eventually

FULL_NAME = f"docker.io/library/{IMAGE}:latest"


class Containerd(Manager):
    """containerd by itself, with its own client ctr."""

    NEEDS = ("containerd", "ctr")
    FLAGS: ClassVar = {
        "read-only": ["--read-only"],
        "no-chown": ["--cap-drop", "CAP_CHOWN"],
        "limit": ["--memory-limit", str(20 << 20)],
        "seccomp": ["--seccomp"],
        "open": [],
        "terminal": ["--tty"],
    }
    SHOWN_LIMIT = str(20 << 20)
    NOT_FOUND = NOT_EXECUTABLE = 1  # ctr knows no other

    def words(self, *words: str) -> list[str]:
        return ["ctr", "--address", f"{self.top}/socket", *words]

    def begin(self, archive: Path) -> None:
        config = f"""
            version = 2
            root = "{self.top}/root"
            state = "{self.top}/state"
            disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
            [grpc]
            address = "{self.top}/socket"
        """
        (self.top / "config.toml").write_text(config)
        words = ["containerd", "--config", f"{self.top}/config.toml"]
        self._daemon = Daemon(self.host, words, self.top / "log")
        self._daemon.wait_until(lambda: self("version").code == 0)
        assert self("image", "import", str(archive)).code == 0

    def container(self, name: str, command: Sequence[str], flags: Sequence[str], root: str = FULL_NAME) -> list[str]:
        own = ["--runc-binary", str(self.runtime), "--cgroup", f"{PARENT}/{name}"]
        return [*own, *flags, root, name, *command]

    def exec_words(self, name: str, command: Sequence[str], *flags: str) -> list[str]:
        return self.words("task", "exec", *flags, "--exec-id", f"{name}-more", name, *command)

    def status(self, name: str) -> str:
        return self._task(name)[1].lower()

    def pid(self, name: str) -> int:
        """Of its first process."""
        return int(self._task(name)[0])

    def _task(self, name: str) -> tuple[str, str]:
        rows = [line.split() for line in self("task", "ls").text.splitlines()]
        return next(((pid, status) for task, pid, status in rows if task == name), ("0", "none"))

    def pause(self, name: str) -> Result:
        return self("task", "pause", name)

    def resume(self, name: str) -> Result:
        return self("task", "resume", name)

    def kill(self, name: str) -> int:
        assert self("task", "kill", "--signal", "KILL", name).code == 0
        eventually(lambda: self.status(name) == "stopped", f"the end of {name}")
        return int(self("task", "delete", name).error.split()[-1].strip('"'))

    def again(self, name: str) -> Result:
        return self("task", "start", "--detach", name)

    def remove(self, name: str) -> Result:
        self("task", "rm", "--force", name)
        return self("container", "rm", name)

    def statistics(self, name: str) -> str:
        return self("task", "metrics", name).text

    def processes(self, name: str) -> str:
        return self("task", "ps", name).text

    def end(self) -> None:
        for name in self("container", "ls", "--quiet").text.split():
            assert self.remove(name).code == 0
        self._daemon.stop()
