"""Where on this host the ports of a container that runs are, whoever leads there: NAT (chapter 6), or pasta."""

from __future__ import annotations

from ch02_namespaces import syscalls
from ch06_network import endpoints

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch05_lifecycle.store import Stored
    from ch06_network.ports import PublishedPort


def ports_of(stored: Stored) -> list[PublishedPort]:
    """Its published ports. Raises EngineError for a damaged record."""
    if syscalls.in_user_namespace():
        from final.engine import rootless_network

        return rootless_network.ports_of(stored)
    return [port for endpoint in endpoints.of_container(stored.id) for port in endpoint.ports]


def address_of(port: PublishedPort) -> str:
    """Such as 0.0.0.0:8080."""
    return f"[{port.address}]:{port.host}" if ":" in port.address else f"{port.address}:{port.host}"
