"""`python3 -m tests.labs.progress FILE`: the reader's own way through the chapters; `make progress` shows it.

The file has, for each chapter, when its lesson was last played to the end and the most points of each task.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.labs.tasks import read_tasks

if TYPE_CHECKING:
    from tests.labs.grading import Result

WIDTH = 20


def record_grade(path: Path, results: Sequence[Result]) -> None:
    """Keep what has been reached, if it is more than before."""
    known = read(path)
    for result in results:
        points = _chapter(known, result.task.chapter)["points"]
        points[result.task.name] = max(result.score, points.get(result.task.name, 0))
    _write(path, known)


def record_lesson(path: Path, chapter: str) -> None:
    """Keep that a lesson has been played to its end."""
    known = read(path)
    _chapter(known, chapter)["lesson"] = time.strftime("%Y-%m-%d")
    _write(path, known)


def read(path: Path) -> dict[str, Any]:
    """What is known; nothing if there is no file, or one that is damaged."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _chapter(known: dict[str, Any], chapter: str) -> dict[str, Any]:
    found: dict[str, Any] = known.setdefault(chapter, {})
    found.setdefault("lesson", "")
    found.setdefault("points", {})
    return found


def _write(path: Path, known: dict[str, Any]) -> None:
    """Replace the file. It belongs to the user, also where sudo made us root."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")
    if os.geteuid() == 0 and "SUDO_UID" in os.environ:
        os.chown(new, int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"]))
    new.rename(path)


def print_progress(known: dict[str, Any]) -> None:
    """A line for each chapter, and one for each task that has been begun and not solved."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    chapters: dict[str, list[Any]] = {}
    for task in read_tasks():
        chapters.setdefault(task.chapter, []).append(task)
    for chapter, tasks in chapters.items():
        found = _chapter(known, chapter)
        points = {task.name: min(found["points"].get(task.name, 0), task.points) for task in tasks}
        reached, most = sum(points.values()), sum(task.points for task in tasks)
        bar = "█" * (WIDTH * reached // most)
        lesson = f"lesson played {found['lesson']}" if found["lesson"] else "lesson not played"
        console.print(
            f"chapter {chapter}  [green]{bar.ljust(WIDTH, '░')}[/]  {reached:3}/{most} points, {escape(lesson)}"
        )
        for task in tasks:
            if 0 < points[task.name] < task.points:
                console.print(f"            begun: {task.name}, {points[task.name]}/{task.points}")


def main(words: list[str]) -> int:
    """`FILE` shows; `FILE lesson CHAPTER` records one."""
    path = Path(words[0])
    if words[1:2] == ["lesson"]:
        record_lesson(path, words[2].removeprefix("ch"))
        return 0
    print_progress(read(path))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
