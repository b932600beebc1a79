"""Every lesson runs as it is printed, and has the form that readers expect."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lessons.run import TOP, lessons_of, play
from tests.support import images, processes

CHAPTERS = sorted(path.parent for path in TOP.glob("ch0*/README.md"))
LESSONS = [lesson for chapter in CHAPTERS for lesson in lessons_of(chapter)]
ENGINE = lessons_of(TOP / "final")
"""Pages of the full engine: played and checked as lessons are, but in a form of their own."""
PAGES = [*LESSONS, *ENGINE]
SECTIONS = (
    *("In short", "Predict before you run", "How to undo it", "What the book did"),
    *("How Docker and runc do it", "Exercises", "References"),
)


def name(path: Path) -> str:
    return path.parent.name


PLAYED = [pytest.param(path, id=name(path), marks=pytest.mark.vm if "ch02" in name(path) else ()) for path in PAGES]
"""In the virtual machine, that of cgroups is played, too: it has steps for each version."""


@pytest.mark.kernel
@pytest.mark.parametrize("lesson", PLAYED)
def test_every_step_answers_as_printed(lesson: Path, capfd: pytest.CaptureFixture[str]) -> None:
    images.make_those_of(lesson)
    code = play(lesson, watch=False)
    assert code == 0, capfd.readouterr().out


@pytest.mark.parametrize("lesson", LESSONS, ids=name)
def test_has_the_parts_of_a_lesson(lesson: Path) -> None:
    text = lesson.read_text()
    assert [section for section in SECTIONS if section not in text] == []
    assert (1200 if lesson.parent in CHAPTERS else 700) <= len(text.split()) <= 2500


def test_each_is_found_from_its_chapter() -> None:
    assert sorted(LESSONS) == sorted(TOP.glob("ch0*/**/README.md"))


@pytest.mark.parametrize("lesson", PAGES, ids=name)
def test_every_example_is_played(lesson: Path) -> None:
    """Examples are in console blocks, which byexample runs; one in a block of another kind would not be checked."""
    text = lesson.read_text()
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for language, body in blocks:
        assert (language == "console") == body.lstrip().startswith("$ "), body


@pytest.mark.parametrize("document", [TOP / "README.md", *PAGES], ids=lambda path: f"{path.parent.name}/{path.name}")
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []


@pytest.mark.kernel
def test_a_lesson_that_fails_leaves_nobody(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The leak check looks for processes; and where this one would have gone on, it says so here."""
    pid_file = tmp_path / "pid"
    lesson = tmp_path / "README.md"
    steps = f"$ setsid sleep 99173 > /dev/null 2>&1 & echo > {pid_file}\n<...>\n$ echo wrong\nright\n"
    lesson.write_text(f"```console\n{steps}```\n")
    assert play(lesson, watch=False) != 0, capfd.readouterr().out
    assert pid_file.exists()
    assert not [pid for pid in processes.all_pids() if processes.described(pid).endswith("(sleep 99173)")]
