"""`port`: where on this host the ports of a container are; of all, or of one."""

from __future__ import annotations

from ch02_namespaces.command_line import CliCommand, Options
from ch02_namespaces.errors import EngineError
from ch05_lifecycle import store
from ch06_network import endpoints, network_commands


def show_ports(options: Options) -> int:
    """`port CONTAINER [PORT[/PROTOCOL]]`."""
    if len(options.operands) == 1:
        return network_commands.list_ports(options)
    container, wanted = options.operands
    number, _, protocol = wanted.partition("/")
    stored = store.find(container)
    plugged = endpoints.of_container(stored.id) if stored.is_watched() else []
    found = [
        f"[{port.address}]:{port.host}" if ":" in port.address else f"{port.address}:{port.host}"
        for endpoint in plugged
        for port in endpoint.ports
        if (str(port.container), port.protocol) == (number, protocol or "tcp")
    ]
    if not found:
        raise EngineError(f"port {wanted}", f"container {container!r} has not published it", "`port CONTAINER`")
    print(*found, sep="\n")
    return 0


COMMANDS = {
    "port": CliCommand(
        "Where on this host the ports of a container are.", [], "CONTAINER [PORT[/PROTOCOL]]", show_ports
    )
}
