"""What tests of networks stand on: cables between hosts, and an engine with containers that serve and fetch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from ch06_network.network import DEFAULT
from tests.ch05_lifecycle.conftest import Keeper
from tests.support.hosts import REPOSITORY, Host, Result, Word, read_line
from tests.support.processes import is_alive

SLEEPS = ["sleep", "1000"]
SERVES = """mkdir -p /www/cgi-bin; echo $0 > /www/index.html
printf '#!/bin/sh\\necho; echo $REMOTE_ADDR\\n' > /www/cgi-bin/who; chmod 755 /www/cgi-bin/who
exec httpd -f -p ${1:-80} -h /www"""
"""A web server. Its page is a word; /cgi-bin/who tells who asks."""
ANSWER = 30
"""Seconds that an answer may take where one is expected."""
UDP_ECHO = """
import socket, sys
server = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    data, sender = server.recvfrom(1000)
    server.sendto(sys.argv[3].encode() + b" " + data, sender)
"""
UDP_ASK = """
import socket, sys
client = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(float(sys.argv[4]))
client.bind(("", int(sys.argv[3])))
client.connect((sys.argv[1], int(sys.argv[2])))
client.send(b"hello")
print(client.recv(1000).decode())
"""


def join(one: Host, other: Host, *, number: int = 2, subnet: str = "192.0.2") -> tuple[str, str]:
    """Lay a cable between two hosts; their addresses: .1 and .NUMBER of a documentation subnet (TEST-NET-1)."""
    ours, theirs = f"{subnet}.1", f"{subnet}.{number}"
    name = f"to{number}"
    command = ["ip", "link", "add", name, "type", "veth", "peer", "name", "eth0"]
    assert one.run([*command, "netns", other.pid]).code == 0
    assert one.run(["ip", "address", "add", f"{ours}/24", "dev", name]).code == 0
    assert one.run(["ip", "link", "set", name, "up"]).code == 0
    assert other.run(["ip", "address", "add", f"{theirs}/24", "dev", "eth0"]).code == 0
    assert other.run(["ip", "link", "set", "eth0", "up"]).code == 0
    return ours, theirs


def join6(one: Host, other: Host, *, number: int = 2) -> tuple[str, str]:
    """The same for IPv6, over the cable that there is: 2001:db8::/32 is for documentation, too."""
    for host, device, address in ((one, f"to{number}", "2001:db8::1"), (other, "eth0", f"2001:db8::{number}")):
        assert host.run(["ip", "address", "add", f"{address}/64", "dev", device, "nodad"]).code == 0
    return "2001:db8::1", f"2001:db8::{number}"


def fetch(host: Host, url: str, seconds: int = ANSWER) -> Result:
    """Fetch a page from a host."""
    return host.run(["timeout", str(seconds), "busybox", "wget", "-qO-", url])


def cannot_fetch(host: Host, url: str) -> bool:
    """Whether a page does not come."""
    return fetch(host, url, 1).code != 0


def ask(host: Host, address: str, port: int, own_port: int = 0, seconds: float = ANSWER) -> str:
    """What a UDP server answers a host; empty if it does not. own_port: the port to ask from."""
    words = [sys.executable, "-c", UDP_ASK, address, str(port), str(own_port), str(seconds)]
    result = host.run(words)
    return result.text if result.code == 0 else ""


class NetKeeper(Keeper):
    """A keeper whose containers have networks."""

    def network(self, name: str, *flags: Word) -> str:
        """`network create`; the name."""
        assert len(self.raw("network", "create", *flags, name).text) == 64
        return name

    def box(self, name: str, *flags: Word) -> str:
        """A container that sleeps; its id."""
        return self.start(SLEEPS, "--name", name, *flags)

    def serve(self, name: str, *flags: Word, port: int = 80) -> str:
        """A container with a web server whose page is its name; its id."""
        id = self.start(["sh", "-c", SERVES, name, str(port)], "--name", name, *flags)
        listening = f":{port:04X} .* 0A "
        assert self.try_inside(id, f"until cat /proc/net/tcp* | grep -q '{listening}'; do sleep 0.02; done").code == 0
        return id

    def try_inside(self, container: str, script: str) -> Result:
        """Run a shell script in a container."""
        return self.raw("exec", container, "sh", "-c", script)

    def inside(self, container: str, script: str) -> str:
        """What a shell script in a container prints."""
        return self.try_inside(container, script).text

    def pings(self, container: str, target: str, *flags: str) -> bool:
        """Whether a container gets an answer to a ping."""
        return self.raw("exec", container, "ping", "-c1", "-W1", *flags, target).code == 0

    def knows(self, container: str, name: str) -> bool:
        """Whether a container's /etc/hosts has this name."""
        lines = self.inside(container, "cat /etc/hosts").splitlines()
        return any(name in line.split()[1:] for line in lines)

    def get(self, container: str, url: str, seconds: int = ANSWER) -> Result:
        """Fetch a page from a container."""
        return self.raw("exec", container, "timeout", str(seconds), "wget", "-qO-", url)

    def address(self, container: str, network: str = "bridge", which: int = 0) -> str:
        """The address of a container in a network."""
        return str(self.endpoint(container, network)["addresses"][which])

    def endpoint(self, container: str, network: str = "bridge") -> dict[str, Any]:
        """What `network inspect` says of a container."""
        found: dict[str, Any] = self.network_record(network)["containers"][self.inspect(container)["id"]]
        return found

    def network_record(self, network: str) -> dict[str, Any]:
        import json

        words = [sys.executable, "-m", "ch06_network", "network", "inspect", network]  # later ones have Docker's shape
        found: dict[str, Any] = json.loads(self.engine.host.run(words, cwd=REPOSITORY).text)[0]
        return found

    def prune(self) -> list[str]:
        """`network prune`, and the default network, which the full engine's leaves; the names."""
        if not self.engine.is_full:
            return self.raw("network", "prune").text.splitlines()
        removed = [line for line in self.raw("network", "prune", "-f").text.splitlines() if not line.endswith(":")]
        assert DEFAULT not in removed
        if DEFAULT in self.raw("network", "ls", "--format", "{{.Name}}").text.splitlines():
            removed.append(self.raw("network", "rm", DEFAULT).text)
        return sorted(removed)

    def in_its_network(self, container: str, words: Sequence[Word], **options: Any) -> subprocess.Popen[bytes]:
        """Start a program of the host in the network namespace of a container."""
        pid = self.status(container)["pid"]
        assert is_alive(pid)
        return self.engine.host.spawn(["nsenter", f"--net=/proc/{pid}/ns/net", *words], **options)

    def serve_udp(self, container: str, port: int, address: str = "0.0.0.0") -> subprocess.Popen[bytes]:
        """Let a UDP server answer in a container's network: its name, and what it was sent."""
        name = self.inspect(container)["name"]
        server = self.in_its_network(container, [sys.executable, "-c", UDP_ECHO, address, str(port), name])
        assert read_line(server) == b"ready\n"
        return server

    def remove_all(self) -> None:
        if ids := self.ids():
            self.remove(*ids)

    def nft(self, script: str) -> str:
        """Let somebody else on the host use nft."""
        return self.engine.host.run(["nft", "-f", "-"], input=script.encode()).text

    def ruleset(self) -> str:
        return self.engine.host.run(["nft", "list", "ruleset"]).text

    def devices(self) -> list[str]:
        """The network devices of the host."""
        listed = self.engine.host.run(["ip", "-brief", "link"]).text.splitlines()
        return sorted(line.split()[0].partition("@")[0] for line in listed)
