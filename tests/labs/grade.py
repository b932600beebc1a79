"""`python3 -m tests.labs.grade CHAPTER [TASK …]`: grade a lab; `make grade` does so.

Exit codes: 0 all points, 1 some are missing, 125 it could not be graded.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.labs import progress, report
from tests.labs.checks import new_seed
from tests.labs.grading import SECONDS_A_TASK, Grading, Result, grade
from tests.labs.tasks import TOP, LabError, Task, number_of, read_tasks

if TYPE_CHECKING:
    from rich.status import Status

FAILED = 125


def main(words: list[str]) -> int:
    """The exit code."""
    try:
        options = _parse(words)
    except SystemExit as end:  # argparse has said why; its own code is 2
        return FAILED if end.code else 0
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):  # a shell has them ignored by what runs with `&`
        signal.signal(number, signal.SIG_DFL)
    seed = options.seed or new_seed()
    try:
        results = _grade(options, seed)
    except LabError as error:
        print(f"grade: {error}", file=sys.stderr)
        return FAILED
    if options.progress:
        progress.record_grade(Path(options.progress), results)
    if options.json:
        print(report.as_json(options.json, results))
    else:
        report.print_table(results)
    reached, most = report.total(results)
    if reached < most and not options.json:
        print(f"\nthe same values again: SEED={seed}")
    return 0 if reached == most else 1


def _parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="grade", description="Grade a lab. It takes root.")
    parser.add_argument("chapter", help="such as 04")
    parser.add_argument("task", nargs="*", help="these alone (default: all of the chapter)")
    parser.add_argument("--tree", metavar="DIR", default=str(TOP), help="the lab; {task} in it is the task's name")
    parser.add_argument("--hidden", metavar="DIR", help="more tests, files such as grade_uid_map.py")
    parser.add_argument("--json", choices=sorted(report.SHAPES), help="print what this system reads")
    parser.add_argument("--seed", help="draw the values of an earlier run again")
    parser.add_argument("--seconds", type=float, default=SECONDS_A_TASK, help="for a task (default: %(default)g)")
    parser.add_argument("--progress", metavar="FILE", help="keep there what has been reached")
    return parser.parse_args(words)


def _grade(options: argparse.Namespace, seed: str) -> list[Result]:
    if os.geteuid() != 0:
        raise LabError("it takes root: namespaces, mounts and cgroups are made (sudo make grade, or VM=1 make grade)")
    if not options.chapter or not options.tree:
        raise LabError("which one? make grade CH=04 DIR=~/lab4")
    tasks = _chosen(options.chapter, options.task)
    trees = {task.name: Path(options.tree.replace("{task}", task.name)).resolve() for task in tasks}
    for task in tasks:
        for solution in task.solution:
            file = trees[task.name] / solution.partition(":")[0]
            if not file.exists():
                raise LabError(f"{file} is missing: is this the lab of chapter {options.chapter}?")
    hidden = Path(options.hidden).resolve() if options.hidden else None
    with _status() as status, tempfile.TemporaryDirectory(prefix="mydocker-grade-") as directory:
        grading = Grading(tasks, lambda task: trees[task.name], seed, options.seconds, status.update)
        return grade(grading, tasks, hidden, Path(directory).resolve())


def _chosen(chapter: str, names: list[str]) -> list[Task]:
    tasks = read_tasks(number_of(chapter))
    unknown = set(names) - {task.name for task in tasks}
    if unknown:
        raise LabError(f"there is no task {', '.join(sorted(unknown))}; there are {', '.join(t.name for t in tasks)}")
    return [task for task in tasks if not names or task.name in names]


def _status() -> Status:
    """Something that shows which task is being graded, on a terminal alone."""
    from rich.console import Console

    return Console(stderr=True).status("")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
