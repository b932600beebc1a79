"""The flags of `create` and `run` that chapter 5 adds, and what their values may be."""

from __future__ import annotations

from ch02_namespaces.command_line import Flag
from ch02_namespaces.errors import EngineError
from ch04_images.cli import IMAGE_FLAGS
from ch05_lifecycle.environment_file import environment_file
from ch05_lifecycle.signals import parse_signal


def restart_policy(text: str) -> str:
    """For Flag.convert. Raises EngineError."""
    policy, colon, most = text.partition(":")
    if policy not in ("no", "always", "unless-stopped", "on-failure") or (colon and policy != "on-failure"):
        raise EngineError(repr(text), "it is no restart policy", "no, on-failure[:N], always, unless-stopped")
    if colon and not (most.isascii() and most.isdecimal()):
        raise EngineError(repr(text), "that is no number of restarts", "such as on-failure:3")
    return text


def signal_name(text: str) -> str:
    """For Flag.convert. Raises EngineError."""
    parse_signal(text)
    return text


CREATE_FLAGS = [
    *IMAGE_FLAGS,
    Flag("--name", value="NAME", help="what it is called (default: two words)"),
    Flag("--env-file", value="FILE", convert=environment_file, many=True, help="variables from a file, a line each"),
    Flag("--restart", value="POLICY", convert=restart_policy, help="no, on-failure[:N], always or unless-stopped"),
    Flag(
        "--stop-signal", value="SIGNAL", convert=signal_name, help="what `stop` sends (default: the image's, or TERM)"
    ),
    Flag("--init", help="a small program as PID 1, which reaps what others leave"),
]
