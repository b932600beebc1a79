"""`container …`: the same commands by the names that they have in Docker's group."""

from __future__ import annotations

from ch02_namespaces.command_line import Group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch02_namespaces.command_line import Commands

CONTAINER_COMMANDS = (
    *("attach", "commit", "cp", "create", "diff", "exec", "export", "kill", "logs", "pause", "port"),
    *("rename", "restart", "rm", "run", "start", "stats", "stop", "top", "unpause", "update", "wait"),
)


def container_commands() -> Commands:
    """Those of `container`."""
    from final.cli import COMMANDS as EVERY
    from final.engine.ending import PRUNE
    from final.engine.inspection import OF_CONTAINERS

    lists = dict.fromkeys(("ls", "list", "ps"), EVERY["ps"])
    return {**lists, **{name: EVERY[name] for name in CONTAINER_COMMANDS}, "inspect": OF_CONTAINERS, "prune": PRUNE}


COMMANDS = {"container": Group("Containers: ls, run, rm, prune, …", container_commands)}
