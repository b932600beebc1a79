"""`ps`: the containers, with the columns, fields and filters of `docker ps`."""

from __future__ import annotations

import re
import time

from ch02_namespaces.command_line import CliCommand, Flag, Options, whole_number
from ch02_namespaces.errors import EngineError
from ch04_images import state
from ch05_lifecycle import names, store
from ch06_network import network, wishes
from ch06_network.ports import parse_exposed
from final.ages import duration
from final.engine import health, published, words
from final.engine.pruning import has_label
from final.output import LIST_FORMAT, Labels, print_rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ch05_lifecycle.store import Stored

    Test = Callable[["Listed"], bool]

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
STATES = ("created", "running", "paused", "restarting", "exited", "damaged", "removing", "dead")
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
    passes = filter_of(options.filter)
    found = [one for one in found if passes(one)]
    if latest is not None and latest >= 0:
        found = found[:latest]
    if options.quiet:
        for one in found:
            print(one.stored.id if options.no_trunc else state.short(one.stored.id))
        return 0
    named = names.all_names()
    with_size = options.size or ".Size" in (options.format or "")
    rows = [row_of(one, named.get(one.stored.id, ""), options.no_trunc, with_size) for one in found]
    columns = [*COLUMNS, "Size"] if options.size else COLUMNS
    print_rows(rows, HEADERS, columns, options.format)
    return 0


def row_of(one: Listed, name: str, whole: bool, with_size: bool) -> dict[str, Any]:
    """The fields of HEADERS. whole: nothing is cut off."""
    stored, mounts = one.stored, words.mounts_of(one.settings)
    shown = [mount.get("name") or mount["source"] for mount in mounts]
    created = stored.record.created
    return {
        "ID": stored.id if whole else state.short(stored.id),
        "Image": stored.record.image.removesuffix(":latest"),
        "Command": quoted(command_of(words.command_of(one.settings), whole)),
        "CreatedAt": words.local_moment(created),
        "RunningFor": f"{duration(time.time() - created)} ago",
        "Ports": ports_of(one),
        "State": one.state,
        "Status": words.status_of(one.state, one.known, health.status_of(stored, one.known)),
        "Size": size_of(stored) if with_size else "0B",
        "Names": name,
        "Labels": Labels(one.labels),
        "Mounts": ",".join(text if whole else _cut(text, 15) for text in shown),
        "LocalVolumes": str(sum(1 for mount in mounts if mount.get("name"))),
        "Networks": "" if one.known is DAMAGED else ",".join(networks_of(stored)),
    }


def command_of(argv: list[str], whole: bool) -> str:
    """A command in one line of printable characters; words with spaces in quotes, as Docker has it."""
    line = " ".join([*argv[:1], *(f"'{word}'" if " " in word else word for word in argv[1:])])
    text = "".join(character if character.isprintable() else "?" for character in line)
    return text if whole else _cut(text, WIDEST_COMMAND)


def quoted(text: str) -> str:
    """In double quotes; those inside have a backslash."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


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
    """What it has written, and that with its image."""
    from final.engine.usage import layer_bytes, root_bytes
    from final.images.listing import decimal_size

    return f"{decimal_size(layer_bytes(stored))} (virtual {decimal_size(root_bytes(stored))})"


def filter_of(wishes: list[str]) -> Callable[[Listed], bool]:
    """What `--filter KEY=VALUE` lets through: of one key any value, but all labels; of several keys all. Raises
    EngineError for a filter that we don't have."""
    wanted: dict[str, list[Test]] = {}
    for text in wishes:
        key, equals, value = text.partition("=")
        if not equals or key not in FILTERS:
            raise EngineError(f"--filter {text}", "there is no such filter", ", ".join(FILTERS))
        wanted.setdefault(text if key == "label" else key, []).append(FILTERS[key](value))
    return lambda one: all(any(test(one) for test in tests) for tests in wanted.values())


def _by_id(value: str) -> Test:
    return lambda one: one.stored.id.startswith(value)


def _by_name(value: str) -> Test:
    """A regular expression, which may count on a slash in front, as Docker's names have one."""
    try:
        pattern = re.compile(value)
    except re.error as error:
        raise EngineError(f"--filter name={value}", f"it is no regular expression: {error}") from None
    return lambda one: any(pattern.search(name) for name in (one.stored.name, f"/{one.stored.name}"))


def _by_label(value: str) -> Test:
    return lambda one: has_label(one.labels, value)


def _by_status(value: str) -> Test:
    if value not in STATES:
        raise EngineError(f"--filter status={value}", "there is no such state", ", ".join(STATES))
    return lambda one: one.state == value


def _by_exit_code(value: str) -> Test:
    code = whole_number(value)
    return lambda one: one.state == store.EXITED and one.known["exit_code"] == code


def _by_ancestor(value: str) -> Test:
    """An image by name or id: also containers on images that were made of it."""
    from final.images import store as image_store

    try:
        layers = image_store.find(value).layers
    except EngineError:  # it is gone, but perhaps not its containers
        return lambda one: value in (one.stored.record.image, one.stored.record.image.removesuffix(":latest"))
    return lambda one: one.stored.record.layers[: len(layers)] == layers


def _by_network(value: str) -> Test:
    name = network.name_of(value)
    return lambda one: name in networks_of(one.stored)


def _by_volume(value: str) -> Test:
    return lambda one: any(value in (mount.get("name"), mount["target"]) for mount in words.mounts_of(one.settings))


def _by_published(value: str) -> Test:
    wanted = _ports(value)
    return lambda one: (
        one.state in LIVE and any((port.host, port.protocol) in wanted for port in published.ports_of(one.stored))
    )


def _by_exposed(value: str) -> Test:
    from final.engine.container_inspection import exposed_ports

    wanted = {f"{port}/{protocol}" for port, protocol in _ports(value)}
    return lambda one: not wanted.isdisjoint(exposed_ports(one.stored, one.settings.get("options") or {}))


def _ports(text: str) -> set[tuple[int, str]]:
    """One, or several: 80, 53/udp, 8000-8010/tcp. Raises EngineError."""
    return {(port.container, port.protocol) for port in parse_exposed(text)}


def _by_task(value: str) -> Test:
    """Tasks belong to swarm: no container is one."""
    if value not in ("true", "false"):
        raise EngineError(f"--filter is-task={value}", "it is neither true nor false")
    return lambda one: value == "false"


def _by_health(value: str) -> Test:
    if value not in health.STATES:
        raise EngineError(f"--filter health={value}", "there is no such health", ", ".join(health.STATES))
    return lambda one: health.status_of(one.stored, one.known) == value


def _before(value: str) -> Test:
    created = store.find(value).record.created
    return lambda one: one.stored.record.created < created


def _since(value: str) -> Test:
    created = store.find(value).record.created
    return lambda one: one.stored.record.created > created


FILTERS: dict[str, Callable[[str], Test]] = {
    "id": _by_id,
    "name": _by_name,
    "label": _by_label,
    "status": _by_status,
    "exited": _by_exit_code,
    "ancestor": _by_ancestor,
    "network": _by_network,
    "volume": _by_volume,
    "publish": _by_published,
    "expose": _by_exposed,
    "health": _by_health,
    "is-task": _by_task,
    "before": _before,
    "since": _since,
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
