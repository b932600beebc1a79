"""`network create | ls | inspect | rm | connect | disconnect | prune`, and `port`. Book section 6.4."""

from __future__ import annotations

import fcntl
import os
import sys

from ch02_namespaces.command_line import CliCommand, Flag, Group, Options, whole_number
from ch02_namespaces.errors import EngineError
from ch02_namespaces.locks import locked
from ch02_namespaces.output import FORMAT, print_table
from ch04_images import state
from ch04_images.image_commands import for_each
from ch05_lifecycle import lifecycle_commands, names, store
from ch05_lifecycle.store import Stored
from ch06_network import drivers, endpoints, nat, network, plug, wishes
from ch06_network.netlink import Netlink
from ch06_network.network import MTU, Network
from ch06_network.subnets import Address, Subnet, parse_address, parse_subnet
from ch06_network.wishes import Wish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def create_network(options: Options) -> int:
    """`network create`: put it into the store and bring it up."""
    state.require_root()
    network.sweep()
    (name,) = options.operands
    driver = drivers.driver_of(options.driver or "bridge")
    given = dict(options.opt)
    if options.etcd:
        given["etcd"] = options.etcd
    if options.underlay:
        given["underlay"] = options.underlay
    for option in given:
        if option not in driver.options:
            known = ", ".join(driver.options) or "none"
            raise EngineError(f"option {option!r}", f"the driver {driver.name} does not know it", f"it has {known}")
    subnets = with_gateways(options.subnet, options.gateway)
    mtu = driver.default_mtu(given) if options.mtu is None else options.mtu
    print(driver.create(name, subnets, mtu, options.internal, given).id)
    return 0


def with_gateways(subnets: list[Subnet], gateways: list[Address]) -> list[tuple[Subnet, Address]]:
    """Each subnet with its gateway: the given one, or its first address. Raises EngineError."""
    if len({subnet.version for subnet in subnets}) < len(subnets):
        raise EngineError("--subnet", "there can be one of IPv4 and one of IPv6")
    for gateway in gateways:
        if not any(gateway in subnet and not subnet.is_reserved(gateway) for subnet in subnets):
            raise EngineError(f"--gateway {gateway}", "it is no host's address of a --subnet", "give both")
    return [
        (subnet, next((gateway for gateway in gateways if gateway in subnet), subnet.first_host()))
        for subnet in subnets
    ]


def list_networks(options: Options) -> int:
    """`network ls`: all of them."""
    rows = []
    for name in network.damaged():
        print(f"mydocker: network {name}: its record is damaged (`network rm` removes it)", file=sys.stderr)
    for one in network.every():
        if options.quiet:
            print(state.short(one.id))
            continue
        rows.append(
            {
                "network id": one.id if options.format == "json" else state.short(one.id),
                "name": one.name,
                "driver": one.driver,
                "subnet": ", ".join(str(subnet) for subnet, _ in one.subnets),
                "containers": sum(endpoints.is_alive(endpoint.container) for endpoint in endpoints.every(one)),
            }
        )
    if rows or options.format == "json":
        print_table(rows, options.format)
    elif not options.quiet:
        print("NETWORK ID  NAME  DRIVER  SUBNET  CONTAINERS")
    return 0


def inspect_networks(options: Options) -> int:
    """`network inspect`: all that is known of networks, as JSON or as a tree."""
    found = [network.find(text) for text in options.operands]
    if options.tree:
        from ch06_network.tree import print_tree

        for one in found:
            print_tree(one)
        return 0
    import json

    print(json.dumps([described(one) for one in found], indent=2))
    return 0


def described(one: Network) -> dict[str, Any]:
    """All that is known of a network, for JSON."""
    from ch06_network.hosts_file import remote_names

    return {
        "name": one.name,
        **one.record,
        "bridge": one.bridge,
        "up": one.is_up(),
        "containers": {
            endpoint.container: endpoint.record() | {"cable": endpoint.cable}
            for endpoint in endpoints.every(one)
            if endpoints.is_alive(endpoint.container)
        },
        "elsewhere": [{"address": address, "names": known_as} for address, known_as in remote_names(one)],
    }


