"""Which networks a container wants to be in: what `run --net` says, and what `network connect` changed since.

containers/ID/networks.json   [[network, addresses, aliases], ...]; written by connect and disconnect
"""

from __future__ import annotations

import os

from ch02_namespaces.errors import EngineError
from ch04_images import state
from ch05_lifecycle import names, store
from ch05_lifecycle.store import Stored
from ch06_network import network
from ch06_network.network import DEFAULT, MODES
from ch06_network.ports import PublishedPort, parse_exposed
from ch06_network.subnets import Address, parse_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ch02_namespaces.command_line import Options

FILE = "networks.json"


class Wish:
    """network: its name; addresses: those that it must get there; aliases: more names for it there."""

    def __init__(self, network: str, addresses: Sequence[Address] = (), aliases: Sequence[str] = ()) -> None:
        self.network = network
        self.addresses = list(addresses)
        self.aliases = list(aliases)


def mode_of(stored: Stored) -> tuple[str, str]:
    """Its kind of network: ("none", ""), ("host", ""), ("container", that other container), or ("networks", "")."""
    word = (_options(stored).get("net") or [DEFAULT])[0]
    kind, _, other = word.partition(":")
    return (kind, other) if kind in MODES else ("networks", "")


def files_owner(stored: Stored) -> Stored:
    """The container whose hosts, resolv.conf and hostname it has: its own, or those of the one whose network it joins.
    Raises EngineError."""
    seen = []
    kind, other = mode_of(stored)
    while kind == "container":
        seen.append(stored.id)
        stored = store.find(other)
        if stored.id in seen:
            raise EngineError(f"--net container:{other}", "it leads back to the container itself")
        kind, other = mode_of(stored)
    return stored


def of(stored: Stored) -> list[Wish]:
    """The networks that it wants to be in, in order: the first is the way to everywhere else."""
    path = stored.record.path(FILE)
    if os.path.exists(path):
        kept = state.read_record(path)["networks"]
        return [Wish(name, map(parse_address, addresses), aliases) for name, addresses, aliases in kept]  # type: ignore[arg-type]
    if mode_of(stored)[0] != "networks":
        return []
    options = _options(stored)
    networks = [network.name_of(word) for word in options.get("net") or [DEFAULT]]
    addresses = [parse_address(text) for text in options.get("ip") or []]
    aliases = options.get("network_alias") or []
    return [Wish(name, addresses if number == 0 else [], aliases) for number, name in enumerate(networks)]


def hostname_of(stored: Stored) -> list[str]:
    """What --hostname says, if the other containers can call it so."""
    called = str(_options(stored).get("hostname") or "")
    return [called] if called and set(called) <= names.ALLOWED else []


def alias(text: str) -> str:
    """For Flag.convert: one more name. Raises EngineError."""
    names.check(text)
    return text


def write(stored: Stored, wishes: Sequence[Wish]) -> None:
    """Keep them. Raises EngineError."""
    kept = [[wish.network, [str(address) for address in wish.addresses], wish.aliases] for wish in wishes]
    state.write_record(stored.record.path(FILE), {"networks": kept})


def ports_of(stored: Stored) -> list[PublishedPort]:
    """The ports that it publishes: those of -p, and with -P all that it exposes. Raises EngineError."""
    options = _options(stored)
    ports = [PublishedPort(*fields) for several in options.get("publish") or [] for fields in several]
    if options.get("publish_all"):
        config: dict[str, Any] = stored.settings["image_config"]
        exposed = [*(options.get("expose") or []), *sorted(config.get("ExposedPorts") or {})]
        ports += [port for text in exposed for port in parse_exposed(text)]
    return ports


def check(options: Options) -> None:
    """Raise EngineError for flags of `run` that contradict each other."""
    special = [word for word in options.net if word.partition(":")[0] in MODES]
    if special and len(options.net) > 1:
        raise EngineError(f"--net {special[0]}", "it does not go together with other networks")
    for word in special:
        kind, colon, other = word.partition(":")
        if kind == "container" and not other:
            raise EngineError(f"--net {word}", "it names no container", "--net container:NAME")
        if kind != "container" and colon:
            raise EngineError(f"--net {word}", f"{kind} stands alone", f"--net {kind}")
        publishes = options.publish or options.publish_all
        refused = [("--ip", options.ip), ("--network-alias", options.network_alias), ("-p", publishes)]
        if kind == "container":  # it has the files of that one
            refused += [("--dns", options.dns), ("--add-host", options.add_host)]
        for flag, given in refused:
            if given:
                raise EngineError(flag, f"with --net {word} there is no network of its own", "leave out one of them")


def _options(stored: Stored) -> dict[str, Any]:
    found: dict[str, Any] = stored.settings.get("options", {})
    return found
