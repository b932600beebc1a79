"""Waiting for a condition. Tests never sleep for a fixed time: machines differ by a factor of twenty."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = float(os.environ.get("MYDOCKER_TEST_PATIENCE", "60"))
"""Seconds. Only failing tests wait that long; a slow machine may need more."""


def eventually(condition: Callable[[], T], what: str, timeout: float = PATIENCE) -> T:
    """Poll until the condition returns something true, and return that. AssertionError after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout:g} s: {what}")
        time.sleep(0.005)


def becomes(condition: Callable[[], object], timeout: float) -> bool:
    """Whether the condition comes true within `timeout` seconds."""
    try:
        eventually(condition, "", timeout)
    except AssertionError:
        return False
    return True