def remove_networks(options: Options) -> int:
    """`network rm`: remove networks, each unless a container is in it."""
    state.require_root()

    def remove(text: str) -> None:
        if text in network.damaged():
            remove_damaged(text)
        else:
            remove_network(network.find(text))
        print(text)

    for_each(options.operands, remove)
    return 0


def remove_network(one: Network) -> None:
    """Remove one. Raises EngineError if a container that runs is in it."""
    with network.held(one):
        endpoints.remove_dead(one)
        inside = endpoints.every(one)
        if inside:
            known = names.all_names()
            listed = ", ".join(known.get(endpoint.container, endpoint.container[:12]) for endpoint in inside[:5])
            raise EngineError(f"network {one.name}", f"containers are in it: {listed}", "`stop` or `disconnect` them")
        drivers.driver_of(one.driver).remove(one)


def remove_damaged(name: str) -> None:
    """Remove a network that nothing is known of but its name. Raises EngineError."""
    from ch06_network import bridge

    network.remove_directory(name)
    if not network.damaged():  # else it cannot be said whose a bridge is
        bridge.remove_strays()
    nat.apply()


def prune_networks(options: Options) -> int:
    """`network prune`: remove all networks that no container wants to be in."""
    state.require_root()
    for name in prune():
        print(name)
    return 0


def prune(may_go: Callable[[Network], bool] = lambda _: True) -> list[str]:
    """Remove them, those that may go; their names."""
    network.sweep()
    wanted = {wish.network for stored in store.every() for wish in wishes.of(stored)}
    unwanted = [one for one in network.every() if one.name not in wanted and may_go(one)]
    for one in unwanted:
        remove_network(one)
    nat.apply()  # if whoever removed the last one was killed
    return [one.name for one in unwanted]


def connect_container(options: Options) -> int:
    """`network connect`: from now on a container is in one more network; at once if it runs."""
    state.require_root()
    stored, one = store.find(options.operands[1]), drivers.ready(options.operands[0])
    if wishes.mode_of(stored)[0] != "networks":
        raise EngineError(f"container {options.operands[1]!r}", "it has no network of its own to add one to")
    wish = Wish(one.name, [parse_address(text) for text in options.ip], options.alias)
    with locked(stored.record.path("upper"), fcntl.LOCK_EX):
        known = wishes.of(stored)
        if any(other.network == one.name for other in known):
            raise EngineError(f"container {options.operands[1]!r}", f"it is in network {one.name} already")
        wishes.write(stored, [*known, wish])
        try:
            if stored.is_watched():
                connect_running(one, stored, wish)
        except BaseException:
            wishes.write(stored, known)
            raise
    return 0


def connect_running(one: Network, stored: Stored, wish: Wish) -> None:
    """Plug a network into a container that runs. Raises EngineError; then it is as before."""
    namespace = plug.open_namespace(stored)
    taken = [endpoint.number for endpoint in endpoints.of_container(stored.id)]
    number = max(taken, default=-1) + 1  # the first network that it was in leads out
    try:
        endpoint = plug.allocate(one, stored, f"eth{number}", wish)
        try:
            plug.connect(endpoint, namespace)
        except BaseException:
            plug.leave(endpoint)
            raise
    finally:
        os.close(namespace)


def disconnect_container(options: Options) -> int:
    """`network disconnect`: a container leaves a network; at once if it runs."""
    state.require_root()
    one, stored = network.find(options.operands[0]), store.find(options.operands[1])
    with locked(stored.record.path("upper"), fcntl.LOCK_EX):
        known = wishes.of(stored)
        rest = [wish for wish in known if wish.network != one.name]
        if len(rest) == len(known):
            raise EngineError(f"container {options.operands[1]!r}", f"it is not in network {one.name}")
        endpoint = endpoints.read(one, stored.id)
        if endpoint is not None:
            plug.leave(endpoint)
        lead_out_again(stored)
        wishes.write(stored, rest)
    return 0


