"""The OCI runtime: a bundle's life, and what config.json says of it. Sections 7.3 and 7.4."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ch02_namespaces import syscalls
from tests.ch07_practice.bundles import Runtime
from tests.support import leaks, processes
from tests.support.engines import ENGINE_FAILED, NOT_EXECUTABLE, NOT_FOUND, fails, one_line
from tests.support.hosts import REPOSITORY, finish
from tests.support.polling import PATIENCE, eventually

pytestmark = pytest.mark.kernel
SLEEP = ["sleep", "1000"]
TRAP = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.02; done"
KERNEL = tuple(int(number) for number in os.uname().release.split("-")[0].split(".")[:2])


class TestLife:
    @pytest.mark.vm
    def test_five_commands(self, runtime: Runtime) -> None:
        assert runtime.create("box", SLEEP).code == 0
        created = runtime.state("box")
        assert created["status"] == "created"
        assert processes.is_alive(created["pid"])
        assert b"sleep" not in Path(f"/proc/{created['pid']}/cmdline").read_bytes()
        assert runtime.raw("start", "box").code == 0
        eventually(lambda: Path(f"/proc/{created['pid']}/cmdline").read_bytes() == b"sleep\x001000\0", "the command")
        assert runtime.state("box") == created | {"status": "running"}
        assert runtime.raw("kill", "box", "KILL").code == 0
        eventually(lambda: runtime.status("box") == "stopped", "its end")
        assert "pid" not in runtime.state("box")
        assert runtime.raw("delete", "box").code == 0
        fails(runtime.raw("state", "box"), ENGINE_FAILED, "does not exist")

    def test_what_the_specification_forbids(self, runtime: Runtime) -> None:
        runtime.create("box", SLEEP)
        fails(runtime.create("box", SLEEP), ENGINE_FAILED, "with this id already")
        fails(runtime.raw("delete", "box"), ENGINE_FAILED, "created")
        runtime.raw("start", "box")
        fails(runtime.raw("start", "box"), ENGINE_FAILED, "it is running")
        fails(runtime.raw("delete", "box"), ENGINE_FAILED, "running")
        assert runtime.raw("delete", "--force", "box").code == 0
        for command in ("start", "state", "kill", "delete"):
            fails(runtime.raw(command, "box"), ENGINE_FAILED, "does not exist")
        assert runtime.raw("delete", "--force", "box").code == 0

    @pytest.mark.parametrize("id", ["", "..", "a/b", "a b", "ä", "x" * 1025])
    def test_ids_that_are_no_names(self, runtime: Runtime, id: str) -> None:
        fails(runtime.create(id, SLEEP), ENGINE_FAILED, "container id")
        assert not runtime.root.exists() or list(runtime.root.iterdir()) == []

    def test_run_gives_back_output_and_exit_code(self, runtime: Runtime) -> None:
        result = runtime.sh("echo out; echo err >&2; exit 7")
        assert (result.code, result.out, result.err) == (7, b"out\n", b"err\n")
        assert runtime.sh("kill -9 $$; true").code == 0  # a PID 1 does not get it
        assert list(runtime.root.iterdir()) == []

    @pytest.mark.parametrize(("script", "code"), [("echo ready; exec sleep 1000", 143), (TRAP, 3)])
    def test_run_passes_signals_on(self, runtime: Runtime, script: str, code: int) -> None:
        """Where they would be lost, because nothing in the container waits for them, they end it."""
        bundle = runtime.bundle(["sh", "-c", script])
        running = runtime.spawn("run", "--bundle", str(bundle), "box", stdout=subprocess.PIPE)
        assert running.stdout is not None and running.stdout.readline() == b"ready\n"
        running.terminate()
        assert running.wait(PATIENCE) == code
        running.stdout.close()
        assert list(runtime.root.iterdir()) == []

    def test_run_detached_and_kept(self, runtime: Runtime) -> None:
        assert runtime.raw("run", "--detach", "--bundle", str(runtime.bundle(SLEEP)), "one").code == 0
        assert runtime.status("one") == "running"
        assert runtime.raw("run", "--keep", "--bundle", str(runtime.bundle(["sh", "-c", "exit 4"])), "two").code == 4
        assert runtime.status("two") == "stopped"

    def test_list(self, runtime: Runtime) -> None:
        runtime.create("one", SLEEP)
        runtime.create("two", SLEEP)
        runtime.raw("start", "two")
        rows = [json.loads(line) for line in runtime.raw("list", "--format", "json").text.splitlines()]
        assert [(row["id"], row["status"]) for row in rows] == [("one", "created"), ("two", "running")]
        assert runtime.raw("list", "-q").text.split() == ["one", "two"]

    def test_pid_file_and_log(self, runtime: Runtime, tmp_path: Path) -> None:
        bundle = runtime.bundle(SLEEP)
        assert runtime.raw("create", "--bundle", str(bundle), "--pid-file", f"{tmp_path}/pid", "box").code == 0
        assert (tmp_path / "pid").read_text() == str(runtime.state("box")["pid"])
        log = tmp_path / "log"
        runtime.raw("--log", str(log), "--log-format", "json", "state", "nosuch")
        assert "does not exist" in json.loads(log.read_text())["msg"]

    @pytest.mark.parametrize(
        "command, words", [("nosuch", "executable file not found in $PATH"), ("/etc/passwd", "permission denied")]
    )
    def test_engines_are_told_in_words_that_they_know(
        self, runtime: Runtime, tmp_path: Path, command: str, words: str
    ) -> None:
        bundle = runtime.bundle([command])
        log = tmp_path / "log"
        said = runtime.raw("--log", str(log), "--log-format", "json", "create", "--bundle", str(bundle), "box").error
        message = json.loads(log.read_text())["msg"]
        assert command in message and words in message and message in said

    def test_a_command_that_is_not_there_is_an_error_of_create(self, runtime: Runtime) -> None:
        fails(runtime.create("box", ["nosuch"]), NOT_FOUND, "nosuch", "not found")
        fails(runtime.create("box", ["/etc/passwd"]), NOT_EXECUTABLE, "not executable")
        assert list(runtime.root.iterdir()) == []

    def test_a_container_that_is_killed_before_its_start(self, runtime: Runtime) -> None:
        runtime.create("box", SLEEP)
        os.kill(runtime.state("box")["pid"], signal.SIGKILL)
        eventually(lambda: runtime.status("box") == "stopped", "its end")
        fails(runtime.raw("start", "box"), ENGINE_FAILED, "stopped")
        assert runtime.raw("delete", "box").code == 0

    def test_terminal_goes_to_the_console_socket(self, runtime: Runtime, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as taker:
            taker.bind(str(tmp_path / "console"))
            taker.listen()
            bundle = runtime.bundle(["sh", "-c", "tty; test -e /dev/console && echo console"], with_terminal)
            words = ("create", "--bundle", str(bundle), "--console-socket", str(tmp_path / "console"), "box")
            assert runtime.raw(*words).code == 0
            with taker.accept()[0] as peer:
                _, [master], _, _ = socket.recv_fds(peer, 100, 1)
        assert runtime.raw("start", "box").code == 0
        seen = b""
        while b"console" not in seen.partition(b"/dev/pts/0")[2]:
            seen += os.read(master, 1000)
        os.close(master)
        fails(runtime.create("b", SLEEP, with_terminal), ENGINE_FAILED, "--console-socket")


def with_terminal(config: dict[str, Any]) -> None:
    config["process"]["terminal"] = True


class TestProcess:
    def test_environment_directory_user(self, runtime: Runtime) -> None:
        def change(config: dict[str, Any]) -> None:
            config["process"] |= {"env": ["A=1", "PATH=/bin"], "cwd": "/var/made"}
            config["process"]["user"] = {"uid": 7, "gid": 8, "additionalGids": [9, 10], "umask": 0o027}
            config["root"]["readonly"] = False

        lines = runtime.sh("pwd; id; umask; env", change).text.splitlines()
        assert lines[:3] == ["/var/made", "uid=7 gid=8 groups=9,10", "0027"]
        assert {"A=1", "PATH=/bin"} <= set(lines[3:])

    def test_hostname_and_domainname(self, runtime: Runtime) -> None:
        def change(config: dict[str, Any]) -> None:
            config["domainname"] = "example"

        assert runtime.sh("hostname; cat /proc/sys/kernel/domainname", change).text.split() == ["box", "example"]

    def test_namespaces_are_new_or_joined(self, runtime: Runtime) -> None:
        runtime.create("other", SLEEP)
        path = f"/proc/{runtime.state('other')['pid']}/ns/net"

        def join(config: dict[str, Any]) -> None:
            for item in config["linux"]["namespaces"]:
                if item["type"] == "network":
                    item["path"] = path

        assert runtime.run(["readlink", "/proc/self/ns/net"], join).text == os.readlink(path)
        assert runtime.run(["readlink", "/proc/self/ns/net"]).text not in (
            os.readlink(path),
            os.readlink("/proc/self/ns/net"),
        )

    def test_no_descriptor_and_no_session_of_the_caller(self, runtime: Runtime) -> None:
        with open("/etc/passwd") as secret:
            bundle = runtime.bundle(["sh", "-c", "ls /proc/self/fd | wc -l"])
            result = runtime.raw("run", "--bundle", str(bundle), "box", pass_fds=[secret.fileno()])
        assert result.text == "4"  # three streams, and that of ls

    def test_descriptors_that_are_to_be_passed_on(self, runtime: Runtime, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("hello")
        bundle = runtime.bundle(["sh", "-c", "cat <&3; ls /proc/self/fd | wc -l"])
        script = 'exec 3< "$1"; shift; exec "$@"'
        words = runtime.words("run", "--preserve-fds", "1", "--bundle", str(bundle), "box")
        result = runtime.host.run(["sh", "-c", script, "sh", f"{tmp_path}/file", *words], cwd=REPOSITORY)
        assert result.text == "hello5"


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host whose mounts reach whoever has a copy of it."""
    directory = tmp_path / "shared"
    directory.mkdir()
    syscalls.mount("tmpfs", str(directory), "tmpfs", 0)
    syscalls.mount(None, str(directory), None, syscalls.MS_SHARED)
    yield directory
    syscalls.umount(str(directory), syscalls.MNT_DETACH)


