"""What it costs to build an image: five layers, 2,000 files copied; nothing known before, and all in the cache.

Beside podman build. Whole processes; RUN has no network, so that what is measured is building.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from unittest import mock

from ch03_run.launcher import write_launcher
from ch04_images import busybox, images
from tests.bench.wiring import milliseconds, report

ROUNDS = 10
FILES = 2000
DOCKERFILE = """FROM localhost/busybox
WORKDIR /app
RUN mkdir data && echo one > data/one
COPY src src
RUN cat src/*/* | wc -c > data/size
RUN echo two > data/two
ENV MODE=production
CMD ["cat", "data/size"]
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="mydocker-bench-") as top, mock.patch.dict(os.environ, MYDOCKER_ROOT=top):
        image = busybox.make_image()
        images.put(images.Image("localhost/busybox:latest", image.layers, image.config, image.size, image.created))
        context = make_context(Path(top) / "context")
        program = f"{top}/mydocker"
        write_launcher("final", program)
        builds = {"mydocker": [program, "build", "-q", "--network", "none", "-t", "made"]}
        if shutil.which("podman"):
            builds["podman"] = [*podman(Path(top) / "podman", image), "-t", "made"]
        try:
            measure({name: [*words, str(context)] for name, words in builds.items()})
        finally:
            subprocess.run(["umount", f"{top}/podman/root/overlay"], stderr=subprocess.DEVNULL)  # podman leaves it


def make_context(context: Path) -> Path:
    """Files of some hundred bytes."""
    for number in range(FILES):
        directory = context / f"src/d{number // 50}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"file{number}").write_bytes(b"some text\n" * (number % 100))
    (context / "Dockerfile").write_text(DOCKERFILE)
    return context


def podman(top: Path, image: images.Image) -> list[str]:
    """The words of a build by podman, on the same files."""
    top.mkdir()
    places = ["--root", f"{top}/root", "--runroot", f"{top}/run", "--storage-driver", "overlay"]
    words = ["podman", *places, "--cgroup-manager", "cgroupfs", "--runtime", "runc"]
    archive = f"{top}/image.tar"
    subprocess.run(["tar", "-C", images.layer_directory(image.layers[0]), "-cf", archive, "."], check=True)
    subprocess.run([*words, "import", "-q", archive, "localhost/busybox"], check=True, stdout=subprocess.DEVNULL)
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"]  # its own may be more than we may give
    return [*words, "build", "-q", "--layers", "--network", "none", *limits]


def measure(builds: dict[str, list[str]]) -> None:
    taken: dict[str, dict[str, list[float]]] = {name: {"new": [], "cached": []} for name in builds}
    for _ in range(ROUNDS):
        for name, words in builds.items():
            taken[name]["new"].append(seconds([*words, "--no-cache"]))
            taken[name]["cached"].append(seconds(words))
    rows = [
        {
            "program": name,
            "all steps new ms": milliseconds(statistics.median(times["new"])),
            "best ms": milliseconds(min(times["new"])),
            "all in the cache ms": milliseconds(statistics.median(times["cached"])),
            "its best ms": milliseconds(min(times["cached"])),
        }
        for name, times in taken.items()
    ]
    report("build", f"build an image of five steps and {FILES} files: {ROUNDS} runs each", rows, taken)


def seconds(words: list[str]) -> float:
    """How long a command takes. Python may keep its compiled modules, as it does on anyone's machine."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    begin = time.perf_counter()
    subprocess.run(words, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
