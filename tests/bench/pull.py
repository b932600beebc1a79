"""What it costs to pull an image: four layers, 500 MB in 12,000 files, from a registry on loopback; podman beside."""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ch02_namespaces.output import print_table
from tests.bench.hyperfine import RESULTS
from tests.final.images.real_registry import RealRegistry

LAYERS, FILES, SIZE = 4, 3000, 42_000  # files in a layer; bytes in a file, on the average
ROUNDS = {"/dev/shm": 3, "/var/tmp": 3}  # memory, and a disk


def main() -> None:
    rows, seconds = [], {}
    for place, rounds in ROUNDS.items():
        with tempfile.TemporaryDirectory(dir=place, prefix="bench-") as top:
            (Path(top) / "registry").mkdir()
            with RealRegistry(Path(top) / "registry") as registry:
                name = make_image(Path(top), registry)
                taken = compare(Path(top), name, rounds)
        seconds[place] = taken
        podmans = statistics.median(taken["podman"])
        rows += [
            {
                "on": place,
                "program": program,
                "median s": f"{statistics.median(times):.2f}",
                "best s": f"{min(times):.2f}",
                "beside podman": f"{statistics.median(times) / podmans:.2f}",
            }
            for program, times in taken.items()
        ]
    print(
        f"pull {LAYERS} layers of {LAYERS * FILES * SIZE / 1e6:.0f} MB from loopback, whole processes; runs: {ROUNDS}"
    )
    print_table(rows)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "pull.json").write_text(json.dumps({"seconds": seconds, "table": rows}, indent=1))


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


def compare(top: Path, name: str, rounds: int) -> dict[str, list[float]]:
    """Seconds of each program, each into an empty store; rounds alternate, so that a busy moment hits all of them."""
    store = top / "store"
    podman = ["podman", "--root", str(store), "--runroot", str(top / "run"), "--storage-driver", "overlay"]
    programs = {
        "podman": [*podman, "pull", "-q", "--tls-verify=false", name],
        "mydocker": [sys.executable, "-m", "final.images", "pull", "-q", name],
        "skopeo copy (unpacks nothing)": [
            "skopeo",
            "copy",
            "-q",
            "--src-tls-verify=false",
            f"docker://{name}",
            f"oci:{store}:x",
        ],
    }
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    taken: dict[str, list[float]] = {program: [] for program in programs}
    for _ in range(rounds):
        for program, command in programs.items():
            os.sync()
            start = time.perf_counter()
            subprocess.run(
                command, check=True, env={**environment, "MYDOCKER_ROOT": str(store)}, stdout=subprocess.DEVNULL
            )
            taken[program].append(time.perf_counter() - start)
            subprocess.run(["umount", str(store / "overlay")], stderr=subprocess.DEVNULL, check=False)
            subprocess.run(["rm", "-rf", str(store)], check=True)
    return taken


def quietly(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


if __name__ == "__main__":
    main()