class TestMounts:
    def test_options(self, runtime: Runtime, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "file").write_text("hello")

        def change(config: dict[str, Any]) -> None:
            config["mounts"] += [
                {"destination": "/data", "source": str(tmp_path / "data"), "options": ["rbind", "ro", "nosuid"]},
                {"destination": "/f", "source": str(tmp_path / "data/file"), "type": "bind", "options": ["bind"]},
                {"destination": "/t", "type": "tmpfs", "source": "x", "options": ["size=4k", "noexec", "shared"]},
            ]
            config["root"]["readonly"] = False

        script = "cat /data/file /f; touch /data/x; grep -E ' /(data|t) ' /proc/self/mountinfo"
        result = runtime.sh(script, change)
        data, tmpfs = [line for line in result.text.splitlines() if " / /" in line or "/data" in line][-2:]
        assert result.out.startswith(b"hellohello")
        assert b"Read-only" in result.err
        assert "ro,nosuid" in data and "noexec" in tmpfs and "size=4k" in tmpfs and "shared:" in tmpfs

    @pytest.mark.skipif((6, 8) <= KERNEL < (6, 15), reason="mountinfo's order is another one")
    def test_mountinfo_has_their_order(self, runtime: Runtime, tmp_path: Path) -> None:
        """Readers take it for the order in which they lie over each other."""
        (tmp_path / "data").mkdir()

        def change(config: dict[str, Any]) -> None:
            config["mounts"] += [
                {"destination": "/tmp/a", "type": "tmpfs", "source": "x"},
                {"destination": "/tmp/a/b", "source": str(tmp_path / "data"), "options": ["bind"]},
                {"destination": "/tmp/a/b", "type": "tmpfs", "source": "x"},
                {"destination": "/tmp/c", "source": "/etc", "options": ["rbind", "ro"]},
                {"destination": "/tmp/d", "type": "tmpfs", "source": "x"},
            ]

        found = runtime.sh("cut -d ' ' -f 5 /proc/self/mountinfo | grep /tmp/", change).text.split()
        assert found == ["/tmp/a", "/tmp/a/b", "/tmp/a/b", "/tmp/c", "/tmp/d"]

    def test_a_source_may_be_relative_to_the_bundle(self, runtime: Runtime) -> None:
        def change(config: dict[str, Any]) -> None:
            config["mounts"] += [{"destination": "/tmp/data", "source": "data", "options": ["bind"]}]

        bundle = runtime.bundle(["cat", "/tmp/data/file"], change)
        (bundle / "data").mkdir()
        (bundle / "data/file").write_text("hello")
        assert runtime.raw("run", "--bundle", str(bundle), "box").text == "hello"

    @pytest.mark.parametrize(("option", "hears"), [("rslave", True), ("rprivate", False)])
    def test_a_slave_hears_of_the_hosts_mounts(self, runtime: Runtime, shared: Path, option: str, hears: bool) -> None:
        """As Kubernetes asks for with HostToContainer."""

        def change(config: dict[str, Any]) -> None:
            config["linux"]["rootfsPropagation"] = "rslave"
            config["mounts"] += [{"destination": "/tmp/data", "source": str(shared), "options": ["rbind", option]}]

        runtime.create("box", SLEEP, change)
        (shared / "later").mkdir()
        syscalls.mount("tmpfs", str(shared / "later"), "tmpfs", 0)
        (shared / "later/file").touch()
        assert Path(f"/proc/{runtime.state('box')['pid']}/root/tmp/data/later/file").exists() == hears

    def test_links_of_the_root_lead_nowhere_outside(self, runtime: Runtime, tmp_path: Path) -> None:
        (tmp_path / "outside").mkdir()
        (runtime.rootfs / "link").symlink_to(tmp_path / "outside")

        def change(config: dict[str, Any]) -> None:
            config["mounts"] += [{"destination": "/link/x", "type": "tmpfs", "source": "x"}]
            config["root"]["readonly"] = False

        assert runtime.run(["true"], change).code == 0
        assert list((tmp_path / "outside").iterdir()) == []

    def test_the_host_sees_no_mount(self, runtime: Runtime) -> None:
        before = Path("/proc/self/mountinfo").read_text()
        runtime.create("box", SLEEP)
        assert Path("/proc/self/mountinfo").read_text() == before

    def test_default_devices(self, runtime: Runtime) -> None:
        names = "null zero full random urandom tty"
        assert runtime.sh(
            f"cd /dev; for d in {names}; do test -c $d && echo $d; done; readlink fd; readlink ptmx"
        ).text.split() == [
            *names.split(),
            "/proc/self/fd",
            "pts/ptmx",
        ]

    @pytest.mark.parametrize("kinds", [("pid", "ipc", "uts", "mount"), ("pid", "ipc", "uts", "mount", "cgroup")])
    def test_no_cgroup_but_its_own_is_seen(self, runtime: Runtime, kinds: tuple[str, ...]) -> None:
        def change(config: dict[str, Any]) -> None:
            config["linux"]["namespaces"] = [{"type": kind} for kind in kinds]

        script = "cd /sys/fs/cgroup; find . -name cgroup.procs | wc -l; find . -path '*mydocker*'"
        files, *others = runtime.sh(script, change).text.splitlines()
        assert int(files) > 0 and others == []


