"""Each task is proved: its tests fail on the starter, all of them, and pass where it alone is written. So they need no
other task, and a task that is missing takes no points from others. Labs differ from the repository in the bodies alone.
"""

from __future__ import annotations

import ast
import filecmp
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.labs import starter
from tests.labs.starter import chapters_up_to, copy_chapters, write_lab
from tests.labs.tasks import LABS, TOP, Task, cut, mark, places, read_tasks
from tests.support.polling import PATIENCE

TASKS = read_tasks()
OURS = {"tests", "final", *(path.name for path in TOP.glob("ch0*_*"))}
CHAPTERS = sorted({task.chapter for task in TASKS})


def run_grade(*words: str, top: Path = TOP) -> subprocess.CompletedProcess[str]:
    """The grader as a process; with --json what it prints is the results."""
    command = [sys.executable, "-m", "tests.labs.grade", *words]
    return subprocess.run(
        command, cwd=top, capture_output=True, text=True, timeout=10 * PATIENCE, stdin=subprocess.DEVNULL, check=False
    )


def graded(*words: str, top: Path = TOP) -> dict[str, Any]:
    """What the grader finds, by task."""
    result = run_grade(*words, "--json", "gradescope", top=top)
    assert result.returncode in (0, 1), result.stderr
    return {test["name"]: test for test in json.loads(result.stdout)["tests"]}


# ---------------------------------------------------------------- what is written down


def test_every_chapter_has_tasks() -> None:
    least = {"02": 6, "03": 6, "04": 6, "05": 6, "06": 6, "07": 4}
    counted = {chapter: len(read_tasks(chapter)) for chapter in CHAPTERS}
    assert {chapter: number for chapter, number in least.items() if counted.get(chapter, 0) < number} == {}
    assert len({task.name for task in TASKS}) == len(TASKS)


def test_the_guides_numbers_are_right() -> None:
    """Tasks, points and hours of each chapter, and how many tasks there are."""
    guide = (LABS / "README.md").read_text()
    for chapter in CHAPTERS:
        tasks = read_tasks(chapter)
        counted = f"{len(tasks)} | {sum(task.points for task in tasks)}"
        (hours,) = re.findall(rf"^\| {int(chapter)}, [^|]* \| {re.escape(counted)} \| (\d+) \|", guide, re.MULTILINE)
        assert abs(int(hours) - sum(task.minutes for task in tasks) / 60) <= 0.5
    assert f"{len(TASKS)} tasks in all" in (TOP / "README.md").read_text()


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_task_is_whole(task: Task) -> None:
    """Its tests are there, its handout can be worked from, and the lesson has a heading to be read again."""
    assert all((LABS / test).name == f"grade_{task.name.replace('-', '_')}.py" for test in task.tests)
    assert all((LABS / test).exists() for test in task.tests)
    assert min(task.points, task.minutes, len(task.read)) > 0
    handout = "\n".join(place.docstring for place in places(task))
    assert len(handout) >= 150 and "Example" in handout
    assert task.lesson(), f"no heading of the lesson names section {task.section}"


def test_every_grading_test_is_used() -> None:
    found = {str(path.relative_to(LABS)) for path in LABS.glob("ch*/*.py")}
    assert found == {test for task in TASKS for test in task.tests}


# ---------------------------------------------------------------- labs


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_bodies_alone_are_cut(chapter: str, tmp_path: Path) -> None:
    """With its bodies put back, each file of the lab's chapters is the repository's, byte for byte."""
    tasks = read_tasks(chapter)
    write_lab(chapter, tmp_path / "lab", tasks)
    wanted = {path.relative_to(TOP) for name in chapters_up_to(chapter) for path in (TOP / name).rglob("*.py")}
    found = {
        path.relative_to(tmp_path / "lab")
        for name in chapters_up_to(chapter)
        for path in (tmp_path / "lab" / name).rglob("*.py")
    }
    assert found == wanted
    cut_files = {place.file for task in tasks for place in places(task)}
    for path in wanted - {Path(file) for file in cut_files}:
        assert filecmp.cmp(TOP / path, tmp_path / "lab" / path, shallow=False), path
    for file in cut_files:
        assert with_bodies(tmp_path / "lab" / file, file, tasks) == (TOP / file).read_text()


def with_bodies(path: Path, file: str, tasks: Sequence[Task]) -> str:
    """A file of a lab, with the repository's bodies in place of the marks."""
    text, original = path.read_text(), (TOP / file).read_text().splitlines(keepends=True)
    cuts = sorted(
        (place.first, place.last, mark(task)) for task in tasks for place in places(task) if place.file == file
    )
    for first, last, line in cuts:
        before, found, after = text.partition(f"    {line}\n")
        assert found
        text = before[: before.rindex("\n") + 1] + "".join(original[first - 1 : last]) + after
    assert "lab task" not in text
    return text


