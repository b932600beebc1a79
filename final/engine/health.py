"""How well a container is: starting, healthy or unhealthy, by what the last looks at it have found.

    containers/ID/health.json   in the shape of `inspect`; replaced whole, and by nobody but its monitor

Source: Docker's "Dockerfile reference", HEALTHCHECK; its API, "Inspect a container", State.Health.
"""

from __future__ import annotations

from ch02_namespaces.errors import EngineError
from ch04_images import state
from ch05_lifecycle import store
from final.engine import words
from final.engine.durations import SECOND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ch05_lifecycle.store import Stored
    from final.engine.health_check import HealthCheck

FILE = "health.json"
STATES = STARTING, HEALTHY, UNHEALTHY, NONE = "starting", "healthy", "unhealthy", "none"
MOST_RESULTS = 5
NOT_RUN = -1
"""The exit code of a look that had no end of its own: it took too long, or could not begin."""


class Result:
    """What a look has found. start, end: seconds since 1970; output: what it printed, or why it failed."""

    def __init__(self, start: float, end: float, exit_code: int, output: str) -> None:
        self.start = start
        self.end = end
        self.exit_code = exit_code
        self.output = output

    def described(self) -> dict[str, Any]:
        """As it is written down."""
        start, end = words.moment(self.start), words.moment(self.end)
        return {"Start": start, "End": end, "ExitCode": self.exit_code, "Output": self.output}


class Health:
    """What is known of a container's health, while it is looked after. It begins anew with each start, but for what was
    found before."""

    def __init__(self, stored: Stored, check: HealthCheck) -> None:
        self.status = STARTING
        self._stored = stored
        self._check = check
        self._streak = 0
        self._log: list[dict[str, Any]] = (read(stored) or {}).get("Log") or []

    def begin(self) -> None:
        """Write down that it is starting. Raises EngineError."""
        self._write()

    def take(self, result: Result, started: float) -> None:
        """Write down what a look has found; if its status is another one then, that is an event.

        started: when the container was. Until it was healthy once, failures count only after the start period.
        """
        before = self.status
        self._log = [*self._log, result.described()][-MOST_RESULTS:]
        if result.exit_code == 0:
            self.status, self._streak = HEALTHY, 0
        elif before != STARTING or result.start - started >= self._check.start_period / SECOND:
            self._streak += 1
            self.status = UNHEALTHY if self._streak >= self._check.retries else before
        try:
            self._write()
        except EngineError:  # a full disk: the next result is written with this one
            return
        if self.status != before:
            store.tell(self._stored, f"health_status: {self.status}")

    def _write(self) -> None:
        known = {"Status": self.status, "FailingStreak": self._streak, "Log": self._log}
        state.write_record(self._stored.record.path(FILE), known, durable=False)


def read(stored: Stored) -> dict[str, Any] | None:
    """What is written down; None for a container that was never looked at."""
    try:
        return state.read_record(stored.record.path(FILE))
    except EngineError:
        return None


def known_of(stored: Stored, known: dict[str, Any]) -> dict[str, Any] | None:
    """The health of a container as others see it. known: its state. One that does not run is not healthy, as Docker has
    it; None for one that nobody looks after."""
    found = read(stored)
    if found is None or known["status"] == store.RUNNING:
        return found
    return {**found, "Status": UNHEALTHY}


def status_of(stored: Stored, known: dict[str, Any]) -> str:
    """starting, healthy, unhealthy, or none."""
    found = known_of(stored, known)
    return str(found["Status"]) if found else NONE
