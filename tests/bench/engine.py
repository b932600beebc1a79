"""The full engine beside podman and docker: a command run and gone, with and without a network; a container's life; its
price while it does nothing.

docker has a daemon of its own for this, and podman a store; all have the same image. What is measured is whole
processes, as a user types them. docker's daemons are not counted as memory: they are there once.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from ch02_namespaces import syscalls
from ch03_run.launcher import write_launcher
from ch04_images import busybox
from tests.bench.lifecycle import proportional_set_size
from tests.bench.wiring import inside, milliseconds, missing, own_mounts, report
from tests.final.engines.daemons import Daemon
from tests.final.engines.image import write_image
from tests.support.hosts import Host

ROUNDS, IDLE = 15, 10
TAKEN = ("/run", "/etc/docker", "/opt", "/var/lib/containers")  # whatever they are told
LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"]  # podman's own may be more than we may give
FOREVER = ["busybox", "sleep", "100000"]


class Engine:
    """words: how it is called; flags: what `run` gets; watcher: of a container, by a word of its command line."""

    remove: tuple[str, ...] = ("rm", "-f")

    def __init__(self, words: list[str], watcher: bytes, flags: list[str] | None = None) -> None:
        self.words = words
        self.watcher = watcher
        self.flags = flags or []

    def __call__(self, *words: str) -> str:
        ended = subprocess.run(
            [*self.words, *words], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        return ended.stdout.strip()


def main() -> None:
    with engines_of_a_host() as engines:
        times: dict[str, dict[str, list[float]]] = {name: {} for name in engines}
        for _ in range(ROUNDS):
            for name, engine in engines.items():
                live_once(engine, times[name])
        memory = {name: idle_memory(engine) for name, engine in engines.items()}
    rows = [
        {
            "engine": name,
            **{f"{step} ms": milliseconds(statistics.median(taken)) for step, taken in steps.items()},
            "MiB while idle": f"{memory[name]:.1f}",
        }
        for name, steps in times.items()
    ]
    report("engine", f"a container's life, {ROUNDS} times, medians; what keeps {IDLE} idle ones, each", rows, times)


@contextlib.contextmanager
def engines_of_a_host() -> Iterator[dict[str, Engine]]:
    """All engines, by name, on a host of their own, which we are in meanwhile."""
    with contextlib.ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="b-")))
        stack.enter_context(mock.patch.dict(os.environ, MYDOCKER_ROOT=str(top / "ours")))
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        host = Host(top / "host")
        stack.callback(host.close)
        stack.enter_context(inside(host))
        yield stack.enter_context(all_engines(host, top))


@contextlib.contextmanager
def all_engines(host: Host, top: Path) -> Iterator[dict[str, Engine]]:
    """Those that are installed, each with the image busybox."""
    (top / "rootfs").mkdir()
    archive = top / "image.tar"
    write_image(archive, top / "rootfs")
    busybox.make_image()
    write_launcher("final", str(top / "mydocker"))
    engines = {"mydocker": Engine([str(top / "mydocker")], b"mydocker")}
    with contextlib.ExitStack() as stack:
        stack.enter_context(daemons_places("/dev/shm"))  # podman's locks
        if not missing("podman"):
            engines["podman"] = stack.enter_context(podman(top))
        if not missing("dockerd", "docker"):
            engines["docker"] = stack.enter_context(docker(host, top))
        for name in list(engines)[1:]:
            engines[name]("load", "-i", str(archive))
        yield engines


@contextlib.contextmanager
def daemons_places(*more: str) -> Iterator[None]:
    """The machine never sees what engines leave in its directories."""
    with own_mounts():
        for directory in filter(os.path.isdir, (*TAKEN, *more)):
            syscalls.mount("tmpfs", directory, "tmpfs", 0, "mode=755")
        yield


class Podman(Engine):
    remove = ("rm", "-f", "--time", "0")  # as the others have it, without grace


@contextlib.contextmanager
def podman(top: Path) -> Iterator[Engine]:
    """podman with a store of its own, which it leaves mounted."""
    places = ["--root", f"{top}/p", "--runroot", f"{top}/pr", "--storage-driver", "overlay"]
    try:
        yield Podman(["podman", *places, "--cgroup-manager", "cgroupfs", "--runtime", "runc"], b"conmon", LIMITS)
    finally:
        subprocess.run(["umount", f"{top}/p/overlay"], stderr=subprocess.DEVNULL, check=False)


@contextlib.contextmanager
def docker(host: Host, top: Path) -> Iterator[Engine]:
    """docker with a daemon of its own, on the same host."""
    config = {
        "data-root": f"{top}/d",
        "exec-root": f"{top}/e",
        "pidfile": f"{top}/pid",
        "hosts": [f"unix://{top}/socket"],
        "storage-driver": "overlay2",
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
    }
    (top / "daemon.json").write_text(json.dumps(config))
    engine = Engine(["docker", "--host", f"unix://{top}/socket"], b"containerd-shim")
    daemon = Daemon(host, ["dockerd", "--config-file", f"{top}/daemon.json"], top / "log")
    try:
        daemon.wait_until(lambda: subprocess.run([*engine.words, "version"], capture_output=True).returncode == 0)
        yield engine
    finally:
        daemon.stop()
        subprocess.run(["umount", f"{top}/d"], stderr=subprocess.DEVNULL, check=False)


def live_once(engine: Engine, times: dict[str, list[float]]) -> None:
    """One life of a container; the seconds of each step."""

    def timed(step: str, *words: str) -> str:
        begin = time.perf_counter()
        said = engine(*words)
        times.setdefault(step, []).append(time.perf_counter() - begin)
        return said

    timed("run --rm, no network", "run", *engine.flags, "--rm", "--net", "none", "busybox", "true")
    timed("run --rm", "run", *engine.flags, "--rm", "busybox", "true")
    id = timed("run -d", "run", *engine.flags, "-d", *FOREVER)
    timed("exec", "exec", id, "true")
    timed("rm -f", *engine.remove, id)


def idle_memory(engine: Engine) -> float:
    """MiB of a container's watcher, when there are some."""
    ids = [engine("run", *engine.flags, "-d", "--net", "none", *FOREVER) for _ in range(IDLE)]
    taken = proportional_set_size(engine.watcher)
    engine(*engine.remove, *ids)
    return taken / IDLE / 1024


if __name__ == "__main__":
    main()
