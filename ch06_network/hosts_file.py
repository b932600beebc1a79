"""What containers find names by: /etc/hosts, /etc/resolv.conf, /etc/hostname, each a file of their own. Section 6.5.

The names of the other containers stand in /etc/hosts: hosts(5). Docker runs a DNS server in every container's network
for them. A file needs no process that could die, answers without a packet, and works in every image; what it cannot do
is to give several containers one name and take turns. It is rewritten whenever somebody joins or leaves.
"""

from __future__ import annotations

import fcntl
import os

from ch02_namespaces.errors import EngineError
from ch02_namespaces.locks import locked
from ch04_images import state
from ch04_images.volumes import Volume
from ch06_network import endpoints, network
from ch06_network.network import Network
from ch06_network.subnets import parse_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ch06_network.endpoints import Endpoint

TARGETS = {"hosts": "/etc/hosts", "resolv.conf": "/etc/resolv.conf", "hostname": "/etc/hostname"}
HEAD = "hosts.head"
LARGEST = 1 << 20  # bytes
LOCALHOST = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""
HOSTS, RESOLVER, SYSTEMD_RESOLVER = "/etc/hosts", "/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"


def volumes_of(id: str, taken: Sequence[str]) -> list[Volume]:
    """The files of a container as volumes, but for those in whose place the user puts others."""
    return [
        Volume(state.place("containers", id, name), target, False)
        for name, target in TARGETS.items()
        if target not in taken
    ]


def parse_extra_host(text: str) -> str:
    """Read what --add-host says, NAME:ADDRESS; for Flag.convert. Raises EngineError."""
    name, colon, address = text.partition(":")
    if not name or not colon or any(character.isspace() for character in name):
        raise EngineError(repr(text), "it is no name and address", "--add-host NAME:ADDRESS")
    return f"{name}:{parse_address(address.strip('[]'))}"


def write_fixed_files(id: str, hostname: str, servers: Sequence[str], extra: Sequence[str], of_host: bool) -> None:
    """Write what does not change while a container runs.

    servers, extra: what --dns and --add-host say; of_host: it has the host's own network, and so what the host has.
    """
    pairs = [item.partition(":") for item in extra]
    base = _read_text(HOSTS) if of_host else LOCALHOST
    head = base + "".join(f"{address}\t{name}\n" for name, _, address in pairs)
    write(id, HEAD, head)
    write(id, "hosts", head)
    write(id, "hostname", f"{os.uname().nodename if of_host else hostname}\n")
    write(id, "resolv.conf", _read_text(RESOLVER) if of_host and not servers else resolver_configuration(servers))


def resolver_configuration(servers: Sequence[str]) -> str:
    """The content of resolv.conf(5): these name servers, or the host's.

    A server at a loopback address is the host's own, and cannot be reached from another network namespace; behind that
    of systemd-resolved, there is a file with the real ones.
    """
    if servers:
        return "".join(f"nameserver {server}\n" for server in servers)
    lines = _lines(RESOLVER)
    if "nameserver 127.0.0.53" in lines:
        lines = _lines(SYSTEMD_RESOLVER)
    kept = [line for line in lines if not line.startswith(("nameserver 127.", "nameserver ::1", "#"))]
    return "".join(f"{line}\n" for line in kept)


def _lines(path: str) -> list[str]:
    return [" ".join(line.split()) for line in _read_text(path).splitlines() if line.strip()]


def _read_text(path: str) -> str:
    """The text of a file of this host; empty if it has none."""
    try:
        with open(path, errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def refresh(one: Network) -> None:
    """Rewrite /etc/hosts of all containers of a network. Raises EngineError."""
    _rewrite([endpoint.container for endpoint in endpoints.every(one)])


def refresh_container(id: str) -> None:
    """Rewrite /etc/hosts of one container. Raises EngineError."""
    _rewrite([id])


def _rewrite(ids: Sequence[str]) -> None:
    """Each container finds those that are in one of its networks."""
    with locked(state.place("networks"), fcntl.LOCK_EX):
        networks = network.every()
        members = {one.name: endpoints.every(one) for one in networks}
        lines = {one.name: lines_of(one, members[one.name]) for one in networks}
        seen: dict[str, list[str]] = {id: [] for id in ids}
        for name, others in members.items():
            for other in others:
                seen.get(other.container, []).append(lines[name])
        for id, texts in seen.items():
            write(id, "hosts", _read(id, HEAD) + "".join(texts), in_places=True)


def lines_of(one: Network, members: Sequence[Endpoint]) -> str:
    """A line for each address of a network: hosts(5)."""
    here = [(str(address), endpoint.names) for endpoint in members for address in endpoint.addresses]
    return "".join(f"{address}\t{' '.join(names)}\n" for address, names in [*here, *remote_names(one)])


def remote_names(one: Network) -> list[tuple[str, list[str]]]:
    """Address and names of the containers on other hosts, as far as this host knows them."""
    path = one.path("remote.json")
    if not os.path.exists(path):
        return []
    return [(address, names) for address, names in state.read_record(path)["names"]]


def write(id: str, name: str, text: str, in_places: bool = False) -> None:
    """Write a file of a container in its place, because it is mounted there: with one call, and it never becomes
    shorter. in_places: lines that it has already stay where they are. So whoever reads it at this moment, in however
    many pieces, finds each line that was and will be there."""
    path = state.place("containers", id, name)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except FileNotFoundError:  # the container has just been removed
        return
    try:
        if os.fstat(descriptor).st_size > LARGEST:  # the container did that
            os.ftruncate(descriptor, 0)
        old, data = os.pread(descriptor, LARGEST, 0), os.fsencode(text)
        os.pwrite(descriptor, merged(old, data) if in_places else data.ljust(len(old), b"\n"), 0)
    finally:
        os.close(descriptor)


def merged(old: bytes, new: bytes) -> bytes:
    """The lines of `new`: those of `old` in their places, the others where there is room between them, or behind.

    Both are whole lines, each different from the others. A line that is not wanted any more becomes as many newlines as
    it had bytes: that is the room. So the text never becomes shorter. Example: merged(b"a\\nbb\\n", b"bb\\nc\\n") is
    b"\\n\\nbb\\nc\\n", as a new line needs a newline before it that stays.
    """
    left = dict.fromkeys(new.splitlines(keepends=True))
    kept = []
    for line in old.splitlines(keepends=True):
        kept.append(line if line in left else b"\n" * len(line))
        left.pop(line, None)
    text = b"".join(kept)
    for line in left:
        room = text.find(b"\n" * (len(line) + 1)) + 1  # the first ends the line before
        if not room:
            room = len(text)
        text = text[:room] + line + text[room + len(line) :]
    return text


def _read(id: str, name: str) -> str:
    try:
        with open(state.place("containers", id, name), errors="surrogateescape") as file:
            return file.read().rstrip("\n") + "\n"
    except FileNotFoundError:
        return LOCALHOST