class TestHooks:
    def test_moments_and_state(self, runtime: Runtime, tmp_path: Path) -> None:
        log = tmp_path / "log"

        def change(config: dict[str, Any]) -> None:
            config["hooks"] = {moment: [hook(log, moment)] for moment in MOMENTS}
            config["annotations"] = {"org.example": "x"}
            config["mounts"] += [{"destination": str(tmp_path), "source": str(tmp_path), "options": ["rbind"]}]
            config["root"]["readonly"] = False

        bundle = runtime.bundle(["sh", "-c", f"echo command >> {log}"], change)
        runtime.raw("create", "--bundle", str(bundle), "box")
        assert [line.split()[0] for line in log.read_text().splitlines()] == list(MOMENTS[:3])
        runtime.raw("start", "box")
        eventually(lambda: runtime.status("box") == "stopped", "its end")
        runtime.raw("delete", "box")
        told = log.read_text().splitlines()
        assert sorted(line.split()[0] for line in told) == sorted([*MOMENTS, "command"])
        states = {line.split(" ", 1)[0]: json.loads(line.split(" ", 1)[1]) for line in told if " " in line}
        statuses = [states[moment]["status"] for moment in MOMENTS]
        assert statuses == ["created", "created", "created", "created", "running", "stopped"]
        assert all(told["id"] == "box" and told["annotations"] == {"org.example": "x"} for told in states.values())

    def test_no_signal_is_ignored_or_blocked(self, runtime: Runtime, tmp_path: Path) -> None:
        """As the runtime itself may do it. Of those below the real-time ones, which others may have ignored before."""
        script = f"grep -E 'Sig(Ign|Blk)' /proc/self/status >> {tmp_path}/log"

        def change(config: dict[str, Any]) -> None:
            own = [{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}]
            config["hooks"] = dict.fromkeys(("createRuntime", "createContainer", "poststart", "poststop"), own)

        assert runtime.run(["true"], change).code == 0
        lines = (tmp_path / "log").read_text().splitlines()
        assert len(lines) == 8 and {int(line.split()[1], 16) & 0x7FFFFFFF for line in lines} == {0}

    @pytest.mark.parametrize("moment", ["prestart", "createRuntime", "createContainer"])
    def test_a_failing_one_undoes_create(self, runtime: Runtime, tmp_path: Path, moment: str) -> None:
        """And poststop undoes what those before it may have done."""
        log = tmp_path / "log"

        def change(config: dict[str, Any]) -> None:
            failing = {"path": "/bin/sh", "args": ["sh", "-c", "echo no >&2; exit 3"]}
            config["hooks"] = {moment: [failing], "poststop": [hook(log, "poststop")]}

        fails(runtime.create("box", SLEEP, change), ENGINE_FAILED, f"hooks.{moment}[0]", "exit code 3", "no")
        assert list(runtime.root.iterdir()) == []
        name, state = log.read_text().split(" ", 1)
        assert (name, json.loads(state)["status"]) == ("poststop", "stopped")

    def test_none_runs_for_a_document_that_is_refused(self, runtime: Runtime, tmp_path: Path) -> None:
        def change(config: dict[str, Any]) -> None:
            config["hooks"] = {"poststop": [hook(tmp_path / "log", "poststop")]}
            config["mounts"] += [{"destination": "/x", "source": "/nosuch", "options": ["bind"]}]

        fails(runtime.create("box", SLEEP, change), ENGINE_FAILED, "/nosuch")
        assert not (tmp_path / "log").exists()

    def test_one_that_takes_too_long(self, runtime: Runtime) -> None:
        def change(config: dict[str, Any]) -> None:
            config["hooks"] = {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 1}]}

        fails(runtime.create("box", SLEEP, change), ENGINE_FAILED, "longer than 1 second")

    def test_a_failing_poststart_ends_the_container(self, runtime: Runtime) -> None:
        """Also if the command has ended by itself meanwhile, the hook is what the user is told of."""
        ended = r"""pid=$(grep -oE '"pid": ?[0-9]+' | grep -oE '[0-9]+')
        while test -d /proc/$pid && ! grep -q 'State:.Z' /proc/$pid/status; do sleep 0.01; done; exit 3"""

        def change(config: dict[str, Any]) -> None:
            script = ended if config["process"]["args"] == ["true"] else "exit 3"
            config["hooks"] = {"poststart": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}

        for id, command in (("long", SLEEP), ("short", ["true"])):
            runtime.create(id, command, change)
            fails(runtime.raw("start", id), ENGINE_FAILED, "hooks.poststart[0]", "exit code 3")
            assert runtime.status(id) == "stopped"

    def test_a_failing_poststop_is_a_warning(self, runtime: Runtime, tmp_path: Path) -> None:
        """The container is gone: the hooks behind run, and `delete` has succeeded."""

        def change(config: dict[str, Any]) -> None:
            config["hooks"] = {"poststop": [{"path": "/bin/false"}, hook(tmp_path / "log", "poststop")]}

        runtime.create("box", SLEEP, change)
        result = runtime.raw("delete", "--force", "box")
        assert result.code == 0
        assert one_line(result).startswith("mydocker: warning: hook hooks.poststop[0]: /bin/false failed")
        assert (tmp_path / "log").read_text().startswith("poststop")

    def test_a_failing_start_container(self, runtime: Runtime) -> None:
        def change(config: dict[str, Any]) -> None:
            config["hooks"] = {"startContainer": [{"path": "/bin/false"}]}

        runtime.create("box", SLEEP, change)
        fails(runtime.raw("start", "box"), ENGINE_FAILED, "startContainer[0]")
        eventually(lambda: runtime.status("box") == "stopped", "its end")


