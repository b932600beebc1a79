"""Network devices of the host that become the container's: linux.netDevices. Book sections 6.1.1 and 7.3.

OCI runtime-spec, config-linux.md, "Network Devices"; rtnetlink(7). A device on its way to another network namespace
loses its addresses, and is down when it arrives. When the namespace ends, a device that is hardware goes back to the
host by itself, and a virtual one is no more; so nothing is left to be done at the container's end.
"""

from __future__ import annotations

import _socket
import os
import struct

from ch02_namespaces.errors import SyscallError
from ch03_run.container import Container, Part
from ch06_network import netlink
from ch06_network.netlink import Netlink
from ch07_practice.oci.document import Node
from ch07_practice.oci.namespaces import Namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_NAME = 15  # bytes: linux/if.h, IFNAMSIZ
NUMBERED = "%d"
# linux/netlink.h, linux/rtnetlink.h, linux/if_addr.h
NLM_F_DUMP, NLMSG_DONE = 0x300, 3
RTM_GETADDR = 22
IFA_BROADCAST, IFA_F_PERMANENT = 4, 0x80


class NetworkDevices(Part):
    """Devices by their names here, and the names that they shall have inside."""

    section = "6.1.1, 7.3"

    def __init__(self, listed: Node, own: Namespaces) -> None:
        self._devices = [(node, checked(name, node), new_name(node, name)) for name, node in listed.fields().items()]
        if self._devices and not own.has("network"):
            raise listed.wrong("there is no network namespace of the container's own", "linux.namespaces")

    def attach(self, container: Container) -> None:
        assert container.process is not None
        network = os.open(f"/proc/{container.process.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            with Devices() as ours, Devices(network) as theirs:
                for node, name, inside in self._devices:
                    try:
                        move(ours, theirs, network, name, inside)
                    except SyscallError as error:
                        raise node.wrong(f"{error.call}: {error.why}", error.hint) from None
        finally:
            os.close(network)


def new_name(node: Node, name: str) -> str:
    """The name inside: the one of the host, if none is given. Raises EngineError."""
    return checked(node["name"].text(""), node["name"]) if node["name"].text("") else name


def checked(name: str, node: Node) -> str:
    """A name that the kernel takes. Raises EngineError."""
    is_long = len(os.fsencode(name)) > LONGEST_NAME
    if is_long or name in ("", ".", "..") or any(letter in "/:" or letter.isspace() for letter in name):
        raise node.wrong(f"{name!r} is no name of a network device")
    if "%" in name.replace(NUMBERED, "", 1):
        raise node.wrong(f"{name!r}: only one {NUMBERED} stands for a number")
    return name


class Devices(Netlink):
    """The devices of a network namespace, their addresses, and their way into another one."""

    def indexes(self) -> set[int]:
        """All of them. Raises SyscallError."""
        message = struct.pack(netlink.LINK, _socket.AF_UNSPEC, 0, 0, 0, 0)
        return {struct.unpack_from("=i", body, 4)[0] for body in self._dump(netlink.RTM_GETLINK, message)}

    def addresses(self, index: int) -> list[tuple[int, int, bytes]]:
        """What a device has for good, and for everywhere: (family, prefix length, attributes). Raises SyscallError."""
        found = []
        for body in self._dump(RTM_GETADDR, struct.pack(netlink.ADDRESS, _socket.AF_UNSPEC, 0, 0, 0, 0)):
            family, length, few, scope, place = struct.unpack_from(netlink.ADDRESS, body)
            fields = dict(netlink.attributes(body[struct.calcsize(netlink.ADDRESS) :]))
            flags = struct.unpack("=I", fields[netlink.IFA_FLAGS])[0] if netlink.IFA_FLAGS in fields else few
            if place == index and flags & IFA_F_PERMANENT and scope == netlink.RT_SCOPE_UNIVERSE:
                kept = (netlink.IFA_ADDRESS, netlink.IFA_LOCAL, IFA_BROADCAST)
                text = b"".join(netlink.attribute(kind, fields[kind]) for kind in kept if kind in fields)
                found.append((family, length, text + netlink.number(netlink.IFA_FLAGS, flags | netlink.IFA_F_NODAD)))
        return found

    def send_to(self, index: int, network: int, name: str) -> None:
        """Move a device into the namespace of a descriptor, where it has this name. Raises SyscallError."""
        body = struct.pack(netlink.LINK, _socket.AF_UNSPEC, 0, index, 0, 0)
        body += netlink.number(netlink.IFLA_NET_NS_FD, network) + netlink.text(netlink.IFLA_IFNAME, name)
        self._request(netlink.RTM_SETLINK, 0, body, index, f"netns {network}", name)

    def give_back(self, index: int, family: int, length: int, attributes: bytes) -> None:
        """Give a device an address that it had. Raises SyscallError."""
        body = struct.pack(netlink.ADDRESS, family, length, 0, netlink.RT_SCOPE_UNIVERSE, index) + attributes
        self._request(netlink.RTM_NEWADDR, netlink.NLM_F_CREATE | netlink.NLM_F_EXCL, body, index, f"/{length}")

    def _dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        """The bodies of the messages that the kernel answers with: netlink(7), NLM_F_DUMP. Raises SyscallError."""
        self._sequence += 1
        size = struct.calcsize(netlink.HEADER) + len(body)
        flags = netlink.NLM_F_REQUEST | NLM_F_DUMP
        self._socket.send(struct.pack(netlink.HEADER, size, kind, flags, self._sequence, 0) + body)
        while True:
            data = self._socket.recv(1 << 16)
            while data:
                size, answer, *_ = struct.unpack_from(netlink.HEADER, data)
                if answer == netlink.NLMSG_ERROR:
                    raise SyscallError(f"netlink {kind}", -struct.unpack_from("=i", data, 16)[0])
                if answer == NLMSG_DONE:
                    return
                yield data[16:size]
                data = data[size + -size % 4 :]


def move(ours: Devices, theirs: Devices, network: int, name: str, inside: str) -> None:
    """Move one device from our namespace into theirs, with its addresses, and set it up there. Raises SyscallError."""
    index = ours.index_of(name)
    addresses, before = ours.addresses(index), theirs.indexes()
    ours.send_to(index, network, inside)
    (index,) = theirs.indexes() - before  # it may have another one there
    for address in addresses:
        theirs.give_back(index, *address)
    theirs.set_up(index)
