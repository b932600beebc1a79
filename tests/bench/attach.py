"""What it costs to plug a network namespace into a bridge, and to pull it out: a veth, its address, the way out.

Ours beside `ip` by hand, which keeps no account of addresses, and beside the CNI plugins `bridge` and `host-local`. The
kernel's part is the same for all; the difference is what else there is to start.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from ch03_run.launcher import write_launcher
from ch04_images import busybox, state
from ch06_network import endpoints, network
from ch06_network.bridge import BridgeDriver
from ch06_network.endpoints import Endpoint
from ch06_network.subnets import parse_subnet
from tests.bench.wiring import (
    CNI,
    add_bridge,
    inside,
    milliseconds,
    missing,
    plug_by_hand,
    quietly,
    report,
    run_cni,
)
from tests.support.hosts import Host

ROUNDS = 40
OURS, MORE, BY_HAND, BY_CNI = parse_subnet("10.91.0.0/16"), parse_subnet("10.92.0.0/16"), "10.93.0", "10.94.0.0/16"


class Ours:
    """In this process, as `run` does it. box: what is plugged in."""

    name = "mydocker, in a process that runs"

    def __init__(self, box: Host) -> None:
        self._network = BridgeDriver().create("bench", [(OURS, OURS.first_host())], network.MTU, False, {})
        self._namespace = os.open(box.network, os.O_RDONLY | os.O_CLOEXEC)
        self._endpoint: Endpoint | None = None

    def attach(self) -> None:
        self._endpoint = endpoints.allocate(self._network, state.new_id(), "eth0", ["box"])
        endpoints.plug(self._network, self._endpoint, self._namespace, True)

    def detach(self) -> None:
        assert self._endpoint is not None
        endpoints.remove(self._network, self._endpoint)

    def close(self) -> None:
        os.close(self._namespace)
        BridgeDriver().remove(self._network)


class OurCommands:
    """`network connect` and `network disconnect`, with a container that runs; its names are told, too."""

    name = "mydocker network connect, disconnect"

    def __init__(self, program: str) -> None:
        self._program = program
        quietly(program, "network", "create", "--subnet", str(MORE), "more")
        quietly(program, "run", "-d", "--name", "box", "busybox", "sleep", "1000")

    def attach(self) -> None:
        quietly(self._program, "network", "connect", "more", "box")

    def detach(self) -> None:
        quietly(self._program, "network", "disconnect", "more", "box")

    def close(self) -> None:
        quietly(self._program, "rm", "-f", "box")
        quietly(self._program, "network", "rm", "more", "bridge")


class ByHand:
    """Four commands in, one out."""

    name = "ip, by hand"

    def __init__(self, host: Host, box: Host) -> None:
        self._box = box
        add_bridge(host, "byhand", f"{BY_HAND}.1/24")

    def attach(self) -> None:
        plug_by_hand("byhand", "cable", self._box, f"{BY_HAND}.2/24", f"{BY_HAND}.1")

    def detach(self) -> None:
        quietly("ip", "link", "del", "cable")

    def close(self) -> None:
        """It goes with the host."""


class Cni:
    """The plugin `bridge`, which calls `host-local`."""

    name = "CNI's bridge and host-local"

    def __init__(self, box: Host, top: Path) -> None:
        self._network = box.network
        ipam = {"type": "host-local", "subnet": BY_CNI, "dataDir": str(top / "cni")}
        kind = {"type": "bridge", "bridge": "cni0", "isDefaultGateway": True, "ipMasq": False}
        self._config = json.dumps({"cniVersion": "1.0.0", "name": "bench", **kind, "ipam": ipam})

    def attach(self) -> None:
        run_cni("bridge", "ADD", self._config, "box", self._network)

    def detach(self) -> None:
        run_cni("bridge", "DEL", self._config, "box", self._network)

    def close(self) -> None:
        """It goes with the host."""


Way = Ours | OurCommands | ByHand | Cni


def main() -> None:
    with contextlib.ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mydocker-bench-")))
        stack.enter_context(mock.patch.dict(os.environ, MYDOCKER_ROOT=str(top / "state")))
        host, box = (stack.enter_context(contextlib.closing(Host(top / name))) for name in ("host", "box"))
        stack.enter_context(inside(host))
        ways: list[Way] = []
        for make in makers(host, box, top):
            ways.append(make())
            stack.callback(ways[-1].close)
        measured = measure(ways)
    rows = [
        {"by": name, **{f"{step} ms": milliseconds(statistics.median(taken)) for step, taken in steps.items()}}
        for name, steps in measured.items()
    ]
    report("attach", f"a network namespace and a bridge, {ROUNDS} times; medians", rows, measured)


def makers(host: Host, box: Host, top: Path) -> list[Callable[[], Way]]:
    """What can be measured on this machine."""
    busybox.make_image()
    program = str(top / "mydocker")
    write_launcher("ch06_network", program)
    ways: list[Callable[[], Way]] = [
        lambda: Ours(box),
        lambda: OurCommands(program),
        lambda: ByHand(host, box),
    ]
    if not missing(f"{CNI}/bridge", f"{CNI}/host-local"):
        ways.append(lambda: Cni(box, top))
    return ways


def measure(ways: list[Way]) -> dict[str, dict[str, list[float]]]:
    """Seconds of each. Rounds alternate, so that a busy moment hits all of them; the first one does not count."""
    seconds: dict[str, dict[str, list[float]]] = {way.name: {"attach": [], "detach": []} for way in ways}
    for number in range(ROUNDS + 1):
        for way in ways:
            for step, work in (("attach", way.attach), ("detach", way.detach)):
                start = time.perf_counter()
                work()
                if number:
                    seconds[way.name][step].append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    main()
