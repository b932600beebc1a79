"""Devices of the host that become the container's: linux.netDevices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ch07_practice.bundles import Change, Runtime
from tests.support.engines import ENGINE_FAILED, fails
from tests.support.hosts import Host

pytestmark = pytest.mark.kernel
MAC = "02:00:00:00:00:07"
MADE = f"""
ip link add d0 address {MAC} mtu 1400 type veth peer name p0
ip address add 192.0.2.1/24 dev d0 label d0:x
ip address add 2001:db8::1/64 dev d0 nodad
ip link set d0 up
ip link add d1 type veth peer name p1
"""
LOOK = "ip address show dev {0}; cat /sys/class/net/{0}/address"


@pytest.fixture
def runtime(host: Host, tmp_path: Path) -> Iterator[Runtime]:
    """A runtime on a host with two devices; its containers are removed after the test."""
    assert host.run(["sh", "-ec", MADE]).code == 0
    runtime = Runtime(host, tmp_path, "final.runtime")
    yield runtime
    runtime.remove_all()


def devices(listed: dict[str, Any]) -> Change:
    return lambda config: config["linux"].update(netDevices=listed)


def names(host: Host) -> set[str]:
    return {line.split(":")[1].strip().partition("@")[0] for line in host.run(["ip", "-o", "link"]).text.splitlines()}


@pytest.mark.parametrize(("listed", "name"), [({}, "d0"), ({"name": "eth7"}, "eth7"), ({"name": "own%d"}, "own0")])
def test_one_moves_with_what_it_has(runtime: Runtime, listed: dict[str, str], name: str) -> None:
    said = runtime.sh(LOOK.format(name), devices({"d0": listed})).text
    for word in ("UP", "mtu 1400", "inet 192.0.2.1/24", "inet6 2001:db8::1/64 scope global", MAC):
        assert word in said
    assert "d0:x" not in said


def test_it_is_no_more_the_hosts(runtime: Runtime) -> None:
    assert {"d0", "d1"} <= names(runtime.host)
    assert runtime.create("box", ["sleep", "1000"], devices({"d0": {}, "d1": {"name": "d0x"}})).code == 0
    assert not {"d0", "d1"} & names(runtime.host)
    assert runtime.raw("exec", "box", "ls", "/sys/class/net").text.split() == ["d0", "d0x", "lo"]


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ({"nosuch": {}}, ["linux.netDevices.nosuch", "RTM_GETLINK", "no such"]),
        ({"d0": {"name": "lo"}}, ["linux.netDevices.d0", "RTM_SETLINK", "File exists"]),
        ({"d0": {"name": "a/b"}}, ["linux.netDevices.d0.name", "'a/b'"]),
        ({"d0": {"name": "a%s"}}, ["linux.netDevices.d0.name", "'a%s'"]),
        ({"x" * 16: {}}, ["linux.netDevices.xxxxxxxxxxxxxxxx", "no name"]),
        ({"d0": 7}, ["linux.netDevices.d0", "object"]),
        ([], ["linux.netDevices", "object"]),
    ],
)
def test_wrong_ones(runtime: Runtime, listed: Any, words: list[str]) -> None:
    fails(runtime.run(["true"], devices(listed)), ENGINE_FAILED, *words)


def test_without_a_network_namespace(runtime: Runtime) -> None:
    def change(config: dict[str, Any]) -> None:
        devices({"d0": {}})(config)
        config["linux"]["namespaces"] = [{"type": kind} for kind in ("pid", "mount", "uts")]

    fails(runtime.run(["true"], change), ENGINE_FAILED, "linux.netDevices", "network namespace")
    assert "d0" in names(runtime.host)
