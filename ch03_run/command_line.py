"""A command line of several commands: a table of names, each with its flags and its function.

A chapter's cli.py makes its table from the one before. Only the parser of the command in use is built: a parser for all
would cost more time than the container.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from ch02_namespaces.errors import EngineError, report

PROGRAM = "mydocker"


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are errors like all others: one line, exit code 125."""

    def error(self, message: str) -> NoReturn:
        raise EngineError(self.prog, message, f"see `{self.prog} --help`")


class CliCommand:
    """A command: its line in the overview, its flags, and what it does; that returns the exit code."""

    def __init__(
        self,
        summary: str,
        add_flags: Callable[[argparse.ArgumentParser], None],
        execute: Callable[[argparse.Namespace], int],
    ) -> None:
        self.summary = summary
        self.add_flags = add_flags
        self.execute = execute


def dispatch(commands: Mapping[str, CliCommand], arguments: Sequence[str]) -> int:
    """Run the command that the first argument names; the exit code. Errors are printed, not raised."""
    try:
        if not arguments or arguments[0] in ("-h", "--help", "help"):
            print(_overview(commands))
            return 0 if arguments else 125
        command = commands.get(arguments[0])
        if command is None:
            raise EngineError(repr(arguments[0]), "there is no such command", f"see `{PROGRAM} --help`")
        parser = Parser(f"{PROGRAM} {arguments[0]}", description=command.summary, allow_abbrev=False)
        command.add_flags(parser)
        return command.execute(parser.parse_args(arguments[1:]))
    except (EngineError, OSError, KeyboardInterrupt) as error:
        return report(error)


def _overview(commands: Mapping[str, CliCommand]) -> str:
    lines = [f"  {name:<10} {command.summary}" for name, command in commands.items()]
    return "\n".join([f"usage: {PROGRAM} COMMAND ...", "", *lines, "", f"`{PROGRAM} COMMAND --help` has more."])


def leave(code: int) -> NoReturn:
    """End the program. What Python does at its end, such as freeing every object, would only take time: 3 ms."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
