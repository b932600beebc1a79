"""Who looks after a container's health: a small process beside it, as long as it runs.

    watcher, keeper or foreground `run` ──┬──► PID 1 of the container
                                          └──► monitor ──at times──► a look: a process inside, as of `exec`

It is a part of the container, so that it is there whoever waits for the container. It knows that process by its pidfd,
which becomes readable when the container has ended, and then it ends as well, with the look that it is at.
"""

from __future__ import annotations

import os
import select
import time

from ch02_namespaces import namespaces
from ch02_namespaces.errors import EngineError
from ch02_namespaces.syscalls import SIGKILL
from ch03_run.container import Container, Part
from ch05_lifecycle import store
from ch05_lifecycle.watcher import leave_streams
from final.engine import probe
from final.engine.durations import SECOND
from final.engine.health import NOT_RUN, STARTING, Health, Result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch05_lifecycle.store import Stored
    from final.engine.health_check import HealthCheck

MOMENT = 0.01  # seconds between two looks whether it runs already
LAST_BREATH = 0.2  # seconds that a container may take to end when its processes have been killed
PATIENCE = 5.0  # seconds for the monitor's end


class Monitored(Part):
    """Somebody looks after the container's health. It stands behind all parts that make the container."""

    section = "5.1"

    def __init__(self, stored: Stored, check: HealthCheck) -> None:
        self._stored = stored
        self._check = check
        self._health = Health(stored, check)
        self._monitor: namespaces.Process | None = None

    def prepare(self, container: Container) -> None:
        self._health.begin()

    def attach(self, container: Container) -> None:
        process = container.process
        assert process is not None
        monitor = Monitor(self._stored, self._check, self._health, process)
        self._monitor = namespaces.spawn(0, monitor.watch)

    def cleanup(self, container: Container) -> None:
        if self._monitor is not None and self._monitor.wait(PATIENCE) is None:
            self._monitor.kill()
        self._monitor = None


class Monitor:
    """Looks at a container again and again. process: its PID 1."""

    def __init__(self, stored: Stored, check: HealthCheck, health: Health, process: namespaces.Process) -> None:
        self._stored = stored
        self._check = check
        self._health = health
        self._pid = process.pid
        self._pidfd = process.pidfd
        self._started = 0.0

    def watch(self) -> int:
        """Until the container has ended. For a process of its own; its exit code."""
        os.setsid()
        leave_streams(keep={self._pidfd})
        while not self._started:
            if self._has_ended(MOMENT):
                return 0
            known = self._stored.state()
            self._started = known["started"] if known["pid"] == self._pid else 0.0
        while not self._has_ended(self._interval() / SECOND):
            result = self._look()
            if result is not None:
                self._health.take(result, self._started)
        return 0

    def _interval(self) -> int:
        is_young = time.time() - self._started < self._check.start_period / SECOND
        return self._check.start_interval if is_young and self._health.status == STARTING else self._check.interval

    def _look(self) -> Result | None:
        """What one look has found; nothing, if the container is paused, or has ended meanwhile."""
        start = time.time()
        try:
            if store.group_of(self._stored).is_frozen():
                return None
            result = probe.run(self._stored, self._check, self._pidfd)
        except EngineError as error:
            result = Result(start, time.time(), NOT_RUN, str(error))
        is_doubtful = result.exit_code in (NOT_RUN, 128 + SIGKILL)  # so it looks as well when the container ends
        return None if is_doubtful and self._has_ended(LAST_BREATH) else result

    def _has_ended(self, seconds: float) -> bool:
        """Whether the container ends within this time."""
        return bool(select.select([self._pidfd], [], [], min(seconds, probe.LONGEST))[0])
