"""--add-host NAME:host-gateway, --dns-search, --dns-option: names by which a container finds others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.ch06_network.test_names import resolver_with
from tests.final.engine.conftest import Box
from tests.support.engines import ENGINE_FAILED, fails
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel


@pytest.fixture
def served(box: Box, tmp_path: Path) -> str:
    """A web server of the host, at all its addresses; its page."""
    (tmp_path / "index.html").write_text("of the host")
    server = box.engine.host.spawn(["busybox", "httpd", "-f", "-p", "8080", "-h", str(tmp_path)])
    assert server.poll() is None
    look = ["busybox", "wget", "-qO-", "http://127.0.0.1:8080/"]
    eventually(lambda: box.engine.host.run(look).code == 0, "it listens")
    return "of the host"


def test_its_own_name(box: Box) -> None:
    """In the environment, too, of whatever runs there; but a user's word counts."""
    id = box.sleeper("one")
    told = "echo $(hostname) $(env | sed -n s/^HOSTNAME=//p) $(cat /etc/hostname)"
    for command in (["exec", "one"], ["run", "--rm", "--hostname", id[:12], "busybox"]):
        assert f"HOSTNAME={id[:12]}" in box.lines(*command, "env")  # not from a shell, which may set it itself
    assert f"HOSTNAME={id[:12]}" in box.inside("one", "tr '\\0' '\\n' < /proc/1/environ")
    assert "HOSTNAME" not in box.show("one", "{{.Config.Env}}")
    assert box("run", "--rm", "--hostname", "box", "busybox", "sh", "-c", told) == "box box box"
    assert "HOSTNAME=mine" in box.lines("run", "--rm", "-e", "HOSTNAME=mine", "busybox", "env")
    host = os.uname().nodename
    assert box("run", "--rm", "--net", "host", "busybox", "sh", "-c", told) == f"{host} {host} {host}"


def test_the_host_by_a_name(box: Box, served: str) -> None:
    box.network("net", "--subnet", "10.1.0.0/24", "--gateway", "10.1.0.7", "--subnet", "fd00:5::/64")
    get = "wget -qO- http://here:8080/"
    for flags in (["--net", "bridge"], ["--net", "net"], ["--net", "host"], ["--net", "net", "--net", "bridge"]):
        assert box("run", "--rm", *flags, "--add-host", "here:host-gateway", "busybox", "sh", "-c", get) == served
    hosts = box("run", "--rm", "--net", "net", "--add-host", "here=host-gateway", "busybox", "cat", "/etc/hosts")
    assert "10.1.0.7\there\nfd00:5::1\there\n" in hosts
    box("create", "--name", "later", "--add-host", "here:host-gateway", "--add-host", "far=2001:db8::9", "busybox")
    assert box.show("later", "{{.HostConfig.ExtraHosts}}") == "[here:host-gateway far:2001:db8::9]"


def test_the_host_that_is_out_of_reach(box: Box) -> None:
    refused = box.raw("run", "--rm", "--net", "none", "--add-host", "here:host-gateway", "busybox", "true")
    fails(refused, ENGINE_FAILED, "host-gateway", "--net none")
    for text in (":host-gateway", "a b:host-gateway", "=host-gateway", "far:host-gate", "far="):
        fails(box.raw("run", "--rm", "--add-host", text, "busybox", "true"), ENGINE_FAILED, "--add-host")
    box.network("net")
    box("create", "--name", "one", "--net", "net", "--add-host", "here:host-gateway", "busybox")
    box("network", "disconnect", "net", "one")
    fails(box.raw("start", "one"), ENGINE_FAILED, "host-gateway", "no network")


HOST = "# by hand\ndomain example.org\nsortlist 192.0.2.0\noptions edns0\nnameserver 192.0.2.53\nnameserver 127.0.0.1\n"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (
            ["--dns-search", "a.example", "--dns-search", "b"],
            "nameserver 192.0.2.53\nsearch a.example b\noptions edns0",
        ),
        (["--dns-search", "."], "nameserver 192.0.2.53\noptions edns0"),
        (
            ["--dns-option", "ndots:2", "--dns-opt", "rotate"],
            "nameserver 192.0.2.53\ndomain example.org\noptions ndots:2 rotate",
        ),
        (
            ["--dns", "192.0.2.1", "--dns", "2001:db8::1"],
            "nameserver 192.0.2.1\nnameserver 2001:db8::1\ndomain example.org\noptions edns0",
        ),
        (["--net", "none", "--dns-search", "a"], "nameserver 192.0.2.53\nsearch a\noptions edns0"),
        (
            ["--net", "host", "--dns-search", "a"],
            "nameserver 192.0.2.53\nnameserver 127.0.0.1\nsearch a\noptions edns0",
        ),
    ],
)
def test_resolver(box: Box, flags: list[str], expected: str) -> None:
    assert resolver_with(box, HOST, *flags) == f"{expected}\nsortlist 192.0.2.0"


def test_resolver_of_one_that_is_started_again(box: Box) -> None:
    flags = ["--dns", "192.0.2.1", "--dns-search", "a.example", "--dns-option", "ndots:2"]
    box("create", "--name", "one", "--net", "none", *flags, "busybox", "cat", "/etc/resolv.conf")
    for _ in range(2):
        told = box.raw("start", "-a", "one")
        assert told.out == b"nameserver 192.0.2.1\nsearch a.example\noptions ndots:2\n"
    assert box.show("one", "{{.HostConfig.DnsSearch}} {{.HostConfig.DnsOptions}}") == "[a.example] [ndots:2]"


@pytest.mark.parametrize(
    "flags",
    [
        *(["--dns-search", text] for text in ("", "a b", "-a", "a..b", "a\nnameserver 192.0.2.1", "x" * 64, "..")),
        *(["--dns-option", text] for text in ("", "a b", "ndots:", "ndots:x", "a\nb", ":1")),
        ["--net", "container:up", "--dns-search", "a"],
        ["--net", "container:up", "--dns-option", "rotate"],
    ],
)
def test_what_cannot_be(box: Box, flags: list[str]) -> None:
    fails(box.raw("create", *flags, "busybox"), ENGINE_FAILED, flags[-2])
