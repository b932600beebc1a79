"""Signals by their names, as `kill` and `stop` take them: signal(7). Book section 5.5."""

from __future__ import annotations

from ch02_namespaces.errors import EngineError

SIGNALS = (
    *("HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM"),
    *("TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF"),
    *("WINCH", "IO", "PWR", "SYS"),
)
"""Names by number, from 1: signal(7), x86-64 and arm64."""
RTMIN, RTMAX = 34, 64  # as programs count them: the C library keeps two for itself, signal(7)


def parse_signal(text: str) -> int:
    """The number of a signal: 15, TERM, SIGTERM or SIGRTMIN+3, in any case. Raises EngineError."""
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= 64:
        return int(text)
    name = text.upper().removeprefix("SIG")
    real_time = _real_time(name)
    if real_time:
        return real_time
    if name not in SIGNALS:
        raise EngineError(f"signal {text!r}", "there is none of this name or number", "such as TERM, SIGKILL or 9")
    return SIGNALS.index(name) + 1


def _real_time(name: str) -> int:
    """RTMIN, RTMIN+1, … RTMAX-1, RTMAX; 0 for another one."""
    kind, offset = name[:5], name[5:]
    if kind not in ("RTMIN", "RTMAX") or offset[:1] not in ("", "+" if kind == "RTMIN" else "-"):
        return 0
    if offset and not (offset[1:].isascii() and offset[1:].isdecimal() and len(offset) < 4):
        return 0
    number = (RTMIN if kind == "RTMIN" else RTMAX) + int(offset or 0)
    return number if RTMIN <= number <= RTMAX else 0
