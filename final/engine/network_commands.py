"""`network create | ls | inspect | rm | disconnect | prune`: chapter 6's, with Docker's labels, columns and shapes."""

from __future__ import annotations

import sys

from ch02_namespaces.command_line import CliCommand, Flag, Options
from ch02_namespaces.errors import EngineError
from ch04_images import state
from ch05_lifecycle import names, store
from ch06_network import endpoints, hosts_file, network, network_commands, wishes
from ch06_network.network import Network
from ch06_network.network_commands import NETWORK_COMMANDS as EARLIER
from final.agreed import agreed
from final.engine import words
from final.engine.network_creation import COMMANDS as CREATION
from final.engine.network_creation import extended, labels_of
from final.engine.pruning import FORCE, filter_of, has_label
from final.inspected import inspect_each
from final.output import FORMAT, LIST_FORMAT, Labels, print_rows
from final.shapes import Words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ch06_network.endpoints import Endpoint

HEADERS = {
    "ID": "NETWORK ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "Internal": "INTERNAL",
    "IPv6": "IPV6",
    "Labels": "LABELS",
    "CreatedAt": "CREATED AT",
}
FILTERS = ("driver", "dangling", "id", "label", "name", "scope", "type")
BRIDGE_NAME, MTU = "com.docker.network.bridge.name", "com.docker.network.driver.mtu"


# ---------------------------------------------------------------- ls


def list_networks(options: Options) -> int:
    """`network ls`: all of them, or those that filters let through."""
    state.require_root()
    for name in network.damaged():
        print(f"mydocker: network {name}: its record is damaged (`network rm` removes it)", file=sys.stderr)
    for text in options.filter:
        if text.partition("=")[0] not in FILTERS or "=" not in text:
            raise EngineError(f"--filter {text}", "there is no such filter", ", ".join(FILTERS))
    found = [one for one in network.every() if all(passes(one, text) for text in options.filter)]
    if options.quiet:
        for one in found:
            print(one.id if options.no_trunc else state.short(one.id))
        return 0
    rows = [row_of(one, options.no_trunc) for one in found]
    print_rows(rows, HEADERS, ["ID", "Name", "Driver", "Scope"], options.format)
    return 0


def row_of(one: Network, whole: bool) -> dict[str, Any]:
    """The fields of HEADERS."""
    return {
        "ID": one.id if whole else state.short(one.id),
        "Name": one.name,
        "Driver": one.driver,
        "Scope": scope_of(one),
        "Internal": str(one.internal).lower(),
        "IPv6": str(_has(one, 6)).lower(),
        "Labels": Labels(labels_of(one)),
        "CreatedAt": words.local_moment(one.created),
    }


def scope_of(one: Network) -> str:
    """Whether it is one of this host alone."""
    return "local" if one.driver == network.DEFAULT else "global"


def _has(one: Network, version: int) -> bool:
    return any(subnet.version == version for subnet, _ in one.subnets)


def passes(one: Network, text: str) -> bool:
    """Whether `--filter KEY=VALUE`, one of FILTERS, lets a network through."""
    key, _, value = text.partition("=")
    if key == "dangling":
        return (one.name in {network.DEFAULT, *_wanted()}) != (value.lower() in ("true", "1"))
    if key == "id":
        return one.id.startswith(value)
    if key == "label":
        return has_label(labels_of(one), value)
    if key == "name":
        return value in one.name
    if key == "type":
        return (value == "builtin") == (one.name == network.DEFAULT)
    return value == {"driver": one.driver, "scope": scope_of(one)}[key]


def _wanted() -> set[str]:
    """The names of the networks that containers want to be in."""
    return {wish.network for stored in store.every() for wish in wishes.of(stored)}


# ---------------------------------------------------------------- inspect


def inspect_networks(options: Options) -> int:
    """`network inspect`: all that is known of networks, as JSON, by a template or as a tree."""
    state.require_root()
    if options.tree:
        return network_commands.inspect_networks(options)
    return inspect_each(options.operands, lambda text: described(network.find(text)), options.format)


