"""Signals by name and number, as users and images write them."""

from __future__ import annotations

import signal

import pytest

from ch02_namespaces.errors import EngineError
from ch05_lifecycle.signals import parse_signal


@pytest.mark.parametrize("number", sorted(signal.Signals))
def test_names_that_python_knows(number: signal.Signals) -> None:
    for text in (number.name, number.name.lower(), number.name.removeprefix("SIG"), str(int(number))):
        assert parse_signal(text) == number


def test_real_time_signals() -> None:
    """systemd in a container is stopped by SIGRTMIN+3."""
    assert parse_signal("SIGRTMIN+3") == signal.SIGRTMIN + 3
    assert parse_signal("rtmax-14") == signal.SIGRTMAX - 14


@pytest.mark.parametrize(
    "text", ["", "0", "65", "-9", "NOSUCH", "SIG", "RTMIN-1", "RTMAX+1", "RTMIN+31", "RTMIN+", "RTMIN+x", "RTMIN+²"]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(EngineError, match="there is none of this name or number"):
        parse_signal(text)
