"""Network address translation and the rules of who may talk to whom, by nftables. Book section 6.1.3.

There is one table, `inet mydocker`; each state directory but the default one has its own, see name_of_table(). It is
ours alone, and always written whole, from the records of all networks and endpoints, in one transaction: so nothing can
be left in it, and what somebody has flushed comes back. Nobody else's table is touched, but for one thing: a verdict
`drop` holds whatever other tables say. Docker and firewalls like to set the policy of the chain FORWARD to that; such
chains get two rules of ours, marked by a comment, the table's name. nft(8).
"""

from __future__ import annotations

import binascii
import fcntl
import os

from ch02_namespaces.errors import EngineError
from ch02_namespaces.locks import locked
from ch04_images import state
from ch06_network import endpoints, network, nft
from ch06_network.network import PREFIX, Network
from ch06_network.ports import PublishedPort, is_any
from ch06_network.subnets import parse_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch06_network.endpoints import Endpoint

NAME = "mydocker"
FAMILY = {4: "ip", 6: "ip6"}
TYPE = {4: "ipv4_addr", 6: "ipv6_addr"}
FAMILIES = ("ip", "ip6", "inet")

LIST = "list chains\n"
TABLE = """\
table inet {name}
delete table inet {name}
table inet {name} {{
    set bridges {{ type ifname; elements = {{ {bridges} }}; }}
    # where connections to published ports go: on any address of this host, and on one of them
{maps}
    chain published {{
{published}
    }}
    chain prerouting {{
        type nat hook prerouting priority dstnat; policy accept;
        ip daddr 127.0.0.0/8 return  # from this host alone: a neighbour on the wire can write this address, too
        fib daddr type local jump published
    }}
    chain output {{
        type nat hook output priority -100; policy accept;
        fib daddr type local jump published
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
{postrouting}
    }}
    chain raw {{
        # route_localnet lets this host reach published ports by 127.0.0.1; no container may reach it so: CVE-2020-8558
        type filter hook prerouting priority raw; policy accept;
        iifname "{prefix}*" ip daddr 127.0.0.0/8 drop
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        ct state established,related accept
{forward}
        oifname @bridges ct status dnat accept
        oifname @bridges drop
    }}
}}
"""


def name_of_table() -> str:
    """Each state directory has a table of its own, as it knows its own networks alone. Example: mydocker-8e9f2a01."""
    root = os.path.realpath(state.place())
    return NAME if root == state.DEFAULT_ROOT else f"{NAME}-{binascii.crc32(os.fsencode(root)):08x}"


def apply() -> None:
    """Write the table anew, from what the store says. Raises EngineError."""
    with locked(state.make_place("networks"), fcntl.LOCK_EX):
        networks = network.every()
        if not networks:
            remove()
            return
        plugged = [endpoint for one in networks for endpoint in endpoints.every(one) if endpoint.ports]
        alive = [endpoint for endpoint in plugged if endpoints.is_alive(endpoint.container)]
        listed = nft.run(table(networks, alive) + LIST)
        for family, name, chain, drops in forward_chains(listed):
            if drops:
                open_way((family, name, chain))


def remove() -> None:
    """Take our table away, and our rules from the chains of others. Raises EngineError."""
    script = [f"table inet {name_of_table()}", f"delete table inet {name_of_table()}"]
    for family, name, chain, _ in forward_chains(nft.run(LIST)):
        script += [f"delete rule {family} {name} {chain} handle {handle}" for handle in _ours((family, name, chain))]
    nft.run("\n".join(script) + "\n")


def table(networks: list[Network], plugged: list[Endpoint]) -> str:
    """The whole table, as a script for nft."""
    return TABLE.format(
        name=name_of_table(),
        prefix=PREFIX,
        bridges=", ".join(f'"{one.bridge}"' for one in networks),
        maps="\n".join(map_of(version, any_address, plugged) for version in (4, 6) for any_address in (True, False)),
        published="\n".join(_published(version) for version in (4, 6)),
        postrouting="\n".join(rule for one in networks for rule in _postrouting(one)),
        forward="\n".join(rule for one in networks for rule in _forward(one)),
    )


def map_of(version: int, any_address: bool, plugged: list[Endpoint]) -> str:
    """Where published ports lead to: protocol and port, or address, protocol and port, to address and port."""
    key = f"{'' if any_address else TYPE[version] + ' . '}inet_proto . inet_service"
    elements = [
        _element(endpoint, port)
        for endpoint in plugged
        for port in endpoint.ports
        if parse_address(port.address).version == version and is_any(parse_address(port.address)) == any_address
        if endpoint.address_of(version) is not None
    ]
    listed = f" elements = {{ {', '.join(elements)} }};" if elements else ""
    return f"    map {_map_name(version, any_address)} {{ type {key} : {TYPE[version]} . inet_service;{listed} }}"


def _map_name(version: int, any_address: bool) -> str:
    return f"ports{version}" if any_address else f"ports{version}_of_address"


