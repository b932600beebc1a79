"""Which things `prune` may take: --filter until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]. Docker's rules."""

from __future__ import annotations

from ch02_namespaces.command_line import Flag
from ch02_namespaces.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Test = Callable[[Mapping[str, str], float], bool]

FORCE = Flag("-f", "--force", help="do not ask")


def filter_of(filters: Sequence[str]) -> Test:
    """What they let through, by labels and time of creation (seconds since 1970): what all of them let through.
    Raises EngineError."""
    tests = [_test_of(text) for text in filters]
    return lambda labels, created: all(test(labels, created) for test in tests)


def _test_of(text: str) -> Test:
    key, equals, value = text.partition("=")
    if not equals or key not in ("until", "label", "label!"):
        raise EngineError(f"--filter {text}", "there is no such filter", "until, label, label!")
    if key == "until":
        from final.engine.event_commands import moment

        end = moment(value)
        return lambda labels, created: created < end
    return lambda labels, created: has_label(labels, value) == (key == "label")


def has_label(labels: Mapping[str, str], wanted: str) -> bool:
    """Whether there is a label: KEY, or KEY=VALUE."""
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)
