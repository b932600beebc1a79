"""What it costs to pull an image: 500 MB in four layers and 12,000 files, from loopback; podman and docker beside."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.engine import Engine, daemons_places, docker
from tests.bench.wiring import inside, missing, report
from tests.final.images.real_registry import RealRegistry
from tests.support.hosts import Host

LAYERS, FILES, SIZE = 4, 3000, 42_000  # files in a layer; bytes in a file, on the average
ROUNDS = {"/dev/shm": 3, "/var/tmp": 3}  # memory, and a disk


def main() -> None:
    seconds = {place: measured(place, rounds) for place, rounds in ROUNDS.items()}
    rows = [
        {
            "on": place,
            "program": program,
            "median s": f"{statistics.median(times):.2f}",
            "best s": f"{min(times):.2f}",
            "beside podman": f"{statistics.median(times) / statistics.median(taken['podman']):.2f}",
        }
        for place, taken in seconds.items()
        for program, times in taken.items()
    ]
    size = LAYERS * FILES * SIZE / 1e6
    report(
        "pull", f"pull {LAYERS} layers of {size:.0f} MB from loopback, whole processes; runs: {ROUNDS}", rows, seconds
    )


def measured(place: str, rounds: int) -> dict[str, list[float]]:
    """The seconds of each program with its store in this directory."""
    with contextlib.ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=place, prefix="b-")))
        host = Host(top / "host")
        stack.callback(host.close)
        stack.enter_context(inside(host))
        (top / "registry").mkdir()
        registry = stack.enter_context(RealRegistry(top / "registry"))
        name = make_image(top, registry)
        stack.enter_context(daemons_places())
        daemon = None if missing("dockerd", "docker") else stack.enter_context(docker(host, top))
        return compare(top, name, rounds, daemon)


def make_image(top: Path, registry: RealRegistry) -> str:
    """Push an image whose layers compress to about half: its name."""
    dice = random.Random(7)
    layout, bundle = top / "layout", top / "bundle"
    quietly("umoci", "init", "--layout", str(layout))
    quietly("umoci", "new", "--image", f"{layout}:x")
    quietly("umoci", "unpack", "--image", f"{layout}:x", str(bundle))
    for layer in range(LAYERS):
        for number in range(FILES):
            directory = bundle / f"rootfs/l{layer}/d{number // 50}"
            directory.mkdir(parents=True, exist_ok=True)
            half = dice.randrange(SIZE // 10, SIZE)
            (directory / f"file{number}").write_bytes(dice.randbytes(half) + b"text of it " * (half // 11))
        quietly("umoci", "repack", "--image", f"{layout}:x", str(bundle))
    name = f"{registry.host}/bench:1"
    quietly("skopeo", "copy", "--dest-tls-verify=false", f"oci:{layout}:x", f"docker://{name}")
    for path in (layout, bundle):
        shutil.rmtree(path)
    return name


def compare(top: Path, name: str, rounds: int, daemon: Engine | None) -> dict[str, list[float]]:
    """Seconds of each program, each into an empty store; rounds alternate, so that a busy moment hits all of them."""
    store = top / "store"
    podman = ["podman", "--root", str(store), "--runroot", str(top / "run"), "--storage-driver", "overlay"]
    skopeo = ["skopeo", "copy", "-q", "--src-tls-verify=false"]
    programs = {
        "podman": [*podman, "pull", "-q", "--tls-verify=false", name],
        "mydocker": [sys.executable, "-m", "final.images", "pull", "-q", name],
        "skopeo copy (unpacks nothing)": [*skopeo, f"docker://{name}", f"oci:{store}:x"],
    }
    if daemon:
        programs["docker"] = [*daemon.words, "pull", "-q", name]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["MYDOCKER_ROOT"] = str(store)
    taken: dict[str, list[float]] = {program: [] for program in programs}
    for _ in range(rounds):
        for program, command in programs.items():
            os.sync()
            start = time.perf_counter()
            subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
            taken[program].append(time.perf_counter() - start)
            if daemon and program == "docker":
                daemon("rmi", "-f", name)
            subprocess.run(["umount", str(store / "overlay")], stderr=subprocess.DEVNULL, check=False)
            subprocess.run(["rm", "-rf", str(store)], check=True)
    return taken


def quietly(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


if __name__ == "__main__":
    main()
