"""The tasks that labs.toml lists, and where in the chapters their solutions are."""

from __future__ import annotations

import ast
import re
import textwrap
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

LABS = Path(__file__).parent
TOP = LABS.parents[1]
Function = ast.FunctionDef | ast.AsyncFunctionDef


class LabError(Exception):
    """A lab that cannot be written or graded: one line for the user."""


class Task(NamedTuple):
    """name: unique; chapter: "02" to "07"; section: of the book; solution: FILE:FUNCTION or FILE:CLASS.METHOD, the ones
    whose bodies are the solution; points; minutes: what a student needs who has read; tests: files of grading tests,
    below tests/labs; read: what must be read before."""

    name: str
    chapter: str
    title: str
    section: str
    solution: Sequence[str]
    points: int
    minutes: int
    tests: Sequence[str]
    read: Sequence[str]

    def lesson(self) -> str:
        """The heading in the chapter's lesson that names the section; empty if none does."""
        number = re.compile(rf"^#+ (.*\b{re.escape(self.section)}\b.*)$", re.MULTILINE)
        found = [number.search(path.read_text()) for path in TOP.glob(f"ch{self.chapter}_*/README.md")]
        return next((match[1] for match in found if match), "")


def number_of(chapter: str) -> str:
    """A chapter's number as labs.toml has it. 4, 04, ch4 and ch04 are 04."""
    return chapter.removeprefix("ch").zfill(2)


def read_tasks(chapter: str | None = None) -> list[Task]:
    """The tasks of one chapter, or of all, in the order of the file. Raises LabError."""
    with open(LABS / "labs.toml", "rb") as file:
        document = tomllib.load(file)
    tasks = [_task(entry) for entry in document["task"]]
    found = [task for task in tasks if chapter in (None, task.chapter)]
    if not found:
        known = ", ".join(sorted({task.chapter for task in tasks}))
        raise LabError(f"chapter {chapter}: it has no tasks; these have: {known}")
    return found


def _task(entry: dict[str, Any]) -> Task:
    unknown = entry.keys() ^ set(Task._fields)
    if unknown:
        raise LabError(f"labs.toml: task {entry.get('name')}: missing or unknown: {', '.join(sorted(unknown))}")
    return Task(**entry)


class Place(NamedTuple):
    """A function's lines, counted from 1: the first of its definition, those of its body behind the docstring.

    signature: the lines before the docstring."""

    file: str
    name: str
    line: int
    first: int
    last: int
    signature: str
    docstring: str

    @property
    def handout(self) -> str:
        """The function as far as it is there in a lab."""
        return f"{self.signature}\n{textwrap.indent(self.docstring, '    ')}"


def places(task: Task, top: Path = TOP) -> Iterator[Place]:
    """Where the solution of a task is. Raises LabError for one without a docstring: that is the handout."""
    for solution in task.solution:
        file, _, name = solution.partition(":")
        text = (top / file).read_text()
        function = _find(ast.parse(text), name, solution)
        docstring = ast.get_docstring(function)
        if not docstring or len(function.body) < 2:
            raise LabError(f"task {task.name}: {solution} has no docstring, or nothing behind it")
        signature = "\n".join(text.splitlines()[function.lineno - 1 : function.body[0].lineno - 1])
        first, last = (function.body[0].end_lineno or 0) + 1, function.end_lineno or 0
        yield Place(file, name, function.lineno, first, last, textwrap.dedent(signature), docstring)


def _find(module: ast.Module, name: str, solution: str) -> Function:
    body: Sequence[ast.stmt] = module.body
    *classes, function = name.split(".")
    for wanted in classes:
        body = next((node.body for node in body if isinstance(node, ast.ClassDef) and node.name == wanted), [])
    for node in body:
        if isinstance(node, Function) and node.name == function:
            return node
    raise LabError(f"labs.toml: there is no {solution}")


def mark(task: Task) -> str:
    """What stands in the place of a solution."""
    return f'raise NotImplementedError("lab task {task.name}")'


def cut(task: Task, top: Path) -> None:
    """Take the solution out of the files below `top`; all other lines stay as they are."""
    for place in sorted(places(task, top), key=lambda place: -place.first):  # from below: the numbers above stay right
        path = top / place.file
        lines = path.read_text().splitlines(keepends=True)
        indentation = lines[place.line - 1][: -len(lines[place.line - 1].lstrip())] + "    "
        lines[place.first - 1 : place.last] = [f"{indentation}{mark(task)}\n"]
        path.write_text("".join(lines))
