"""Commands for images and networks, written down as events when they have succeeded."""

from __future__ import annotations

from ch02_namespaces.command_line import CliCommand, Group, Options, postponed
from final.engine import events
from final.engine.network_commands import NETWORK_COMMANDS as NETWORKS
from final.images.commands import COMMANDS as IMAGES
from final.images.commands import IMAGE_COMMANDS as IMAGE_GROUP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ch02_namespaces.command_line import Commands

    Names = Callable[[list[str]], list[str]]


def announced(command: CliCommand, kind: str, action: str, names: Names) -> CliCommand:
    """A command that is an event. names: which of its operands say what it has happened to."""

    def execute(options: Options) -> int:
        code = command.execute(options)
        for name in names(options.operands):
            events.record(kind, action, name, {"name": name})
        return code

    execute.__wrapped__ = command.execute  # type: ignore[attr-defined]  # for --explain
    return CliCommand(command.summary, command.flags, command.operands, execute)


def _all(operands: list[str]) -> list[str]:
    return operands


def _last(operands: list[str]) -> list[str]:
    return operands[-1:]


IMAGE_EVENTS: dict[str, tuple[str, Names]] = {
    "pull": ("pull", _all),
    "push": ("push", _all),
    "save": ("save", _all),
    "import": ("import", _last),
    "tag": ("tag", _last),
    "rmi": ("delete", _all),
    "rm": ("delete", _all),
}
NETWORK_EVENTS: dict[str, tuple[str, Names]] = {
    "create": ("create", _all),
    "rm": ("destroy", _all),
    "remove": ("destroy", _all),
    "connect": ("connect", lambda operands: operands[:1]),
    "disconnect": ("disconnect", lambda operands: operands[:1]),
}


def of_group(group: dict[str, CliCommand], kind: str, known: dict[str, tuple[str, Names]]) -> dict[str, CliCommand]:
    """A table with those commands of it announced that are events."""
    return {
        name: announced(command, kind, *known[name]) if name in known else command for name, command in group.items()
    }


def _builder() -> dict[str, CliCommand]:
    from final.build.commands import BUILDER_COMMANDS

    return BUILDER_COMMANDS


IMAGE_COMMANDS: Commands = {**of_group(IMAGE_GROUP, "image", IMAGE_EVENTS), **postponed("build", _builder)}
NETWORK_COMMANDS = of_group(NETWORKS, "network", NETWORK_EVENTS)
COMMANDS = {
    **of_group(IMAGES, "image", IMAGE_EVENTS),
    "image": Group(IMAGES["image"].summary, lambda: IMAGE_COMMANDS),
    "network": Group("Networks: create, ls, inspect, rm, connect, …", lambda: NETWORK_COMMANDS),
}
