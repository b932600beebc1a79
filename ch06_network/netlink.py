"""Netlink by hand: the few messages that plug a container into a network. Book section 6.1.4.

The kernel's network devices, addresses and routes are made and changed by messages on a socket: rtnetlink(7). The book
uses a Go library for them; in Python there is pyroute2, which takes 100 ms to import: it makes the networks here, where
nobody waits. An endpoint is made in the middle of every `run`, and is five messages.
"""

from __future__ import annotations

import _socket
import errno as errnos
import fcntl
import os
import struct

from ch02_namespaces import syscalls
from ch02_namespaces.errors import SyscallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from ch06_network.subnets import Address

# linux/netlink.h
NETLINK_ROUTE = 0
SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK = 270, 10, 11
NLM_F_REQUEST, NLM_F_ACK, NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x1, 0x4, 0x100, 0x200, 0x400
NLM_F_ACK_TLVS = 0x200
NLMSG_ERROR = 2
NLMSGERR_ATTR_MSG = 1

# linux/rtnetlink.h, linux/if.h, linux/sockios.h, linux/if_link.h, linux/if_addr.h, linux/veth.h
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK, RTM_NEWADDR, RTM_NEWROUTE = 16, 17, 18, 19, 20, 24
IFF_UP, SIOCGIFFLAGS = 0x1, 0x8913
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO, IFLA_NET_NS_FD = 1, 3, 4, 10, 18, 28
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
VETH_INFO_PEER = 1
AF_BRIDGE, IFLA_PROTINFO, IFLA_BRPORT_MODE, NLA_F_NESTED = 7, 12, 4, 0x8000
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
IFA_F_NODAD = 0x2
RTA_OIF, RTA_GATEWAY = 4, 5
RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST = 254, 3, 0, 1

HEADER = "=IHHII"  # struct nlmsghdr
LINK = "=BxHiII"  # struct ifinfomsg
ADDRESS = "=BBBBI"  # struct ifaddrmsg
ROUTE = "=BBBBBBBBI"  # struct rtmsg
NAMES = {
    RTM_NEWLINK: "RTM_NEWLINK",
    RTM_DELLINK: "RTM_DELLINK",
    RTM_GETLINK: "RTM_GETLINK",
    RTM_SETLINK: "RTM_SETLINK",
    RTM_NEWADDR: "RTM_NEWADDR",
    RTM_NEWROUTE: "RTM_NEWROUTE",
}
HINTS = {
    errnos.EPERM: "to change the network takes CAP_NET_ADMIN: run as root",
    errnos.EEXIST: "there is one already",
    errnos.ENODEV: "there is no such network device",
}