MOMENTS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


def hook(log: Path, moment: str) -> dict[str, Any]:
    script = f"said=$(cat); printf '%s %s\\n' {moment} \"$said\" >> {log}"  # at once: others write there, too
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}


class TestDocument:
    @pytest.mark.parametrize(
        ("change", "place"),
        [
            ({"ociVersion": None}, "ociVersion"),
            ({"ociVersion": "2.0.0"}, "ociVersion"),
            ({"ociVersion": "one"}, "ociVersion"),
            ({"ociVersion": 1}, "ociVersion"),
            ({"root": None}, "root.path"),
            ({"root": {"path": "/nosuch"}}, "root.path"),
            ({"root": "x"}, "root"),
            ({"process": None}, "process"),
            ({"process": {"args": []}}, "process.args"),
            ({"process": {"args": ["a", 1]}}, "process.args[1]"),
            ({"process": {"args": ["a\0"], "cwd": "/"}}, "process.args[0]"),
            ({"process": {"args": ["a"], "cwd": "x"}}, "process.cwd"),
            ({"process": {"args": ["a"], "cwd": "/", "env": ["=x"]}}, "process.env[0]"),
            ({"process": {"args": ["a"], "cwd": "/", "user": {"uid": -1}}}, "process.user.uid"),
            ({"process": {"args": ["a"], "cwd": "/", "user": {"gid": True}}}, "process.user.gid"),
            ({"mounts": {}}, "mounts"),
            ({"mounts": [{"destination": 1}]}, "mounts[0].destination"),
            ({"mounts": [{"destination": "/x", "options": ["rbind"], "source": "/nosuch"}]}, "mounts[0].source"),
            ({"linux": {"namespaces": [{"type": "mount"}, {"type": "x"}]}}, "linux.namespaces[1].type"),
            ({"linux": {"namespaces": [{"type": "mount"}, {"type": "mount"}]}}, "linux.namespaces[1]"),
            ({"linux": {"namespaces": []}}, "hostname"),
            ({"hooks": {"prestart": [{"path": "sh"}]}}, "hooks.prestart[0].path"),
            ({"hooks": {"poststop": [{"path": "/x", "timeout": 0}]}}, "hooks.poststop[0].timeout"),
            ({"annotations": {"a": 1}}, "annotations.a"),
            ({"hostname": "x" * 65}, "hostname"),
        ],
    )  # fmt: skip
    def test_errors_name_the_place(self, runtime: Runtime, change: dict[str, Any], place: str) -> None:
        fails(
            runtime.create("box", SLEEP, lambda config: config.update(change)), ENGINE_FAILED, f"config.json: {place}"
        )
        assert not runtime.root.exists() or list(runtime.root.iterdir()) == []

    @pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "[" * 100_000, "\xff"])
    def test_no_document_at_all(self, runtime: Runtime, tmp_path: Path, text: str) -> None:
        bundle = tmp_path / "bundle"
        bundle.mkdir()
        fails(runtime.raw("create", "--bundle", str(bundle), "box"), ENGINE_FAILED, "config.json")
        (bundle / "config.json").write_text(text, encoding="latin-1")
        fails(runtime.raw("create", "--bundle", str(bundle), "box"), ENGINE_FAILED, "config.json")


