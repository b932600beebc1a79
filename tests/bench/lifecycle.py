"""What a container in the background costs: its life in five commands, many of them, and who watches it.

Beside podman, which has a watcher for each container as we do (conmon), and runc, which has none.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from ch02_namespaces.output import print_table
from ch03_run.launcher import write_launcher
from ch04_images import busybox, images
from tests.bench.hyperfine import RESULTS
from tests.bench.image import make_bundle

ROUNDS, MANY, KNOWN = 12, 100, 1000
SLEEP = ["sleep", "1000"]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="mydocker-bench-") as top, mock.patch.dict(os.environ, MYDOCKER_ROOT=top):
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        image = busybox.make_image()
        program = f"{top}/mydocker"
        write_launcher("ch05_lifecycle", program)
        engines = {"mydocker": Mydocker(program), "runc": Runc(make_bundle(Path(top) / "bundle", image))}
        if shutil.which("podman"):
            engines["podman"] = Podman(Path(top) / "podman", image)
        try:
            show("life", one_life_after_another(engines))
        finally:
            subprocess.run(["umount", f"{top}/podman/root/overlay"], stderr=subprocess.DEVNULL)  # podman leaves it
        show("many", [*many_at_once(engines["mydocker"]), *listing(program)])


def show(name: str, rows: list[dict[str, object]]) -> None:
    print_table(rows)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"lifecycle-{name}.json").write_text(json.dumps(rows, indent=1))


def quietly(*words: str) -> str:
    return subprocess.run(
        words, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ).stdout.strip()


class Mydocker:
    watcher = b"mydocker"

    def __init__(self, program: str) -> None:
        self.program = program

    def start(self) -> str:
        return quietly(self.program, "run", "-d", "busybox", *SLEEP)

    def execute(self, id: str) -> None:
        quietly(self.program, "exec", id, "true")

    def stop(self, id: str) -> None:
        quietly(self.program, "stop", "-t", "0", id)

    def remove(self, id: str) -> None:
        quietly(self.program, "rm", id)


class Podman(Mydocker):
    watcher = b"conmon"

    def __init__(self, top: Path, image: images.Image) -> None:
        super().__init__("podman")
        places = ["--root", f"{top}/root", "--runroot", f"{top}/run", "--storage-driver", "overlay"]
        self.words = ["podman", *places, "--cgroup-manager", "cgroupfs", "--runtime", "runc"]
        top.mkdir()
        archive = f"{top}/image.tar"
        subprocess.run(["tar", "-C", images.layer_directory(image.layers[0]), "-cf", archive, "."], check=True)
        quietly(*self.words, "import", archive, "busybox")

    def start(self) -> str:
        limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"]  # its own may be more than we may give
        return quietly(*self.words, "run", "-d", "--network", "none", *limits, "busybox", *SLEEP)

    def execute(self, id: str) -> None:
        quietly(*self.words, "exec", id, "true")

    def stop(self, id: str) -> None:
        quietly(*self.words, "stop", "-t", "0", id)

    def remove(self, id: str) -> None:
        quietly(*self.words, "rm", id)


class Runc(Mydocker):
    watcher = b""

    def __init__(self, bundle: Path) -> None:
        super().__init__("runc")
        config = json.loads((bundle / "config.json").read_text())
        config["process"]["args"] = SLEEP
        (bundle / "config.json").write_text(json.dumps(config))
        self.bundle = str(bundle)

    def start(self) -> str:
        id = f"bench{time.monotonic_ns()}"
        words = ["runc", "run", "--detach", "--bundle", self.bundle, id]
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return id

    def execute(self, id: str) -> None:
        quietly("runc", "exec", id, "true")

    def stop(self, id: str) -> None:
        quietly("runc", "kill", id, "KILL")
        while "stopped" not in quietly("runc", "state", id):
            continue

    def remove(self, id: str) -> None:
        quietly("runc", "delete", id)


def one_life_after_another(engines: dict[str, Mydocker]) -> list[dict[str, object]]:
    """Medians of each step in milliseconds; rounds alternate between the engines."""
    steps = ("run -d", "exec true", "stop", "rm")
    taken: dict[str, dict[str, list[float]]] = {name: {step: [] for step in steps} for name in engines}
    memory: dict[str, list[int]] = {name: [] for name in engines}
    for _ in range(ROUNDS):
        for name, engine in engines.items():
            id, seconds = timed(engine.start)
            taken[name]["run -d"].append(seconds)
            taken[name]["exec true"].append(timed(engine.execute, id)[1])
            memory[name].append(proportional_set_size(engine.watcher))
            taken[name]["stop"].append(timed(engine.stop, id)[1])
            taken[name]["rm"].append(timed(engine.remove, id)[1])
    rows: list[dict[str, object]] = []
    for name in engines:
        medians = {step: statistics.median(taken[name][step]) * 1e3 for step in steps}
        row: dict[str, object] = {"engine": name, **{f"{step} ms": f"{medians[step]:.1f}" for step in steps}}
        row["together ms"] = f"{sum(medians.values()):.0f}"
        row["watcher MiB"] = f"{statistics.median(memory[name]) / 1024:.1f}" if memory[name][0] else "none"
        rows.append(row)
    return rows


def timed(work: Callable[..., str | None], *arguments: str) -> tuple[str, float]:
    start = time.perf_counter()
    result = work(*arguments)
    return result or "", time.perf_counter() - start


def proportional_set_size(name: bytes) -> int:
    """KiB of the processes with this in their command line, but for ourselves: proc_pid_smaps_rollup(5)."""
    total = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if not name or int(pid) == os.getpid() or name not in Path(f"/proc/{pid}/cmdline").read_bytes():
                continue
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def many_at_once(engine: Mydocker) -> list[dict[str, object]]:
    """A hundred starts in parallel, and what the watchers take together."""
    words = [engine.program, "run", "-d", "busybox", *SLEEP]
    start = time.perf_counter()
    started = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(MANY)]
    ids = [process.communicate()[0].strip() for process in started]
    seconds = time.perf_counter() - start
    each = proportional_set_size(engine.watcher) / MANY / 1024
    quietly(engine.program, "rm", "-f", *ids)
    return [
        {"what": f"{MANY} parallel run -d", "result": f"{seconds:.2f} s"},
        {"what": f"a watcher of {MANY}", "result": f"{each:.1f} MiB"},
    ]


def listing(program: str) -> list[dict[str, object]]:
    """`ps -a` with a thousand containers."""
    ids = [quietly(program, "create", "busybox", "true") for _ in range(KNOWN)]
    seconds = statistics.median(timed(quietly, program, "ps", "-a")[1] for _ in range(5))
    for at in range(0, KNOWN, 100):
        quietly(program, "rm", *ids[at : at + 100])
    return [{"what": f"ps -a of {KNOWN} containers", "result": f"{seconds * 1e3:.0f} ms"}]


if __name__ == "__main__":
    main()
