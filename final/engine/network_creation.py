"""`network create` and `network connect`: chapter 6's, with labels and Docker's other flags.

networks/NAME/labels.json   those of `network create --label`
"""

from __future__ import annotations

import os

from ch02_namespaces.command_line import CliCommand, Flag, Options
from ch04_images import state
from ch06_network import drivers, network, network_commands
from ch06_network.lifecycle import address
from ch06_network.network_commands import NETWORK_COMMANDS as EARLIER
from ch06_network.subnets import parse_subnet
from final.engine import refused
from final.engine.options import label, one_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ch06_network.network import Network
    from ch06_network.subnets import Subnet

LABELS = "labels.json"


def create_network(options: Options) -> int:
    """`network create`: chapter 6's, with labels, and with --ipv6 with subnets of both versions."""
    code = _create_with_both(options) if options.ipv6 else network_commands.create_network(options)
    if options.label:
        one = network.find(options.operands[0])
        state.write_record(one.path(LABELS), dict(options.label))
    return code


def _create_with_both(options: Options) -> int:
    """With subnets of both versions; if somebody else takes the one that was free just now, with the next one."""
    given = list(options.subnet)
    while True:
        options.subnet[:] = [*given, *missing_subnets(given, options.driver or network.DEFAULT)]
        try:
            return network_commands.create_network(options)
        except network.OverlapError:
            if any(subnet.version == 4 for subnet in given):
                raise


def missing_subnets(given: list[Subnet], driver: str) -> list[Subnet]:
    """A subnet of IPv4 and one of IPv6, but for what is given. Raises EngineError."""
    versions = {subnet.version for subnet in given}
    found = [] if 4 in versions else [drivers.driver_of(driver).free_subnet()[0]]
    return found if 6 in versions else [*found, local_subnet()]


def local_subnet() -> Subnet:
    """A subnet of IPv6 that nobody else is likely to have: RFC 4193, 3.2."""
    digits = os.urandom(5).hex()
    return parse_subnet(f"fd{digits[:2]}:{digits[2:6]}:{digits[6:]}::/64")


def labels_of(one: Network) -> dict[str, str]:
    """Those that a network was given."""
    path = one.path(LABELS)
    return {str(name): str(value) for name, value in state.read_record(path).items()} if os.path.exists(path) else {}


def extended(name: str, execute: Callable[[Options], int], *flags: Flag) -> CliCommand:
    """A command of chapter 6 that does a little more. flags: more, and others in the place of its own."""
    known = EARLIER[name]
    options = {flag.option for flag in flags}
    kept = [flag for flag in known.flags if flag.option not in options]
    return CliCommand(known.summary, [*kept, *flags], known.operands, execute)


COMMANDS = {
    "create": extended(
        "create",
        create_network,
        Flag("--label", value="NAME[=VALUE]", convert=label, many=True, help="a remark that can be filtered by"),
        Flag("--ipv6", help="also with IPv6: with a subnet of its own, if no --subnet says which"),
        Flag("--attachable", help="containers can be connected by hand; always so"),
        Flag("--ipam-driver", value="NAME", convert=one_of("default"), help="there is this one alone"),
        *refused.OF_NETWORK,
    ),
    "connect": extended(
        "connect",
        network_commands.connect_container,
        Flag("--ip6", "--ip", value="ADDRESS", convert=address, many=True, help="the address that it must get"),
        *refused.OF_CONNECT,
    ),
}
