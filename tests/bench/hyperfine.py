"""Time commands with hyperfine(1), one round of all after the other, and print the medians as a table."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from ch02_namespaces.output import print_table

RESULTS = Path(__file__).parents[2] / "build/bench"
WARM_UP, RUNS, ROUNDS = 3, 30, 3


def compare(title: str, commands: dict[str, list[str]]) -> None:
    """Time whole processes. Rounds alternate between the commands, so that a busy moment hits all of them.

    commands: the name in the table, and the command.
    """
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            times[name] += _time(command)
    rows = [
        {
            "command": name,
            "median ms": f"{_quantile(taken, 0.5):.1f}",
            "best ms": f"{min(taken) * 1e3:.1f}",
            "9 of 10 below ms": f"{_quantile(taken, 0.9):.1f}",
        }
        for name, taken in times.items()
    ]
    print(f"{title}: {ROUNDS * RUNS} runs each")
    print_table(rows)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{title.replace(' ', '-')}.json").write_text(json.dumps({"seconds": times, "table": rows}, indent=1))


def _time(command: list[str]) -> list[float]:
    """Seconds of each run. Python may keep its compiled modules, as it does on anyone's machine."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    RESULTS.mkdir(parents=True, exist_ok=True)
    export = RESULTS / "last.json"
    options = ["--shell=none", "--warmup", str(WARM_UP), "--runs", str(RUNS), "--export-json", str(export)]
    line = " ".join(command)
    subprocess.run(["hyperfine", *options, line], check=True, env=environment, stdout=subprocess.DEVNULL)
    taken: list[float] = json.loads(export.read_text())["results"][0]["times"]
    export.unlink()
    return taken


def _quantile(times: list[float], part: float) -> float:
    return sorted(times)[int(part * (len(times) - 1))] * 1e3
