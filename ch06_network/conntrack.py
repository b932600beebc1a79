"""Connections that the kernel remembers, and must forget when a published port comes or goes. Book section 6.5.

Where a connection leads is decided for its first packet; after that, the kernel goes by its memory (conntrack) and does
not ask our table. With UDP, all that goes back and forth between two ports is one connection: who keeps asking would be
led to where a container once was, or past one that is new. linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import _socket
import struct

from ch06_network.netlink import HEADER, NLM_F_REQUEST, NLMSG_ERROR, attribute, attributes, number
from ch06_network.subnets import FAMILIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ch06_network.ports import PublishedPort

NETLINK_NETFILTER, NLM_F_DUMP, NLMSG_DONE = 12, 0x300, 3
CT_GET, CT_DELETE = 0x101, 0x102  # NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, …_DELETE
GENERIC = "=BxH"  # struct nfgenmsg
CTA_TUPLE_ORIG, CTA_STATUS, CTA_FILTER = 1, 3, 25
CTA_TUPLE_PROTO, CTA_PROTO_NUM, CTA_PROTO_DST_PORT = 2, 1, 3
CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS = 1, 2
BY_PROTOCOL_AND_PORT = 1 << 3 | 1 << 5  # net/netfilter/nf_internals.h: CTA_FILTER_F_CTA_PROTO_NUM, …_DST_PORT
IPS_SRC_NAT, IPS_DST_NAT = 1 << 4, 1 << 5  # linux/netfilter/nf_conntrack_common.h
NESTED = 0x8000


def forget(ports: Sequence[PublishedPort]) -> None:
    """Let what comes to these ports be led anew. A kernel that cannot be asked forgets by itself, after a minute."""
    wanted = {(FAMILIES[port.version], port.host) for port in ports if port.protocol == "udp"}
    if not wanted:
        return
    netlink = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
    try:
        for family, port in wanted:
            for connection in list(_connections_to(netlink, family, port)):
                _send(netlink, CT_DELETE, 0, family, attribute(CTA_TUPLE_ORIG | NESTED, connection))
    finally:
        netlink.close()


def _connections_to(netlink: _socket.socket, family: int, port: int) -> Iterator[bytes]:
    """The UDP connections to a port, but for those that only pass by: their sender is translated (a container's way
    out), and their target is not."""
    wanted = attribute(CTA_PROTO_NUM, bytes([_socket.IPPROTO_UDP])) + attribute(CTA_PROTO_DST_PORT, port.to_bytes(2))
    filter = number(CTA_FILTER_ORIG_FLAGS, BY_PROTOCOL_AND_PORT) + number(CTA_FILTER_REPLY_FLAGS, 0)
    body = attribute(CTA_TUPLE_ORIG | NESTED, attribute(CTA_TUPLE_PROTO | NESTED, wanted))
    _send(netlink, CT_GET, NLM_F_DUMP, family, body + attribute(CTA_FILTER | NESTED, filter))
    while True:
        data = netlink.recv(1 << 16)
        while data:
            size, kind = struct.unpack_from("=IH", data)
            if kind in (NLMSG_DONE, NLMSG_ERROR):
                return
            found = {kind & ~NESTED: value for kind, value in attributes(data[20:size])}
            (status,) = struct.unpack(">I", found[CTA_STATUS])
            if status & (IPS_SRC_NAT | IPS_DST_NAT) != IPS_SRC_NAT:
                yield found[CTA_TUPLE_ORIG]
            data = data[size + -size % 4 :]


def _send(netlink: _socket.socket, kind: int, flags: int, family: int, body: bytes) -> None:
    message = struct.pack(GENERIC, family, 0) + body
    netlink.send(
        struct.pack(HEADER, struct.calcsize(HEADER) + len(message), kind, NLM_F_REQUEST | flags, 0, 0) + message
    )
