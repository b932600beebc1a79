"""`tree`: what containers consist of, drawn: namespaces, cgroups, mounts, networks, processes. Book sections 2.1, 2.2.

A namespace is told by its number, as /proc has it, and by who else lives there: namespaces(7).
"""

from __future__ import annotations

import os

from ch02_namespaces import namespaces
from ch02_namespaces.command_line import CliCommand, Flag, Options
from ch02_namespaces.errors import EngineError
from ch04_images import state
from ch05_lifecycle import store
from ch06_network import endpoints
from final.ages import counted
from final.engine.container_list import DAMAGED, Listed, command_of, looked_at
from final.engine.processes import pids_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    Kinds = Mapping[str, int]
    Branch = tuple[str, Sequence[Any]]

WIDEST = 1000  # columns, where nobody sees them: nothing is cut off


def draw(options: Options) -> int:
    """`tree`: those that are named, or all that run; with -a all."""
    state.require_root()
    found = [Listed(store.find(text)) for text in options.operands] or [
        one for one in looked_at() if options.all or one.known["pid"]
    ]
    of_host = namespaces.of_process()
    everybody = {one.stored.name: kinds_of(one) for one in looked_at() if one.known.get("pid")}
    branches = [branch_of(one, of_host, everybody) for one in found]
    print_tree((f"{os.uname().nodename} ({counted(len(found), 'container')})", branches))
    return 0


def print_tree(top: Branch) -> None:
    """A branch and all that is on it; with colours on a terminal."""
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    def grow(branch: Branch) -> Tree:
        grown = Tree(Text(branch[0]))
        for below in branch[1]:
            grown.add(grow(below) if isinstance(below, tuple) else Text(below))
        return grown

    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = WIDEST
    console.print(grow(top))


def kinds_of(one: Listed) -> Kinds:
    """The namespaces of its PID 1; none if it has just ended."""
    try:
        return namespaces.of_process(one.known["pid"])
    except EngineError:
        return {}


def branch_of(one: Listed, of_host: Kinds, everybody: Mapping[str, Kinds]) -> Branch:
    """A container."""
    stored = one.stored
    if one.state == DAMAGED["status"]:
        return f"{state.short(stored.id)}: damaged", []
    title = f"{stored.name} {state.short(stored.id)} {stored.record.image.removesuffix(':latest')}: {one.state}"
    below: list[Branch] = []
    if one.known["pid"]:
        own = kinds_of(one)
        below.append(("namespaces", [namespace(kind, own[kind], of_host, everybody, stored.name) for kind in own]))
        below.append(("cgroups", [path for path in store.group_of(stored).directories() if os.path.isdir(path)]))
        below.append(("processes", processes(one)))
        plugged = [address_of(endpoint) for endpoint in endpoints.of_container(stored.id)]
        below += [("networks", plugged)] if plugged else []
    return title, [*below, ("mounts", mounts(one))]


def namespace(kind: str, number: int, of_host: Kinds, everybody: Mapping[str, Kinds], name: str) -> str:
    """A namespace, and who else is in it."""
    others = [other for other, kinds in sorted(everybody.items()) if other != name and kinds.get(kind) == number]
    shared = ["this host"] if of_host.get(kind) == number else others
    return f"{kind} {number}" + (f", shared with {', '.join(shared)}" if shared else "")


def processes(one: Listed) -> list[str]:
    """With the numbers that they have on this host."""
    found = []
    for pid in pids_of(one.stored):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                argv = file.read().decode(errors="replace").split("\0")[:-1]
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
        found.append(f"{pid} {command_of(argv, whole=True)}")
    return found


def address_of(endpoint: endpoints.Endpoint) -> str:
    """Its place in a network."""
    addresses = ", ".join(map(str, endpoint.addresses))
    return f"{endpoint.interface} {addresses}, by {endpoint.cable} into {endpoint.network}"


def mounts(one: Listed) -> list[str]:
    """Its root, and what the user has put into it."""
    record = one.stored.record
    found = [f"/ {record.driver}: {counted(len(record.layers), 'layer')} and {record.path('upper')}"]
    for mount in one.settings.get("mounts") or []:
        source = mount.get("name") or mount["source"] or mount["type"]
        found.append(f"{mount['target']} {mount['type']}: {source}{' (read-only)' if mount['read_only'] else ''}")
    return found


COMMANDS = {
    "tree": CliCommand(
        "Draw what containers consist of.",
        [Flag("-a", "--all", help="also those that do not run")],
        "[CONTAINER ...]",
        draw,
    )
}
