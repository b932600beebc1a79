"""What a container may use: linux.resources and linux.cgroupsPath, as the kernel has it. Section 7.3."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ch02_namespaces import cgroup_v1, cgroup_v2
from ch02_namespaces.cgroups import Cgroup, Hierarchy, hierarchies
from ch02_namespaces.errors import EngineError
from ch07_practice.oci.document import Node
from final.runtime import cgroup_path, resources, resources_v1, resources_v2, statistics
from final.runtime.setting import Setting
from final.runtime.wishes import Wishes
from tests.ch07_practice.bundles import Change, Runtime
from tests.support.engines import ENGINE_FAILED, fails
from tests.support.hosts import REPOSITORY, Host, Result
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel
MODULE = "final.runtime"
SLEEP = ["sleep", "1000"]
MIB = 1 << 20


@pytest.fixture
def runtime(host: Host, tmp_path: Path) -> Iterator[Runtime]:
    """A runtime; its containers are removed after the test."""
    runtime = Runtime(host, tmp_path, MODULE)
    yield runtime
    if runtime.root.exists():
        for path in runtime.root.iterdir():
            assert runtime.raw("delete", "--force", path.name).code == 0


def limited(**fields: Any) -> Change:
    return lambda config: config["linux"].update(resources=fields)


def needs(controller: str) -> Hierarchy:
    """The hierarchy of a controller; without one the test is skipped."""
    for hierarchy in hierarchies():
        if controller in hierarchy.controllers:
            return hierarchy
    pytest.skip(f"this machine has no cgroup controller {controller}")


def group(id: str) -> Cgroup:
    return Cgroup(f"mydocker-runtime/{id}")


def text(controller: str, *files: str, id: str = "box") -> str:
    """The first of these files that the container's group has."""
    directory = Path(group(id).directory(controller))
    path = next((directory / file for file in files if (directory / file).exists()), None)
    if path is None:
        pytest.skip(f"this kernel's {controller} has no {' or '.join(files)}")
    return path.read_text().strip()


def created(runtime: Runtime, **fields: Any) -> None:
    result = runtime.create("box", SLEEP, limited(**fields))
    assert result.code == 0, result.error


