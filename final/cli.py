"""The last composition root: all chapters' commands on the full engine, and those that only it has."""

from __future__ import annotations

import sys

from ch02_namespaces.command_line import CliCommand, leave, postponed
from ch02_namespaces.command_line import main as run_command_line
from ch02_namespaces.errors import EngineError, report
from ch06_network import cli as network_cli

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ch02_namespaces.command_line import Commands


def _lifecycle() -> Mapping[str, CliCommand]:
    from final.engine.lifecycle import FullLifecycle
    from final.engine.options import CREATE_FLAGS

    return FullLifecycle(CREATE_FLAGS).commands()


def of(module: str) -> Callable[[], Mapping[str, CliCommand]]:
    """What imports a module when one of its commands is used, and gives its table."""

    def load() -> Mapping[str, CliCommand]:
        found: Mapping[str, CliCommand] = __import__(module, fromlist=["COMMANDS"]).COMMANDS
        return found

    return load


COMMANDS: Commands = {
    **network_cli.COMMANDS,
    **postponed("run create start restart", _lifecycle),
    **postponed("exec", of("final.engine.execute")),
    **postponed("ps", of("final.engine.container_list")),
    **postponed("inspect", of("final.engine.inspection")),
    **postponed("pause unpause", of("final.engine.pausing")),
    **postponed("stop kill rename rm", of("final.engine.ending")),
    **postponed("events", of("final.engine.event_commands")),
    **postponed("stats", of("final.engine.consumption")),
    **postponed("update", of("final.engine.updating")),
    **postponed("commit", of("final.engine.committing")),
    **postponed("tree", of("final.engine.tree")),
    **postponed("port", of("final.engine.ports")),
    **postponed("info version", of("final.engine.about")),
    **postponed("system", of("final.engine.system")),
    **postponed("completion", of("final.engine.completion")),
    **postponed("diff", of("final.engine.differences")),
    **postponed("cp", of("final.engine.copying")),
    **postponed("top", of("final.engine.processes")),
    **postponed("logs", of("final.engine.log_details")),
    **postponed("attach", of("final.engine.attaching")),
    **postponed("images history login logout manifest load", of("final.images.commands")),
    **postponed("pull push save import tag rmi image network", of("final.engine.announced")),
    **postponed("build builder", of("final.build.commands")),
    **postponed("volume", of("final.engine.volume_commands")),
    **postponed("container", of("final.engine.groups")),
}


def main(arguments: list[str]) -> int:
    """Run a command line; the exit code."""
    from final.engine import events, refused

    events.listen()
    try:
        if arguments and arguments[0].startswith("-"):
            from final.engine import global_flags

            arguments = global_flags.taken(arguments)
        refused.check_command(arguments)
    except EngineError as error:
        return report(error)
    if arguments in (["--version"], ["-v"]):
        arguments = ["version", "--format", "mydocker version {{.Client.Version}}"]
    return run_command_line(COMMANDS, arguments)


def entry_point() -> None:
    """The program: run the command line that we were started with, and end."""
    leave(main(sys.argv[1:]))
