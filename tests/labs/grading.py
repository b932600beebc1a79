"""Grading tests are run by pytest; this is what they find there (`sandbox`, `draw`), and what keeps their results."""

from __future__ import annotations

import inspect
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.labs.checks import Draw, MismatchError
from tests.labs.sandbox import Sandbox
from tests.labs.tasks import LABS, LabError, Task, read_tasks
from tests.support.polling import PATIENCE

SECONDS_A_TASK = PATIENCE
PATTERNS = ("grade_*.py", "test_*.py")


class Check(NamedTuple):
    """What one test found. rule: what it is about; expected, happened: empty if it passed."""

    task: str
    rule: str
    passed: bool
    expected: str = ""
    happened: str = ""


class Result(NamedTuple):
    """What all tests of a task found; seconds that they took."""

    task: Task
    checks: Sequence[Check]
    seconds: float

    @property
    def passed(self) -> int:
        return sum(check.passed for check in self.checks)

    @property
    def score(self) -> int:
        """Points: the share of the tests that passed, rounded down."""
        return self.task.points * self.passed // len(self.checks) if self.checks else 0

    @property
    def is_solved(self) -> bool:
        return bool(self.checks) and self.passed == len(self.checks)


class Grading:
    """A plugin of pytest. tree_of: the tree in which a task is tried; seed: of what is drawn; began: called with each
    task's name."""

    def __init__(
        self,
        tasks: Sequence[Task],
        tree_of: Callable[[Task], Path],
        seed: str,
        seconds: float = SECONDS_A_TASK,
        began: Callable[[str], object] = lambda name: None,
    ) -> None:
        self._tasks = {task.name: task for task in tasks}
        self._tree_of = tree_of
        self._seed = seed
        self._seconds = seconds
        self._began = began
        self._used: dict[str, float] = {}
        self._checks: dict[str, list[Check]] = {task.name: [] for task in tasks}
        self.broken: list[str] = []
        """What is wrong with the tests themselves, or with the machine."""

    def results(self) -> list[Result]:
        return [Result(task, self._checks[name], self._used.get(name, 0.0)) for name, task in self._tasks.items()]

    # ------------------------------------------------------------ for the tests

    @pytest.fixture
    def draw(self, request: pytest.FixtureRequest) -> Draw:
        """Values by chance, others in each run."""
        return Draw(f"{self._seed} {request.node.path.stem} {request.node.name}")

    @pytest.fixture
    def sandbox(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sandbox]:
        """A new one for each test; together, those of a task have so many seconds."""
        task = self._tasks[task_of(request.node.path)]
        left = self._seconds - self._used.get(task.name, 0.0)
        found = Sandbox(self._tree_of(task), tmp_path, max(left, 1.0))
        yield found
        found.close()
        shutil.rmtree(tmp_path, ignore_errors=True)

    # ------------------------------------------------------------ for pytest

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.broken.append(f"{report.nodeid}: {str(report.longrepr).splitlines()[-1]}")

    def pytest_runtest_logstart(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        self._began(task_of(Path(location[0])))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        start = time.monotonic()
        try:
            return (yield)
        finally:
            name = task_of(item.path)
            self._used[name] = self._used.get(name, 0.0) + time.monotonic() - start

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        task = task_of(item.path)
        error = call.excinfo.value if call.excinfo else None
        if call.when == "call" and not isinstance(error, pytest.skip.Exception):
            self._checks[task].append(_check(task, item, error))
        elif error is not None and call.when != "call":
            why = str(error) if isinstance(error, LabError) else f"{type(error).__name__}: {error}"
            self.broken.append(f"{item.name}, {call.when}: {why}")
        return (yield)


def task_of(path: Path) -> str:
    """The task that a file of grading tests is for: grade_uid_map.py and test_uid_map.py are for uid-map."""
    return path.stem.removeprefix("grade_").removeprefix("test_").replace("_", "-")


def _check(task: str, item: pytest.Item, error: BaseException | None) -> Check:
    rule = (inspect.getdoc(getattr(item, "function", None)) or item.name).partition("\n\n")[0].replace("\n", " ")
    if error is None:
        return Check(task, rule, True)
    if isinstance(error, MismatchError):
        return Check(task, rule, False, error.expected, error.happened)
    return Check(task, rule, False, rule, f"{type(error).__name__}: {error}".partition("\n")[0])


def grade(grading: Grading, tasks: Sequence[Task], hidden: Path | None, directory: Path) -> list[Result]:
    """Run the tests of some tasks, and those of the staff in `hidden`. directory: for files. Raises LabError."""
    files = [LABS / test for task in tasks for test in task.tests]
    if hidden is not None:
        wanted = {task.name for task in tasks}
        found = [path for pattern in PATTERNS for path in sorted(hidden.rglob(pattern))]
        files += [path for path in found if task_of(path) in wanted]
        strangers = [path.name for path in found if task_of(path) not in {task.name for task in read_tasks()}]
        if strangers:
            raise LabError(f"{hidden}: there is no task for {', '.join(strangers)}; grade_uid_map.py is for uid-map")
        if not found:
            raise LabError(f"{hidden}: there are no tests in it: {' or '.join(PATTERNS)}")
    options = ["-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:logging", "-c", os.devnull]
    options += [
        "-o",
        f"python_files={' '.join(PATTERNS)}",
        "--import-mode=importlib",
        f"--basetemp={directory / 'files'}",
    ]
    options += ["--rootdir", str(LABS), "--confcutdir", str(LABS)]
    sys.dont_write_bytecode = True
    code = pytest.main([*options, *map(str, files)], plugins=[grading])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not grading.broken:
        grading.broken.append(f"pytest ended with {code}")
    if grading.broken:
        raise LabError("; ".join(grading.broken))
    return grading.results()
