"""`system df | info | prune | events`: the engine as a whole."""

from __future__ import annotations

import os

from ch02_namespaces.command_line import CliCommand, Flag, Group, Options
from ch02_namespaces.syscalls import in_user_namespace
from ch04_images import state
from final.agreed import agreed
from final.engine import about, disk_usage, ending, event_commands, volume_commands, words
from final.engine.pruning import FORCE, filter_of
from final.engine.usage import tree_bytes


def prune_everything(options: Options) -> int:
    """`system prune`: containers that do not run, networks and images that nobody needs, and volumes if asked for."""
    from final.build import cache
    from final.engine import network_commands
    from final.images.removal import prune as prune_images

    state.require_root()
    what = ["all stopped containers", "all networks not used by at least one container"]
    what += ["all anonymous volumes not used by at least one container"] if options.volumes else []
    what += ["all images without a container" if options.all else "all images without a name", "all build cache"]
    if not options.force and not agreed("This will remove:\n" + "".join(f"  - {one}\n" for one in what)):
        return 0
    removed, size = ending.prune(options.filter)
    _print_deleted("Containers", removed)
    _print_deleted("Networks", [] if in_user_namespace() else network_commands.prune(options.filter))
    if options.volumes:
        names, more = volume_commands.prune(False, options.filter)
        size += more
        _print_deleted("Volumes", names)
    before = _layers_bytes()
    _print_deleted("Images", prune_images(options.all, filter_of(options.filter)))
    _print_deleted("build cache objects", cache.prune())
    words.print_reclaimed(size + before - _layers_bytes())
    return 0


def _print_deleted(what: str, lines: list[str]) -> None:
    if lines:
        print(f"Deleted {what}:", *lines, "", sep="\n")


def _layers_bytes() -> int:
    directory = state.place("layers")
    return tree_bytes(directory) if os.path.isdir(directory) else 0


SYSTEM_COMMANDS = {
    "df": disk_usage.COMMAND,
    "info": about.COMMANDS["info"],
    "events": event_commands.COMMANDS["events"],
    "prune": CliCommand(
        "Remove what nobody needs.",
        [
            Flag("-a", "--all", help="also images with a name on which no container stands"),
            FORCE,
            Flag("--volumes", help="also volumes that nobody has named"),
            Flag("--filter", value="KEY=VALUE", many=True, help="only those: until, label, label!"),
        ],
        "",
        prune_everything,
    ),
}


COMMANDS = {"system": Group("The engine: df, info, events, prune.", lambda: SYSTEM_COMMANDS)}
