"""podman, docker and containerd with our runtime in place of runc, each with everything of its own.

They are asked for the same in their own words; what a word means, the table FLAGS of each says.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from tests.final.engines.daemons import Daemon
from tests.support import leaks
from tests.support.hosts import PATH, Host, Result
from tests.support.polling import eventually
from tests.support.terminals import Terminal

IMAGE = "busybox"
FULL_NAME = f"docker.io/library/{IMAGE}:latest"
PARENT = "mydocker-engines"
"""The cgroup of all containers, below that of each hierarchy; its name is one that the leak check looks at."""


class Manager:
    """A container engine of others. top: its directory; runtime: the program that it shall call."""

    NEEDS: tuple[str, ...] = ()
    """Programs without which the tests are skipped."""
    FLAGS: ClassVar[dict[str, list[str]]] = {}
    """What `run` gets for a wish: read-only, no-chown, limit (20 MiB of memory), seccomp (the engine's own filter),
    open (no filter), terminal."""
    SHOWN_LIMIT = ""
    """20 MiB, as its statistics show it."""
    NOT_FOUND, NOT_EXECUTABLE = 127, 126
    """Exit codes of `run`."""

    def __init__(self, host: Host, top: Path, runtime: Path) -> None:
        self.host = host
        self.top = top
        self.runtime = runtime

    @classmethod
    def missing(cls) -> list[str]:
        """Programs that are not installed."""
        return [program for program in cls.NEEDS if shutil.which(program, path=PATH) is None]

    def begin(self, archive: Path) -> None:
        """Start its server, if it has one, and give it the image. archive: of `docker save`."""
        raise NotImplementedError

    def end(self) -> None:
        """Remove all containers and stop its server."""
        raise NotImplementedError

    def words(self, *words: str) -> list[str]:
        """A whole command line."""
        raise NotImplementedError

    def container(self, name: str, command: Sequence[str], flags: Sequence[str]) -> list[str]:
        """What stands behind `run`: flags, image and command."""
        raise NotImplementedError

    def exec_words(self, name: str, command: Sequence[str], *flags: str) -> list[str]:
        """The command line for one more process."""
        raise NotImplementedError

    def status(self, name: str) -> str:
        """running, paused, or another word."""
        raise NotImplementedError

    def kill(self, name: str) -> int:
        """End it; its exit code."""
        raise NotImplementedError

    def __call__(self, *words: str) -> Result:
        """Any command line, run to its end."""
        return self._run(self.words(*words))

    def _run(self, words: list[str], **options: Any) -> Result:
        return self.host.run(words, cwd=self.top, **options)  # conmon writes where it is

    def terminal(self, words: list[str]) -> Terminal:
        """A user at a terminal who types a whole command line."""
        return Terminal(self.host, words, cwd=self.top)

    def run_words(self, name: str, *command: str, wishes: Sequence[str] = (), flags: Sequence[str] = ()) -> list[str]:
        """The command line for a container in the foreground that is removed at its end."""
        return self.words("run", "--rm", *self.container(name, command, [*self._flags(wishes), *flags]))

    def run(self, *command: str, wishes: Sequence[str] = (), flags: Sequence[str] = ()) -> Result:
        """Run a container to its end."""
        return self._run(self.run_words("run", *command, wishes=wishes, flags=flags))

    def start(self, name: str, *command: str, wishes: Sequence[str] = (), flags: Sequence[str] = ()) -> None:
        """Start one in the background."""
        assert self("run", "-d", *self.container(name, command, [*self._flags(wishes), *flags])).code == 0

    def _flags(self, wishes: Sequence[str]) -> list[str]:
        return [flag for wish in wishes for flag in self.FLAGS[wish]]

    def execute(self, name: str, *command: str, flags: Sequence[str] = (), **options: Any) -> Result:
        """Run one more process in a container."""
        return self._run(self.exec_words(name, command, *flags), **options)

    def pause(self, name: str) -> Result:
        """Stop all its processes for a while."""
        return self("pause", name)

    def resume(self, name: str) -> Result:
        """Let them go on."""
        return self("unpause", name)

    def again(self, name: str) -> Result:
        """Start one that has ended."""
        return self("start", name)

    def remove(self, name: str) -> Result:
        """Remove one, and end it before."""
        return self("rm", "-f", name)

    def statistics(self, name: str) -> str:
        """What it uses, as a user sees it."""
        return self("stats", "--no-stream", name).text

    def processes(self, name: str) -> str:
        """What runs in it, as a user sees it."""
        return self("top", name).text


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

    def words(self, *words: str) -> list[str]:
        places = ["--root", f"{self.top}/root", "--runroot", f"{self.top}/run", "--storage-driver", "overlay"]
        return ["podman", *places, "--cgroup-manager", "cgroupfs", "--runtime", str(self.runtime), *words]

    def begin(self, archive: Path) -> None:
        assert self("load", "--input", str(archive)).code == 0

    def remove(self, name: str) -> Result:
        return self("rm", "--force", "--time", "0", name)

    def end(self) -> None:
        super().end()
        self.host.run(["umount", f"{self.top}/root/overlay"])  # podman leaves it mounted


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
            disabled_plugins = ["io.containerd.grpc.v1.cri"]
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


def remove_cgroups() -> None:
    """The group of all containers, which engines leave there, and that of podman's watchers in it. Those of containers
    must be gone."""
    for directory in [f"{root}/{PARENT}{below}" for root in leaks.cgroup_roots() for below in ("/conmon", "")]:
        eventually(partial(_is_removed, directory), f"the end of all processes in {directory}")


def _is_removed(directory: str) -> bool:
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError:  # a watcher is just ending
        return False
    return True
