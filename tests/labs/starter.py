"""`python3 -m tests.labs.starter CHAPTER DIR`: write a lab, a tree that stands alone; `make lab` does so.

It has the chapters up to this one, with this one's tasks cut out; their lessons and tests; the grader. Nothing here but
Python's standard library is needed, so that it runs where there is no Linux, too.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.labs.tasks import LABS, TOP, LabError, Task, cut, number_of, places, read_tasks

ONLY_HERE = ("test_*.py", "README.md", "starter.py", "templates", "ch??", "__pycache__")
"""What is in tests/labs and not in a lab: how labs are made and proved, and what wrong solutions look like."""

CARRIED = ("LICENSE", "Vagrantfile", ".gitignore", "tests/__init__.py", "tests/conftest.py", "tests/setup.sh")
CARRIED_DIRECTORIES = ("tests/support", "tests/lessons")
HEAD = """\
# Lab: chapter {number}, {points} points

Read the [lesson]({package}/README.md). Then write what is missing: below, and in the files, the docstring of a function
says what it takes, what it gives, and which errors it raises. All else is there, and need not be changed.

    make setup            once: Debian packages and a Python environment (on macOS and Windows: vagrant up)
    make grade            all tasks; make grade TASK=NAME for one
    make progress         how far you are
    make test             the tests of the whole chapter, when all is written
    make lesson           the lesson, played by your own code

Each run draws other names, ports and values. Your code is run as root, but apart: it cannot harm your machine.

| task | points | minutes | book | where |
|---|---|---|---|---|
"""


def chapters_up_to(number: str) -> list[str]:
    """The packages of these chapters. The programs of chapter 7's runtime are in final/runtime."""
    found = [path.parent.name for path in sorted(TOP.glob("ch0*_*/__init__.py")) if path.parent.name[2:4] <= number]
    if not found or found[-1][2:4] != number:
        raise LabError(f"there is no chapter {number}")
    return [*found, "final/runtime"] if number == "07" else found


def write_lab(number: str, directory: Path, tasks: Iterable[Task]) -> None:
    """Write the lab of a chapter into a new directory, or an empty one, with these tasks cut out; all of it or nothing.
    Raises LabError, OSError."""
    packages = chapters_up_to(number)
    if directory.is_dir() and any(directory.iterdir()):
        raise LabError(f"{directory}: it is not empty, and what is in it may be somebody's work")
    if directory.exists() and not directory.is_dir():
        raise LabError(f"{directory}: it is a file")
    if TOP in directory.resolve().parents and directory.resolve().parent != TOP:
        raise LabError(f"{directory}: it would be a part of what is copied; take a place outside of the repository")
    try:
        _write(number, packages, directory, list(tasks))
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def _write(number: str, packages: Sequence[str], directory: Path, tasks: Sequence[Task]) -> None:
    copy_chapters(number, directory)
    without_caches = shutil.ignore_patterns("__pycache__")
    for name in CARRIED_DIRECTORIES:
        shutil.copytree(TOP / name, directory / name, ignore=without_caches)
    shutil.copytree(LABS, directory / "tests/labs", ignore=shutil.ignore_patterns(*ONLY_HERE))
    shutil.copytree(LABS / f"ch{number}", directory / f"tests/labs/ch{number}", ignore=without_caches)
    for package in packages:
        if (TOP / "tests" / package).is_dir():
            shutil.copytree(TOP / "tests" / package, directory / "tests" / package, ignore=without_caches)
    for name in CARRIED:
        shutil.copy2(TOP / name, directory / name)
    newest = [package for package in packages if package.startswith("ch")][-1]
    text = (LABS / "templates/Makefile").read_text()
    (directory / "Makefile").write_text(text.replace("@NUMBER@", number).replace("@PACKAGE@", newest))
    (directory / "pyproject.toml").write_text(project(packages))
    (directory / "README.md").write_text(handout(number, newest, tasks))
    for task in tasks:
        cut(task, directory)


def copy_chapters(number: str, directory: Path) -> None:
    """The chapters alone, whole."""
    for package in chapters_up_to(number):
        shutil.copytree(TOP / package, directory / package, ignore=shutil.ignore_patterns("__pycache__"))
        if "/" in package:
            above = package.partition("/")[0]
            shutil.copy2(TOP / above / "__init__.py", directory / above / "__init__.py")


def project(packages: Sequence[str]) -> str:
    """pyproject.toml for a tree that has no other packages than these. `mydocker` is the newest of their engines;
    chapter 2 has none."""
    top = [package.partition("/")[0] for package in packages]
    engines = [name for name in packages if "ch03" < name < "final" and (TOP / name / "cli.py").exists()]
    lines = []
    for line in (TOP / "pyproject.toml").read_text().splitlines():
        name = line.partition(" = ")[0]
        if (name == "mydocker" and not engines) or (name == "mydocker-runtime" and "final" not in top):
            continue
        if name == "mydocker":
            line = f'mydocker = "{engines[-1]}.__main__:entry_point"'
        elif name == "packages":
            line = f"packages = {quoted(top)}"
        elif name == "files":
            line = f"files = {quoted([*top, 'tests'])}"
        elif name == "readme":
            line = 'readme = "README.md"'
        lines.append(line)
    return "\n".join(lines) + "\n"


def quoted(names: Sequence[str]) -> str:
    """A list as TOML has it."""
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


def handout(number: str, package: str, tasks: Sequence[Task]) -> str:
    """The lab's README: the tasks, and of each what its docstring says."""
    rows, parts = [], []
    for task in tasks:
        where = [f"`{place.name}` in [{place.file}]({place.file}#L{place.line})" for place in places(task)]
        rows.append(
            f"| [{task.name}](#{task.name}) | {task.points} | {task.minutes} | {task.section} | {', '.join(where)} |\n"
        )
        functions = "\n\n".join(f"`{place.name}`:\n\n{indented(place.handout)}" for place in places(task))
        parts.append(f"\n## {task.name}\n\n{task.title} Read before: {', '.join(task.read)}.\n\n{functions}\n")
    head = HEAD.format(number=int(number), package=package, points=sum(task.points for task in tasks))
    return head + "".join(rows) + "".join(parts)


def indented(text: str) -> str:
    """As a block that is shown as it is."""
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())


def main(words: list[str]) -> int:
    """The exit code."""
    if len(words) != 2 or not all(words):
        print("usage: make lab CH=04 DIR=~/lab4", file=sys.stderr)
        return 125
    number, directory = number_of(words[0]), Path(words[1]).expanduser()
    try:
        tasks = read_tasks(number)
        write_lab(number, directory, tasks)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 125
    except OSError as error:
        print(f"lab: {directory}: {error.strerror or error}", file=sys.stderr)
        return 125
    print(f"{directory}: {len(tasks)} tasks of chapter {int(number)}; README.md there says how to begin")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
