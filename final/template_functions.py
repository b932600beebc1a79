"""What Go templates can do with values: Go's own functions, Docker's, and how a value is printed.

Source: the documentation of Go's packages text/template and fmt, and Docker's "Format command and log output".
"""

from __future__ import annotations

import json
import re

from ch02_namespaces.errors import EngineError
from final.shapes import ABSENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


VERB = re.compile(r"%([-+ 0#]*\d*(?:\.\d+)?)([a-zA-Z%])")


def wrong(why: str) -> EngineError:
    """What is wrong with a template."""
    return EngineError("--format", why, "a Go template, such as '{{.ID}} {{json .}}'")


def call(name: str, function: Callable[..., Any], arguments: list[Any]) -> Any:
    """What a function makes of its arguments. Raises EngineError."""
    try:
        return function(*arguments)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise wrong(f"{name}: {error}") from None


def truth(value: Any) -> bool:
    """What counts as true: all but zero, nothing, and what is empty."""
    return value is not ABSENT and bool(value)


def shown(value: Any) -> str:
    """As Go's fmt prints it with %v."""
    if value is None:
        return "<no value>"
    if value is ABSENT:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{shown(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list | tuple):
        return f"[{' '.join(map(shown, value))}]"
    return str(value)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(key, int) and key < 0:
            raise LookupError("it begins with 0")
        if value is None:
            value = {}  # Go's map of texts has an empty one for every key that is not there
        value = value.get(key, "") if isinstance(value, dict) else value[key]
    return value


def _printf(form: str, *values: Any) -> str:
    """Go's: each verb takes the next value."""
    left = list(values)

    def one(match: re.Match[str]) -> str:
        how, verb = match.groups()
        if verb == "%":
            return "%"
        return _formatted(how, verb, left.pop(0)) if left else f"%!{verb}(MISSING)"

    return VERB.sub(one, form)


def _formatted(how: str, verb: str, value: Any) -> str:
    """how: flags, width and precision, which Python has like Go."""
    if verb in "svt":
        return f"%{how}s" % shown(value)
    if verb == "q":
        return f"%{how}s" % json.dumps(shown(value), ensure_ascii=False)
    return str(f"%{how}{verb}" % value)


def _nothing(value: Any) -> Any:
    return None if value is ABSENT else value


def _truncate(text: str, length: int) -> str:
    return text[:length]


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "json": lambda value: json.dumps(_nothing(value), separators=(",", ":"), ensure_ascii=False),
    "join": lambda values, between: between.join(map(shown, values or [])),
    "split": lambda text, between: text.split(between) if between else list(text),
    "lower": lambda text: shown(text).lower(),
    "upper": lambda text: shown(text).upper(),
    "title": lambda text: shown(text).title(),
    "truncate": _truncate,
    "pad": lambda text, before, after: " " * before + shown(text) + " " * after,
    "println": lambda *values: " ".join(map(shown, values)) + "\n",
    "print": lambda *values: "".join(map(shown, values)),
    "printf": _printf,
    "len": lambda value: len(value or ()),
    "index": _index,
    "slice": lambda value, *ends: value[slice(*(ends if len(ends) == 2 else (ends[0], None)))],
    "eq": lambda first, *others: any(first == other for other in others),
    "ne": lambda one, other: one != other,
    "lt": lambda one, other: one < other,
    "le": lambda one, other: one <= other,
    "gt": lambda one, other: one > other,
    "ge": lambda one, other: one >= other,
    "and": lambda *values: next((value for value in values if not truth(value)), values[-1]),
    "or": lambda *values: next((value for value in values if truth(value)), values[-1]),
    "not": lambda value: not truth(value),
}


def _label(row: Mapping[str, Any], name: str) -> str:
    """What a row of a list says under a label; above the column, the label's last word."""
    known = getattr(row["Labels"], "known", None)
    return name.rpartition(".")[2] if known is None else str(known.get(name, ""))


METHODS: Mapping[str, Callable[..., Any]] = {".Label": _label}
"""What can be asked of a value, with arguments: {{.Label "com.example.tier"}}."""
CONSTANTS = {"true": True, "false": False, "nil": None}
