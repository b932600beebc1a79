"""How results are told: a table for people, JSON for the systems of courses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.labs.checks import NOTHING
from tests.labs.grading import Check, Result


def total(results: Sequence[Result]) -> tuple[int, int]:
    """Points that were reached, and that there are."""
    return sum(result.score for result in results), sum(result.task.points for result in results)


def print_table(results: Sequence[Result]) -> None:
    """A row for each task; below, what was wrong, and where to read again."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    reached, most = total(results)
    table = Table(box=None, pad_edge=False, show_footer=True)
    table.add_column("task", "total")
    table.add_column("book")
    table.add_column("tests", justify="right")
    table.add_column("points", f"{reached}/{most}", justify="right")
    for result in results:
        colour = "green" if result.is_solved else "red" if not result.passed else "yellow"
        counted = f"{result.passed}/{len(result.checks)}", f"{result.score}/{result.task.points}"
        table.add_row(f"[{colour}]{escape(result.task.name)}[/]", result.task.section, *counted)
    console.print(table)
    for result in results:
        if not result.is_solved:
            where = escape(", ".join(result.task.solution))
            console.print(f"\n[bold]{escape(result.task.name)}[/]: {where}", soft_wrap=True)
            console.print(escape(explanation(result)), soft_wrap=True)


def lines_of(check: Check) -> list[str]:
    """A test that failed, in words."""
    return [f"- {check.rule}", f"    expected: {check.expected}", f"    happened: {check.happened}"]


def explanation(result: Result) -> str:
    """All tests of a task that failed, in words, and what to read again."""
    failed = [check for check in result.checks if not check.passed]
    if all(check.happened == NOTHING for check in failed):
        lines = [f"- {NOTHING}"]
    else:
        lines = [line for check in failed for line in lines_of(check)]
    again = [f'"{result.task.lesson()}" in the lesson', *result.task.read]
    return "\n".join(f"  {line}" for line in [*lines, f"read again: {', '.join(again)}"])


def gradescope(results: Sequence[Result]) -> dict[str, Any]:
    """Gradescope's results.json: "Autograder Specifications", Output format."""
    tests = [
        {
            "number": str(number),
            "name": result.task.name,
            "score": result.score,
            "max_score": result.task.points,
            "status": "passed" if result.is_solved else "failed",
            "output": "" if result.is_solved else explanation(result),
            "output_format": "text",
            "tags": [f"chapter {result.task.chapter}", f"section {result.task.section}"],
            "visibility": "visible",
            "extra_data": {"tests": len(result.checks), "passed": result.passed},
        }
        for number, result in enumerate(results, 1)
    ]
    seconds = round(sum(result.seconds for result in results))
    return {"score": total(results)[0], "execution_time": seconds, "stdout_visibility": "hidden", "tests": tests}


def classroom(results: Sequence[Result]) -> dict[str, Any]:
    """What GitHub Classroom's autograding reporter reads (as base64) from the variable RUNNER_RESULTS."""
    tests = [
        {
            "name": result.task.name,
            "status": "pass" if result.is_solved else "fail",
            "score": result.score,
            "message": "" if result.is_solved else explanation(result),
            "test_code": "",
            "filename": result.task.solution[0].partition(":")[0],
            "line_no": 0,
            "duration": round(result.seconds, 3),
        }
        for result in results
    ]
    status = "pass" if all(result.is_solved for result in results) else "fail"
    return {"version": 3, "status": status, "max_score": total(results)[1], "tests": tests}


SHAPES = {"gradescope": gradescope, "classroom": classroom}


def as_json(shape: str, results: Sequence[Result]) -> str:
    """The results in the shape of one of SHAPES."""
    return json.dumps(SHAPES[shape](results), indent=2)
