"""The last composition root: all chapters' commands on the full engine, and those that only it has."""

from __future__ import annotations

import sys

from ch02_namespaces.command_line import CliCommand, leave, postponed
from ch02_namespaces.command_line import main as run_command_line
from ch06_network import cli as network_cli

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ch02_namespaces.command_line import Commands


def _lifecycle() -> Mapping[str, CliCommand]:
    from final.engine.lifecycle import FullLifecycle
    from final.engine.options import CREATE_FLAGS

    return FullLifecycle(CREATE_FLAGS).commands()


def _execute() -> Mapping[str, CliCommand]:
    from final.engine import execute

    return execute.COMMANDS


def _list() -> Mapping[str, CliCommand]:
    from final.engine import container_list

    return container_list.COMMANDS


def _inspection() -> Mapping[str, CliCommand]:
    from final.engine import inspection

    return inspection.COMMANDS


def _pausing() -> Mapping[str, CliCommand]:
    from final.engine import pausing

    return pausing.COMMANDS


COMMANDS: Commands = {
    **network_cli.COMMANDS,
    **postponed("run create start restart", _lifecycle),
    **postponed("exec", _execute),
    **postponed("ps", _list),
    **postponed("inspect", _inspection),
    **postponed("pause unpause", _pausing),
}


def main(arguments: list[str]) -> int:
    """Run a command line; the exit code."""
    return run_command_line(COMMANDS, arguments)


def entry_point() -> None:
    """The program: run the command line that we were started with, and end."""
    leave(main(sys.argv[1:]))
