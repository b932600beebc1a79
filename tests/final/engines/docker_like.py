"""podman and docker, which have one command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from tests.final.engines.daemons import Daemon
from tests.final.engines.manager import IMAGE, PARENT, Manager
from tests.support import processes
from tests.support.hosts import Result
from tests.support.polling import eventually


class DockerLike(Manager):
    """Docker's command line."""

    FLAGS: ClassVar = {
        "read-only": ["--read-only"],
        "no-chown": ["--cap-drop", "CHOWN"],
        "limit": ["-m", "20m"],
        "seccomp": [],
        "open": ["--security-opt", "seccomp=unconfined"],
        "terminal": ["-it"],
    }
    ALWAYS: tuple[str, ...] = ("--network", "none", "--cgroup-parent", f"/{PARENT}")
    """What each container gets."""
    PLAIN_HTTP: tuple[str, ...] = ()
    """What `push` and `pull` get for a registry on this machine."""
    SEVERAL: tuple[str, ...] = ()
    """What `save` gets for several images."""
    BUILD: tuple[str, ...] = ()
    """What `build` gets."""

    def container(self, name: str, command: Sequence[str], flags: Sequence[str]) -> list[str]:
        return [*self.ALWAYS, *flags, "--name", name, IMAGE, *command]

    def exec_words(self, name: str, command: Sequence[str], *flags: str) -> list[str]:
        return self.words("exec", "-i", *flags, name, *command)

    def status(self, name: str) -> str:
        return self("inspect", "-f", "{{.State.Status}}", name).text

    def kill(self, name: str) -> int:
        assert self("kill", name).code == 0
        return int(self("wait", name).text)

    def end(self) -> None:
        for name in self("ps", "--all", "--quiet").text.split():
            assert self.remove(name).code == 0


class Podman(DockerLike):
    """podman has no server; a `conmon` watches each container."""

    NEEDS = ("podman",)
    SHOWN_LIMIT = "20.97MB"
    ALWAYS = (*DockerLike.ALWAYS, "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000")
    PLAIN_HTTP = ("--tls-verify=false",)
    SEVERAL = ("--multi-image-archive",)
    BUILD = ("--format", "docker", "--cgroup-parent", f"/{PARENT}")

    def words(self, *words: str) -> list[str]:
        places = ["--root", f"{self.top}/root", "--runroot", f"{self.top}/run", "--storage-driver", "overlay"]
        return ["podman", *places, "--cgroup-manager", "cgroupfs", "--runtime", str(self.runtime), *words]

    def begin(self, archive: Path) -> None:
        assert self("load", "--input", str(archive)).code == 0

    def remove(self, name: str) -> Result:
        return self("rm", "--force", "--time", "0", name)

    def end(self) -> None:
        super().end()
        eventually(self._is_quiet, "the end of podman's watchers")
        self.host.run(["umount", f"{self.top}/root/overlay"])  # podman leaves it mounted

    def _is_quiet(self) -> bool:
        """A watcher's last deed is `podman container cleanup`, which mounts that directory once more."""
        return not any(processes.has_word(pid, str(self.top)) for pid in processes.all_pids())


class Docker(DockerLike):
    """dockerd, which starts a containerd of its own."""

    NEEDS = ("dockerd", "docker", "containerd")
    SHOWN_LIMIT = "20MiB"

    def words(self, *words: str) -> list[str]:
        return ["docker", "--host", f"unix://{self.top}/socket", *words]

    def begin(self, archive: Path) -> None:
        config = {
            "data-root": f"{self.top}/data",
            "exec-root": f"{self.top}/exec",
            "pidfile": f"{self.top}/pid",
            "hosts": [f"unix://{self.top}/socket"],
            "bridge": "none",
            "iptables": False,
            "storage-driver": "overlay2",
            "cgroup-parent": f"/{PARENT}",
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "runtimes": {"mydocker": {"path": str(self.runtime)}},
            "default-runtime": "mydocker",
        }
        (self.top / "daemon.json").write_text(json.dumps(config))
        words = ["dockerd", "--config-file", f"{self.top}/daemon.json"]
        self._daemon = Daemon(self.host, words, self.top / "log")
        self._daemon.wait_until(lambda: self("version").code == 0)
        assert self("load", "--input", str(archive)).code == 0

    def end(self) -> None:
        super().end()
        self._daemon.stop()
        self.host.run(["umount", f"{self.top}/data"])  # docker mounts it where mounts are not shared, and leaves it so
