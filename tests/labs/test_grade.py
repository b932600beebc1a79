"""What those who grade and are graded see: tables, JSON, hidden tests, progress, make."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.labs import grade, progress
from tests.labs.checks import Draw
from tests.labs.grading import Check, Result
from tests.labs.starter import write_lab
from tests.labs.tasks import TOP, Task, read_tasks
from tests.labs.test_labs import graded, run_grade
from tests.support.polling import PATIENCE

TASK = "limits-v2"
HIDDEN = '''
from tests.labs.checks import equal

def test_more(sandbox, draw):
    """What the students have not seen."""
    equal(sandbox.ask("answer(given['number'])", number=7), {expected}, "a number")
'''


@pytest.fixture
def lab(alone: None, tmp_path: Path) -> Path:
    """A lab of chapter 2 in which one task is left to be done."""
    directory = tmp_path / "my lab"
    write_lab("02", directory, [task for task in read_tasks("02") if task.name == TASK])
    return directory


def hidden(tmp_path: Path, expected: int, name: str = "grade_limits_v2.py") -> str:
    """A directory with a test of the staff."""
    directory = tmp_path / f"hidden{expected}"
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(HIDDEN.format(expected=expected))
    return str(directory)


@pytest.mark.kernel
def test_table(lab: Path) -> None:
    result = run_grade("02", TASK, "limits-v1", top=lab)
    assert result.returncode == 1
    assert result.stdout.count(TASK) == 2 and "nothing is written yet" in result.stdout
    assert "limits-v1  2.2.3    5/5   10/10" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr
    assert run_grade("02", "limits-v1", top=lab).returncode == 0


@pytest.mark.kernel
def test_hidden_tests_count(tmp_path: Path, lab: Path) -> None:
    found = graded("02", "limits-v1", TASK, "--hidden", hidden(tmp_path, 8, "grade_limits_v1.py"), top=lab)
    assert found["limits-v1"]["extra_data"] == {"tests": 6, "passed": 5}
    assert "What the students have not seen" in found["limits-v1"]["output"]
    assert "a number: 8" in found["limits-v1"]["output"]
    assert found["limits-v1"]["score"] == 8
    assert graded("02", "limits-v1", "--hidden", hidden(tmp_path, 7), top=lab)["limits-v1"]["status"] == "passed"
    result = run_grade("02", "--hidden", hidden(tmp_path, 9, "grade_nobody.py"), top=lab)
    assert result.returncode == 125 and "no task for grade_nobody.py" in result.stderr


@pytest.mark.kernel
def test_json_of_github_classroom(lab: Path) -> None:
    result = run_grade("02", TASK, "whiteout-lookup", "--json", "classroom", top=lab)
    found = json.loads(result.stdout)
    assert (found["status"], found["max_score"]) == ("fail", 20)
    assert [(test["name"], test["status"], test["score"]) for test in found["tests"]] == [
        (TASK, "fail", 0),
        ("whiteout-lookup", "pass", 10),
    ]


def make(directory: Path, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run make where everything is installed already. `~` is left to it, as by shells that expand none behind a `=`."""
    command = ["make", "--no-print-directory", "-o", ".venv/ready", "VM=0", f"PROGRESS={home}/my state/p.json", *words]
    environment = {**os.environ, "HOME": str(home)}
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=10 * PATIENCE, check=False
    )


@pytest.mark.kernel
def test_make_in_the_lab(tmp_path: Path, lab: Path) -> None:
    """Its Makefile needs nothing of this repository; here it is given an environment that is there already."""
    (lab / ".venv").symlink_to(TOP / ".venv" if (TOP / ".venv").exists() else Path(os.__file__).parents[2])
    hidden(tmp_path, 7)
    result = make(lab, tmp_path, "grade", "TASK=overlay")
    assert result.returncode == 0, result.stderr
    assert "10/10" in result.stdout
    results = make(lab, tmp_path, "grade", f"TASK={TASK}", "JSON=gradescope", "HIDDEN=~/hidden7", "SEED=1").stdout
    assert [test["extra_data"] for test in json.loads(results)["tests"]] == [{"tests": 4, "passed": 1}]
    most = sum(task.points for task in read_tasks("02"))
    assert f"12/{most} points" in make(lab, tmp_path, "progress").stdout


@pytest.mark.kernel
@pytest.mark.usefixtures("alone")
@pytest.mark.skipif(not (TOP / ".venv").exists(), reason="make installs it")
def test_make_in_the_repository(tmp_path: Path) -> None:
    assert make(TOP, tmp_path, "lab", "CH=2", "DIR=~/my lab").returncode == 0
    result = make(TOP, tmp_path, "grade", "CH=ch2", "DIR=~/my lab", f"TASK={TASK} whiteout-lookup")
    assert result.returncode != 0
    assert result.stdout.count("nothing is written yet") == 2
    assert "which one?" in make(TOP, tmp_path, "grade", "CH=2").stderr


def test_needs_root(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert grade.main(["02"]) == 125
    assert "it takes root" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["09"], "chapter 09"),
        (["02", "nothing"], "there is no task nothing"),
        (["02", "--tree", "/nowhere"], "/nowhere/ch02_namespaces"),
        (["02", "--tree", ""], "which one?"),
        (["", "--tree", "/nowhere"], "which one?"),
        (["02", "--json", "nothing"], "invalid choice"),
    ],
)
@pytest.mark.skipif(os.geteuid() != 0, reason="root is asked for first")
def test_wrong_words(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert grade.main(words) == 125
    assert told in capsys.readouterr().err


def test_seed_repeats_what_is_drawn() -> None:
    one, same, other = Draw("1 file test"), Draw("1 file test"), Draw("2 file test")
    assert one.names(3) == same.names(3) != other.names(3)


def result_of(task: Task, passed: int, of: int) -> Result:
    return Result(task, [Check(task.name, "", number < passed) for number in range(of)], 1.0)


def test_progress_only_grows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, (first, second, *_) = tmp_path / "below" / "progress.json", read_tasks("02")
    assert progress.read(file) == {}
    progress.record_grade(file, [result_of(first, 4, 4), result_of(second, 1, 2)])
    progress.record_grade(file, [result_of(first, 0, 4)])
    assert progress.main([str(file), "lesson", "ch02"]) == 0
    assert progress.main([str(file)]) == 0
    shown = capsys.readouterr().out
    most = sum(task.points for task in read_tasks("02"))
    assert f"{first.points + second.points // 2}/{most} points, lesson played 20" in shown
    assert f"begun: {second.name}, {second.points // 2}/{second.points}" in shown
    assert list(file.parent.iterdir()) == [file]


def test_a_damaged_progress_is_begun_anew(tmp_path: Path) -> None:
    file = tmp_path / "progress.json"
    file.write_text("{")
    progress.record_lesson(file, "03")
    assert list(progress.read(file)) == ["03"]
