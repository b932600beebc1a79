"""`container …` and `image …`: the same commands by the names that they have in Docker's groups."""

from __future__ import annotations

from ch02_namespaces.command_line import CliCommand, Options, dispatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch02_namespaces.command_line import Commands

CONTAINER_COMMANDS = (
    *("attach", "commit", "cp", "create", "diff", "exec", "export", "inspect", "kill", "logs", "pause", "port"),
    *("rename", "restart", "rm", "run", "start", "stats", "stop", "top", "unpause", "update", "wait"),
)


def container_commands() -> Commands:
    """Those of `container`."""
    from final.cli import COMMANDS as EVERY
    from final.engine.ending import PRUNE

    lists = dict.fromkeys(("ls", "list", "ps"), EVERY["ps"])
    return {**lists, **{name: EVERY[name] for name in CONTAINER_COMMANDS}, "prune": PRUNE}


def run_container_command(options: Options) -> int:
    """`container`, with commands of its own."""
    words = options.operands
    if words[0] == "inspect":
        words = ["inspect", "--type", "container", *words[1:]]
    return dispatch(container_commands(), words, "mydocker container")


COMMANDS = {
    "container": CliCommand("Containers: ls, run, rm, prune, …", [], "COMMAND ...", run_container_command),
}
