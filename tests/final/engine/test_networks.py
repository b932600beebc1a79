"""`network` in Docker's shape: labels, ls with filters and templates, inspect, prune that asks."""

from __future__ import annotations

import json

import pytest

from tests.final.engine.conftest import PYTHON, Box
from tests.support.engines import ENGINE_FAILED, fails
from tests.support.hosts import finish

pytestmark = pytest.mark.kernel


def test_ls(box: Box) -> None:
    id = box("network", "create", "--label", "tier=back", "--label", "x", "one")
    box.network("two", "--internal")
    head, *rows = box.lines("network", "ls")
    assert head == "NETWORK ID    NAME  DRIVER  SCOPE"
    assert rows[0].split() == [id[:12], "one", "bridge", "local"]
    assert box.lines("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Internal}}") == [
        "one bridge false",
        "two bridge true",
    ]
    assert box("network", "ls", "-f", "name=one", "--format", '{{.Label "tier"}}|{{.Labels}}') == "back|tier=back,x="
    assert box("network", "ls", "-q", "--no-trunc", "-f", "label=tier=back") == id
    row = json.loads(box("network", "ls", "--format", "json", "-f", f"id={id[:5]}"))
    assert (row["ID"], row["Name"], row["Labels"], row["IPv6"]) == (id[:12], "one", "tier=back,x=", "false")
    for text, found in (
        *(("name=o", ["one", "two"]), ("name=ne", ["one"]), ("driver=bridge", ["one", "two"]), ("driver=vxlan", [])),
        *(("scope=local", ["one", "two"]), ("type=custom", ["one", "two"]), ("type=builtin", []), ("label=y", [])),
        ("dangling=true", ["one", "two"]),
    ):
        assert box.lines("network", "ls", "-f", text, "--format", "{{.Name}}") == found, text
    box.box("in", "--net", "one")
    assert box("network", "ls", "-f", "dangling=true", "--format", "{{.Name}}") == "two"
    assert box("network", "ls", "-f", "dangling=false", "--format", "{{.Name}}") == "one"
    fails(box.raw("network", "ls", "-f", "nosuch=1"), ENGINE_FAILED, "nosuch")


def test_inspect(box: Box) -> None:
    subnets = ["--subnet", "10.1.0.0/24", "--gateway", "10.1.0.7", "--subnet", "fd00:5::/64"]
    id = box("network", "create", *subnets, "--mtu", "1400", "--label", "x=y", "one")
    container = box.box("in", "--net", "one")
    box("create", "--name", "not-running", "--net", "one", "busybox")
    (known,) = json.loads(box("network", "inspect", "one"))
    expected = {"Name": "one", "Id": id, "Scope": "local", "Driver": "bridge", "Internal": False, "EnableIPv6": True}
    assert {key: known[key] for key in expected} == expected
    assert known["IPAM"]["Config"][0] == {"Subnet": "10.1.0.0/24", "Gateway": "10.1.0.7"}
    assert known["Labels"] == {"x": "y"} and known["Options"]["com.docker.network.driver.mtu"] == "1400"
    (inside,) = known["Containers"].items()
    endpoint = box.known("in")["NetworkSettings"]["Networks"]["one"]
    assert inside[0] == container and inside[1]["Name"] == "in"
    assert inside[1]["IPv4Address"] == f"{endpoint['IPAddress']}/24"
    assert inside[1]["IPv6Address"] == f"{endpoint['GlobalIPv6Address']}/64"
    assert box("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", id[:8]) == "10.1.0.7"
    assert box("network", "inspect", "-f", "{{range .Containers}}{{.Name}}{{end}}", "one") == "in"
    assert json.loads(box("network", "inspect", "--format", "json", "one"))[0]["Id"] == id
    assert "eth0 of in" in box("network", "inspect", "--tree", "one")
    both = box.raw("network", "inspect", "-f", "{{.Name}}", "nosuch", "one")
    assert both.out == b"one\n"
    fails(both, ENGINE_FAILED, "nosuch")


