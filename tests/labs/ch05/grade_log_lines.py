"""Task log-lines."""

from __future__ import annotations

import calendar
import re
import time

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

SCRIPT = """
from ch05_lifecycle.logs import _lines

answer(_lines(given["stream"], given["data"].encode("latin-1")).decode("latin-1"))
"""
LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{9})Z (\w+) ([FP]) (.*)", re.DOTALL)


def lines(sandbox: Sandbox, stream: str, data: str) -> list[tuple[str, str, str]]:
    """Stream, tag and text of each line of the log."""
    logged: str = sandbox.ask(SCRIPT, stream=stream, data=data)
    holds(logged.endswith("\n") or not logged, "a newline at the end", repr(logged[-20:]))
    found = []
    for line in logged.split("\n")[:-1]:
        match = LINE.fullmatch(line)
        holds(match, "TIMESTAMP STREAM TAG TEXT, the time in UTC with nine digits of a second", repr(line))
        assert match is not None
        seconds = time.strptime(match[1] + " UTC", "%Y-%m-%dT%H:%M:%S %Z")
        holds(abs(time.time() - calendar.timegm(seconds)) < 3600, "the time of now", match[1])
        found.append((match[3], match[4], match[5]))
    return found


def test_whole_lines(sandbox: Sandbox, draw: Draw) -> None:
    """Each line that was printed is one of the log, with the stream and F; empty ones as well."""
    stream, texts = draw.choice(["stdout", "stderr"]), [draw.name(), "", f" {draw.name()} {draw.name()}", ""]
    found = lines(sandbox, stream, "".join(f"{text}\n" for text in texts))
    equal(found, [(stream, "F", text) for text in texts], "stream, tag and text of each")


def test_unfinished(sandbox: Sandbox, draw: Draw) -> None:
    """What comes behind the last newline has P: it goes on in the next; alone as well, and nothing is no line."""
    first, rest = draw.names(2)
    equal(lines(sandbox, "stdout", f"{first}\n{rest}"), [("stdout", "F", first), ("stdout", "P", rest)], "the lines")
    equal(lines(sandbox, "stdout", rest), [("stdout", "P", rest)], "the lines of what has no newline")
    equal(lines(sandbox, "stdout", ""), [], "the lines of nothing")


def test_any_byte(sandbox: Sandbox, draw: Draw) -> None:
    """Bytes come through as they are, whatever they mean."""
    data = "".join(chr(draw.choice([*range(10), *range(11, 256)])) for _ in range(500))
    equal(lines(sandbox, "stderr", f"{data}\n"), [("stderr", "F", data)], "the line")
