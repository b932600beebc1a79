"""--init: a small program as PID 1, which passes signals on and reaps what others leave. Book section 5.5."""

from __future__ import annotations

import os

from ch02_namespaces.errors import EngineError

INIT = "/usr/bin/tini-static"
INIT_INSIDE = "/dev/init"


def check_init() -> None:
    """Raise EngineError if this machine has no small PID 1."""
    if not os.path.exists(INIT):
        raise EngineError("--init", f"there is no {INIT}", "Debian has it in the package tini")
