"""What config.json says of paths, kernel parameters, users, clocks and mounts. As seen from inside. Section 7.3."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ch02_namespaces.cgroups import hierarchies
from ch02_namespaces.errors import EngineError
from ch07_practice.oci.document import Node
from final.runtime import sysctl
from final.runtime.user_namespace import mappings_of
from tests.ch07_practice.bundles import Change, Runtime
from tests.support.engines import ENGINE_FAILED, fails
from tests.support.hosts import REPOSITORY, Host, Result

pytestmark = pytest.mark.kernel
MODULE = "final.runtime"
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
FIRST, COUNT = 100_000, 65_536
MAPPING = [{"containerID": 0, "hostID": FIRST, "size": COUNT}]


@pytest.fixture
def runtime(host: Host, tmp_path: Path) -> Runtime:
    """A runtime whose containers are all run to their end."""
    return Runtime(host, tmp_path, MODULE)


def linux(**fields: Any) -> Change:
    """A document whose field `linux` has these fields."""
    return lambda config: config["linux"].update(fields)


def both(*changes: Change) -> Change:
    def change(config: dict[str, Any]) -> None:
        for one in changes:
            one(config)

    return change


def namespaces(*kinds: str) -> Change:
    """More namespaces than the example has."""
    return lambda config: config["linux"]["namespaces"].extend({"type": kind} for kind in kinds)


def without(*kinds: str) -> Change:
    """Fewer."""

    def change(config: dict[str, Any]) -> None:
        listed = config["linux"]["namespaces"]
        config["linux"]["namespaces"] = [entry for entry in listed if entry["type"] not in kinds]

    return change


def without_mounts(*destinations: str) -> Change:
    def change(config: dict[str, Any]) -> None:
        config["mounts"] = [mount for mount in config["mounts"] if mount["destination"] not in destinations]

    return change


def bind(source: Path, destination: str, *options: str, **fields: Any) -> Change:
    entry = {"destination": destination, "type": "bind", "source": str(source), "options": ["bind", *options], **fields}
    return lambda config: config["mounts"].append(entry)


NO_SYSFS = without_mounts("/sys", "/sys/fs/cgroup")  # its network namespace must be the container's own


class TestMaskedPaths:
    def test_a_file_is_empty_and_a_directory_too(self, runtime: Runtime) -> None:
        (runtime.rootfs / "secret").write_text("secret")
        (runtime.rootfs / "secrets").mkdir()
        (runtime.rootfs / "secrets/one").write_text("secret")
        masked = linux(maskedPaths=["/secret", "/secrets", "/proc/kallsyms", "/proc/nosuch", "/proc/kcore/x"])
        result = runtime.sh("cat /secret /proc/kallsyms; ls -A /secrets; echo x > /secrets/new || echo refused", masked)
        assert result.text == "refused"
        assert (runtime.rootfs / "secret").read_text() == "secret"

    def test_the_command_starts_where_it_was_to_start(self, runtime: Runtime) -> None:
        def change(config: dict[str, Any]) -> None:
            config["process"]["cwd"] = "/usr"
            config["linux"]["maskedPaths"] = ["/home"]

        assert runtime.run(["pwd"], change).text == "/usr"

    def test_without_masks_the_same_can_be_read(self, runtime: Runtime) -> None:
        (runtime.rootfs / "secret").write_text("secret")
        assert runtime.sh("cat /secret").text == "secret"

    def test_null_is_the_device_or_nothing_is_masked(self, runtime: Runtime) -> None:
        """CVE-2025-31133: the image's own /dev/null, in place of a masked file."""
        (runtime.rootfs / "secret").write_text("secret")
        for plant in (
            lambda null: null.write_text("chosen by the image"),
            lambda null: null.symlink_to("/secret"),
            lambda null: os.mknod(null, 0o020666, os.makedev(1, 5)),
        ):
            null = runtime.rootfs / "dev/null"
            plant(null)
            change = both(linux(maskedPaths=["/secret"]), without_mounts("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"))
            run = ["run", "--bundle", str(runtime.bundle(["cat", "/secret"], change)), "box"]
            fails(runtime.raw(*run, input=b""), ENGINE_FAILED, "MaskedPaths", "/dev/null")
            null.unlink()

    def test_a_link_leads_nowhere_outside(self, runtime: Runtime, tmp_path: Path) -> None:
        """It masks what it means inside."""
        outside = tmp_path / "outside"
        outside.write_text("outside")
        (runtime.rootfs / "link").symlink_to("../../../../etc/passwd")
        assert runtime.sh("cat /etc/passwd", linux(maskedPaths=["/link"])).text == ""
        (runtime.rootfs / "door").symlink_to("/proc/self/cwd")
        fails(runtime.sh("true", linux(maskedPaths=["/door"])), ENGINE_FAILED, "linux.maskedPaths[0]")
        assert outside.read_text() == "outside"

    @pytest.mark.parametrize("field", ["maskedPaths", "readonlyPaths"])
    @pytest.mark.parametrize("paths", [["relative"], [""], [1], "text", ["/nul\0"]])
    def test_wrong_documents(self, runtime: Runtime, field: str, paths: Any) -> None:
        fails(runtime.sh("true", linux(**{field: paths})), ENGINE_FAILED, f"config.json: linux.{field}")


