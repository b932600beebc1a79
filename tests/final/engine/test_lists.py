"""`ps` and `inspect`, whose columns, fields and filters scripts know from Docker."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.final.engine.conftest import Box
from tests.support.engines import ENGINE_FAILED, fails
from tests.support.leaks import cgroups

pytestmark = pytest.mark.kernel
TOP = "Id Created Path Args State Image ResolvConfPath HostnamePath HostsPath LogPath Name RestartCount Driver Platform"
STATE = "Status Running Paused Restarting OOMKilled Dead Pid ExitCode Error StartedAt FinishedAt"
CONFIG = "Hostname User Tty OpenStdin Env Cmd Image ExposedPorts Volumes WorkingDir Entrypoint Labels StopSignal"
HOST = "Binds NetworkMode PortBindings RestartPolicy AutoRemove CapAdd CapDrop Dns ExtraHosts GroupAdd IpcMode PidMode"
LIMITS = "Memory MemorySwap NanoCpus CpuShares CpuPeriod CpuQuota CpusetCpus PidsLimit Ulimits ShmSize Devices Tmpfs"
NETWORK = "Gateway IPAddress IPPrefixLen MacAddress Ports Networks"


def test_ps(box: Box) -> None:
    assert box("ps") == "CONTAINER ID   IMAGE   COMMAND   CREATED   STATUS   PORTS   NAMES"
    box.sleeper("one")
    two = box.start(["sh", "-c", "exec sleep 100000 # and a long remark"], "--name", "two", "-p", "8080:80")
    box("create", "--name", "three", "busybox", "true")
    box.sh("exit 3", "--name", "four", "--net", "none")
    box.has_ended("four")
    assert box.lines("ps", "--format", "{{.Names}}") == ["two", "one"]
    assert box.lines("ps", "-a", "--format", "{{.Names}}") == ["four", "three", "two", "one"]
    head, first, _ = box.lines("ps")
    assert head.split() == ["CONTAINER", "ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    assert first.startswith(f'{two[:12]}  busybox  "sh -c \'exec sleep 1…"')
    assert "0.0.0.0:8080->80/tcp" in first and "Up " in first
    assert box("ps", "-l", "-q") == box("ps", "-a", "-n", "1", "-q") == box.known("four")["Id"][:12]
    assert len(box.lines("ps", "-n", "3", "-q")) == 3 and len(box.lines("ps", "-n", "-1", "-q")) == 4
    assert box("ps", "-q", "--no-trunc").splitlines()[0] == two
    assert "and a long remark" in box("ps", "--no-trunc", "--format", "{{.Command}}")
    sizes = [*box.lines("ps", "-s", "--format", "{{.Size}}"), box("ps", "-l", "--format", "{{.Size}}")]
    assert all(re.fullmatch(r"\d[\d.]*k?B \(virtual \d[\d.]*[MG]B\)", size) for size in sizes), sizes
    assert box.lines("ps", "-s")[0].split()[-1] == "SIZE"
    assert box.lines("ps", "--format", "table {{.Names}}\\t{{.State}}") == [
        "NAMES   STATE",
        "two     running",
        "one     running",
    ]
    assert box.lines("ps", "-l", "--format", "table{{.Names}}") == ["NAMES", "four"]
    box("create", "--name", "quotes", "busybox", "sh", "-c", 'echo "x"')
    assert box("ps", "-l", "--format", "{{.Command}}") == '"sh -c \'echo \\"x\\"\'"'
    box("rm", "quotes")
    rows = [json.loads(line) for line in box.lines("ps", "-a", "--format", "json")]
    assert {row["Names"]: row["State"] for row in rows} == {
        "one": "running",
        "two": "running",
        "three": "created",
        "four": "exited",
    }
    assert {"ID", "Image", "Command", "CreatedAt", "Ports", "Status", "Labels", "Mounts", "Networks"} <= set(rows[0])
    assert json.loads(box("ps", "-l", "--format", "{{json .}}"))["Names"] == "four"
    assert re.fullmatch(r"Exited \(3\) .* ago", box("ps", "-l", "--format", "{{.Status}}"))
    assert datetime.strptime(rows[0]["CreatedAt"].rsplit(" ", 1)[0], "%Y-%m-%d %H:%M:%S %z")
    fails(box.raw("ps", "--format", "{{.Nosuch}}"), ENGINE_FAILED, "Nosuch")
    fails(box.raw("ps", "--format", "{{.ID"), ENGINE_FAILED, "--format")


def test_filters(box: Box) -> None:
    box.network("net")
    box.image("other", Cmd=["true"])
    one = box.start(["sleep", "1000"], "--name", "web-1", "--net", "net", "-p", "8080:80", "-p", "8053:53/udp")
    box.sleeper("web-2", "-v", "data:/d", "--expose", "90")
    box("create", "--name", "db", "-l", "tier=back", "-l", "x", "busybox", "true")
    box("run", "--name", "done", "--net", "none", "-l", "tier=front", "other", "true")
    box.raw("run", "--name", "failed", "--net", "none", "busybox", "sh", "-c", "exit 7")
    box("commit", "done", "child")
    box("create", "--name", "kid", "child")
    box("pause", "web-2")
    image = box("images", "-q", "other")

    def found(*filters: str) -> set[str]:
        words = [word for text in filters for word in ("-f", text)]
        return set(box.lines("ps", "-a", *words, "--format", "{{.Names}}"))

    everything = {"web-1", "web-2", "db", "done", "failed", "kid"}
    assert found() == everything
    for filters, expected in {
        ("name=web",): {"web-1", "web-2"},
        ("name=^web-1$",): {"web-1"},
        ("name=^/db$",): {"db"},
        ("name=web-1", "name=db"): {"web-1", "db"},
        (f"id={one[:9]}",): {"web-1"},
        ("status=exited",): {"done", "failed"},
        ("status=paused",): {"web-2"},
        ("status=running", "status=created"): {"web-1", "db", "kid"},
        ("exited=7",): {"failed"},
        ("exited=0", "exited=7"): {"done", "failed"},
        ("label=tier",): {"db", "done", "kid"},
        ("label=tier=back", "label=x"): {"db"},
        ("label=tier=back", "label=nosuch"): set(),
        ("network=net",): {"web-1"},
        ("network=none",): {"web-2", "done", "failed"},
        ("volume=data",): {"web-2"},
        ("publish=8080",): {"web-1"},
        ("publish=8050-8060/udp",): {"web-1"},
        ("publish=8053",): set(),
        ("expose=80-90/tcp",): {"web-1", "web-2"},
        ("is-task=false", "name=db"): {"db"},
        ("is-task=true",): set(),
        ("ancestor=child",): {"kid"},
        ("ancestor=nosuch",): set(),
        ("status=exited", "name=f"): {"failed"},
        ("since=done",): {"failed", "kid"},
        ("before=db",): {"web-1", "web-2"},
    }.items():
        assert found(*filters) == expected, filters
    assert "done" in found(f"ancestor={image}") and "kid" in found("ancestor=other:latest")
    assert box.lines("ps", "-f", "status=exited", "--format", "{{.Names}}") == ["failed", "done"]  # without -a
    for wrong in ("nosuch=1", "name", "status=nosuch", "exited=x", "since=nosuch", "name=[", "publish=x", "is-task=x"):
        fails(box.raw("ps", "-f", wrong), ENGINE_FAILED)
    box("unpause", "web-2")


def test_inspect_has_dockers_shape(box: Box) -> None:
    box.image("shaped", Cmd=["sleep", "1000"], Env=["A=1", "PATH=/bin"], WorkingDir="/tmp", ExposedPorts={"80/tcp": {}})
    flags = ["-e", "B=2", "--expose", "90", "-p", "127.0.0.1:8081:81", "-l", "x=y", "-u", "1:2", "--cpus", "0.5"]
    id = box.start([], "--name", "one", *flags, "-m", "64m", "--dns", "192.0.2.1", image="shaped")
    known = box.known("one", "-s")
    for place, names in ((known, TOP), (known["State"], STATE), (known["Config"], CONFIG), (known["HostConfig"], HOST)):
        assert set(names.split()) <= set(place)
    assert set(LIMITS.split()) <= set(known["HostConfig"]) and set(NETWORK.split()) <= set(known["NetworkSettings"])
    assert (known["Id"], known["Name"], known["Path"], known["Args"]) == (id, "/one", "sleep", ["1000"])
    assert known["Image"] == box("image", "inspect", "-f", "{{.Id}}", "shaped") and known["Image"].startswith("sha256:")
    assert known["Config"]["Image"] == "shaped" and known["Config"]["Cmd"] == ["sleep", "1000"]
    assert {"A=1", "B=2", "PATH=/bin"} <= set(known["Config"]["Env"]) and known["Config"]["User"] == "1:2"
    assert known["Config"]["Hostname"] == id[:12] and known["Config"]["WorkingDir"] == "/tmp"
    assert set(known["Config"]["ExposedPorts"]) == {"80/tcp", "90/tcp", "81/tcp"}
    assert known["State"]["Status"] == "running" and known["State"]["Running"] is True
    assert known["HostConfig"]["NanoCpus"] == 500_000_000 and known["HostConfig"]["MemorySwap"] == 128 << 20
    assert known["HostConfig"]["NetworkMode"] == "bridge" and known["HostConfig"]["Dns"] == ["192.0.2.1"]
    assert known["HostConfig"]["PortBindings"] == {"81/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8081"}]}
    assert known["SizeRootFs"] > known["SizeRw"] >= 0
    for moment in (known["Created"], known["State"]["StartedAt"], known["State"]["FinishedAt"]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", moment)
    assert known["State"]["FinishedAt"] == "0001-01-01T00:00:00Z"
    networks(box, known)
    members = [Path(path, "cgroup.procs").read_text().split() for path in cgroups() if path.endswith(id)]
    assert members and all(str(known["State"]["Pid"]) in pids for pids in members)
    box("stop", "-t", "0", "one")
    known = box.known("one")
    assert known["State"]["ExitCode"] == 137 and known["State"]["Pid"] == 0
    assert known["NetworkSettings"]["Ports"] == {} and known["NetworkSettings"]["IPAddress"] == ""
    assert set(known["NetworkSettings"]["Networks"]) == {"bridge"}


def test_inspect_knows_fields_of_which_it_has_nothing_to_say(box: Box) -> None:
    box("create", "--name", "one", "-l", "x=y", "--tmpfs", "/t", "busybox", "true")
    assert box.show("one", "{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}") == "none"
    assert box.show("one", "{{range .Mounts}}[{{.Name}}{{.Driver}}]{{end}}") == "[]"
    assert box.show("one", "{{.Config.Labels.x}} {{.Config.Labels.nosuch}}") == "y <no value>"
    assert box.show("one", "{{len .HostConfig.Mounts}} {{.HostConfig.VolumesFrom}} {{json .SizeRw}}") == "0 [] null"
    assert box.show("busybox", "{{.Config.Entrypoint}} {{.Config.Labels}} [{{.Config.User}}]") == "[] map[] []"
    assert box.show("busybox", "{{if .Config.Healthcheck}}yes{{else}}no{{end}}") == "no"
    fails(box.raw("inspect", "-f", "{{.State.Health.Status}}", "one"), ENGINE_FAILED, "Status")
    fails(box.raw("inspect", "-f", "{{.State.Nosuch}}", "one"), ENGINE_FAILED, "Nosuch")
    assert '"Names":"one"' in box("ps", "-a", "--format", "json")  # grep finds it, without any space
    assert '"Name":"/one"' in box("inspect", "-f", "json", "one")


def networks(box: Box, known: dict[str, Any]) -> None:
    """What scripts ask most often."""
    address = box.inside("one", "hostname -i")
    assert box.show("one", "{{.NetworkSettings.IPAddress}}") == address
    assert box.show("one", "{{.NetworkSettings.Networks.bridge.IPAddress}}") == address
    assert box.show("one", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}") == address
    assert box.show("one", '{{(index (index .NetworkSettings.Ports "81/tcp") 0).HostPort}}') == "8081"
    ports = {"81/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8081"}], "80/tcp": None, "90/tcp": None}
    assert known["NetworkSettings"]["Ports"] == ports
    mac = box.inside("one", "cat /sys/class/net/eth0/address")
    assert known["NetworkSettings"]["MacAddress"] == mac == known["NetworkSettings"]["Networks"]["bridge"]["MacAddress"]
    network = box("network", "inspect", "-f", "{{.Id}}", "bridge")
    assert known["NetworkSettings"]["Networks"]["bridge"]["NetworkID"] == network


def test_inspect_of_whatever_there_is(box: Box) -> None:
    box.network("it")
    box("volume", "create", "it")
    box("volume", "create", "other")
    assert box.show("it", "{{.Driver}} {{len .IPAM.Config}}") == "bridge 1"
    assert box.show("other", "{{.Mountpoint}}").endswith("/volumes/other/_data")
    assert box("inspect", "--type", "volume", "-f", "{{.Name}}", "it") == "it"
    assert box.show("busybox", "{{index .RepoTags 0}}") == "busybox:latest"
    box("create", "--name", "it", "-l", "a=b", "busybox", "true")
    assert box.show("it", '{{.Name}} {{index .Config.Labels "a"}}[{{index .Config.Labels "nosuch"}}]') == "/it b[]"
    assert box("container", "inspect", "-f", "{{.State.Status}}", "it") == "created"
    assert json.loads(box("inspect", "--format", "json", "it"))[0]["Name"] == "/it"
    assert json.loads(box("inspect", "-f", "{{json .State}}", "it"))["Running"] is False
    box("create", "--name", "odd", "-e", b"A=\xff\x1b", "busybox", "true")
    assert "A=\udcff\x1b" in box.known("odd")["Config"]["Env"]
    both = box.raw("inspect", "-f", "{{.Id}}", "nosuch", "busybox")
    fails(both, ENGINE_FAILED, "nosuch", "there is none")
    assert both.out.startswith(b"sha256:")
    fails(box.raw("inspect", "--type", "image", "it"), ENGINE_FAILED, "it")
    fails(box.raw("inspect", "--type", "container", "busybox"), ENGINE_FAILED, "busybox")
    fails(box.raw("inspect", "--type", "nosuch", "it"), ENGINE_FAILED, "nosuch")
    assert box.raw("inspect", "nosuch").out == b"[]\n"
