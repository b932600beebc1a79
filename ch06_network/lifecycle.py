"""`create`, `run`, `start` and `restart` with a network: the flags and the parts that chapter 6 adds."""

from __future__ import annotations

from ch02_namespaces.command_line import Flag, Options
from ch03_run.container import Part
from ch03_run.isolation import NetworkNamespace
from ch04_images.volumes import Volumes
from ch05_lifecycle import flags, store
from ch05_lifecycle.lifecycle import Lifecycle
from ch05_lifecycle.store import Stored
from ch06_network import hosts_file, wishes
from ch06_network.plug import Endpoints, JoinNetwork, Loopback, NetworkFiles
from ch06_network.ports import parse_exposed, parse_ports
from ch06_network.subnets import parse_address


def published(text: str) -> list[list[object]]:
    """For Flag.convert: ports as a record can keep them. Raises EngineError."""
    return [port.fields for port in parse_ports(text)]


def exposed(text: str) -> str:
    """For Flag.convert. Raises EngineError."""
    parse_exposed(text)
    return text


def address(text: str) -> str:
    """For Flag.convert. Raises EngineError."""
    return str(parse_address(text))


CREATE_FLAGS = [
    *flags.CREATE_FLAGS,
    Flag("-net", "--network", "--net", value="NETWORK", many=True, help="NAME, none, host or container:NAME"),
    Flag("--ip6", "--ip", value="ADDRESS", convert=address, many=True, help="the address that it must get there"),
    Flag(
        "--net-alias",
        "--network-alias",
        value="NAME",
        convert=wishes.alias,
        many=True,
        help="one more name for it there",
    ),
    Flag("-p", "--publish", value="[IP:]HOST:PORT[/udp]", convert=published, many=True, help="a port of this host"),
    Flag("-P", "--publish-all", help="all ports that it exposes, at free ports of this host"),
    Flag("--expose", value="PORT[/udp]", convert=exposed, many=True, help="a port for -P, besides those of the image"),
    Flag("--dns", value="ADDRESS", convert=address, many=True, help="a name server (default: those of this host)"),
    Flag(
        "--add-host",
        value="NAME:ADDRESS",
        convert=hosts_file.parse_extra_host,
        many=True,
        help="a line for its /etc/hosts",
    ),
]


class NetworkedLifecycle(Lifecycle):
    """Chapter 5's, with a network."""

    def check(self, options: Options) -> None:
        """Raise EngineError for flags that contradict each other."""
        super().check(options)
        wishes.check(options)

    def parts_of(self, stored: Stored, options: Options, streams: Part) -> list[Part]:
        """Chapter 5's parts, with others in place of the network namespace in which nothing is."""
        parts = super().parts_of(stored, options, streams)
        at = next(number for number, part in enumerate(parts) if isinstance(part, NetworkNamespace))
        parts[at : at + 1] = network_parts(stored, options)
        after = next(number for number, part in enumerate(parts) if isinstance(part, Volumes)) + 1
        taken = [volume.target for volume in options.volume]
        parts.insert(after, Volumes(hosts_file.volumes_of(wishes.files_owner(stored).id, taken)))
        return parts


def network_parts(stored: Stored, options: Options) -> list[Part]:
    """The parts that its kind of network consists of. Raises EngineError."""
    kind, other = wishes.mode_of(stored)
    if kind == "container":
        return [JoinNetwork(store.find(other))]
    files = NetworkFiles(stored.id, options.hostname, options.dns, options.add_host, of_host=kind == "host")
    if kind == "host":
        return [files]
    return [NetworkNamespace(), files, Loopback() if kind == "none" else Endpoints(stored)]


COMMANDS = NetworkedLifecycle(CREATE_FLAGS).commands()