@pytest.mark.parametrize("target", ["/proc/sysrq-trigger", "/etc/passwd", "/nosuch"])
def test_no_terminal_lies_over_what_a_link_of_the_image_means(runtime: Runtime, target: str) -> None:
    """CVE-2025-52565: /dev/console as a link into /proc."""
    (runtime.rootfs / "dev/console").symlink_to(target)
    change = both(
        without_mounts("/dev", "/dev/shm", "/dev/mqueue"), lambda config: config["process"].update(terminal=True)
    )
    words = ["create", "--bundle", str(runtime.bundle(["true"], change)), "--console-socket", "/nosuch", "box"]
    fails(runtime.raw(*words), ENGINE_FAILED, "Console", "/dev/console", "link")


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_a_place_that_cannot_be_made(runtime: Runtime, tmp_path: Path, kind: str) -> None:
    source = tmp_path / "source"
    source.mkdir() if kind == "directory" else source.touch()
    fails(
        runtime.run(["true"], bind(source, "/proc/nosuch")), ENGINE_FAILED, "/proc/nosuch: it cannot be made: No such"
    )


def test_mounts_in_one_that_cannot_be_changed(runtime: Runtime, tmp_path: Path) -> None:
    """As an engine's user asks for them: a volume in a read-only tmpfs, or among the cgroups."""
    (tmp_path / "file").write_text("hello")

    def tmpfs(config: dict[str, Any]) -> None:
        config["root"]["readonly"] = False
        config["mounts"].append({"destination": "/t", "type": "tmpfs", "source": "x", "options": ["ro", "mode=700"]})

    change = both(tmpfs, bind(tmp_path, "/t/inside"))
    seen = runtime.sh("cat /t/inside/file; touch /t/x; touch /t/inside/new; stat -c %a /t", change)
    assert seen.text == "hello700" and b"/t/x: Read-only" in seen.err
    assert (tmp_path / "new").exists()
    if len(hierarchies()) > 1:
        seen = runtime.sh("cd /sys/fs/cgroup; cat more/file; touch x", bind(tmp_path, "/sys/fs/cgroup/more"))
        assert seen.out == b"hello" and b"x: Read-only" in seen.err


class TestReadonlyPaths:
    def test_they_cannot_be_changed(self, runtime: Runtime) -> None:
        script = "cd /proc/sys/net/ipv4; echo 7 > ip_default_ttl || echo refused; cat ip_default_ttl"
        assert runtime.sh(script).text == "7"
        assert runtime.sh(script, linux(readonlyPaths=["/proc/sys", "/nosuch"])).text == "refused\n64"

    def test_other_flags_stay(self, runtime: Runtime) -> None:
        result = runtime.sh("grep ' /proc/sys ' /proc/mounts", linux(readonlyPaths=["/proc/sys"]))
        assert set(result.text.split()[3].split(",")) >= {"ro", "nosuid", "nodev", "noexec"}

    def test_a_file(self, runtime: Runtime) -> None:
        writable = lambda config: config["root"].update(readonly=False)  # noqa: E731
        script = "echo 1 > /etc/hosts || echo refused; echo 1 > /etc/hostname && echo written"
        assert runtime.sh(script, both(writable, linux(readonlyPaths=["/etc/hosts"]))).text == "refused\nwritten"