class TestKernel:
    """Each limit is in the file that the kernel obeys, whichever version has the controller."""

    def test_memory(self, runtime: Runtime) -> None:
        needs("memory")
        created(runtime, memory={"limit": 64 * MIB, "reservation": 32 * MIB, "kernel": 5, "kernelTCP": -1})
        assert text("memory", "memory.limit_in_bytes", "memory.max") == str(64 * MIB)
        assert text("memory", "memory.soft_limit_in_bytes", "memory.low") == str(32 * MIB)

    def test_buffers_of_tcp(self, runtime: Runtime) -> None:
        """Of version 1 alone."""
        needs("memory")
        created(runtime, memory={"kernelTCP": 32 * MIB})
        assert text("memory", "memory.kmem.tcp.limit_in_bytes") == str(32 * MIB)

    def test_swap(self, runtime: Runtime) -> None:
        needs("memory")
        created(runtime, memory={"limit": 64 * MIB, "swap": 96 * MIB})
        of_version_1 = needs("memory").version is cgroup_v1
        file = "memory.memsw.limit_in_bytes" if of_version_1 else "memory.swap.max"
        assert text("memory", file) == str((96 if of_version_1 else 32) * MIB)

    def test_swappiness_and_killer(self, runtime: Runtime) -> None:
        fields = {"memory": {"swappiness": 7, "disableOOMKiller": True}}
        if needs("memory").version is cgroup_v2:
            fails(runtime.create("box", SLEEP, limited(**fields)), ENGINE_FAILED, "memory.swappiness", "version 2")
            return
        created(runtime, **fields)
        assert text("memory", "memory.swappiness") == "7"
        assert "oom_kill_disable 1" in text("memory", "memory.oom_control").splitlines()

    @pytest.mark.vm
    def test_memory_is_enforced(self, runtime: Runtime) -> None:
        needs("memory")
        script = "head -c 50000000 /dev/zero | tail | wc -c"
        change = limited(memory={"limit": 32 * MIB, "swap": 32 * MIB})
        result = runtime.sh(script, change)
        assert b"50000000" not in result.out
        assert b"Killed" in result.err or result.code == 137  # the shell, which would tell, may be the victim itself
        assert runtime.sh(script).text == "50000000"

    @pytest.mark.vm
    def test_cpu(self, runtime: Runtime) -> None:
        needs("cpu")
        created(runtime, cpu={"shares": 512, "quota": 50_000, "period": 200_000, "burst": 10_000})
        if needs("cpu").version is cgroup_v1:
            assert text("cpu", "cpu.shares") == "512"
            assert text("cpu", "cpu.cfs_quota_us") == "50000"
            assert text("cpu", "cpu.cfs_period_us") == "200000"
        else:
            assert text("cpu", "cpu.weight") == "20"
            assert text("cpu", "cpu.max") == "50000 200000"
        assert text("cpu", "cpu.cfs_burst_us", "cpu.max.burst") == "10000"

    def test_more_time_than_one_processor_has(self, runtime: Runtime) -> None:
        """A quota has no upper bound but the kernel's."""
        needs("cpu")
        created(runtime, cpu={"quota": 100_000 * ((os.cpu_count() or 1) + 5)})
        assert text("cpu", "cpu.cfs_quota_us", "cpu.max").startswith(str(100_000 * ((os.cpu_count() or 1) + 5)))

    def test_idle(self, runtime: Runtime) -> None:
        needs("cpu")
        created(runtime, cpu={"idle": 1})
        assert text("cpu", "cpu.idle") == "1"

    def test_realtime(self, runtime: Runtime) -> None:
        if needs("cpu").version is cgroup_v2:
            result = runtime.create("box", SLEEP, limited(cpu={"realtimeRuntime": 1000}))
            fails(result, ENGINE_FAILED, "linux.resources.cpu.realtimeRuntime", "version 2")
            return
        result = runtime.create("box", SLEEP, limited(cpu={"realtimePeriod": 1_000_000, "realtimeRuntime": 1000}))
        if result.code:  # the groups above have no budget that they could give, or this kernel has none at all
            fails(result, ENGINE_FAILED, "linux.resources.cpu.realtime", "cpu.rt_")
        else:
            assert text("cpu", "cpu.rt_runtime_us") == "1000"

    def test_processors(self, runtime: Runtime) -> None:
        needs("cpuset")
        created(runtime, cpu={"cpus": "0", "mems": "0"})
        assert text("cpuset", "cpuset.cpus") == text("cpuset", "cpuset.mems") == "0"
        assert (
            runtime.sh("grep Cpus_allowed_list /proc/self/status", limited(cpu={"cpus": "0"})).text.split()[-1] == "0"
        )

    @pytest.mark.vm
    def test_pids(self, runtime: Runtime) -> None:
        needs("pids")
        created(runtime, pids={"limit": 7})
        assert text("pids", "pids.max") == "7"
        script = "for i in 1 2 3 4 5 6; do sleep 1000 & done; echo all"
        assert runtime.sh(script, limited(pids={"limit": 3})).out == b""
        assert runtime.sh(script, limited(pids={"limit": -1})).text == "all"

    @pytest.mark.vm
    def test_rates(self, runtime: Runtime) -> None:
        needs("io")
        number = os.stat("/dev/loop0").st_rdev if os.path.exists("/dev/loop0") else os.makedev(7, 0)
        device = {"major": os.major(number), "minor": os.minor(number)}
        names = "ReadBps", "WriteBps", "ReadIOPS", "WriteIOPS"
        rates = {f"throttle{name}Device": [{**device, "rate": 1000 + at}] for at, name in enumerate(names)}
        result = runtime.create("box", SLEEP, limited(blockIO=rates))
        if "ENODEV" in result.error:
            pytest.skip("this machine has no block device 7:0")
        assert result.code == 0, result.error
        if needs("io").version is cgroup_v2:
            assert set(text("io", "io.max").split()[1:]) == {"rbps=1000", "wbps=1001", "riops=1002", "wiops=1003"}
        else:
            assert text("io", "blkio.throttle.read_bps_device") == "7:0 1000"
            assert text("io", "blkio.throttle.write_iops_device") == "7:0 1003"

    def test_weight(self, runtime: Runtime) -> None:
        needs("io")
        result = runtime.create("box", SLEEP, limited(blockIO={"weight": 300}))
        if result.code:
            fails(result, ENGINE_FAILED, "linux.resources.blockIO.weight", "this kernel's cgroups have no")
            pytest.skip("no I/O scheduler with weights here")
        expected = ("300", "default 300", f"default {resources_v2.io_weight(300)}")
        assert text("io", "blkio.bfq.weight", "blkio.weight", "io.bfq.weight", "io.weight") in expected

    def test_huge_pages(self, runtime: Runtime) -> None:
        needs("hugetlb")
        created(runtime, hugepageLimits=[{"pageSize": "2MB", "limit": 4 * MIB}])
        for kind in ("", "rsvd."):
            assert text("hugetlb", f"hugetlb.2MB.{kind}limit_in_bytes", f"hugetlb.2MB.{kind}max") == str(4 * MIB)

    def test_sizes_that_there_are_not(self, runtime: Runtime) -> None:
        needs("hugetlb")
        result = runtime.create("box", SLEEP, limited(hugepageLimits=[{"pageSize": "3MB", "limit": 0}]))
        fails(result, ENGINE_FAILED, "linux.resources.hugepageLimits[0]", "hugetlb.3MB")

    @pytest.mark.vm
    def test_files_of_version_2(self, runtime: Runtime) -> None:
        if not any(hierarchy.version is cgroup_v2 for hierarchy in hierarchies()):
            result = runtime.create("box", SLEEP, limited(unified={"memory.high": "1"}))
            fails(result, ENGINE_FAILED, "linux.resources.unified", "no cgroup version 2")
            return
        created(runtime, unified={"cgroup.max.descendants": "7"})
        assert Path(group("box").directory(), "cgroup.max.descendants").read_text() == "7\n"

    @pytest.mark.parametrize(
        ("fields", "controller"),
        [
            ({"memory": {"limit": MIB}}, "memory"),
            ({"cpu": {"cpus": "0"}}, "cpuset"),
            ({"rdma": {"mlx5_0": {"hcaHandles": 3}}}, "rdma"),
            ({"network": {"classID": 1}}, "net_cls"),
            ({"network": {"priorities": [{"name": "lo", "priority": 1}]}}, "net_prio"),
            ({"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}, "hugetlb"),
        ],
    )
    def test_a_controller_that_is_missing(self, fields: dict[str, Any], controller: str) -> None:
        others = [hierarchy for hierarchy in hierarchies() if controller not in hierarchy.controllers]
        with pytest.raises(EngineError, match=rf"config.json: resources\..*no cgroup controller '{controller}'"):
            resources.plan(Wishes(Node(fields, "resources")), Cgroup("mydocker-test/none", others))
        resources.plan(Wishes(Node({}, "resources")), Cgroup("mydocker-test/none", others))

    def test_a_value_that_the_kernel_does_not_take(self, runtime: Runtime) -> None:
        needs("cpuset")
        result = runtime.create("box", SLEEP, limited(cpu={"cpus": "4000"}))
        fails(result, ENGINE_FAILED, "linux.resources.cpu.cpus", "cpuset.cpus", "'4000'")
        assert not os.path.exists(group("box").directory("cpuset"))


class TestDocuments:
    @pytest.mark.parametrize(
        ("fields", "word"),
        [
            ({"memory": {"limit": -2}}, "memory.limit"),
            ({"memory": {"limit": "64m"}}, "memory.limit"),
            ({"memory": {"limit": 10, "swap": 5}}, "memory.swap"),
            ({"memory": {"swappiness": 101}}, "memory.swappiness"),
            ({"memory": {"disableOOMKiller": 1}}, "memory.disableOOMKiller"),
            ({"cpu": {"shares": -1}}, "cpu.shares"),
            ({"cpu": {"quota": 1.5}}, "cpu.quota"),
            ({"cpu": {"idle": 2}}, "cpu.idle"),
            ({"cpu": {"cpus": 0}}, "cpu.cpus"),
            ({"pids": {"limit": "x"}}, "pids.limit"),
            ({"blockIO": {"weight": 5}}, "blockIO.weight"),
            ({"blockIO": {"weightDevice": [{"major": 1, "minor": 1}]}}, "blockIO.weightDevice[0]"),
            (
                {"blockIO": {"throttleReadBpsDevice": [{"major": 1, "rate": 1}]}},
                "blockIO.throttleReadBpsDevice[0].minor",
            ),
            ({"hugepageLimits": [{"pageSize": "2M", "limit": 1}]}, "hugepageLimits[0].pageSize"),
            ({"hugepageLimits": [{"pageSize": "../2MB", "limit": 1}]}, "hugepageLimits[0].pageSize"),
            ({"network": {"classID": 1 << 32}}, "network.classID"),
            ({"network": {"priorities": [{"name": "a b", "priority": 1}]}}, "network.priorities[0].name"),
            ({"rdma": {"mlx5_0": {}}}, "rdma.mlx5_0"),
            ({"unified": {"../memory.max": "1"}}, "unified"),
            ({"unified": {"memory": "1"}}, "unified.memory"),
            ({"unified": {"memory.high": 1}}, "unified.memory.high"),
            ({"unified": {"nosuch.high": "1"}}, "unified"),
        ],
    )
    def test_wrong_ones(self, runtime: Runtime, fields: dict[str, Any], word: str) -> None:
        fails(runtime.create("box", SLEEP, limited(**fields)), ENGINE_FAILED, f"linux.resources.{word}")

    def test_caches_are_not_supported(self, runtime: Runtime) -> None:
        change: Change = lambda config: config["linux"].update(intelRdt={"closID": "x"})  # noqa: E731
        fails(runtime.create("box", SLEEP, change), ENGINE_FAILED, "linux.intelRdt", "not supported")


def written(version: Any, **fields: Any) -> dict[str, str]:
    """What a version would write, by its files; of several names the first."""
    found: list[Setting] = list(version.settings(Wishes(Node(fields, "resources"))))
    return {setting.name: setting.choices[0][1] if setting.choices else "" for setting in found}


class TestConversion:
    """What is written where no kernel of this machine can be asked."""

    def test_memory(self) -> None:
        fields = {"limit": 100, "swap": 250, "reservation": 50}
        assert written(resources_v2, memory=fields) == {
            "memory.swap.max": "150",
            "memory.max": "100",
            "memory.low": "50",
        }
        assert written(resources_v1, memory=fields) == {
            "memory.limit_in_bytes": "100",
            "memory.memsw.limit_in_bytes": "250",
            "memory.soft_limit_in_bytes": "50",
        }
        assert written(resources_v2, memory={"limit": 100, "swap": 100})["memory.swap.max"] == "0"
        assert written(resources_v2, memory={"limit": 100, "swap": -1})["memory.swap.max"] == "max"
        for version, value in ((resources_v1, "-1"), (resources_v2, "max")):
            assert set(written(version, memory={"limit": -1}).values()) == {value}
        with pytest.raises(EngineError, match=r"resources.memory.swap: .*no memory limit"):
            written(resources_v2, memory={"swap": 100})

    def test_cpu(self) -> None:
        fields = {"shares": 1024, "quota": 5, "period": 10, "burst": 3, "idle": 0}
        assert written(resources_v2, cpu=fields) == {
            "cpu.idle": "0",
            "cpu.weight": "39",
            "cpu.max": "5 10",
            "cpu.max.burst": "3",
        }
        assert written(resources_v2, cpu={"quota": -1}) == {"cpu.max": "max 100000"}
        assert written(resources_v2, cpu={"period": 7}) == {"cpu.max": "max 7"}
        assert written(resources_v2, cpu={"shares": 1}) == {"cpu.weight": "1"}
        assert written(resources_v2, cpu={"shares": 1 << 40}) == {"cpu.weight": "10000"}
        assert written(resources_v1, cpu={"quota": -1, "realtimeRuntime": -1}) == {
            "cpu.cfs_quota_us": "-1",
            "cpu.rt_runtime_us": "-1",
        }

    def test_io(self) -> None:
        device = {"major": 8, "minor": 16}
        fields = {
            "weight": 10,
            "leafWeight": 20,
            "weightDevice": [{**device, "weight": 500, "leafWeight": 30}],
            "throttleWriteIOPSDevice": [{**device, "rate": 0}],
        }
        choices = [setting.choices for setting in resources_v2.settings(Wishes(Node({"blockIO": fields}, "")))]
        assert choices == [
            (("io.bfq.weight", "10"), ("io.weight", "1")),
            (),
            (("io.bfq.weight", "8:16 500"), ("io.weight", "8:16 4950")),
            (),
            (("io.max", "8:16 wiops=max"),),
        ]
        assert written(resources_v1, blockIO=fields) == {
            "blkio.bfq.weight": "10",
            "blkio.leaf_weight": "20",
            "blkio.bfq.weight_device": "8:16 500",
            "blkio.leaf_weight_device": "8:16 30",
            "blkio.throttle.write_iops_device": "8:16 0",
        }

    def test_the_rest(self) -> None:
        fields = {
            "pids": {"limit": -1},
            "hugepageLimits": [{"pageSize": "1GB", "limit": 9}],
            "rdma": {"mlx5_0": {"hcaHandles": 3, "hcaObjects": 4}},
        }
        both = {"pids.max": "max", "rdma.max": "mlx5_0 hca_handle=3 hca_object=4"}
        assert written(resources_v2, **fields) == both | {"hugetlb.1GB.max": "9", "hugetlb.1GB.rsvd.max": "9"}
        sizes = {"hugetlb.1GB.limit_in_bytes": "9", "hugetlb.1GB.rsvd.limit_in_bytes": "9"}
        assert written(resources_v1, **fields) == both | sizes
        network = {"classID": 0x100001, "priorities": [{"name": "eth0", "priority": 5}]}
        assert written(resources_v1, network=network) == {"net_cls.classid": "1048577", "net_prio.ifpriomap": "eth0 5"}

    def test_what_version_2_has_not(self) -> None:
        mounted = [Hierarchy(cgroup_v2, "/nosuch", ["memory", "cpu", "io"], "/")]
        for fields, place in (
            ({"memory": {"swappiness": 1}}, "memory.swappiness"),
            ({"memory": {"disableOOMKiller": True}}, "memory.disableOOMKiller"),
            ({"cpu": {"realtimePeriod": 1}}, "cpu.realtimePeriod"),
            ({"blockIO": {"leafWeight": 10}}, "blockIO.leafWeight"),
        ):
            with pytest.raises(EngineError, match=f"resources.{place}: cgroup version 2 has no such limit"):
                resources.plan(Wishes(Node(fields, "resources")), Cgroup("x", mounted))


class TestRunning:
    """A container that runs: update, pause, statistics, processes."""

    @pytest.fixture
    def box(self, runtime: Runtime) -> Cgroup:
        created(runtime, memory={"limit": 64 * MIB, "swap": 64 * MIB}, cpu={"quota": 50_000}, pids={"limit": 50})
        assert runtime.raw("start", "box").code == 0
        return group("box")

    @pytest.mark.vm
    @pytest.mark.parametrize("memory", [32 * MIB, 256 * MIB, -1])
    def test_update(self, box: Cgroup, memory: int) -> None:
        """Smaller and larger: memory and swap depend on each other."""
        needs("memory")
        fields = {"memory": {"limit": memory, "swap": memory}, "cpu": {"period": 20_000, "quota": 10_000}}
        resources.update(box, Node(fields, "resources"))
        found = text("memory", "memory.limit_in_bytes", "memory.max")
        assert found == str(memory) if memory > 0 else found == "max" or int(found) > 1 << 50
        assert text("cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] == "10000"
        assert text("pids", "pids.max") == "50"

    def test_update_that_would_end_it(self, box: Cgroup) -> None:
        needs("memory")
        fields = {"memory": {"limit": 4096, "checkBeforeUpdate": True}}
        with pytest.raises(EngineError, match=r"resources.memory.limit: \d+ bytes are in use"):
            resources.update(box, Node(fields, "resources"))
        assert text("memory", "memory.limit_in_bytes", "memory.max") == str(64 * MIB)

    @pytest.mark.vm
    def test_pause(self, box: Cgroup, runtime: Runtime) -> None:
        assert not box.is_frozen()
        box.freeze()
        assert box.is_frozen()
        box.freeze(False)
        assert not box.is_frozen()

    @pytest.mark.vm
    def test_paused(self, box: Cgroup, runtime: Runtime) -> None:
        """It says so; nothing enters it unasked; and it can be killed."""
        assert runtime.raw("pause", "box").code == 0
        assert runtime.status("box") == "paused"
        assert box.is_frozen()
        fails(runtime.raw("exec", "box", "true"), ENGINE_FAILED, "it is paused", "--ignore-paused")
        assert runtime.raw("resume", "box").code == 0
        assert runtime.status("box") == "running"
        assert runtime.raw("exec", "box", "true").code == 0
        assert runtime.raw("pause", "box").code == 0
        assert runtime.raw("kill", "box", "KILL").code == 0
        eventually(lambda: runtime.status("box") == "stopped", "its end")
        fails(runtime.raw("pause", "box"), ENGINE_FAILED, "stopped")

    def test_paused_and_deleted(self, box: Cgroup, runtime: Runtime) -> None:
        assert runtime.raw("pause", "box").code == 0
        assert runtime.raw("delete", "--force", "box").code == 0
        fails(runtime.raw("state", "box"), ENGINE_FAILED, "does not exist")

    def test_processes(self, box: Cgroup, runtime: Runtime) -> None:
        assert resources.processes(box) == [runtime.state("box")["pid"]]
        below = Path(box.directory(), "below")
        below.mkdir()
        Path(below, "cgroup.procs").write_text(str(runtime.state("box")["pid"]))
        assert resources.processes(box) == [runtime.state("box")["pid"]]

    @pytest.mark.vm
    def test_statistics(self, box: Cgroup) -> None:
        def found() -> dict[str, Any]:
            return statistics.statistics(box)

        needs("memory")
        assert found()["pids"] == {"current": 1, "limit": 50}
        assert 0 < found()["memory"]["usage"]["usage"] <= found()["memory"]["usage"]["limit"] == 64 * MIB
        assert found()["memory"]["raw"]["pgfault"] > 0
        assert found()["cpu"]["usage"]["total"] > 0
        assert set(found()["cpu"]["throttling"]) == {"periods", "throttledPeriods", "throttledTime"}
        eventually(lambda: found()["cpu"]["usage"]["total"] >= found()["cpu"]["usage"]["user"], "a sum")
        assert isinstance(found()["blkio"]["ioServiceBytesRecursive"], list)

    def test_version_2_counts_the_same(self, tmp_path: Path) -> None:
        """From files as the kernel's documentation shows them."""
        files = {
            "cpu.stat": "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 3\nnr_throttled 2\nthrottled_usec 7\n",
            "memory.stat": "anon 5\nfile 6\n",
            "memory.current": "11\n",
            "memory.max": "max\n",
            "memory.peak": "12\n",
            "memory.swap.current": "1\n",
            "memory.swap.max": "2\n",
            "pids.current": "4\n",
            "pids.max": "max\n",
            "io.stat": "8:16 rbytes=100 wbytes=200 rios=3 wios=4 dbytes=0 dios=0\n8:0\n",
            "hugetlb.2MB.current": "9\n",
            "hugetlb.2MB.rsvd.current": "8\n",
        }
        for file, content in files.items():
            (tmp_path / file).write_text(content)
        mounted = Hierarchy(cgroup_v2, str(tmp_path.parent), ["cpu", "memory", "pids", "io", "hugetlb"], "/")
        device = {"major": 8, "minor": 16}
        assert statistics.statistics(Cgroup(tmp_path.name, [mounted])) == {
            "cpu": {
                "usage": {"total": 30_000, "kernel": 10_000, "user": 20_000},
                "throttling": {"periods": 3, "throttledPeriods": 2, "throttledTime": 7_000},
            },
            "memory": {
                "cache": 6,
                "usage": {"limit": statistics.UNBOUNDED, "usage": 11, "max": 12},
                "swap": {"limit": 2, "usage": 1},
                "raw": {"anon": 5, "file": 6},
            },
            "pids": {"current": 4, "limit": 0},
            "blkio": {
                "ioServiceBytesRecursive": [
                    {**device, "op": "Read", "value": 100},
                    {**device, "op": "Write", "value": 200},
                ],
                "ioServicedRecursive": [{**device, "op": "Read", "value": 3}, {**device, "op": "Write", "value": 4}],
            },
            "hugetlb": {"2MB": {"usage": 9}},
        }


class TestPath:
    @pytest.mark.parametrize(
        ("text", "path"),
        [
            (None, "mydocker-runtime/box"),
            ("/a/b", "a/b"),
            ("a/../../b", "b"),
            ("system.slice:docker:c1", "system.slice/docker-c1.scope"),
            (":docker:c1", "system.slice/docker-c1.scope"),
            ("user-1000.slice:p:c1", "user.slice/user-1000.slice/p-c1.scope"),
            ("-.slice:p:c1", "p-c1.scope"),
            ("a.slice:p:own.slice", "a.slice/own.slice"),
            ("a/b:c:d", "a/b:c:d"),
        ],
    )
    def test_paths(self, text: str | None, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cgroup_path, "SYSTEMD_RUNS", "/no/systemd")
        assert cgroup_path.path_of(Node({"linux": {"cgroupsPath": text}}, ""), "box") == path

    @pytest.mark.parametrize("text", ["/", "..", "a:b:c", "a--b.slice:p:c", "a.slice:p:", ".slice:p:c", "-a.slice:b:c"])
    def test_wrong_ones(self, text: str) -> None:
        with pytest.raises(EngineError, match=r"config.json: linux.cgroupsPath"):
            cgroup_path.path_of(Node({"linux": {"cgroupsPath": text}}, ""), "box")

    def create_where_systemd(self, runs: bool, runtime: Runtime) -> Result:
        """`create` with a path in systemd's way, on a machine where it runs or not."""
        change: Change = lambda config: config["linux"].update(cgroupsPath="mydocker.slice:test:box")  # noqa: E731
        words = runtime.words("create", "--bundle", str(runtime.bundle(SLEEP, change)), "box")
        run = runtime.rootfs.parent / "run"
        (run / "systemd/system" if runs else run).mkdir(parents=True)
        words = ["unshare", "--mount", "sh", "-ec", 'mount --bind "$0" /run; exec "$@"', str(run), *words]
        with tempfile.TemporaryFile() as said:
            result = runtime.host.run(words, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=said)
            said.seek(0)
            return Result(result.code, b"", said.read())

    def test_systemd_is_not_gone_past(self, runtime: Runtime) -> None:
        words = ["linux.cgroupsPath", "mydocker.slice:test:box", "cgroupfs"]
        fails(self.create_where_systemd(True, runtime), ENGINE_FAILED, *words)
        assert not any(map(os.path.exists, Cgroup("mydocker.slice").directories()))

    def test_as_systemd_would(self, runtime: Runtime) -> None:
        assert self.create_where_systemd(False, runtime).code == 0
        path = f"/proc/{runtime.state('box')['pid']}/cgroup"
        mine = [line.split(":", 2)[2] for line in Path(path).read_text().splitlines() if "name=" not in line]
        assert set(mine) == {"/mydocker.slice/test-box.scope"}
        assert runtime.raw("delete", "--force", "box").code == 0
        for directory in Cgroup("mydocker.slice").directories():
            os.rmdir(directory)