def _element(endpoint: Endpoint, port: PublishedPort) -> str:
    """A port of an endpoint in a map, KEY : ADDRESS . PORT. The key is protocol and port of the host, and the address
    before these if the port is published at one alone. Example: "tcp . 8080 : 10.77.0.2 . 80"."""
    address = parse_address(port.address)
    key = f"{port.protocol} . {port.host}"
    where = endpoint.address_of(address.version)
    return f"{key if is_any(address) else f'{address} . {key}'} : {where} . {port.container}"


def _published(version: int) -> str:
    """The two rules of one version of the Internet protocol that look a packet up in its maps, and send it to where
    they lead: first in that of the ports at one address, then in that of those at any. A packet that is in neither one
    goes on.

    Source: nft(8), "NAT statements", a map of `ip daddr`, `meta l4proto` and `th dport`; its name: _map_name().
    Example of such a rule: `dnat ip to meta l4proto . th dport map @NAME`.
    """
    family = FAMILY[version]
    exact = f"dnat {family} to {family} daddr . meta l4proto . th dport map @{_map_name(version, False)}"
    return f"        {exact}\n        dnat {family} to meta l4proto . th dport map @{_map_name(version, True)}"


def _postrouting(one: Network) -> list[str]:
    """Whose packets get the address of this host: what leaves the network; what comes from 127.0.0.1; and what one
    container of the network sends to another by way of a published port, or the answer would take the short way.

    Rules for the chain postrouting, of each subnet of either version. What leaves an internal network keeps its
    address, and so does what goes to the network's containers on other hosts (one.elsewhere). nft(8), `ct status`.
    Example of such a line: `        oifname != "md-1f2e3d4c5b" ip saddr 10.77.0.0/24 masquerade`.
    """
    rules = [f'oifname "{one.bridge}" ip saddr 127.0.0.0/8 masquerade']
    for subnet, _ in one.subnets:
        family = FAMILY[subnet.version]
        rules.append(f'oifname "{one.bridge}" {family} saddr {subnet} ct status dnat masquerade')
        if not one.internal:
            not_inside = "".join(f"{family} daddr != {span} " for span, _ in one.elsewhere)
            rules.append(f'oifname != "{one.bridge}" {family} saddr {subnet} {not_inside}masquerade')
    return [f"        {rule}" for rule in rules]


def _forward(one: Network) -> list[str]:
    """Who may pass: the containers of a network among each other, here and on other hosts; from inside to outside."""
    rules = [f'iifname "{one.bridge}" oifname "{one.bridge}" accept']
    for span, device in one.elsewhere:
        rules.append(f'{_through("iifname", device)} oifname "{one.bridge}" ip saddr {span} accept')
        rules.append(f'iifname "{one.bridge}" {_through("oifname", device)} ip daddr {span} accept')
        rules.append(f"iifname @bridges ip daddr {span} drop")
    if one.internal:
        rules += [f'iifname "{one.bridge}" drop', f'oifname "{one.bridge}" drop']
    return [f"        {rule}" for rule in rules]


def _through(side: str, device: str) -> str:
    """A match of a device; none if it may be any."""
    return f'{side} "{device}"' if device else ""


# ---------------------------------------------------------------- the tables of others


def bridges_of_others() -> set[str]:
    """The bridges of other state directories: their tables list them. Raises EngineError."""
    found, is_ours = set(), False
    for line in nft.run("list sets\n").splitlines():
        words = line.replace(",", " ").split()
        if words[:1] == ["table"]:
            is_ours = words[2] == name_of_table()
        elif not is_ours:
            found |= {word.strip('"') for word in words if word.startswith(f'"{PREFIX}')}
    return found


def forward_chains(listed: str) -> list[tuple[str, str, str, bool]]:
    """Base chains of others that see what is forwarded: family, table, chain, and whether they drop it unless a rule
    accepts it. listed: what nft prints of all chains."""
    found, family, name, chain = [], "", "", ""
    for line in listed.splitlines():
        words = line.split()
        if words[:1] == ["table"]:
            family, name = words[1:3]
        elif words[:1] == ["chain"]:
            chain = words[1]
        elif "hook forward" in line and (family, name) != ("inet", name_of_table()):
            found.append((family, name, chain, "policy drop" in line))
    return [place for place in found if place[0] in FAMILIES]


def open_way(place: tuple[str, str, str]) -> None:
    """Let our packets pass a chain that drops others; our own table decides about them. Raises EngineError."""
    if _ours(place):
        return
    rules = [
        f'insert rule {" ".join(place)} {side} "{PREFIX}*" accept comment "{name_of_table()}"'
        for side in ("iifname", "oifname")
    ]
    try:
        nft.run("\n".join(rules) + "\n")
    except EngineError as error:
        raise EngineError(f"chain {' '.join(place)}", f"it drops what is forwarded; {error.why}") from None


def _ours(place: tuple[str, str, str]) -> list[str]:
    """The handles of our rules in a chain of somebody else."""
    listed = nft.run(f"list chain {' '.join(place)}\n", "-a")
    return [line.rpartition("# handle ")[2] for line in listed.splitlines() if f'comment "{name_of_table()}"' in line]
