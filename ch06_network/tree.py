"""`network inspect --tree`: a network as a drawing. Book section 6.2."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from ch04_images import state
from ch06_network import endpoints
from ch06_network.hosts_file import remote_names
from ch06_network.network import Network


def print_tree(one: Network) -> None:
    """Print who is plugged in where, and which ports of this host lead to whom."""
    subnets = ", ".join(str(subnet) for subnet, _ in one.subnets)
    tree = Tree(f"network {escape(one.name)} ({one.driver}, {subnets})")
    gateways = ", ".join(str(gateway) for _, gateway in one.subnets)
    bridge = tree.add(f"bridge {one.bridge}, {gateways}{'' if one.is_up() else ' (not up)'}")
    for endpoint in sorted(endpoints.every(one), key=lambda endpoint: endpoint.addresses[0].value):
        if not endpoints.is_alive(endpoint.container):
            continue
        addresses = ", ".join(map(str, endpoint.addresses))
        name = escape(endpoint.names[0] if endpoint.names else state.short(endpoint.container))
        cable = bridge.add(f"{endpoint.cable} ═══ {endpoint.interface} of {name}, {addresses}")
        for port in endpoint.ports:
            cable.add(escape(str(port)))
    elsewhere = remote_names(one)
    if elsewhere:
        others = tree.add("on other hosts")
        for address, names in elsewhere:
            others.add(f"{escape(names[0])}, {address}")
    Console(highlight=False, soft_wrap=True).print(tree)
