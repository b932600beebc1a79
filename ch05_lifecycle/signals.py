"""Signals by their names, as `kill` and `stop` take them: signal(7). Book section 5.5."""

from __future__ import annotations

from ch02_namespaces.errors import EngineError

SIGNALS = (
    *("HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM"),
    *("TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF"),
    *("WINCH", "IO", "PWR", "SYS"),
)
"""Names by number, from 1: signal(7), x86-64 and arm64."""


def parse_signal(text: str) -> int:
    """The number of a signal: 15, TERM or SIGTERM, in any case. Raises EngineError."""
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= 64:
        return int(text)
    name = text.upper().removeprefix("SIG")
    if name not in SIGNALS:
        raise EngineError(f"signal {text!r}", "there is none of this name or number", "such as TERM, SIGKILL or 9")
    return SIGNALS.index(name) + 1