def test_subnets_of_both_versions_chosen_at_one_time(box: Box) -> None:
    host, words = box.engine.host, box.engine.command_line("network", "create", "--ipv6")
    names = [f"n{number}" for number in range(8)]
    for started in [host.spawn([*words, name]) for name in names]:
        assert finish(started).code == 0
    found = [
        subnet["Subnet"]
        for known in json.loads(box("network", "inspect", *names))
        for subnet in known["IPAM"]["Config"]
    ]
    assert len(set(found)) == 16


def test_rm_and_prune(box: Box) -> None:
    box.network("used")
    box.network("kept", "--label", "keep")
    box.network("old")
    box("create", "--name", "wants-it", "--net", "used", "busybox")
    asked = box("network", "prune", input=b"n\n")
    assert asked.startswith("WARNING!") and len(box.lines("network", "ls", "-q")) == 3
    assert box.lines("network", "prune", "-f", "--filter", "label!=keep") == ["Deleted Networks:", "old"]
    assert box("network", "prune", "-f", "--filter", "until=1h") == ""
    assert box.lines("network", "prune", "-f") == ["Deleted Networks:", "kept"]
    assert box.lines("network", "prune", "-f") == []
    fails(box.raw("network", "rm", "nosuch"), ENGINE_FAILED, "nosuch")
    assert box("network", "rm", "-f", "nosuch") == ""
    box("rm", "wants-it")
    assert box("network", "rm", "-f", "nosuch", "used") == "used"
    fails(box.raw("network", "prune", "-f", "--filter", "nosuch=1"), ENGINE_FAILED, "nosuch")


def test_the_default_network_stays(box: Box) -> None:
    assert box("run", "--rm", "busybox", "true") == ""
    box.network("other")
    assert box("network", "ls", "-f", "dangling=true", "--format", "{{.Name}}") == "other"
    assert box.lines("network", "prune", "-f") == ["Deleted Networks:", "other"]
    box.network("other")
    assert "Deleted Networks:\nother\n\n" in box("system", "prune", "-f")
    assert box("network", "ls", "--format", "{{.Name}}") == "bridge"


def test_connect_and_ports(box: Box) -> None:
    box.network("one")
    box.box("it", "-p", "8080:80", "-p", "127.0.0.1:5353:53/udp")
    box("network", "connect", "--alias", "also", "one", "it")
    assert box.show("it", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}").split() == [
        "bridge",
        "one",
    ]
    assert "also" in json.loads(box.show("it", "{{json .NetworkSettings.Networks.one.Aliases}}"))
    assert box("ps", "-f", "network=one", "--format", "{{.Networks}}") == "bridge,one"
    assert sorted(box.lines("port", "it")) == ["53/udp -> 127.0.0.1:5353", "80/tcp -> 0.0.0.0:8080"]
    assert box("port", "it", "80") == "0.0.0.0:8080" and box("port", "it", "53/udp") == "127.0.0.1:5353"
    fails(box.raw("port", "it", "53"), ENGINE_FAILED, "53")
    box("network", "disconnect", "-f", "one", "it")
    assert "one" not in box.show("it", "{{json .NetworkSettings.Networks}}")


LEAVES_ENDED_CONNECTION = """
import socket
listener = socket.create_server(("127.0.0.1", 8080))
client = socket.create_connection(("127.0.0.1", 8080))
listener.accept()[0].close()  # who closes first keeps the port, for a minute
client.recv(1)
"""


def test_a_port_of_which_only_ended_connections_are_left(box: Box) -> None:
    assert box.engine.host.run([*PYTHON, LEAVES_ENDED_CONNECTION]).code == 0
    box.box("it", "-p", "8080:80", "-p", "0:81")
    assert box("port", "it", "80") == "0.0.0.0:8080" and int(box("port", "it", "81").rpartition(":")[2]) >= 1024
    other = box.raw("run", "--rm", "-p", "8080:80", "busybox", "true")
    fails(other, ENGINE_FAILED, "8080", "in use")