def described(one: Network) -> dict[str, Any]:
    """All that is known of one, in Docker's shape."""
    return {
        "Name": one.name,
        "Id": one.id,
        "Created": words.moment(one.created),
        "Scope": scope_of(one),
        "Driver": one.driver,
        "EnableIPv4": _has(one, 4),
        "EnableIPv6": _has(one, 6),
        "IPAM": {
            "Driver": "default",
            "Options": {},
            "Config": [{"Subnet": str(subnet), "Gateway": str(gateway)} for subnet, gateway in one.subnets],
        },
        "Internal": one.internal,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {
            endpoint.container: _plugged(one, endpoint)
            for endpoint in endpoints.every(one)
            if endpoints.is_alive(endpoint.container)
        },
        "Options": {
            BRIDGE_NAME: one.bridge,
            MTU: str(one.mtu),
            **{key: str(value) for key, value in one.options.items()},
        },
        "Labels": Words(labels_of(one)),
        "Peers": [{"Name": known_as[0], "IP": address} for address, known_as in hosts_file.remote_names(one)],
    }


def _plugged(one: Network, endpoint: Endpoint) -> dict[str, str]:
    lengths = {subnet.version: subnet.length for subnet, _ in one.subnets}
    address, address6 = (endpoint.address_of(version) for version in (4, 6))
    return {
        "Name": names.of(endpoint.container),
        "EndpointID": endpoint.container,
        "MacAddress": endpoint.mac.hex(":"),
        "IPv4Address": f"{address}/{lengths[4]}" if address else "",
        "IPv6Address": f"{address6}/{lengths[6]}" if address6 else "",
    }


# ---------------------------------------------------------------- rm, disconnect, prune


def remove_networks(options: Options) -> int:
    """`network rm`; with -f, that there is none is no error."""
    if options.force:
        known = {name for one in network.every() for name in (one.name, one.id, state.short(one.id))}
        options.operands = [text for text in options.operands if text in (*known, *network.damaged())]
    return network_commands.remove_networks(options)


def prune_networks(options: Options) -> int:
    """`network prune`: remove all networks that no container wants to be in."""
    state.require_root()
    if not options.force and not agreed("This will remove all custom networks not used by at least one container."):
        return 0
    removed = prune(options.filter)
    if removed:
        print("Deleted Networks:", *removed, sep="\n")
    return 0


def prune(filters: list[str]) -> list[str]:
    """Remove those that no container wants to be in and that filters let through, but never the default one; their
    names. Raises EngineError."""
    lets_through = filter_of(filters)
    return network_commands.prune(lambda one: one.name != network.DEFAULT and lets_through(labels_of(one), one.created))


LIST = CliCommand(
    "List the networks.",
    [
        Flag("-q", "--quiet", help="only their ids"),
        Flag("--no-trunc", help="all of each field"),
        Flag("-f", "--filter", value="KEY=VALUE", many=True, help=f"only those: {', '.join(FILTERS)}"),
        LIST_FORMAT,
    ],
    "",
    list_networks,
)
REMOVE = extended("rm", remove_networks, Flag("-f", "--force", help="that there is none is no error"))
NETWORK_COMMANDS = {
    **EARLIER,
    **CREATION,
    "ls": LIST,
    "list": LIST,
    "inspect": extended("inspect", inspect_networks, FORMAT, Flag("-v", "--verbose", help="there is no more to tell")),
    "rm": REMOVE,
    "remove": REMOVE,
    "disconnect": extended(
        "disconnect", EARLIER["disconnect"].execute, Flag("-f", "--force", help="it is done in any case")
    ),
    "prune": extended(
        "prune",
        prune_networks,
        FORCE,
        Flag("--filter", value="KEY=VALUE", many=True, help="only those: until, label, label!"),
    ),
}
