"""`ps`: the containers, with the columns, fields and filters of `docker ps`."""

from __future__ import annotations

import time

from ch02_namespaces.command_line import CliCommand, Flag, Options, whole_number
from ch02_namespaces.errors import EngineError
from ch04_images import state
from ch05_lifecycle import names, store
from ch06_network import wishes
from final.engine import published, words
from final.output import LIST_FORMAT, print_rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ch05_lifecycle.store import Stored

HEADERS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Ports": "PORTS",
    "State": "STATE",
    "Status": "STATUS",
    "Size": "SIZE",
    "Names": "NAMES",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Networks": "NETWORKS",
}
COLUMNS = ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"]
WIDEST_COMMAND = 20
DAMAGED = {"status": "damaged", "exit_code": 0, "started": 0.0, "finished": 0.0}
LIVE = (store.RUNNING, store.RESTARTING, words.PAUSED)


class Listed:
    """A container, looked at once; its record may be damaged, and then `rm` can still take it away."""

    def __init__(self, stored: Stored) -> None:
        self.stored = stored
        try:
            self.known, self.settings = stored.state(), stored.settings
            self.state = words.state_of(stored, self.known)
        except store.GoneError:
            raise
        except (EngineError, KeyError):
            self.known, self.settings, self.state = DAMAGED, store.EARLIER_SETTINGS, str(DAMAGED["status"])

    @property
    def labels(self) -> dict[str, str]:
        """Those of its image and of the user."""
        return dict(self.settings.get("labels") or {})


def looked_at() -> list[Listed]:
    """All containers, the youngest first."""
    found = []
    for stored in store.every():
        try:
            found.append(Listed(stored))
        except store.GoneError:
            continue
    return found


def list_containers(options: Options) -> int:
    """`ps`: those that run, or all, or those that filters let through."""
    found = looked_at()
    wants_state = any(text.partition("=")[0] in ("status", "exited") for text in options.filter)
    latest = 1 if options.latest else options.last
    if not (options.all or wants_state or latest is not None):
        found = [one for one in found if one.state in LIVE]
    for text in options.filter:
        passes = filter_of(text)
        found = [one for one in found if passes(one)]
    found = found[:latest]
    if options.quiet:
        for one in found:
            print(one.stored.id if options.no_trunc else state.short(one.stored.id))
        return 0
    named = names.all_names()
    rows = [row_of(one, named.get(one.stored.id, ""), options.no_trunc, options.size) for one in found]
    columns = [*COLUMNS, "Size"] if options.size else COLUMNS
    print_rows(rows, HEADERS, columns, options.format)
    return 0


def row_of(one: Listed, name: str, whole: bool, with_size: bool) -> dict[str, Any]:
    """The fields of HEADERS. whole: nothing is cut off."""
    stored, mounts = one.stored, one.settings.get("mounts") or []
    shown = [mount.get("name") or mount["source"] for mount in mounts]
    created = stored.record.created
    return {
        "ID": stored.id if whole else state.short(stored.id),
        "Image": stored.record.image.removesuffix(":latest"),
        "Command": f'"{command_of(one.settings["command"], whole)}"',
        "CreatedAt": words.local_moment(created),
        "RunningFor": f"{words.duration(time.time() - created)} ago",
        "Ports": ports_of(one),
        "State": one.state,
        "Status": words.status_of(one.state, one.known),
        "Size": size_of(stored) if with_size else "0B",
        "Names": name,
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(one.labels.items())),
        "Mounts": ",".join(text if whole else _cut(text, 15) for text in shown),
        "LocalVolumes": str(sum(1 for mount in mounts if mount.get("name"))),
        "Networks": ",".join(networks_of(stored)),
    }


def command_of(argv: list[str], whole: bool) -> str:
    """A command in one line of printable characters."""
    text = "".join(character if character.isprintable() else "?" for character in " ".join(argv))
    return text if whole else _cut(text, WIDEST_COMMAND)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def ports_of(one: Listed) -> str:
    """Where its ports are on this host, as 0.0.0.0:8080->80/tcp; and those that it only exposes."""
    if one.state not in LIVE:
        return ""
    ports = published.ports_of(one.stored)
    found = [f"{published.address_of(port)}->{port.container}/{port.protocol}" for port in ports]
    known = {f"{port.container}/{port.protocol}" for port in ports}
    exposed = sorted((one.settings.get("image_config") or {}).get("ExposedPorts") or {})
    return ", ".join([*found, *(port for port in exposed if port not in known)])


def networks_of(stored: Stored) -> list[str]:
    """The names of its networks; or what it has in their place."""
    kind, _ = wishes.mode_of(stored)
    return [wish.network for wish in wishes.of(stored)] if kind == "networks" else [kind]


def size_of(stored: Stored) -> str:
    """What it has written."""
    from final.engine.usage import layer_bytes
    from final.images.listing import decimal_size

    return decimal_size(layer_bytes(stored))


def filter_of(text: str) -> Callable[[Listed], bool]:
    """What `--filter KEY=VALUE` lets through. Raises EngineError for a filter that we don't have."""
    key, equals, value = text.partition("=")
    if not equals or key not in FILTERS:
        raise EngineError(f"--filter {text}", "there is no such filter", ", ".join(FILTERS))
    return lambda one: FILTERS[key](one, value)


def _has_label(one: Listed, value: str) -> bool:
    name, equals, wanted = value.partition("=")
    return name in one.labels and (not equals or one.labels[name] == wanted)


def _has_volume(one: Listed, value: str) -> bool:
    return any(value in (mount.get("name"), mount["target"]) for mount in one.settings.get("mounts") or [])


def _is_before(one: Listed, value: str) -> bool:
    return one.stored.record.created < store.find(value).record.created


def _is_since(one: Listed, value: str) -> bool:
    return one.stored.record.created > store.find(value).record.created


FILTERS: dict[str, Callable[[Listed, str], bool]] = {
    "id": lambda one, value: one.stored.id.startswith(value),
    "name": lambda one, value: value.removeprefix("/") in one.stored.name,
    "label": _has_label,
    "status": lambda one, value: one.state == value,
    "exited": lambda one, value: one.state == store.EXITED and str(one.known["exit_code"]) == value,
    "ancestor": lambda one, value: value in (one.stored.record.image, one.stored.record.image.removesuffix(":latest")),
    "network": lambda one, value: value in networks_of(one.stored),
    "volume": _has_volume,
    "before": _is_before,
    "since": _is_since,
}
COMMANDS = {
    "ps": CliCommand(
        "List containers.",
        [
            Flag("-a", "--all", help="also those that do not run"),
            Flag("-q", "--quiet", help="only their ids"),
            Flag("-n", "--last", value="N", convert=whole_number, help="the last ones made, in any state"),
            Flag("-l", "--latest", help="the last one made, in any state"),
            Flag("-s", "--size", help="with what they have written"),
            Flag("--no-trunc", help="all of each field"),
            Flag("-f", "--filter", value="KEY=VALUE", many=True, help=f"only those: {', '.join(FILTERS)}"),
            LIST_FORMAT,
        ],
        "",
        list_containers,
    )
}
