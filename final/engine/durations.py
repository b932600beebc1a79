"""Lengths of time as Docker writes them, such as 500ms, 30s or 1m30s; whole nanoseconds. Source: Go's package time."""

from __future__ import annotations

from ch02_namespaces.errors import EngineError

SECOND = 1_000_000_000
UNITS = {
    "h": 3600 * SECOND,
    "m": 60 * SECOND,
    "s": SECOND,
    "ms": SECOND // 1000,
    "us": SECOND // 1_000_000,
    "µs": SECOND // 1_000_000,
    "ns": 1,
}
LONGEST = (1 << 63) - 1  # Go's


def nanoseconds(text: str) -> int:
    """For Flag.convert. Raises EngineError."""
    import re

    pieces = re.findall(rf"([0-9]+\.?[0-9]*|\.[0-9]+)({'|'.join(sorted(UNITS, key=len, reverse=True))})", text)
    if text != "0" and (not pieces or "".join(map("".join, pieces)) != text):
        raise EngineError(repr(text), "it is no length of time", "such as 500ms, 30s or 1m30s")
    found = sum(round(float(number) * UNITS[unit]) for number, unit in pieces)
    if found > LONGEST:
        raise EngineError(repr(text), "it is too long", "292 years is the most")
    return found


def text_of(duration: int) -> str:
    """What nanoseconds() reads, as short as Go writes it."""
    if 0 < duration < SECOND:
        unit = next((unit for unit in ("ms", "µs") if duration >= UNITS[unit]), "ns")
        return f"{duration / UNITS[unit]:g}{unit}"
    minutes, rest = divmod(duration, UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest / SECOND:.9f}".rstrip("0").rstrip(".")
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{seconds}s"
