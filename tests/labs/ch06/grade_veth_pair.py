"""Task veth-pair."""

from __future__ import annotations

import json
from typing import Any

from tests.labs import networks
from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

SCRIPT = """
import os
from ch06_network.netlink import Netlink

network = os.open(f"/proc/{given['pid']}/ns/net", os.O_RDONLY)
with Netlink() as host:
    for _ in range(given["times"]):
        host.add_veth(given["name"], given["bridge"], given["mtu"], given["peer"], network, bytes.fromhex(given["mac"]))
answer("done")
"""


class Cable:
    """A bridge on the host, another network, and what the cable between them is to be like."""

    def __init__(self, sandbox: Sandbox, draw: Draw) -> None:
        self._sandbox = sandbox
        self.pid = networks.new_network(sandbox)
        self.bridge, self.name, self.peer = (f"{draw.name()[:5]}{number}" for number in range(3))
        self.subnet, self.mtu = draw.subnet(), draw.randint(600, 9000)
        self.mac = "0242" + "".join(f"{draw.randint(0, 255):02x}" for _ in range(4))
        networks.bridge(sandbox, self.bridge, f"{self.subnet}.1/24")

    def given(self, times: int = 1) -> dict[str, Any]:
        wanted = {"name": self.name, "mtu": self.mtu, "peer": self.peer, "pid": self.pid, "mac": self.mac}
        return {**wanted, "bridge": self.link(self.bridge)["ifindex"], "times": times}

    def link(self, name: str, *before: str) -> dict[str, Any]:
        """What ip(8) says of a device; nothing if there is none."""
        said = self._sandbox.run([*before, "ip", "-json", "link", "show", name]).out
        found: dict[str, Any] = json.loads(said)[0] if said.strip() else {}
        return found


def test_this_end(sandbox: Sandbox, draw: Draw) -> None:
    """The end on the host has its name and MTU, is up, and is in the bridge."""
    cable = Cable(sandbox, draw)
    sandbox.ask(SCRIPT, **cable.given())
    found = cable.link(cable.name)
    seen = [found.get("mtu"), found.get("master"), "UP" in found.get("flags", [])]
    equal(seen, [cable.mtu, cable.bridge, True], "MTU, bridge, and whether it is up")


def test_that_end(sandbox: Sandbox, draw: Draw) -> None:
    """The other end is in the other network, with its name, MTU and hardware address; it is not on the host."""
    cable = Cable(sandbox, draw)
    sandbox.ask(SCRIPT, **cable.given())
    found = cable.link(cable.peer, *networks.inside(cable.pid))
    mac = ":".join(cable.mac[number : number + 2] for number in range(0, 12, 2))
    equal([found.get("mtu"), found.get("address")], [cable.mtu, mac], "MTU and hardware address in the other network")
    equal(cable.link(cable.peer), {}, "a device of that name on the host")


def test_packets_pass(sandbox: Sandbox, draw: Draw) -> None:
    """With an address at the far end, both sides answer each other through the bridge."""
    cable = Cable(sandbox, draw)
    sandbox.ask(SCRIPT, **cable.given())
    far = f"ip address add {cable.subnet}.2/24 dev {cable.peer} && ip link set {cable.peer} up"
    sandbox.shell(f"nsenter --net=/proc/{cable.pid}/ns/net sh -ec '{far}'")
    port = draw.port()
    networks.serve(sandbox, cable.pid, port)
    equal(
        networks.ask(sandbox, "self", f"{cable.subnet}.2", port),
        f"{cable.subnet}.1",
        "who asks, as the far end sees it",
    )


def test_refused(sandbox: Sandbox, draw: Draw) -> None:
    """A name that is taken is a SyscallError: EEXIST, and no second cable is there."""
    cable = Cable(sandbox, draw)
    message = sandbox.refusal(SCRIPT, "SyscallError", **cable.given(times=2))
    holds("EEXIST" in message, "EEXIST in the message", message)
    ends = sandbox.shell(f"nsenter --net=/proc/{cable.pid}/ns/net ip -brief link show type veth | wc -l")
    equal(ends, "1", "ends of cables in the other network")
