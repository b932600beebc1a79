"""`events`: what happens to containers, images, volumes and networks, as `docker events` shows it."""

from __future__ import annotations

import math
import time

from ch02_namespaces.command_line import CliCommand, Flag, Options
from ch02_namespaces.errors import EngineError
from ch04_images import state
from ch05_lifecycle import logs
from ch05_lifecycle.listings import write_all
from final.engine.events import FILE, NANOSECOND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Event = dict[str, Any]

FIELDS = {"Status": "", "ID": "", "From": ""}
"""What templates find in every event, and only those of containers have."""
KINDS = ("container", "image", "network", "volume")


def moment(text: str) -> float:
    """For Flag.convert: seconds since 1970 of a time, or how long ago, or with a minus how long from now; Docker's
    forms. Raises EngineError."""
    if text.startswith("-"):
        return 2 * time.time() - moment(text[1:])
    import datetime

    if text[:4].isdigit() and text[4:5] == "-":
        try:
            return datetime.datetime.fromisoformat(text).astimezone().timestamp()
        except ValueError:
            raise EngineError(repr(text), "it is no time", "2026-01-31T12:00:00") from None
    try:
        seconds = float(text)
    except ValueError:
        return datetime.datetime.fromisoformat(logs.parse_time(text)[:26] + "+00:00").timestamp()
    if not math.isfinite(seconds):
        raise EngineError(repr(text), "it is no time", "2026-01-31T12:00:00")
    return seconds


def show_events(options: Options) -> int:
    """`events`: those since a time, and those that come until another."""
    state.require_root()
    passes = filter_of(options.filter)
    write = writer_of(options.format)
    since = time.time() if options.since is None and options.until is None else options.since or 0.0
    for event in events(since, options.until):
        if passes(event):
            write_all(1, f"{write(event)}\n".encode())
    return 0


def events(since: float, until: float | None) -> Iterator[Event]:
    """All from a time on, in seconds since 1970; without an end, also those to come. Raises EngineError."""
    ended = lambda: until is not None and time.time() >= until  # noqa: E731
    for line in logs.follow(f"{state.make_place()}/{FILE}", ended):
        event = state.parse_json(line)
        if until is not None and event["timeNano"] >= until * NANOSECOND:
            return
        if event["timeNano"] >= since * NANOSECOND:
            yield event


def writer_of(format: str | None) -> Callable[[Event], str]:
    """What makes a line of an event. format: none, json, or a Go template."""
    if not format:
        return line_of
    if format in ("json", "{{json .}}"):
        return state.json_of
    from final.shapes import Words
    from final.template import compile_template

    write = compile_template(format)

    def line(event: Event) -> str:
        actor = {**event["Actor"], "Attributes": Words(event["Actor"]["Attributes"])}
        return write({**FIELDS, **{_field(key): value for key, value in event.items()}, "Actor": actor})

    return line


def _field(key: str) -> str:
    return "ID" if key == "id" else key[0].upper() + key[1:]


def line_of(event: Event) -> str:
    """Such as: 2026-01-31T12:00:00.123456789+01:00 container start 4f2a… (image=busybox, name=box)."""
    seconds, fraction = divmod(event["timeNano"], NANOSECOND)
    local = time.localtime(seconds)
    zone = time.strftime("%z", local)
    ending = f"{zone[:3]}:{zone[3:]}" if local.tm_gmtoff else "Z"  # RFC 3339, as Go writes it
    when = f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{fraction:09d}{ending}"
    known = ", ".join(f"{key}={value}" for key, value in sorted(event["Actor"]["Attributes"].items()))
    return f"{when} {event['Type']} {event['Action']} {event['Actor']['ID']} ({known})"


def filter_of(wishes: list[str]) -> Callable[[Event], bool]:
    """What --filter KEY=VALUE lets through: of one key any value, of several keys all. Raises EngineError."""
    wanted: dict[str, list[str]] = {}
    for text in wishes:
        key, equals, value = text.partition("=")
        if not equals or key not in (*KINDS, "type", "event", "label"):
            raise EngineError(f"--filter {text}", "there is no such filter", f"type, event, label, {', '.join(KINDS)}")
        wanted.setdefault(key, []).append(value)
    return lambda event: all(any(_fits(event, key, value) for value in values) for key, values in wanted.items())


def _fits(event: Event, key: str, value: str) -> bool:
    known = event["Actor"]["Attributes"]
    if key == "type":
        return bool(event["Type"] == value)
    if key == "event":
        return bool(event["Action"].partition(":")[0] == value)
    if key == "label":
        name, equals, text = value.partition("=")
        return name in known and (not equals or known[name] == text)
    called = [known.get("name"), known.get(key)]
    return (event["Type"] == key and (event["Actor"]["ID"].startswith(value) or value in called)) or (
        key != "container" and known.get(key) == value
    )


COMMANDS = {
    "events": CliCommand(
        "Show what happens, as it happens.",
        [
            Flag("--since", value="TIME", convert=moment, help="also what has happened since: a date, or 10m for ago"),
            Flag("--until", value="TIME", convert=moment, help="up to then, and no longer"),
            Flag("-f", "--filter", value="KEY=VALUE", many=True, help=f"type, event, label, {', '.join(KINDS)}"),
            Flag("--format", value="TEMPLATE", help="how to print: json or a Go template"),
        ],
        "",
        show_events,
    )
}
