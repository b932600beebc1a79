"""What grading tests of networks stand on: network namespaces in a sandbox, cables between them, servers that tell who
asks. All of it by iproute2 and Python's own sockets; the addresses between hosts are of 192.0.2.0/24 (TEST-NET-1)."""

from __future__ import annotations

import sys

from tests.labs.sandbox import Sandbox
from tests.support.polling import eventually

HOST, OUTSIDE = "192.0.2.1", "192.0.2.2"
BEGIN = """
ours=$(readlink /proc/self/ns/net)
unshare --net sleep 100000 >/dev/null 2>&1 </dev/null &
until theirs=$(readlink /proc/$!/ns/net 2>/dev/null) && [ "$theirs" != "$ours" ]; do sleep 0.005; done
nsenter --net=/proc/$!/ns/net ip link set lo up
echo $!
"""
SERVER = """
import socket, sys
kind, port = sys.argv[1], int(sys.argv[2])
server = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("0.0.0.0", port))
if kind == "tcp":
    server.listen(10)
open(sys.argv[3], "w").close()
while True:
    if kind == "tcp":
        connection, peer = server.accept()
        connection.sendall(peer[0].encode())
        connection.close()
    else:
        _, peer = server.recvfrom(100)
        server.sendto(peer[0].encode(), peer)
"""
CLIENT = """
import socket, sys
kind, address, port, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
client = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
client.settimeout(seconds)
try:
    client.connect((address, port))
    if kind == "udp":
        client.send(b"who am I?")
    print(client.recv(100).decode())
except OSError as error:
    print(f"no answer ({error})")
"""
ANSWER, NO_ANSWER = 20.0, 0.5  # seconds that are waited for one that must come, and one that must not


def new_network(sandbox: Sandbox) -> str:
    """The pid of a process in a network namespace of its own, with nothing but lo."""
    return sandbox.shell(BEGIN)


def inside(pid: str) -> list[str]:
    """The words before a command that is to run in the network of a process."""
    return ["nsenter", f"--net=/proc/{pid}/ns/net"]


def join(sandbox: Sandbox, pid: str, device: str, ours: str, theirs: str, gateway: str = "") -> None:
    """Lay a cable from the sandbox's own network, the "host", to another. ours, theirs: addresses with prefix lengths,
    or nothing; gateway: the other's way to everywhere else."""
    sandbox.shell(
        """
        ip link add "$2" type veth peer name eth0 netns "$1"
        [ -z "$3" ] || ip address add "$3" dev "$2"
        ip link set "$2" up
        nsenter --net=/proc/$1/ns/net sh -ec '
            ip address add "$0" dev eth0
            ip link set eth0 up
            [ -z "$1" ] || ip route add default via "$1"' "$4" "$5"
        """,
        *(pid, device, ours, theirs, gateway),
    )


def bridge(sandbox: Sandbox, name: str, address: str, *members: str) -> None:
    """Make a bridge with an address and these devices, on a host that forwards packets."""
    sandbox.shell(
        """
        echo 1 > /proc/sys/net/ipv4/ip_forward
        ip link add "$1" type bridge
        ip address add "$2" dev "$1"
        ip link set "$1" up
        bridge="$1"; shift 2
        for device; do ip link set "$device" master "$bridge"; done
        """,
        *(name, address, *members),
    )


def nft(sandbox: Sandbox, script: str) -> None:
    """Load rules into the host's packet filter."""
    file = sandbox.directory / "rules.nft"
    file.write_text(script)
    outcome = sandbox.run(["nft", "-f", str(file)])
    assert outcome.code == 0, f"nft refuses the rules: {outcome.err.strip().splitlines()[0]}\n{script}"


def serve(sandbox: Sandbox, pid: str, port: int, kind: str = "tcp") -> None:
    """Let somebody listen in a network; the answer is the address of who asks."""
    ready = sandbox.directory / f"listens-{pid}-{kind}-{port}"
    sandbox.shell(
        'nsenter --net=/proc/$1/ns/net "$2" -IS -c "$3" "$4" "$5" "$6" >/dev/null 2>&1 </dev/null &',
        *(pid, sys.executable, SERVER, kind, str(port), str(ready)),
    )
    eventually(ready.exists, f"a server on port {port}")


def ask(sandbox: Sandbox, pid: str, address: str, port: int, kind: str = "tcp", seconds: float = ANSWER) -> str:
    """What a server answers somebody in a network: as whom it sees them. "no answer (...)" if there is none."""
    words = [sys.executable, "-IS", "-c", CLIENT, kind, address, str(port), str(seconds)]
    return sandbox.run([*inside(pid), *words]).out.strip()
