"""`port`: where on this host the ports of a container are; of all, or of one."""

from __future__ import annotations

from ch02_namespaces.command_line import CliCommand, Options
from ch02_namespaces.errors import EngineError
from ch05_lifecycle import store
from final.engine import published


def show_ports(options: Options) -> int:
    """`port CONTAINER [PORT[/PROTOCOL]]`."""
    container = options.operands[0]
    stored = store.find(container)
    ports = published.ports_of(stored) if stored.is_watched() else []
    if len(options.operands) == 1:
        for port in ports:
            print(f"{port.container}/{port.protocol} -> {published.address_of(port)}")
        return 0
    wanted = options.operands[1]
    number, _, protocol = wanted.partition("/")
    found = [port for port in ports if (str(port.container), port.protocol) == (number, protocol or "tcp")]
    if not found:
        raise EngineError(f"port {wanted}", f"container {container!r} has not published it", "`port CONTAINER`")
    print(*map(published.address_of, found), sep="\n")
    return 0


COMMANDS = {
    "port": CliCommand(
        "Where on this host the ports of a container are.", [], "CONTAINER [PORT[/PROTOCOL]]", show_ports
    )
}
