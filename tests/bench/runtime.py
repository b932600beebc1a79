"""OCI runtimes beside each other, on the same bundle: ours, runc, crun.

The whole life by one command, `run`, with a filter of system calls and without; and command by command, as an engine
calls them, with what stays in memory between `create` and `start`, when the container's process is still the runtime's
program.

crun refuses a machine that has cgroups of both versions (hybrid): so all three measure where version 2 is hidden.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from ch02_namespaces import syscalls
from ch02_namespaces.cgroups import hierarchies
from ch03_run.launcher import write_launcher
from ch04_images import busybox
from final.engine.seccomp_profile import default_profile
from tests.bench.hyperfine import compare
from tests.bench.image import make_bundle
from tests.bench.wiring import milliseconds, missing, own_mounts, report
from tests.support.polling import eventually

ROUNDS = 40
COMMANDS = ("create", "start", "state", "exec", "kill", "delete")
WHOLE = "create, start, kill, delete"
PEAK = "peak MiB"
WAITING = "waiting MiB"


class Runtime:
    """A runtime's command line. root: a directory for what it keeps."""

    def __init__(self, program: str, root: Path) -> None:
        self.name = os.path.basename(program)
        self._words = [program, "--root", str(root / f"{self.name}-root")]

    def command(self, *words: str) -> list[str]:
        return [*self._words, *words]

    def call(self, *words: str) -> str:
        """Its output goes to a file: what it leaves running would keep a pipe open."""
        with tempfile.TemporaryFile() as output:
            subprocess.run(self.command(*words), check=True, stdin=subprocess.DEVNULL, stdout=output)
            output.seek(0)
            return output.read().decode()

    def state(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.call("state", "bench"))
        return found

    def has_ended(self) -> bool:
        return self.state()["status"] == "stopped"


def main() -> None:
    missing("crun", "runc")
    with contextlib.ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mydocker-bench-")))
        stack.enter_context(mock.patch.dict(os.environ, MYDOCKER_ROOT=str(top / "state")))
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        stack.enter_context(cgroups_of_one_version())
        short = make_bundle(top / "short", busybox.make_image())
        filtered = variant(short, lambda config: config["linux"].update(seccomp=default_profile([])))
        long = variant(short, lambda config: config["process"].update(args=["sleep", "1000"]))
        program = str(top / "mydocker-runtime")
        write_launcher("final.runtime", program)
        programs = [program, *filter(shutil.which, ("runc", "crun"))]
        runtimes = [Runtime(program, top) for program in programs]
        nothing = {"a Python that does nothing": [os.path.realpath(sys.executable), "-IS", "-c", "pass"]}
        for title, bundle in (("run a bundle", short), ("run a bundle with Docker's filter of system calls", filtered)):
            whole = {runtime.name: runtime.command("run", "--bundle", str(bundle), "bench") for runtime in runtimes}
            compare(title, whole | nothing)
        peaks = {runtime.name: peak(runtime.command("run", "--bundle", str(short), "bench")) for runtime in runtimes}
        measured = measure(runtimes, str(long))
    rows = [row(name, steps, peaks[name]) for name, steps in measured.items()]
    report("runtime", f"a bundle's life in commands, {ROUNDS} times; medians", rows, measured)


def variant(bundle: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The same bundle with another document."""
    config = json.loads((bundle / "config.json").read_text())
    config["root"]["path"] = str(bundle / "rootfs")
    change(config)
    directory = Path(tempfile.mkdtemp(dir=bundle.parent))
    (directory / "config.json").write_text(json.dumps(config))
    return directory


@contextlib.contextmanager
def cgroups_of_one_version() -> Iterator[None]:
    """Be in a mount namespace where version 2 is not mounted, if the machine has controllers on version 1."""
    with own_mounts():
        if len(hierarchies()) > 1 and hierarchies()[0].number() != 1:
            syscalls.umount(hierarchies()[0].mountpoint)
        yield


def measure(runtimes: list[Runtime], bundle: str) -> dict[str, dict[str, list[float]]]:
    """Seconds of each command, and MiB of the process that waits for `start`.

    Rounds alternate, so that a busy moment hits all; the first one does not count.
    """
    found: dict[str, dict[str, list[float]]] = {
        runtime.name: {what: [] for what in (*COMMANDS, WAITING)} for runtime in runtimes
    }
    for number in range(ROUNDS + 1):
        for runtime in runtimes:
            for what, value in one_life(runtime, bundle):
                if number:
                    found[runtime.name][what].append(value)
    return found


def one_life(runtime: Runtime, bundle: str) -> Iterator[tuple[str, float]]:
    """What is measured, and how much."""
    yield "create", timed(lambda: runtime.call("create", "--bundle", bundle, "bench"))
    yield WAITING, memory_of(int(str(runtime.state()["pid"])))
    yield "start", timed(lambda: runtime.call("start", "bench"))
    yield "state", timed(runtime.state)
    yield "exec", timed(lambda: runtime.call("exec", "bench", "true"))
    yield "kill", timed(lambda: runtime.call("kill", "bench", "KILL"))
    eventually(runtime.has_ended, "the container ends")
    yield "delete", timed(lambda: runtime.call("delete", "bench"))


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def memory_of(pid: int) -> float:
    """MiB that a process has to itself, and its part of what it shares: proc_pid_smaps(5), Pss."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def peak(command: list[str]) -> float:
    """MiB of the largest process at its largest moment: getrusage(2), ru_maxrss.

    GNU time starts it: what is started has its starter's peak, and time(1) is small.
    """
    said = subprocess.run(["time", "--format", "%M", *command], check=True, stderr=subprocess.PIPE, text=True).stderr
    return int(said.split()[-1]) / 1024


def row(name: str, measured: dict[str, list[float]], most: float) -> dict[str, object]:
    """A line of the table."""
    medians = {what: statistics.median(values) for what, values in measured.items()}
    return {
        "runtime": name,
        **{f"{command} ms": milliseconds(medians[command]) for command in COMMANDS},
        f"{WHOLE} ms": milliseconds(sum(medians[command] for command in WHOLE.split(", "))),
        WAITING: f"{medians[WAITING]:.1f}",
        PEAK: f"{most:.1f}",
    }


if __name__ == "__main__":
    main()