class Netlink:
    """A socket to the kernel. network: descriptor of the network namespace that it acts on, for ever; ours if None."""

    def __init__(self, network: int | None = None) -> None:
        self._socket = _open_socket() if network is None else _open_socket_in(network)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def add_veth(self, name: str, bridge: int, mtu: int, peer: str, network: int, mac: bytes) -> None:
        """Make a virtual cable, veth(4), one end up and in a bridge here, one in another network namespace.

        bridge: index; mtu: bytes, of both; peer: the other end's name in the namespace of descriptor `network`, mac:
        its hardware address. One message does it all, so no half of it can be left behind. Raises SyscallError.

        RTM_NEWLINK: an ifinfomsg (LINK) and attributes of this end, among them IFLA_LINKINFO with the kind and, as its
        data, VETH_INFO_PEER: an ifinfomsg and attributes of the other end, IFLA_NET_NS_FD too. A name that is taken is
        an error (NLM_F_EXCL). Source: rtnetlink(7), linux/if_link.h.
        Example: ip link add NAME up mtu MTU master BRIDGE type veth peer name PEER address MAC mtu MTU netns NETWORK.
        """
        far = struct.pack(LINK, _socket.AF_UNSPEC, 0, 0, 0, 0)
        far += text(IFLA_IFNAME, peer) + attribute(IFLA_ADDRESS, mac) + number(IFLA_MTU, mtu)
        far += number(IFLA_NET_NS_FD, network)
        body = struct.pack(LINK, _socket.AF_UNSPEC, 0, 0, IFF_UP, IFF_UP)
        body += text(IFLA_IFNAME, name) + number(IFLA_MTU, mtu) + number(IFLA_MASTER, bridge)
        data = attribute(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, far))
        body += attribute(IFLA_LINKINFO, text(IFLA_INFO_KIND, "veth") + data)
        self._request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, "veth", name, f"peer {peer}", f"master {bridge}")

    def reflect(self, name: str) -> None:
        """Let a bridge send packets back through this port of it ("hairpin"): bridge(8). Raises SyscallError."""
        body = struct.pack(LINK, AF_BRIDGE, 0, self.index_of(name), 0, 0)
        body += attribute(IFLA_PROTINFO | NLA_F_NESTED, attribute(IFLA_BRPORT_MODE, b"\1"))
        self._request(RTM_SETLINK, 0, body, name, "hairpin on")

    def delete_link(self, name: str) -> None:
        """Remove a device, with its other end if it has one. Raises SyscallError: ENODEV."""
        body = struct.pack(LINK, _socket.AF_UNSPEC, 0, 0, 0, 0) + text(IFLA_IFNAME, name)
        self._request(RTM_DELLINK, 0, body, name)

    def index_of(self, name: str) -> int:
        """The index of a device. Raises SyscallError: ENODEV."""
        body = struct.pack(LINK, _socket.AF_UNSPEC, 0, 0, 0, 0) + text(IFLA_IFNAME, name)
        return int(struct.unpack_from("=i", self._request(RTM_GETLINK, 0, body, name), 20)[0])

    def set_up(self, index: int) -> None:
        """Let a device carry packets. Raises SyscallError."""
        self._request(RTM_NEWLINK, 0, struct.pack(LINK, _socket.AF_UNSPEC, 0, index, IFF_UP, IFF_UP), index, "up")

    def add_address(self, index: int, address: Address, length: int) -> None:
        """Give a device an address, with the prefix length of its subnet. It is ready at once: we know that nobody else
        has it, so nobody is asked (RFC 4862, duplicate address detection). Raises SyscallError."""
        family = _socket.AF_INET if address.version == 4 else _socket.AF_INET6
        body = struct.pack(ADDRESS, family, length, 0, RT_SCOPE_UNIVERSE, index)
        body += attribute(IFA_LOCAL, address.packed) + attribute(IFA_ADDRESS, address.packed)
        body += number(IFA_FLAGS, IFA_F_NODAD)
        self._request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body, index, f"{address}/{length}")

    def add_default_route(self, index: int, gateway: Address) -> None:
        """Send what has no better route to a gateway; in place of one that there is. Raises SyscallError."""
        body = _default_route(gateway) + attribute(RTA_GATEWAY, gateway.packed) + number(RTA_OIF, index)
        self._request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body, "default", f"via {gateway}", f"dev {index}")

    def _request(self, kind: int, flags: int, body: bytes, *shown: object) -> bytes:
        """Send a message; what the kernel answers before it says that all went well. Raises SyscallError."""
        self._sequence += 1
        flags |= NLM_F_REQUEST | NLM_F_ACK
        size = struct.calcsize(HEADER) + len(body)
        self._socket.send(struct.pack(HEADER, size, kind, flags, self._sequence, 0) + body)
        error, message, answer = self._read_answer()
        call = f"{NAMES[kind]}({', '.join(map(str, shown))})"
        if syscalls.observer is not None:
            syscalls.observer(call, -error)
        if error:
            raise SyscallError(call, error, message or HINTS.get(error, ""))
        return answer

    def _read_answer(self) -> tuple[int, str, bytes]:
        """The errno of the answer to the last message, what the kernel says of it, and the message before it."""
        before = b""
        while True:
            data = self._socket.recv(1 << 16)
            _, kind, flags, sequence, _ = struct.unpack_from(HEADER, data)
            if kind != NLMSG_ERROR or sequence != self._sequence:
                before = data
                continue
            (error,) = struct.unpack_from("=i", data, 16)
            words = dict(attributes(data[36:])) if flags & NLM_F_ACK_TLVS else {}
            return -error, words.get(NLMSGERR_ATTR_MSG, b"").rstrip(b"\0").decode(), before


def index_of(name: str) -> int:
    """The index of a network device of our namespace; 0 if there is none: if_nametoindex(3)."""
    try:
        return _socket.if_nametoindex(name)
    except OSError:
        return 0


def is_up(name: str) -> bool:
    """Whether there is such a device in our namespace, and it is up: netdevice(7), SIOCGIFFLAGS."""
    any_socket = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        answer = fcntl.ioctl(any_socket.fileno(), SIOCGIFFLAGS, struct.pack("16s24x", name.encode()))
    except OSError:
        return False
    finally:
        any_socket.close()
    return bool(struct.unpack_from("16xH", answer)[0] & IFF_UP)


def _open_socket() -> _socket.socket:
    return _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, NETLINK_ROUTE)


def _open_socket_in(network: int) -> _socket.socket:
    """A socket belongs to the namespace that it was made in: so we go there for a moment, network_namespaces(7)."""
    ours = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.setns(network, syscalls.CLONE_NEWNET)
        try:
            return _open_socket()
        finally:
            syscalls.setns(ours, syscalls.CLONE_NEWNET)
    finally:
        os.close(ours)


def _default_route(gateway: Address) -> bytes:
    family = _socket.AF_INET if gateway.version == 4 else _socket.AF_INET6
    return struct.pack(ROUTE, family, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST, 0)


def attribute(kind: int, value: bytes) -> bytes:
    """struct nlattr: length, type, value, and zeros up to a multiple of four."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def text(kind: int, value: str) -> bytes:
    """An attribute that is a string, with a zero at its end."""
    return attribute(kind, value.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    """An attribute that is a number of 32 bits."""
    return attribute(kind, struct.pack("=I", value))


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes of a message, by kind."""
    while len(data) >= 4:
        size, kind = struct.unpack_from("=HH", data)
        yield kind, data[4:size]
        data = data[max(4, size + -size % 4) :]