class TestProc:
    @pytest.mark.parametrize("name", ["proc", "sys"])
    def test_a_link_is_refused(self, runtime: Runtime, name: str) -> None:
        """CVE-2019-19921, CVE-2023-27561: what is said of /proc would be of no effect on the real one."""
        (runtime.rootfs / name).rmdir()
        (runtime.rootfs / "elsewhere").mkdir()
        (runtime.rootfs / name).symlink_to("elsewhere")
        number = 0 if name == "proc" else 5
        fails(runtime.sh("true"), ENGINE_FAILED, f"mounts[{number}].destination", "link")

    def test_no_parameter_is_written_to_anything_else(self, runtime: Runtime, tmp_path: Path) -> None:
        """CVE-2025-52881: a tmpfs at /proc, a file over a parameter."""
        parameter = linux(sysctl={"net.ipv4.ip_forward": "1"})
        (runtime.rootfs / "proc/sys/net/ipv4").mkdir(parents=True)
        fake = runtime.rootfs / "proc/sys/net/ipv4/ip_forward"
        fake.write_text("fake")
        gone = without_mounts("/proc")
        fails(runtime.sh("true", both(parameter, gone)), ENGINE_FAILED, "linux.sysctl.net.ipv4.ip_forward", "proc")
        assert fake.read_text() == "fake"
        cover = tmp_path / "cover"
        cover.write_text("cover")
        over = both(parameter, bind(cover, "/proc/sys/net/ipv4/ip_forward"))
        fails(runtime.sh("true", over), ENGINE_FAILED, "linux.sysctl.net.ipv4.ip_forward")
        assert cover.read_text() == "cover"

    def test_a_part_of_procfs_is_not_procfs(self, runtime: Runtime) -> None:
        part = both(without_mounts("/proc"), bind(Path("/proc/sys"), "/proc"), linux(sysctl={"kernel.sem": "1 2 3 4"}))
        fails(runtime.sh("true", part), ENGINE_FAILED, "linux.sysctl.kernel.sem", "/proc")


class TestSysctl:
    def test_parameters_of_own_namespaces(self, runtime: Runtime) -> None:
        before = Path("/proc/sys/kernel/shm_rmid_forced").read_text()
        wanted = {
            "net.ipv4.ip_forward": "1",
            "net/ipv4/ping_group_range": "0 7",
            "kernel.shm_rmid_forced": "1",
            "kernel.domainname": "example",
            "fs.mqueue.msg_max": "20",
        }
        script = "cd /proc/sys; cat net/ipv4/ip_forward net/ipv4/ping_group_range kernel/shm_rmid_forced"
        script += " kernel/domainname fs/mqueue/msg_max"
        assert runtime.sh(script, linux(sysctl=wanted)).text.split() == ["1", "0", "7", "1", "example", "20"]
        assert Path("/proc/sys/kernel/shm_rmid_forced").read_text() == before

    @pytest.mark.parametrize(
        ("name", "missing"),
        [
            ("kernel.panic", ""),
            ("vm.swappiness", ""),
            ("fs.file-max", ""),
            ("net.ipv4.ip_forward", "network"),
            ("kernel.shmmax", "ipc"),
            ("fs.mqueue.msg_max", "ipc"),
            ("kernel.domainname", "uts"),
            ("kernel.hostname", ""),
            ("net.ipv4.nosuch", ""),
            ("net/../kernel/panic", ""),
            ("net..ipv4", ""),
            ("net", ""),
            ("", ""),
        ],
    )
    def test_what_is_not_the_containers_own(self, runtime: Runtime, name: str, missing: str) -> None:
        change = both(linux(sysctl={name: "1"}), without(missing), lambda config: config.pop("hostname"))
        words = ["linux.sysctl", missing] if missing else ["linux.sysctl"]
        fails(runtime.sh("true", both(change, NO_SYSFS)), ENGINE_FAILED, *words)

    def test_a_joined_namespace_that_is_the_hosts(self, runtime: Runtime) -> None:
        ours = {"type": "network", "path": f"/proc/{runtime.host.pid}/ns/net"}
        change = both(without("network"), lambda config: config["linux"]["namespaces"].append(ours))
        change = both(change, NO_SYSFS, linux(sysctl={"net.ipv4.ip_forward": "1"}))
        fails(runtime.sh("true", change), ENGINE_FAILED, "linux.sysctl", "network namespace is the host's")

    def test_a_name_and_its_field(self, runtime: Runtime) -> None:
        change = both(linux(sysctl={"kernel.domainname": "one"}), lambda config: config.update(domainname="two"))
        fails(runtime.sh("true", change), ENGINE_FAILED, "linux.sysctl.kernel.domainname", "'domainname'")

    @pytest.mark.parametrize(
        ("name", "path"),
        [
            ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
            ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
            ("kernel.sem", "kernel/sem"),
        ],
    )
    def test_separators(self, name: str, path: str) -> None:
        assert sysctl.path_of(name, Node("", "")) == path


