"""What it costs to unpack an image: an archive of 50,000 files, by us and by GNU tar, plain and gzip."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ch02_namespaces.output import print_table
from tests.bench.hyperfine import RESULTS

FILES, PER_DIRECTORY = 50_000, 50
ROUNDS = {"/dev/shm": 5, "/var/tmp": 1}  # memory; and a disk, where all mostly wait, often for half a minute
OURS = "import sys; from ch04_images.unpack import unpack; unpack(open(sys.argv[1], 'rb'), sys.argv[2])"
PYTHONS = "import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter='tar')"


def main() -> None:
    rows, seconds = [], {}
    for place, rounds in ROUNDS.items():
        with tempfile.TemporaryDirectory(dir=place, prefix="mydocker-bench-") as top:
            for archive in make_archives(Path(top)):
                taken = compare(archive, Path(top) / "target", rounds)
                seconds[f"{place} {archive.name}"] = taken
                tar = statistics.median(taken["GNU tar"])
                rows += [
                    {
                        "on": place,
                        "archive": archive.name,
                        "program": program,
                        "median s": f"{statistics.median(times):.2f}",
                        "best s": f"{min(times):.2f}",
                        "beside GNU tar": f"{statistics.median(times) / tar:.2f}",
                    }
                    for program, times in taken.items()
                ]
    print(f"unpack {FILES} files, whole processes; runs: {ROUNDS}")
    print_table(rows)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "import-tar.json").write_text(json.dumps({"seconds": seconds, "table": rows}, indent=1))


def make_archives(top: Path) -> list[Path]:
    """Files of 300 to 3,000 bytes, half of it text and half noise, as an image compresses to about a half."""
    dice, source, archive = random.Random(4), top / "source", top / "files.tar"
    for number in range(FILES):
        directory = source / f"d{number // 1000}/e{number // PER_DIRECTORY}"
        if number % PER_DIRECTORY == 0:
            directory.mkdir(parents=True)
        (directory / f"file{number}.txt").write_bytes((b"text" * 38 + dice.randbytes(150)) * (1 + number % 10))
    subprocess.run(
        [
            "tar",
            "--format=pax",
            "--pax-option=delete=atime,delete=ctime,delete=mtime",
            "-cf",
            archive,
            "-C",
            source,
            ".",
        ],
        check=True,
    )
    subprocess.run(["gzip", "--keep", archive], check=True)
    subprocess.run(["rm", "-rf", source], check=True)
    return [archive, archive.with_suffix(".tar.gz")]


def compare(archive: Path, target: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of each program; rounds alternate, so that a busy moment hits all of them."""
    programs: dict[str, list[str]] = {
        "GNU tar": ["tar", "-x", "-f", str(archive), "-C", str(target)],
        "mydocker": [sys.executable, "-c", OURS, str(archive), str(target)],
        "Python's tarfile": [sys.executable, "-c", PYTHONS, str(archive), str(target)],
    }
    taken: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, command in programs.items():
            target.mkdir()
            os.sync()
            start = time.perf_counter()
            subprocess.run(command, check=True)
            taken[name].append(time.perf_counter() - start)
            subprocess.run(["rm", "-rf", target], check=True)
    return taken


if __name__ == "__main__":
    main()