def test_spec_writes_a_document_that_runs(runtime: Runtime, tmp_path: Path) -> None:
    assert runtime.raw("spec", "--bundle", str(tmp_path)).code == 0
    config = json.loads((tmp_path / "config.json").read_text())
    fails(runtime.raw("spec", "--bundle", str(tmp_path)), ENGINE_FAILED, "exists")
    config["process"] |= {"terminal": False, "args": ["hostname"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert runtime.raw("run", "--bundle", str(tmp_path), "box").text == "box"


@pytest.mark.vm
def test_limits_act(runtime: Runtime) -> None:
    def change(config: dict[str, Any]) -> None:
        config["linux"]["resources"] = {"memory": {"limit": 20 << 20}, "pids": {"limit": 40}}

    result = runtime.sh("cat /dev/zero | head -c 100000000 | tail > /dev/null; echo $?", change)
    assert "137" in result.out.decode() or result.code == 137


def test_a_killed_create_can_be_deleted(runtime: Runtime) -> None:
    bundle = runtime.bundle(SLEEP, lambda config: config.update(hooks={"prestart": [SLOW]}))
    started = runtime.spawn("create", "--bundle", str(bundle), "box")
    eventually(lambda: processes.descendants(started.pid), "the hook")
    eventually(lambda: (runtime.root / "box" / "state.json").exists(), "its record")
    started.kill()
    finish(started)
    assert runtime.raw("delete", "--force", "box").code == 0


def test_a_cgroup_that_is_anothers_stays_as_it_is(runtime: Runtime) -> None:
    """The second container does not come to be, and the first one lives on."""

    def change(config: dict[str, Any]) -> None:
        config["linux"]["cgroupsPath"] = "/mydocker-oci-test/shared"

    assert runtime.create("one", SLEEP, change).code == 0
    fails(runtime.create("two", SLEEP, change), ENGINE_FAILED, "mydocker-oci-test/shared")
    assert runtime.status("one") == "created"
    assert runtime.raw("start", "one").code == 0
    assert [path.name for path in runtime.root.iterdir()] == ["one"]
    assert runtime.raw("delete", "--force", "one").code == 0
    for root in leaks.cgroup_roots():
        if os.path.isdir(f"{root}/mydocker-oci-test"):
            os.rmdir(f"{root}/mydocker-oci-test")


def test_what_is_hardly_begun_can_be_deleted(runtime: Runtime) -> None:
    (runtime.root / "box").mkdir(parents=True)
    fails(runtime.raw("state", "box"), ENGINE_FAILED, "does not exist")
    assert runtime.raw("delete", "--force", "box").code == 0
    assert runtime.create("box", SLEEP).code == 0


def test_a_pid_file_that_cannot_be_written_undoes_create(runtime: Runtime) -> None:
    bundle = runtime.bundle(SLEEP)
    result = runtime.raw("create", "--bundle", str(bundle), "--pid-file", "/nosuch/pid", "box")
    fails(result, ENGINE_FAILED, "--pid-file")
    assert list(runtime.root.iterdir()) == []


def test_a_terminal_that_nobody_takes_undoes_create(runtime: Runtime) -> None:
    bundle = runtime.bundle(SLEEP, with_terminal)
    result = runtime.raw("create", "--bundle", str(bundle), "--console-socket", "/nosuch/socket", "box")
    fails(result, ENGINE_FAILED, "--console-socket")
    assert list(runtime.root.iterdir()) == []


SLOW = {"path": "/bin/sleep", "args": ["sleep", "2"]}
