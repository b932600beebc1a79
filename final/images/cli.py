"""The commands for images as a program of their own."""

from __future__ import annotations

import sys

from ch02_namespaces.command_line import leave
from ch02_namespaces.command_line import main as run_command_line
from final.images.commands import COMMANDS


def main(arguments: list[str]) -> int:
    """Run a command line; the exit code."""
    return run_command_line(COMMANDS, arguments)


def entry_point() -> None:
    """The program: run the command line that we were started with, and end."""
    leave(main(sys.argv[1:]))
