"""What a program of the suite says, and what it means: Test Anything Protocol, version 13.

The suite bends the protocol. A program may print one report after the other. One without tests of its own tells of a
failure by details with an error in them, which belong to no test. And one that wants its container to be refused says
nothing at all if it is; its name ends in _fail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

HEADER = re.compile("^TAP version", re.MULTILINE)
TEST = re.compile(r"(?P<not>not )?ok\b[ \d]*(- )?(?P<what>[^#]*)(# *(?P<directive>TODO|SKIP))?", re.IGNORECASE)
PLAN = re.compile(r"1\.\.(\d+)")
ERROR = re.compile(r'"error": *"(?P<text>[^"\\]+)')
BEGIN, END = "---", "..."


def first_failure(output: str) -> str:
    """The first thing that is wrong in what a program has printed; empty if all is well."""
    if not output.strip():
        return "it says nothing"
    reports = HEADER.split(output)
    return next(filter(None, map(_failure_of_report, reports[1:] if len(reports) > 1 else reports)), "")


def _failure_of_report(report: str) -> str:
    tests, plan = 0, None
    for line, details in statements(report):
        if found := TEST.match(line):
            tests += 1
            if found["not"] and not found["directive"]:
                return found["what"].strip() or f"test {tests}"
        elif found := PLAN.match(line):
            plan = int(found[1])
        if not tests and (error := ERROR.search(details)):
            return error["text"].strip()
    if plan is None:
        return "it has ended before its plan"
    return "" if plan == tests else f"{tests} of {plan} tests"


def statements(report: str) -> Iterator[tuple[str, str]]:
    """The lines, each with the details below it. Lines of the details are no statements, whatever they look like."""
    line, details, within = "", list[str](), False
    for each in report.splitlines():
        if each.strip() == (END if within else BEGIN):
            within = not within
        elif within:
            details.append(each)
        else:
            yield line, "\n".join(details)
            line, details = each, []
    yield line, "\n".join(details)
