"""Chapter 5's composition root: containers are kept, run in the background, and have commands of their own."""

from __future__ import annotations

import sys

from ch02_namespaces.command_line import Flag, leave
from ch02_namespaces.command_line import main as run_command_line
from ch02_namespaces.errors import EngineError
from ch04_images import cli as images_cli
from ch05_lifecycle import lifecycle_commands
from ch05_lifecycle.lifecycle import Lifecycle
from ch05_lifecycle.process import parse_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass


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


def environment_file(path: str) -> list[str]:
    """For Flag.convert: the lines of a file of NAME=VALUE; empty ones and comments (#) are left out. EngineError."""
    try:
        with open(path, errors="surrogateescape") as file:
            lines = [line.strip("\r\n") for line in file]
    except OSError as error:
        raise EngineError(path, str(error.strerror)) from None
    return [line.lstrip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


CREATE_FLAGS = [
    *images_cli.IMAGE_FLAGS,
    Flag("--name", value="NAME", help="what it is called (default: two words)"),
    Flag("--env-file", value="FILE", convert=environment_file, many=True, help="variables from a file, a line each"),
    Flag("--restart", value="POLICY", convert=restart_policy, help="no, on-failure[:N], always or unless-stopped"),
    Flag(
        "--stop-signal", value="SIGNAL", convert=signal_name, help="what `stop` sends (default: the image's, or TERM)"
    ),
    Flag("--init", help="a small program as PID 1, which reaps what others leave"),
]
COMMANDS = {
    **images_cli.COMMANDS,
    **Lifecycle(CREATE_FLAGS).commands(),
    **lifecycle_commands.COMMANDS,
}


def main(arguments: list[str]) -> int:
    """Run a command line; the exit code."""
    return run_command_line(COMMANDS, arguments)


def entry_point() -> None:
    """The program: run the command line that we were started with, and end."""
    leave(main(sys.argv[1:]))