def test_later_chapters_are_not_in_a_lab(tmp_path: Path) -> None:
    write_lab("02", tmp_path, read_tasks("02"))
    assert sorted(path.name for path in tmp_path.glob("ch*")) == ["ch02_namespaces"]
    assert [path for path in tmp_path.rglob("*") if "wrong" in path.name or path.name == "starter.py"] == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_lab_stands_alone(chapter: str, tmp_path: Path) -> None:
    """Whatever its chapters, its fixtures and its grader import is there."""
    write_lab(chapter, tmp_path, read_tasks(chapter))
    missing = []
    for path in [*tmp_path.glob("ch*/**/*.py"), *tmp_path.glob("final/**/*.py"), *tmp_path.glob("tests/**/*.py")]:
        for node in ast.parse(
            path.read_text()
        ).body:  # at the top: some tests import later chapters when they need them
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                source = tmp_path / name.replace(".", "/")
                if name.split(".")[0] in OURS and not (source.is_dir() or source.with_suffix(".py").exists()):
                    missing.append(f"{path.relative_to(tmp_path)}: {name}")
    unused = {"tests/support/kill_at.py", "tests/support/networks.py"}  # of later chapters' tests alone
    assert [line for line in missing if line.partition(":")[0] not in unused] == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_what_setup_and_make_test_find(chapter: str, tmp_path: Path) -> None:
    """The programs of pyproject.toml are there, and so is whatever the chapter's tests ask for."""
    write_lab(chapter, tmp_path, read_tasks(chapter))
    programs = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]["scripts"]
    assert ("mydocker" in programs) == (chapter != "02")
    for program in programs.values():
        directory = tmp_path / program.removesuffix(".__main__:entry_point").replace(".", "/")
        assert (directory / "cli.py").exists() and (directory / "__main__.py").exists(), program
    newest = max(path.name for path in tmp_path.glob("ch*"))
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", f"tests/{newest}"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("chapter", ["2", "02", "ch2", "ch02"])
def test_words_for_a_lab(chapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chapter is called as one likes; a directory may be there if nothing is in it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "my lab").mkdir()
    assert starter.main([chapter, "~/my lab"]) == 0
    assert (tmp_path / "my lab/README.md").read_text().startswith("# Lab: chapter 2,")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["02"], "usage"),
        (["02", ""], "usage"),
        (["", "new"], "usage"),
        (["09", "new"], "chapter 09: it has no tasks"),
        (["two", "new"], "these have: 02, 03"),
        (["02", "full"], "not empty"),
        (["02", "full/mine"], "it is a file"),
        (["02", "full/mine/new"], "Not a directory"),
        (["02", str(LABS / "new")], "a part of what is copied"),
    ],
)
def test_wrong_words_for_a_lab(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says why, and nothing is changed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").touch()
    assert starter.main(words) == 125
    assert told in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "full", tmp_path / "full/mine"]
    assert not (LABS / "new").exists()


def test_half_a_lab_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starter, "CARRIED", ("LICENSE", "nothing"))
    assert starter.main(["02", str(tmp_path / "lab")]) == 125
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- proofs


@pytest.mark.kernel
@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_starter_passes_no_test(chapter: str, tmp_path: Path) -> None:
    """The lab stands alone: it is graded by its own grader, in its own directory."""
    write_lab(chapter, tmp_path / "lab", read_tasks(chapter))
    found = graded(chapter, top=tmp_path / "lab")
    assert {name: test["extra_data"]["passed"] for name, test in found.items()} == dict.fromkeys(found, 0)
    assert all(test["extra_data"]["tests"] >= 2 for test in found.values())
    assert all("nothing is written yet" in test["output"] for test in found.values())


@pytest.mark.kernel
@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_task_is_solved_alone(chapter: str, tmp_path: Path) -> None:
    """With the repository's solution of one task and no other, that task has all its points."""
    tasks = read_tasks(chapter)
    for task in tasks:
        copy_chapters(chapter, tmp_path / task.name)
        for other in tasks:
            if other != task:
                cut(other, tmp_path / task.name)
    found = graded(chapter, "--tree", f"{tmp_path}/{{task}}")
    assert {name: test["output"] for name, test in found.items() if test["status"] != "passed"} == {}
    assert {name: test["score"] for name, test in found.items()} == {task.name: task.points for task in tasks}
