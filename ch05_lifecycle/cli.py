"""Chapter 5's composition root: containers are kept, run in the background, and have commands of their own."""

from __future__ import annotations

import sys

from ch02_namespaces.command_line import leave, postponed
from ch02_namespaces.command_line import main as run_command_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ch02_namespaces.command_line import CliCommand, Commands


def _images() -> Mapping[str, CliCommand]:
    from ch04_images import image_commands

    return image_commands.COMMANDS


def _lifecycle() -> Mapping[str, CliCommand]:
    from ch05_lifecycle.flags import CREATE_FLAGS
    from ch05_lifecycle.lifecycle import Lifecycle

    return Lifecycle(CREATE_FLAGS).commands()


def _execute() -> Mapping[str, CliCommand]:
    from ch05_lifecycle import execute

    return execute.COMMANDS


def _listings() -> Mapping[str, CliCommand]:
    from ch05_lifecycle import listings

    return listings.COMMANDS


def _others() -> Mapping[str, CliCommand]:
    from ch05_lifecycle import lifecycle_commands

    return lifecycle_commands.COMMANDS


COMMANDS: Commands = {
    **postponed("run create start restart", _lifecycle),
    **postponed("exec", _execute),
    **postponed("ps inspect top logs", _listings),
    **postponed("attach stop kill wait rm rename commit export", _others),
    **postponed("busybox import images rmi", _images),
}


def main(arguments: list[str]) -> int:
    """Run a command line; the exit code."""
    return run_command_line(COMMANDS, arguments)


def entry_point() -> None:
    """The program: run the command line that we were started with, and end."""
    leave(main(sys.argv[1:]))