def mapped(runtime: Runtime, *kinds: str) -> Change:
    """A user namespace, and a root file system that belongs to its root."""
    subprocess.run(["chown", "-hR", f"{FIRST}:{FIRST}", str(runtime.rootfs)], check=True)
    return both(namespaces("user", *kinds), linux(uidMappings=MAPPING, gidMappings=MAPPING))


class TestUserNamespace:
    def test_root_inside_is_nobody_outside(self, runtime: Runtime) -> None:
        """And has what every container has: proc, sys, devices, a host name."""
        script = "id -u; id -g; cat /proc/self/uid_map; hostname; ls /sys/class/net; echo $$; echo x > /dev/null"
        script += "; head -c 3 /dev/zero | wc -c; stat -c %t:%T /dev/null /dev/tty; readlink /dev/stdin; touch /dev/x"
        lines = runtime.sh(script, mapped(runtime)).text.splitlines()
        assert lines[:2] == ["0", "0"]
        assert lines[2].split() == ["0", str(FIRST), str(COUNT)]
        assert lines[3:] == ["box", "lo", "1", "3", "1:3", "5:0", "/proc/self/fd/0"]

    def test_what_is_mounted_has_its_name(self, runtime: Runtime) -> None:
        script = "cut -d ' ' -f 1-3 /proc/mounts | grep -E ' /(proc|sys) '"
        assert runtime.sh(script, mapped(runtime)).text.splitlines() == ["proc /proc proc", "sysfs /sys sysfs"]

    def test_as_seen_by_the_host(self, runtime: Runtime) -> None:
        user = lambda config: config["process"]["user"].update(uid=7, gid=8, additionalGids=[9])  # noqa: E731
        assert runtime.create("box", ["sleep", "1000"], both(mapped(runtime), user)).code == 0
        pid = runtime.state("box")["pid"]
        status = Path(f"/proc/{pid}/status").read_text()
        lines = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
        assert lines["Uid"].split() == [str(FIRST + 7)] * 4
        assert lines["Gid"].split() == [str(FIRST + 8)] * 4
        assert lines["Groups"].split() == [str(FIRST + 9)]
        assert runtime.raw("delete", "--force", "box").code == 0

    def test_everything_together(self, runtime: Runtime) -> None:
        """Masks, read-only paths, parameters and a clock, in a user namespace."""
        change = both(
            mapped(runtime, "time"),
            linux(
                maskedPaths=["/proc/kallsyms", "/sys/firmware"],
                readonlyPaths=["/proc/sys"],
                sysctl={"net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1"},
                timeOffsets={"boottime": {"secs": 1_000_000}},
            ),
        )
        script = "cat /proc/kallsyms; ls /sys/firmware; cat /proc/sys/net/ipv4/ip_forward; cut -d. -f1 /proc/uptime"
        forward, uptime = runtime.sh(script, change).text.split()
        assert forward == "1"
        assert int(uptime) > 1_000_000

    def test_no_right_outside(self, runtime: Runtime, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("secret")
        secret.chmod(0o600)
        change = both(mapped(runtime), bind(secret, "/secret"))
        script = "cat /secret; mknod /dev/y b 8 0; echo 1 > /proc/sys/kernel/panic; true"
        result = runtime.sh(script, change)
        assert (result.code, result.out, len(result.err.splitlines())) == (0, b"", 3)

    @pytest.mark.parametrize(
        ("fields", "word"),
        [
            ({"uidMappings": []}, "linux.uidMappings"),
            ({"uidMappings": MAPPING}, "linux.gidMappings"),
            ({"uidMappings": [{**MAPPING[0], "size": 0}], "gidMappings": MAPPING}, "linux.uidMappings[0].size"),
            ({"uidMappings": MAPPING, "gidMappings": [MAPPING[0], MAPPING[0]]}, "linux.gidMappings[1]"),
            ({"uidMappings": [{**MAPPING[0], "hostID": -1}]}, "linux.uidMappings[0].hostID"),
            ({"uidMappings": [{**MAPPING[0], "hostID": (1 << 32) - 2}]}, "linux.uidMappings[0].hostID"),
            ({"uidMappings": [{"hostID": 1, "size": 1}]}, "linux.uidMappings[0].containerID"),
        ],
    )
    def test_wrong_documents(self, runtime: Runtime, fields: dict[str, Any], word: str) -> None:
        fails(runtime.sh("true", both(namespaces("user"), linux(**fields))), ENGINE_FAILED, word)

    def test_mappings_without_a_namespace(self, runtime: Runtime) -> None:
        fails(runtime.sh("true", linux(uidMappings=MAPPING)), ENGINE_FAILED, "linux.uidMappings")

    @pytest.mark.parametrize(("first", "second", "overlap"), [((0, 5), (5, 9), True), ((0, 5), (10, 15), False)])
    def test_overlaps(self, first: tuple[int, int], second: tuple[int, int], overlap: bool) -> None:
        """Ten each; the second pair's ids outside are beside the first one's, or in it."""
        pairs = (first, second)
        listed = [{"containerID": inside, "hostID": outside, "size": 10} for inside, outside in pairs]
        if overlap:
            with pytest.raises(EngineError, match=r"\[1\].*overlap"):
                mappings_of(Node(listed, "x"))
        else:
            assert [mapping.line() for mapping in mappings_of(Node(listed, "x"))] == ["0 5 10", "10 15 10"]


class TestTimeOffsets:
    def test_clocks_differ(self, runtime: Runtime) -> None:
        offsets = {"boottime": {"secs": 1_000_000}, "monotonic": {"secs": 5, "nanosecs": 7}}
        script = "cut -d. -f1 /proc/uptime; cat /proc/self/timens_offsets"
        lines = runtime.sh(script, both(namespaces("time"), linux(timeOffsets=offsets))).text.splitlines()
        assert int(lines[0]) > 1_000_000
        assert [line.split() for line in lines[1:]] == [["monotonic", "5", "7"], ["boottime", "1000000", "0"]]

    def test_children_have_the_same_clocks(self, runtime: Runtime) -> None:
        change = both(namespaces("time"), linux(timeOffsets={"monotonic": {"secs": 5}}))
        script = "readlink /proc/self/ns/time /proc/self/ns/time_for_children; (readlink /proc/self/ns/time; true)"
        found = runtime.sh(script, change).text.split()
        assert len(set(found)) == 1 and found[0] != os.readlink("/proc/self/ns/time")

    @pytest.mark.parametrize(
        ("offsets", "word"),
        [
            ({"realtime": {"secs": 1}}, "linux.timeOffsets.realtime"),
            ({"boottime": {"secs": "1"}}, "linux.timeOffsets.boottime.secs"),
            ({"boottime": {"nanosecs": 1_000_000_000}}, "linux.timeOffsets.boottime.nanosecs"),
            ({"boottime": {"secs": -(1 << 40)}}, "linux.timeOffsets"),
        ],
    )
    def test_wrong_documents(self, runtime: Runtime, offsets: Any, word: str) -> None:
        change = both(namespaces("time"), linux(timeOffsets=offsets))
        fails(runtime.sh("true", change), ENGINE_FAILED, f"config.json: {word}")

    def test_offsets_without_a_namespace(self, runtime: Runtime) -> None:
        fails(runtime.sh("true", linux(timeOffsets={"boottime": {"secs": 1}})), ENGINE_FAILED, "linux.timeOffsets")


class TestMappedMounts:
    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        """A directory whose file belongs to user 3 and group 4, and a mount below it."""
        top = tmp_path / "source"
        (top / "below").mkdir(parents=True)
        (top / "file").write_text("text")
        os.chown(top / "file", 3, 4)
        return top

    def seen(self, runtime: Runtime, change: Change) -> str:
        return runtime.sh("stat -c %u:%g /data/file", change).text

    def test_its_own_mapping(self, runtime: Runtime, source: Path) -> None:
        own = [{"containerID": 0, "hostID": 1000, "size": 10}]
        fields = {"uidMappings": own, "gidMappings": own}
        assert self.seen(runtime, bind(source, "/data")) == "3:4"
        assert self.seen(runtime, bind(source, "/data", **fields)) == "1003:1004"
        assert self.seen(runtime, bind(source, "/data", "idmap", **fields)) == "1003:1004"

    def test_the_containers_mapping(self, runtime: Runtime, source: Path) -> None:
        """In a user namespace, files look as on the host."""
        change = mapped(runtime)
        assert self.seen(runtime, both(change, bind(source, "/data"))) == "65534:65534"
        for option in ("idmap", "ridmap"):
            assert self.seen(runtime, both(change, bind(source, "/data", option))) == "3:4"

    def test_with_mounts_below(self, runtime: Runtime, source: Path) -> None:
        own = [{"containerID": 0, "hostID": 1000, "size": 10}]
        subprocess.run(["mount", "-t", "tmpfs", "-o", "uid=1", "tmpfs", str(source / "below")], check=True)
        try:
            for option, owner in (("idmap", "1"), ("ridmap", "1001")):
                change = bind(source, "/data", "rbind", option, uidMappings=own, gidMappings=own)
                assert runtime.sh("stat -c %u /data/below", change).text == owner
        finally:
            subprocess.run(["umount", str(source / "below")], check=True)

    def test_a_file_system_that_has_none(self, runtime: Runtime) -> None:
        own = [{"containerID": 0, "hostID": 1000, "size": 10}]
        change = bind(Path("/proc/sys"), "/data", uidMappings=own, gidMappings=own)
        fails(runtime.sh("true", change), ENGINE_FAILED, "mounts[7]", "/proc/sys cannot have a mapping")

    @pytest.mark.parametrize(
        ("options", "fields", "word"),
        [
            (["idmap"], {}, "uidMappings"),
            ([], {"uidMappings": MAPPING}, "only one of"),
            (["idmap"], {"uidMappings": [], "gidMappings": []}, "uidMappings"),
            ([], {"uidMappings": MAPPING, "gidMappings": "text"}, "gidMappings"),
        ],
    )
    def test_wrong_documents(
        self, runtime: Runtime, source: Path, options: list[str], fields: dict[str, Any], word: str
    ) -> None:
        fails(runtime.sh("true", bind(source, "/data", *options, **fields)), ENGINE_FAILED, "mounts[7]", word)

    def test_only_what_is_bound(self, runtime: Runtime) -> None:
        def change(config: dict[str, Any]) -> None:
            config["mounts"].append({"destination": "/t", "type": "tmpfs", "source": "t", "options": ["idmap"]})

        fails(runtime.sh("true", change), ENGINE_FAILED, "mounts[7]", "bind")


class TestOrdinaryUser:
    """Rootless: he is root inside, and has no cgroup that he could make, and no group that he could leave."""

    @pytest.fixture
    def home(self, host: Host) -> Iterator[Path]:
        """A directory for his bundle: pytest's are root's alone."""
        if host.run([*NOBODY, sys.executable, "-c", "import ch02_namespaces"], cwd=REPOSITORY).code:
            pytest.skip("no Python that an ordinary user may run")
        if host.run([*NOBODY, "unshare", "--user", "true"], cwd="/").code:
            pytest.skip("this kernel gives ordinary users no user namespace")
        with tempfile.TemporaryDirectory() as home:
            yield Path(home)

    def run(self, host: Host, home: Path, size: int) -> Result:
        """Run a command; `size` users are mapped, he and those after him."""

        def change(config: dict[str, Any]) -> None:
            devpts = next(mount for mount in config["mounts"] if mount["destination"] == "/dev/pts")
            devpts["options"].remove("gid=5")  # which he is not

        mapping = [{"containerID": 0, "hostID": 65534 - size + 1, "size": size}]
        mappings = linux(uidMappings=mapping, gidMappings=mapping)
        (home / "data").mkdir()
        (home / "data/file").write_text("data")
        script = "id -u; id -g; hostname; cat /data/file"
        wanted = both(namespaces("user"), mappings, change, bind(home / "data", "/data"))
        bundle = Runtime(host, home, MODULE).bundle(["sh", "-c", script], wanted)
        subprocess.run(["chown", "-hR", "65534:65534", str(home)], check=True)
        words = [sys.executable, "-m", MODULE, "--root", f"{home}/state", "run", "--bundle", str(bundle), "box"]
        result = host.run([*NOBODY, *words], cwd=REPOSITORY)
        assert list((home / "state").iterdir()) == []
        return result

    def test_nobody_but_himself(self, host: Host, home: Path) -> None:
        assert self.run(host, home, 1).text.split() == ["0", "0", "box", "data"]

    def test_others_only_with_a_helper_that_lets_him(self, host: Host, home: Path) -> None:
        fails(self.run(host, home, 2), ENGINE_FAILED, "UserMappings", "newuidmap")
