"""Chapter 6's composition root: containers get a network, and there are commands for networks."""

from __future__ import annotations

import sys

from ch02_namespaces.command_line import CliCommand, leave, postponed
from ch02_namespaces.command_line import main as run_command_line
from ch05_lifecycle import cli as lifecycle_cli

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ch02_namespaces.command_line import Commands


def _lifecycle() -> Mapping[str, CliCommand]:
    from ch06_network import lifecycle

    return lifecycle.COMMANDS


def _networks() -> Mapping[str, CliCommand]:
    from ch06_network import network_commands

    return network_commands.COMMANDS


COMMANDS: Commands = {
    **lifecycle_cli.COMMANDS,
    **postponed("run create start restart", _lifecycle),
    **postponed("rename network port", _networks),
}


def main(arguments: list[str]) -> int:
    """Run a command line; the exit code."""
    return run_command_line(COMMANDS, arguments)


def entry_point() -> None:
    """The program: run the command line that we were started with, and end."""
    leave(main(sys.argv[1:]))
