"""Chapter 2's commands, as a reader types them."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from ch02_namespaces import cgroup_v1, cgroup_v2, doctor
from ch02_namespaces.cgroups import Hierarchy
from tests.support.engines import fails
from tests.support.hosts import Host, Result
from tests.support.ordinary_user import PYTHON, become, readable_engine
from tests.support.polling import PATIENCE, eventually

pytestmark = pytest.mark.kernel


def command(host: Host, *words: str, **options: object) -> Result:
    return host.run([sys.executable, "-m", "ch02_namespaces", *words], **options)  # type: ignore[arg-type]


def test_without_a_command_it_lists_them(host: Host) -> None:
    result = command(host)
    assert result.code == 125
    assert b"  uts        2.1.2" in result.out


def test_an_unknown_command_is_one_clear_line(host: Host) -> None:
    fails(command(host, "utf"), 125, "'utf': there is no such command")


def test_any_command_explains_itself(host: Host) -> None:
    result = command(host, "uts", "--explain", "echo", "x")
    first, *calls = result.error.splitlines()
    assert (result.code, result.out) == (0, b"x\n")
    assert first == "uts      2.1.2 A host name of its own: ch02_namespaces/cli.py, in_new.execute()"
    assert any(re.fullmatch(r" +clone3\(CLONE_NEWUTS\) = \d+", line) for line in calls)


def test_ls_shows_the_namespaces_of_a_process_and_who_shares_them(host: Host) -> None:
    sleeper = host.spawn(["unshare", "--uts", "--ipc", "sleep", "60"])
    eventually(lambda: namespace("ipc", sleeper.pid) != namespace("ipc"), "namespaces of the sleeper's own")
    other = host.spawn(["nsenter", "--uts", "--target", str(sleeper.pid), "sleep", "60"])
    eventually(lambda: namespace("uts", other.pid) == namespace("uts", sleeper.pid), "the other joined")
    shown = command(host, "ls", str(sleeper.pid), "--format", "json").text.splitlines()
    by_kind = {row["kind"]: row for row in map(json.loads, shown)}
    assert by_kind["uts"]["inode"] == namespace("uts", sleeper.pid)
    assert by_kind["uts"]["pids"].split() == sorted(map(str, (sleeper.pid, other.pid)), key=int)
    assert by_kind["ipc"]["pids"].split() == [str(sleeper.pid)]
    assert by_kind["user"]["inode"] == namespace("user")


def namespace(kind: str, pid: int | str = "self") -> int:
    return os.stat(f"/proc/{pid}/ns/{kind}").st_ino


@pytest.mark.parametrize("word", ["x", "99999999"])
def test_ls_of_nobody_is_an_error(host: Host, word: str) -> None:
    fails(command(host, "ls", word), 125, word)


@pytest.mark.parametrize(
    ("section", "kind"),
    [("uts", "uts"), ("ipc", "ipc"), ("pid", "pid"), ("mount", "mnt"), ("net", "net"), ("user", "user"),
     ("cgroup-ns", "cgroup"), ("time", "time")],
)  # fmt: skip
def test_each_section_starts_a_command_in_a_new_namespace_of_its_kind(host: Host, section: str, kind: str) -> None:
    inside = command(host, section, "stat", "-Lc", "%i", f"/proc/self/ns/{kind}").text
    outside = host.run(["stat", "-Lc", "%i", f"/proc/self/ns/{kind}"]).text
    assert inside != outside


def test_without_a_command_it_starts_the_users_shell(host: Host) -> None:
    result = command(host, "pid", input=b"echo $$\n", env={"SHELL": "/bin/sh"})
    assert result.text == "1"


def test_the_exit_code_is_the_commands(host: Host) -> None:
    assert command(host, "uts", "sh", "-c", "exit 7").code == 7
    assert command(host, "uts", "sh", "-c", "kill -9 $$").code == 137
    fails(command(host, "uts", "nosuch"), 127, "nosuch: command not found")
    fails(command(host, "uts", "/etc/passwd"), 126, "/etc/passwd: Permission denied")


def test_host_name_changes_inside_only(host: Host) -> None:
    before = os.uname().nodename
    assert command(host, "uts", "sh", "-c", "hostname inside; hostname").text == "inside"
    assert os.uname().nodename == before


def test_a_queue_of_the_host_is_not_seen_inside(host: Host) -> None:
    queue = host.run(["ipcmk", "--queue"]).text.split()[-1]
    try:
        outside, inside = host.run(["ipcs", "-q"]).text, command(host, "ipc", "ipcs", "-q").text
        assert f" {queue} " in outside
        assert "0x" not in inside
    finally:
        host.run(["ipcrm", "--queue-id", queue])


def test_proc_shows_the_inside_only_and_the_hosts_stays_whole(host: Host) -> None:
    assert command(host, "mount", "sh", "-c", "echo /proc/[0-9]*; true").text == "/proc/1"
    assert Path(f"/proc/{os.getpid()}/comm").exists()


@pytest.mark.vm
def test_mounts_do_not_reach_a_host_whose_root_is_shared(host: Host, tmp_path: Path) -> None:
    script = f"""
        mount --make-rshared / && mkdir {tmp_path}/m
        {sys.executable} -m ch02_namespaces mount mount -t tmpfs none {tmp_path}/m
        grep -c {tmp_path}/m /proc/self/mountinfo
        echo /proc/self
    """
    result = host.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", script])
    assert result.text.splitlines() == ["0", "/proc/self"]


@pytest.mark.vm
def test_an_ordinary_user_is_root_inside_and_nobody_outside(host: Host) -> None:
    script = "id -u; id -g; cat /proc/self/uid_map; cat /proc/self/setgroups; touch /etc/mine 2>&1"
    line = [*become(65534), PYTHON, "-m", "ch02_namespaces", "user", "sh", "-c", script]
    with readable_engine() as path:
        result = host.run(line, env={"PYTHONPATH": path}, cwd="/")
    uid, gid, uid_map, setgroups, refused = result.out.decode().splitlines()
    assert (uid, gid, uid_map.split(), setgroups) == ("0", "0", ["0", "65534", "1"], "deny")
    assert "Permission denied" in refused


def test_the_network_has_only_lo_which_is_down(host: Host) -> None:
    (line,) = command(host, "net", "ip", "-o", "link").text.splitlines()
    assert "lo:" in line and "state DOWN" in line


@pytest.mark.vm
def test_the_clock_since_boot_is_moved_inside_only(host: Host) -> None:
    read = "import time; print(time.clock_gettime(time.CLOCK_BOOTTIME))"
    inside = float(command(host, "time", "--boottime", "1000000.5", sys.executable, "-c", read).text)
    assert 900_000 < inside - time.clock_gettime(time.CLOCK_BOOTTIME) < 1_000_001
    fails(command(host, "time", "--boottime", "soon", "true"), 125, "--boottime soon: it is not a number")


def test_enter_joins_those_namespaces_that_differ(host: Host) -> None:
    sleeper = host.spawn(["unshare", "--uts", "--ipc", "--mount", "sleep", "60"])
    eventually(lambda: namespace("mnt", sleeper.pid) != namespace("mnt"), "a mount namespace of its own")
    for kind in ("uts", "ipc", "mnt", "net"):
        joined = command(host, "enter", str(sleeper.pid), "stat", "-Lc", "%i", f"/proc/self/ns/{kind}").text
        assert int(joined) == namespace(kind, sleeper.pid)
    only = command(host, "enter", "--kind", "uts", str(sleeper.pid), "stat", "-Lc", "%i", "/proc/self/ns/ipc").text
    assert int(only) == namespace("ipc")
    fails(command(host, "enter", "--kind", "x", str(sleeper.pid)), 125, "there is no such kind")
    fails(command(host, "enter"), 125, "PID: it is missing")


class TestCgroupCommands:
    @pytest.fixture
    def name(self, host: Host) -> str:
        return f"mydocker-test-{os.getpid()}"

    def cgroup(self, host: Host, *words: str) -> Result:
        return command(host, "cgroup", *words)

    @pytest.mark.vm
    def test_the_life_of_a_group(self, host: Host, name: str) -> None:
        directories = self.cgroup(host, "create", "-m", "64m", "--pids", "10", "--cpus", "0.5", name).text.splitlines()
        try:
            assert all(map(os.path.isdir, directories))
            fails(self.cgroup(host, "create", name), 125, "EEXIST")
            sleeper = host.spawn(["sleep", "60"])
            assert self.cgroup(host, "add", name, str(sleeper.pid)).code == 0
            assert self.cgroup(host, "ps", name).text == str(sleeper.pid)
            assert name in Path(f"/proc/{sleeper.pid}/cgroup").read_text()
            rows = map(json.loads, self.cgroup(host, "stats", "--format", "json", name).text.splitlines())
            assert {row["name"]: row["value"] for row in rows}["pids"] == 1
            assert limit(directories, "memory.max", "memory.limit_in_bytes") == str(64 << 20)
            assert self.cgroup(host, "set", "-m", "256m", name).code == 0
            assert limit(directories, "memory.max", "memory.limit_in_bytes") == str(256 << 20)
            fails(self.cgroup(host, "remove", name), 125, "EBUSY")
            assert self.cgroup(host, "freeze", name).code == 0
            assert self.cgroup(host, "thaw", name).code == 0
            assert self.cgroup(host, "kill", name).code == 0
            assert sleeper.wait(PATIENCE) == -9
        finally:
            self.cgroup(host, "kill", name)
            assert self.cgroup(host, "remove", name).code == 0
        assert not any(map(os.path.isdir, directories))
        fails(self.cgroup(host, "stats", name), 125, "there is no such group")

    @pytest.mark.vm
    def test_a_frozen_process_does_nothing_until_thawed(self, host: Host, name: str) -> None:
        counter = host.spawn(["sh", "-c", "while :; do :; done"])
        self.cgroup(host, "create", name)
        try:
            assert self.cgroup(host, "add", name, str(counter.pid)).code == 0
            eventually(lambda: processor_time(counter.pid) > 20, "that it counts")
            assert self.cgroup(host, "freeze", name).code == 0
            before = processor_time(counter.pid)
            time.sleep(0.2)
            assert processor_time(counter.pid) == before
            assert self.cgroup(host, "thaw", name).code == 0
            eventually(lambda: processor_time(counter.pid) > before, "that it goes on")
        finally:
            self.cgroup(host, "kill", name)
            counter.wait(PATIENCE)
            assert self.cgroup(host, "remove", name).code == 0

    @pytest.mark.vm
    def test_a_process_over_its_memory_limit_is_killed_and_told_so(self, host: Host) -> None:
        hungry = [sys.executable, "-S", "-c", "data = bytearray(200_000_000)"]
        result = self.cgroup(host, "run", "-m", "20m", "--memory-swap", "20m", *hungry)
        fails(result, 137, "out of memory")
        assert self.cgroup(host, "run", "-m", "20m", "true") == Result(0, b"", b"")

    @pytest.mark.parametrize("name", ["..", "a/../../b", "", "/"])
    def test_names_that_climb_out_are_refused(self, host: Host, name: str) -> None:
        fails(self.cgroup(host, "create", name), 125, "that is not a name of a group")

    @pytest.mark.vm
    def test_layout_names_each_controller_once(self, host: Host) -> None:
        rows = [json.loads(line) for line in self.cgroup(host, "layout", "--format", "json").text.splitlines()]
        controllers = " ".join(row["controllers"] for row in rows).split()
        assert {"memory", "pids", "cpu"} <= set(controllers)
        assert len(controllers) == len(set(controllers))


def limit(directories: list[str], *files: str) -> str:
    found = [Path(top, file) for top in directories for file in files if Path(top, file).exists()]
    return found[0].read_text().strip()


def processor_time(pid: int) -> int:
    """In hundredths of a second, for itself and in the kernel."""
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))


class TestDoctor:
    @pytest.mark.vm
    def test_names_everything_and_succeeds_on_a_fit_machine(self, host: Host) -> None:
        result = command(host, "doctor", "--format", "json", timeout=120)
        rows = {row["what"]: row for row in map(json.loads, result.out.splitlines())}
        missing = [row for row in rows.values() if row["state"] == "MISSING"]
        assert result.code == (1 if missing else 0)
        assert all(row["fix"] for row in missing)
        wanted = {"overlayfs", "FUSE", "bridge", "veth", "vxlan", "nftables", "seccomp", "ip_forward", "cgroups"}
        assert wanted <= set(rows)
        assert [row for row in missing if row["what"] in ("overlayfs", "veth")] == []

    @pytest.mark.parametrize(
        ("mounted", "expected"),
        [
            ([], "not mounted"),
            ([(cgroup_v1, "memory"), (cgroup_v1, "pids")], "version 1"),
            ([(cgroup_v2, "memory pids")], "version 2"),
            ([(cgroup_v2, "hugetlb"), (cgroup_v1, "memory")], "hybrid: version 1 and version 2, limits on 1"),
            ([(cgroup_v2, "memory"), (cgroup_v1, "devices")], "hybrid: version 1 and version 2, limits on 2"),
            ([(cgroup_v2, "pids"), (cgroup_v1, "memory")], "hybrid: version 1 and version 2, limits on 1 and 2"),
            ([(cgroup_v2, ""), (cgroup_v1, "")], "hybrid: version 1 and version 2, limits on neither"),
        ],
    )
    def test_tells_the_layouts_of_cgroups_apart(self, mounted: list[tuple[ModuleType, str]], expected: str) -> None:
        assert doctor.layout([Hierarchy(version, "/x", names.split(), "/") for version, names in mounted]) == expected

    def test_sees_what_is_not_there(self, host: Host) -> None:
        """On a machine without nft, and with a /dev that has no fuse."""
        python = [sys.executable, "-m", "ch02_namespaces", "doctor", "--format", "json"]
        script = 'mount -t tmpfs none /dev; mount -t tmpfs none /usr/sbin; PATH=/bin; exec "$@"'
        result = host.run(["unshare", "--mount", "sh", "-c", script, "sh", *python], timeout=120)
        rows = {row["what"]: row for row in map(json.loads, result.out.splitlines())}
        assert result.code == 1
        assert rows["FUSE"]["state"] == rows["nftables"]["state"] == "MISSING"
        assert "apt install" in rows["nftables"]["fix"]
