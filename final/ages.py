"""How long something has been, in Docker's words: About an hour. Source: Go's package github.com/docker/go-units."""

from __future__ import annotations

UNITS = (("year", 31_536_000, 2), ("month", 2_592_000, 2), ("week", 604_800, 2), ("day", 86_400, 2))
"""Name, seconds, and from how many of them on the unit is used."""


def duration(seconds: float) -> str:
    """How long, roughly."""
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return counted(int(seconds), "second")
    if seconds < 120:
        return "About a minute"
    if seconds < 3600:
        return counted(int(seconds // 60), "minute")
    if seconds < 5400:
        return "About an hour"
    for name, length, least in UNITS:
        if seconds >= least * length:
            return counted(int(seconds // length), name)
    return counted(int(seconds / 3600 + 0.5), "hour")


def counted(number: int, unit: str) -> str:
    """Such as 1 second, 2 seconds."""
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
