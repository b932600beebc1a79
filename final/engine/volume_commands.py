"""`volume create | ls | inspect | rm | prune`: directories that the engine keeps for containers. Book section 4.3."""

from __future__ import annotations

from ch02_namespaces.command_line import CliCommand, Flag, Group, Options
from ch02_namespaces.errors import EngineError
from ch04_images import state
from ch04_images.image_commands import for_each
from final.agreed import agreed
from final.engine import events, volumes, words
from final.engine.options import key_value, label
from final.engine.pruning import FORCE, filter_of, has_label
from final.inspected import inspect_each
from final.output import FORMAT, LIST_FORMAT, Labels, print_rows
from final.shapes import Words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from final.engine.volumes import NamedVolume

HEADERS = {
    "Driver": "DRIVER",
    "Name": "VOLUME NAME",
    "Labels": "LABELS",
    "Mountpoint": "MOUNTPOINT",
    "Scope": "SCOPE",
    "Size": "SIZE",
    "Links": "LINKS",
}
FILTERS = ("dangling", "driver", "label", "name")
ANONYMOUS = "com.docker.volume.anonymous"
"""The label by which Docker's scripts know a volume that nobody has named."""


def driver(text: str) -> str:
    """For Flag.convert. Raises EngineError."""
    if text != "local":
        raise EngineError(f"volume driver {text!r}", "there is none of this name", "there is local")
    return text


def create_volume(options: Options) -> int:
    """`volume create`: make one, or find the one that has the name."""
    state.require_root()
    if options.opt:
        raise EngineError("--opt", "the driver local has no options here", "-v HOST_DIRECTORY:TARGET takes any mount")
    made = volumes.create("".join(options.operands), dict(options.label))
    events.record("volume", "create", made.name, {"driver": "local"})
    print(made.name)
    return 0


def list_volumes(options: Options) -> int:
    """`volume ls`: all of them, or those that filters let through."""
    state.require_root()
    for text in options.filter:
        if text.partition("=")[0] not in FILTERS or "=" not in text:
            raise EngineError(f"--filter {text}", "there is no such filter", ", ".join(FILTERS))
    found = [one for one in volumes.every() if all(passes(one, text) for text in options.filter)]
    if options.quiet:
        for one in found:
            print(one.name)
        return 0
    print_rows([row_of(one) for one in found], HEADERS, ["Driver", "Name"], options.format)
    return 0


def row_of(one: NamedVolume) -> dict[str, Any]:
    """The fields of HEADERS."""
    return {
        "Driver": "local",
        "Name": one.name,
        "Labels": Labels(labels_of(one)),
        "Mountpoint": one.path,
        "Scope": "local",
        "Size": "N/A",
        "Links": "N/A",
    }


def labels_of(one: NamedVolume) -> dict[str, str]:
    """Those that it was given, and what Docker adds for one without a name."""
    return {**one.labels, **({ANONYMOUS: ""} if one.anonymous else {})}


def passes(one: NamedVolume, text: str) -> bool:
    """Whether `--filter KEY=VALUE`, one of FILTERS, lets a volume through."""
    key, _, value = text.partition("=")
    if key == "name":
        return value in one.name
    if key == "label":
        return has_label(labels_of(one), value)
    if key == "driver":
        return value == "local"
    return bool(volumes.users_of(one.name)) != (value.lower() in ("true", "1"))


def inspect_volumes(options: Options) -> int:
    """`volume inspect`: all that is known of volumes."""
    state.require_root()
    return inspect_each(options.operands, lambda text: described(volumes.find(text)), options.format)


def described(one: NamedVolume) -> dict[str, Any]:
    """All that is known of one, in Docker's shape."""
    return {
        "CreatedAt": words.moment(one.created).partition(".")[0] + "Z",
        "Driver": "local",
        "Labels": Words(labels_of(one)) or None,
        "Mountpoint": one.path,
        "Name": one.name,
        "Options": None,
        "Scope": "local",
    }


def remove_volumes(options: Options) -> int:
    """`volume rm`: remove those that no container has."""
    state.require_root()

    def remove(name: str) -> None:
        volumes.remove(name, options.force)
        events.record("volume", "destroy", name, {"driver": "local"})
        print(name)

    for_each(options.operands, remove)
    return 0


def prune_volumes(options: Options) -> int:
    """`volume prune`: remove those that no container has, and that nobody has named; with -a also the others."""
    state.require_root()
    what = "all local volumes" if options.all else "anonymous local volumes"
    if not options.force and not agreed(f"This will remove {what} not used by at least one container."):
        return 0
    removed, size = prune(options.all, options.filter)
    if removed:
        print("Deleted Volumes:", *removed, "", sep="\n")
    words.print_reclaimed(size)
    return 0


def prune(named_ones: bool, filters: list[str]) -> tuple[list[str], int]:
    """Remove the volumes that no container has and that filters let through; their names, and the bytes they had."""
    from final.engine.usage import tree_bytes

    lets_through = filter_of(filters)
    removed, size = [], 0
    for one in volumes.every():
        if not (one.anonymous or named_ones) or not lets_through(one.labels, one.created):
            continue
        used = tree_bytes(one.path)
        try:
            volumes.remove(one.name)
        except EngineError:  # a container has it
            continue
        events.record("volume", "destroy", one.name, {"driver": "local"})
        removed.append(one.name)
        size += used
    return removed, size


VOLUME_COMMANDS = {
    "create": CliCommand(
        "Make a volume.",
        [
            Flag("-d", "--driver", value="local", convert=driver, help="there is this one alone"),
            Flag("--label", value="NAME[=VALUE]", convert=label, many=True, help="a remark that can be filtered by"),
            Flag("-o", "--opt", value="NAME=VALUE", convert=key_value, many=True, help="there are none"),
        ],
        "[NAME]",
        create_volume,
    ),
    "ls": CliCommand(
        "List the volumes.",
        [
            Flag("-q", "--quiet", help="only their names"),
            Flag("-f", "--filter", value="KEY=VALUE", many=True, help=f"only those: {', '.join(FILTERS)}"),
            LIST_FORMAT,
        ],
        "",
        list_volumes,
    ),
    "inspect": CliCommand("Show all that is known of volumes.", [FORMAT], "VOLUME ...", inspect_volumes),
    "rm": CliCommand(
        "Remove volumes that no container has.",
        [Flag("-f", "--force", help="also if there is none of this name")],
        "VOLUME ...",
        remove_volumes,
    ),
    "prune": CliCommand(
        "Remove volumes that no container has.",
        [
            Flag("-a", "--all", help="also those with names"),
            FORCE,
            Flag("--filter", value="KEY=VALUE", many=True, help="only those: label, label!"),
        ],
        "",
        prune_volumes,
    ),
}


COMMANDS = {"volume": Group("Volumes: create, ls, inspect, rm, prune.", lambda: VOLUME_COMMANDS)}
