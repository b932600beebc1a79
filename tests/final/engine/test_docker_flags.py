"""Flags that few use, done as Docker does them; and what Docker has and we don't: told with the reason."""

from __future__ import annotations

import os

import pytest

from final.engine import refused
from final.engine.completion import every_command, flags_of
from tests.final.engine.conftest import Box
from tests.final.engine.test_commands import limit
from tests.lessons.run import versions_of_limits
from tests.support.engines import ENGINE_FAILED, fails

pytestmark = pytest.mark.kernel

DISK = "/dev/loop0"
# /dev/fuse, which whoever may open at all may open
OPENS = "mknod /x c 10 229; (: < /x) 2>/dev/null && echo opened || echo refused"


def test_rules_for_devices(box: Box) -> None:
    assert box.once(OPENS) == "refused"
    assert box.once(OPENS, "--device-cgroup-rule", "c 10:229 r") == "opened"
    assert box.once(OPENS, "--device-cgroup-rule", "c 10:* rwm") == "opened"
    assert box.once(OPENS, "--device-cgroup-rule", "c 10:228 r") == "refused"
    for numbers in (f"{'9' * 5000}:1", "\N{ARABIC-INDIC DIGIT ONE}:3", "1:-1", "1:+3"):
        result = box.raw("create", "--device-cgroup-rule", f"c {numbers} r", "busybox")
        fails(result, ENGINE_FAILED, "it is no rule for devices")


def test_names_and_namespaces(box: Box) -> None:
    assert box.once("cat /proc/sys/kernel/domainname", "--domainname", "example.org") == "example.org"
    groups = "sed 's/.*://' /proc/self/cgroup | sort -u"
    assert box.once(groups) == box.once(groups, "--cgroupns", "private") == "/"
    box.sleeper("one", "--cgroupns", "host")
    assert f"/{box.show('one', '{{.Id}}')}" in box("exec", "one", "cat", "/proc/self/cgroup")
    assert box.show("one", "{{.HostConfig.CgroupnsMode}}") == "host"


def test_nodes_of_memory(box: Box) -> None:
    id = box.sleeper("one", "--cpuset-mems", "0")
    assert limit(id, "cpuset.mems") == "0" and box.show("one", "{{.HostConfig.CpusetMems}}") == "0"
    assert box("update", "--cpuset-mems", "0", "one") == "one"
    fails(box.raw("update", "--cpuset-mems", "4096", "one"), ENGINE_FAILED, "mems")
    assert limit(id, "cpuset.mems") == "0"


def test_memory_that_runs_short(box: Box) -> None:
    flags = ["-m", "64m", "--memory-swappiness", "10", "--oom-kill-disable"]
    if 1 not in versions_of_limits():
        fails(box.raw("run", "--rm", *flags, "busybox", "true"), ENGINE_FAILED, "version 2")
        return
    id = box.sleeper("one", *flags)
    assert limit(id, "memory.swappiness") == "10" and "oom_kill_disable 1" in limit(id, "memory.oom_control")
    assert box.show("one", "{{.HostConfig.MemorySwappiness}} {{.HostConfig.OomKillDisable}}") == "10 true"


@pytest.mark.skipif(not os.path.exists(DISK), reason=f"this machine has no {DISK}")
def test_rates_of_a_disk(box: Box) -> None:
    flags = ["--device-read-bps", f"{DISK}:1m", "--device-write-iops", f"{DISK}:7"]
    id = box.sleeper("one", *flags)
    number = os.stat(DISK).st_rdev
    disk = f"{os.major(number)}:{os.minor(number)}"
    if 1 in versions_of_limits():
        assert limit(id, "blkio.throttle.read_bps_device") == f"{disk} 1048576"
        assert limit(id, "blkio.throttle.write_iops_device") == f"{disk} 7"
    else:
        assert set(limit(id, "io.max").split()) == {disk, "rbps=1048576", "wbps=max", "riops=max", "wiops=7"}
    known = box.known("one")["HostConfig"]
    assert known["BlkioDeviceReadBps"] == [{"Path": DISK, "Rate": 1 << 20}]
    assert known["BlkioDeviceWriteIOps"] == [{"Path": DISK, "Rate": 7}] and known["BlkioDeviceWriteBps"] == []


def test_flags_of_which_there_is_one_kind(box: Box) -> None:
    one = ["--runtime", "mydocker-runtime", "--isolation", "default", "--volume-driver", "local", "--sig-proxy"]
    shown = ["-a", "stdin", "-a", "stdout", "-a", "stderr", "--disable-content-trust", "-i"]
    assert box("run", "--rm", "--net", "none", *one, *shown, "busybox", "cat", input=b"word") == "word"


def test_networks_with_both_versions(box: Box) -> None:
    box("network", "create", "--ipv6", "--attachable", "--ipam-driver", "default", "both")
    (four, six) = box.lines(
        "network", "inspect", "-v", "-f", "{{range .IPAM.Config}}{{println .Subnet}}{{end}}", "both"
    )
    assert "." in four and six.startswith("fd") and six.endswith("::/64")
    box("network", "create", "--ipv6", "--subnet", "10.1.0.0/24", "--subnet", "fd00:5::/64", "given")
    box.box("it", "--net", "both")
    assert box.raw("exec", "it", "ping", "-6", "-c1", "-W1", six.replace("/64", "1")).code == 0
    box("network", "connect", "--ip", "10.1.0.9", "--ip6", "fd00:5::9", "given", "it")
    told = box("exec", "it", "ip", "-o", "address", "show", "eth1")
    assert "10.1.0.9/24" in told and "fd00:5::9/64" in told
    fails(box.raw("network", "create", "--ip-range", "10.1.0.0/28", "x"), ENGINE_FAILED, "--ip-range", "--subnet")
    fails(box.raw("network", "connect", "--link", "a", "both", "it"), ENGINE_FAILED, "--link", "--alias")


def test_what_only_docker_has(box: Box) -> None:
    for name, (why, _) in refused.COMMANDS.items():
        fails(box.raw(name, "x"), ENGINE_FAILED, name, why)
    box.sleeper("one")
    fails(box.raw("rm", "--link", "one"), ENGINE_FAILED, "--link", "by name")
    fails(box.raw("attach", "--sig-proxy=false", "one"), ENGINE_FAILED, "--sig-proxy=false")
    for command in ("attach", "exec", "start", "run"):
        fails(box.raw(command, "--detach-keys", "ctrl-x", "one", "true"), ENGINE_FAILED, "--detach-keys", "ctrl-p")
    assert "--gpus" in box("run", "--help") and "not here" in box("run", "--help")
    offered = [name for words, command, _ in every_command() if words == ("run",) for name in flags_of(command)]
    assert "--gpus" not in offered and "--cap-add" in offered