def lead_out_again(stored: Stored) -> None:
    """Give a container that runs another way to everywhere else, if it has lost its own and there is one."""
    if not stored.is_watched():
        return
    interface = plug.default_interface(stored.id)
    namespace = plug.open_namespace(stored)
    try:
        with Netlink(namespace) as inside:
            for endpoint in endpoints.of_container(stored.id):
                if endpoint.interface == interface:
                    endpoints.lead_out(inside, network.read(endpoint.network), inside.index_of(interface))
    finally:
        os.close(namespace)
    from ch06_network import hosts_file

    hosts_file.refresh_container(stored.id)


def list_ports(options: Options) -> int:
    """`port`: where on this host the ports of a container are."""
    stored = store.find(options.operands[0])
    if not stored.is_watched():
        return 0
    for endpoint in endpoints.of_container(stored.id):
        for port in endpoint.ports:
            address = f"[{port.address}]" if ":" in port.address else port.address
            print(f"{port.container}/{port.protocol} -> {address}:{port.host}")
    return 0


def parse_option(text: str) -> tuple[str, str]:
    """For Flag.convert: KEY=VALUE. Raises EngineError."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise EngineError(repr(text), "it is no KEY=VALUE")
    return key, value


def address_text(text: str) -> str:
    """For Flag.convert: an address, as text that a record can keep. Raises EngineError."""
    return str(parse_address(text))


CREATE_FLAGS = [
    Flag("-d", "--driver", value="DRIVER", convert=drivers.driver_name, help="bridge (default), vxlan or host-routes"),
    Flag("--subnet", value="SUBNET", convert=parse_subnet, many=True, help="its addresses, such as 10.1.0.0/16"),
    Flag("--gateway", value="ADDRESS", convert=parse_address, many=True, help="that of this host (default: the first)"),
    Flag("--mtu", value="BYTES", convert=whole_number, help=f"the largest packet (default: {MTU}, or what fits)"),
    Flag("--internal", help="nothing leads out of it, and nothing in"),
    Flag("--etcd", value="URL", many=True, help="where the hosts of a network across hosts find each other"),
    Flag("--underlay", value="ADDRESS", convert=address_text, help="where other hosts find this one"),
    Flag("-o", "--opt", value="KEY=VALUE", convert=parse_option, many=True, help="an option of the driver"),
]
NETWORK_COMMANDS = {
    "create": CliCommand("Make a network.", CREATE_FLAGS, "NAME", create_network),
    "ls": CliCommand("List the networks.", [Flag("-q", "--quiet", help="only their ids"), FORMAT], "", list_networks),
    "list": CliCommand("The same.", [Flag("-q", "--quiet", help="only their ids"), FORMAT], "", list_networks),
    "inspect": CliCommand(
        "Show all that is known of networks.",
        [Flag("--tree", help="as a drawing: who is plugged in where")],
        "NETWORK ...",
        inspect_networks,
    ),
    "rm": CliCommand("Remove networks.", [], "NETWORK ...", remove_networks),
    "remove": CliCommand("The same.", [], "NETWORK ...", remove_networks),
    "connect": CliCommand(
        "Plug a network into a container.",
        [
            Flag("--ip", value="ADDRESS", convert=address_text, many=True, help="the address that it must get"),
            Flag("--alias", value="NAME", convert=wishes.alias, many=True, help="one more name for it there"),
        ],
        "NETWORK CONTAINER",
        connect_container,
    ),
    "disconnect": CliCommand("Pull it out.", [], "NETWORK CONTAINER", disconnect_container),
    "prune": CliCommand("Remove the networks that no container wants.", [], "", prune_networks),
}


def rename_container(options: Options) -> int:
    """`rename`: another name, also for the other containers of its networks."""
    stored = store.find(options.operands[0])
    code = lifecycle_commands.rename_container(options)
    plug.rename(stored)
    return code


COMMANDS = {
    "rename": CliCommand("Give a container another name.", [], "CONTAINER NAME", rename_container),
    "network": Group("Networks: create, ls, inspect, rm, connect, …", lambda: NETWORK_COMMANDS),
    "port": CliCommand("Where on this host the ports of a container are.", [], "CONTAINER", list_ports),
}
