"""What it costs to build an image: five layers, 2,000 files copied; nothing known before, and all in the cache.

Beside podman and docker. Whole processes; RUN has no network, so that what is measured is building.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from tests.bench.engine import engines_of_a_host
from tests.bench.wiring import milliseconds, report

ROUNDS = 10
BUILD = ["build", "-q", "--network", "none", "-t", "made"]
FILES = 2000
DOCKERFILE = """FROM busybox
WORKDIR /app
RUN mkdir data && echo one > data/one
COPY src src
RUN cat src/*/* | wc -c > data/size
RUN echo two > data/two
ENV MODE=production
CMD ["cat", "data/size"]
"""


def main() -> None:
    with engines_of_a_host() as engines, tempfile.TemporaryDirectory(prefix="mydocker-bench-") as top:
        context = make_context(Path(top))
        measure({name: [*engine.words, *BUILD, *engine.flags, str(context)] for name, engine in engines.items()})


def make_context(context: Path) -> Path:
    """Files of some hundred bytes."""
    for number in range(FILES):
        directory = context / f"src/d{number // 50}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"file{number}").write_bytes(b"some text\n" * (number % 100))
    (context / "Dockerfile").write_text(DOCKERFILE)
    return context


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
    """How long a command takes. What the one before it has left to be written is not its own."""
    os.sync()
    begin = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
