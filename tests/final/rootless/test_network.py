"""The network of an ordinary user's containers: pasta, none, the host's, another container's. Section 6.5."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from functools import partial

import pytest

from tests.final.rootless.conftest import User
from tests.support import processes
from tests.support.engines import ENGINE_FAILED, fails
from tests.support.hosts import read_line
from tests.support.networks import UDP_ECHO, ask, fetch
from tests.support.polling import eventually

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("uplink")]
SERVE = "while true; do echo hello | nc -l -p 80; done"


def pastas() -> list[int]:
    """The pids of pasta, below us."""
    found = []
    for pid in processes.descendants(os.getpid()):
        try:
            with open(f"/proc/{pid}/comm") as file:
                name = file.read()
        except OSError:  # it has ended
            continue
        if name.startswith(("pasta", "passt")):
            found.append(pid)
    return found


def pid_of(user: User, container: str) -> int:
    """The pid of a container's first process."""
    return int(user("inspect", "--format", "{{.State.Pid}}", container).text)


def answers(user: User, port: str) -> bool:
    """Whether the server says hello to somebody on the host."""
    return user.host.run(["busybox", "nc", "-w", "2", "127.0.0.1", port]).out == b"hello\n"


def test_a_way_out(user: User) -> None:
    script = "ls /sys/class/net; ip route | head -1; ip address show dev eth0 | grep -c 192.0.2.1/"
    lines = user.run("busybox", "sh", "-c", script).text.splitlines()
    assert lines[:2] == ["eth0", "lo"]
    assert lines[2].startswith("default via ")
    assert lines[3] == "1"
    eventually(lambda: not pastas(), "pasta's end")


def test_it_knows_itself_by_name(user: User) -> None:
    assert user.run("--hostname", "box", "busybox", "hostname", "-i").text == "127.0.1.1"
    assert user.run("--net", "none", "--hostname", "box", "busybox", "grep", "-c", "box", "/etc/hosts").code == 1


def test_published_ports(user: User) -> None:
    ports = ("-p", "8080:80", "-p", "127.0.0.1:8081:80", "-p", "80")
    assert user("run", "-d", "--name", "c", *ports, "busybox", "sh", "-c", SERVE).code == 0
    free = user("port", "c").text.splitlines()[-1].rpartition(":")[2]
    for port in ("8080", "8081", free):
        eventually(partial(answers, user, port), f"an answer at {port}")
    assert user("port", "c", "80").text.splitlines() == ["0.0.0.0:8080", "127.0.0.1:8081", f"0.0.0.0:{free}"]
    assert "0.0.0.0:8080->80/tcp" in user("ps", "--format", "{{.Ports}}").text
    known = json.loads(user("inspect", "-f", "{{json .NetworkSettings.Ports}}", "c").text)
    bindings = [("0.0.0.0", "8080"), ("127.0.0.1", "8081"), ("0.0.0.0", free)]
    assert known == {"80/tcp": [{"HostIp": address, "HostPort": port} for address, port in bindings]}
    fails(user.run("-p", "8080:80", "busybox", "true"), ENGINE_FAILED, "8080", "in use")
    assert user("rm", "-f", "c").code == 0
    eventually(lambda: not pastas(), "pasta's end")
    assert user.run("-p", "8080:80", "busybox", "true").code == 0


def test_udp_ports(user: User) -> None:
    assert user("run", "-d", "--name", "c", "-p", "5353:5353/udp", "busybox", "sleep", "1000").code == 0
    inside = ["nsenter", f"--net=/proc/{pid_of(user, 'c')}/ns/net"]
    server = user.host.spawn([*inside, sys.executable, "-c", UDP_ECHO, "0.0.0.0", "5353", "c"])
    assert read_line(server) == b"ready\n"
    assert ask(user.host, "127.0.0.1", 5353) == "c hello"
    assert user("rm", "-f", "c").code == 0


def test_the_hosts_loopback_is_out_of_reach(user: User) -> None:
    (user.home / "page").write_text("of the host")
    user.host.spawn(["busybox", "httpd", "-f", "-p", "127.0.0.1:7000", "-h", str(user.home)])
    page = "http://127.0.0.1:7000/page"
    eventually(lambda: fetch(user.host, page).out == b"of the host", "the server")
    assert "refused" in user.run("busybox", "wget", "-qO-", page).error


def test_killed_watcher_takes_pasta_along(user: User) -> None:
    assert user("run", "-d", "--name", "c", "-p", "8080:80", "busybox", "sleep", "1000").code == 0
    (pasta,) = eventually(lambda: found if len(found := pastas()) == 1 else [], "one pasta")
    pid = pid_of(user, "c")
    os.kill(int(processes.status(pid, "PPid")), signal.SIGKILL)
    eventually(lambda: not processes.is_alive(pasta), "pasta's end")
    assert user("start", "c").code == 0
    assert user("rm", "-f", "c").code == 0


def test_none(user: User) -> None:
    assert user.run("--net", "none", "busybox", "ls", "/sys/class/net").text == "lo"
    assert not pastas()


def test_the_hosts(user: User) -> None:
    assert "uplink:" in user.run("--net", "host", "busybox", "cat", "/proc/net/dev").text.split()
    hosts = user.run("--net", "host", "--add-host", "h:host-gateway", "busybox", "cat", "/etc/hosts").text
    assert hosts.endswith("127.0.0.1\th")
    assert user.run("--net", "host", "busybox", "sh", "-c", "touch /sys/x || mkdir /sys/fs/cgroup/x").code != 0


def test_that_of_another_container(user: User) -> None:
    assert user("run", "-d", "--name", "c", "busybox", "sh", "-c", SERVE).code == 0

    def heard() -> bytes:
        return user.run("--net", "container:c", "busybox", "nc", "127.0.0.1", "80").out

    eventually(lambda: heard() == b"hello\n", "an answer")
    assert user("rm", "-f", "c").code == 0


def test_what_is_refused(user: User) -> None:
    fails(user.run("--net", "mine", "busybox", "true"), ENGINE_FAILED, "--net mine", "--net none")
    for flag, value in (("--ip", "10.0.0.2"), ("--network-alias", "x")):
        fails(user.run(flag, value, "busybox", "true"), ENGINE_FAILED, flag, "--net none")
    for words in (["create", "mine"], ["connect", "bridge", "c"], ["prune", "--force"]):
        fails(user("network", *words), ENGINE_FAILED, f"network {words[0]}", "root")
    assert user("network", "ls", "-q").text == ""
    fails(user.run("--add-host", "h:host-gateway", "busybox", "true"), ENGINE_FAILED, "host-gateway", "--net host")
    fails(user.run("-p", "80:80", "busybox", "true"), ENGINE_FAILED, "port 80", "ip_unprivileged_port_start")
    assert user("ps", "-aq").text == ""


def test_without_pasta(user: User) -> None:
    helpers = user.home / "bin"
    helpers.mkdir()
    for name in ("newuidmap", "newgidmap"):
        (helpers / name).symlink_to(shutil.which(name) or "")
    user.path = str(helpers)
    fails(user.run("busybox", "true"), ENGINE_FAILED, "pasta", "passt", "--net none")
    assert user("ps", "-aq").text == ""
