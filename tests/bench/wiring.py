"""What the benchmarks of networks share: what is missing, being on another host, a network wired by hand, a report."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence

from ch02_namespaces import syscalls
from ch02_namespaces.output import print_table
from tests.bench.hyperfine import RESULTS
from tests.support.hosts import Host

CNI = "/usr/lib/cni"


def missing(*programs: str) -> bool:
    """Whether a program is not installed; a line says so, and what is left out for that."""
    absent = [program for program in programs if shutil.which(program) is None]
    for program in absent:
        print(f"{program} is not installed: left out")
    return bool(absent)


@contextlib.contextmanager
def inside(host: Host) -> Iterator[None]:
    """Be on a host for a while: this process, and what it starts."""
    ours, there = (os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in ("/proc/self/ns/net", host.network))
    try:
        syscalls.setns(there, syscalls.CLONE_NEWNET)
        try:
            yield
        finally:
            syscalls.setns(ours, syscalls.CLONE_NEWNET)
    finally:
        os.close(ours)
        os.close(there)


def quietly(*words: str, input: str = "", env: Mapping[str, str] | None = None) -> str:
    """Run a command; what it prints. It must succeed."""
    return subprocess.run(words, check=True, input=input, stdout=subprocess.PIPE, text=True, env=env).stdout


@contextlib.contextmanager
def own_mounts() -> Iterator[None]:
    """Be in a mount namespace of our own for a while: what is mounted goes with it, when its last process ends."""
    ours, here = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC), os.getcwd()
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    try:
        yield
    finally:
        syscalls.setns(ours, syscalls.CLONE_NEWNS)
        os.chdir(here)
        os.close(ours)


def run_cni(plugin: str, command: str, config: str, id: str, network: str = "/proc/self/ns/net") -> str:
    """Call a CNI plugin as its specification wants it: command ADD or DEL; network: a namespace, as a path."""
    environment = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": id,
        "CNI_NETNS": network,
        "CNI_IFNAME": "eth0",
        "CNI_PATH": CNI,
    }
    return quietly(f"{CNI}/{plugin}", input=config, env=environment)


def add_bridge(host: Host, name: str, address: str) -> None:
    """A bridge by hand, with the address of the gateway."""
    with inside(host):
        quietly("ip", "link", "add", name, "type", "bridge")
        quietly("ip", "address", "add", address, "dev", name)
        quietly("ip", "link", "set", name, "up")


def plug_by_hand(bridge: str, cable: str, box: Host, address: str, gateway: str, mtu: int = 1500) -> None:
    """What an endpoint takes, in four commands. cable: the end in the bridge; box: what has the other end, eth0."""
    there = ["nsenter", f"--net={box.network}", "ip"]
    ends = f"link add {cable} mtu {mtu} up master {bridge} type veth peer name eth0 mtu {mtu} netns {box.pid}"
    quietly("ip", *ends.split())
    quietly(*there, *f"address add {address} dev eth0".split())
    quietly(*there, "link", "set", "eth0", "up")
    quietly(*there, *f"route add default via {gateway}".split())


def milliseconds(seconds: float) -> str:
    """For a table: three digits that count."""
    return f"{seconds * 1e3:.3g}"


def report(name: str, title: str, rows: Sequence[Mapping[str, object]], raw: object) -> None:
    """Print a table, and keep it with all that was measured."""
    print(title)
    print_table(rows)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({"measured": raw, "table": rows}, indent=1))
