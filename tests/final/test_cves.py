"""Every public hole of runc and crun that this runtime could have: the attack of each advisory, and what it meets here.

Not here, because there is nothing like it in this runtime: CVE-2021-43784 (lengths of netlink messages), CVE-2025-24965
(a handler for virtual machines), CVE-2016-3697 (users by name: the document has numbers).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ch03_run.launcher import VIEWS
from ch04_images import busybox
from tests.ch07_practice.bundles import Change, Runtime
from tests.support import processes
from tests.support.engines import ENGINE_FAILED, NOT_EXECUTABLE, fails, state_root
from tests.support.hosts import REPOSITORY, Host, Result
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel
MODULE = "final.runtime"
ROUNDS = 10
RENAME_EXCHANGE = 2
DEVICES = ("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
USUAL = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"]
OF_THE_HOST = Path("/proc/sys/fs/lease-break-time")
"""A setting of the whole machine that does little harm if one of these attacks should succeed."""


@pytest.fixture
def runtime(host: Host, tmp_path: Path) -> Iterator[Runtime]:
    """A runtime; its containers are removed after the test."""
    runtime = Runtime(host, tmp_path, MODULE)
    yield runtime
    runtime.remove_all()


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host in which there is one file: its text must not be seen, and nothing may be changed."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    secret = secrets.token_hex()
    (outside / "secret").write_text(secret)
    yield outside
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_text() == secret


@pytest.fixture
def setting() -> Iterator[str]:
    """What OF_THE_HOST says; it must say so afterwards."""
    before = OF_THE_HOST.read_text()
    yield before.strip()
    after = OF_THE_HOST.read_text()
    OF_THE_HOST.write_text(before)
    assert after == before


def all_of(*changes: Change) -> Change:
    def change(config: dict[str, Any]) -> None:
        for one in changes:
            one(config)

    return change


def linux(**fields: Any) -> Change:
    return lambda config: config["linux"].update(fields)


def process(**fields: Any) -> Change:
    return lambda config: config["process"].update(fields)


def bind(source: Path | str, destination: str, *options: str) -> Change:
    entry = {"destination": destination, "type": "bind", "source": str(source), "options": ["rbind", *options]}
    return lambda config: config["mounts"].append(entry)


def without_mounts(*destinations: str) -> Change:
    def change(config: dict[str, Any]) -> None:
        config["mounts"] = [mount for mount in config["mounts"] if mount["destination"] not in destinations]

    return change


def writable(config: dict[str, Any]) -> None:
    config["root"]["readonly"] = False


def stays_inside(result: Result, outside: Path) -> None:
    """The command ran, or the runtime refused with one line; in no case was the secret seen."""
    secret = (outside / "secret").read_bytes()
    assert secret not in result.out + result.err
    assert result.code == 0 or fails(result, ENGINE_FAILED)


@contextlib.contextmanager
def swapping(first: Path, second: Path) -> Iterator[None]:
    """Two files change places all the time: renameat2(2), RENAME_EXCHANGE."""
    rename = ctypes.CDLL(None, use_errno=True).renameat2
    done = threading.Event()

    def swap() -> None:
        while not done.wait(0.0002):
            rename(-100, os.fsencode(first), -100, os.fsencode(second), RENAME_EXCHANGE)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


# ---------------------------------------------------------------- the program that enters


OVERWRITE = """#!/proc/self/exe
import os

program = os.open("/proc/self/exe", os.O_RDONLY)
os.set_inheritable(program, True)
script = f'''
attack() {{
    while ! (echo overwritten > /proc/self/fd/{program}) 2> /result/said && grep -q busy /result/said; do
        sleep 0.02
    done
    chmod 0 /proc/self/fd/{program} 2>> /result/said
    echo > /result/done
}}
if [ $$ = 1 ]; then attack; else attack & fi
'''
os.execv("/bin/sh", ["sh", "-c", script])
"""
"""What the image's command is. The kernel runs /proc/self/exe for it: the host's Python, with what it finds inside."""


class Attacked:
    """A Python of the host of which nobody else makes use, and which containers try to overwrite."""

    def __init__(self, top: Path) -> None:
        self.program = Path(shutil.copy(os.path.realpath(sys.executable), top / "python"))
        self.text = self.program.read_bytes()
        self.results = top / "results"
        self.results.mkdir(0o777)
        self.command = top / "command"
        self.command.write_text(OVERWRITE)
        self.command.chmod(0o755)
        self.home = f"PYTHONHOME={sys.base_prefix}"
        self.shared = [path for path in ("/usr", "/lib", "/lib64") if os.path.exists(path)]
        if not sys.base_prefix.startswith("/usr"):
            self.shared.append(sys.base_prefix)
        if subprocess.run([self.program, "-c", "import encodings"], env={}).returncode:
            pytest.skip("a copy of this Python does not run")

    def resists(self) -> None:
        """Once the attack is over, it is what it was."""
        eventually((self.results / "done").exists, "the end of the attack")
        said = (self.results / "said").read_text()
        assert "Read-only file system" in said or "Operation not permitted" in said
        assert self.program.read_bytes() == self.text
        assert self.program.stat().st_mode & 0o777 == 0o755


class TestProgramThatEnters:
    """CVE-2019-5736: a container overwrote the runtime by way of /proc/PID/exe. Ours is Python, seen read-only."""

    def change(self, attacked: Attacked) -> Change:
        mounts = [bind(path, path, "ro") for path in attacked.shared]
        mounts += [bind(attacked.command, "/command", "ro"), bind(attacked.results, "/result")]
        environment = lambda config: config["process"]["env"].append(attacked.home)  # noqa: E731
        return all_of(writable, environment, process(noNewPrivileges=False), *mounts)

    def test_cve_2019_5736(self, host: Host, tmp_path: Path) -> None:
        """The image's command is a script for /proc/self/exe, and keeps that open until the runtime has ended."""
        attacked = Attacked(tmp_path)
        runtime = Runtime(host, tmp_path, MODULE, str(attacked.program))
        assert runtime.create("box", ["/command"], self.change(attacked)).code == 0
        assert runtime.raw("start", "box").code == 0
        attacked.resists()
        runtime.remove_all()

    def test_cve_2019_5736_by_exec(self, host: Host, tmp_path: Path) -> None:
        """A container waits for somebody to run one of its programs."""
        attacked = Attacked(tmp_path)
        runtime = Runtime(host, tmp_path, MODULE, str(attacked.program))
        assert runtime.create("box", ["sleep", "1000"], self.change(attacked)).code == 0
        assert runtime.raw("start", "box").code == 0
        assert runtime.raw("exec", "box", "/command").code == 0
        attacked.resists()
        runtime.remove_all()

    @pytest.mark.parametrize("view_stays", [False, True], ids=["once", "stays"])
    def test_cve_2019_5736_of_the_chapters_engine(self, host: Host, tmp_path: Path, view_stays: bool) -> None:
        """The same for `mydocker exec`; the program runs from a view that stays (kept_view.py)."""
        attacked = Attacked(tmp_path)
        with state_root(host.root):
            busybox.make_image()
        host.may_stay |= {"images", "layers", "names"}
        volumes = [f"{path}:{path}:ro" for path in attacked.shared]
        volumes += [f"{attacked.command}:/command:ro", f"{attacked.results}:/result"]
        flags = [word for volume in volumes for word in ("-v", volume)]
        view = f"{VIEWS}{attacked.program}"

        def mydocker(start: list[str], *words: str) -> None:
            assert host.run([*start, *words], cwd=REPOSITORY).code == 0

        module = ["-m", "ch05_lifecycle"]
        run = ["run", "-d", "--name", "box", "-e", attacked.home, *flags, "busybox", "sleep", "1000"]
        mydocker([sys.executable, *module], *run)
        try:
            start = [str(attacked.program), *module]
            if view_stays:
                start = [str(tmp_path / "mydocker")]
                mydocker([str(attacked.program), "-m", "ch03_run.launcher", "ch05_lifecycle", *start])
                mydocker(start, "exec", "box", "true")
                assert os.path.samefile(view, attacked.program)
            mydocker(start, "exec", "-d", "box", "/command")
            attacked.resists()
        finally:
            mydocker([sys.executable, *module], "rm", "-f", "box")
            if view_stays:
                subprocess.run(["umount", view], check=True)
                shutil.rmtree(f"{VIEWS}{tmp_path}")

    @pytest.mark.parametrize("module", ["ch05_lifecycle", "final"])
    @pytest.mark.parametrize("words", ["run -d {} busybox {}", "start {}", "restart -t 0 {}", "exec -d {} {}"])
    def test_cve_2019_5736_whichever_command(self, host: Host, module: str, words: str) -> None:
        """Each that starts a process in a container is a Python that cannot be written to; it stays, to watch over it.
        Its name tells it from others' processes."""
        name, sleep = f"box{secrets.token_hex(8)}", "sleep 1000"
        with state_root(host.root):
            busybox.make_image()
        host.may_stay |= {"images", "layers", "names", "events", "runtime"}

        def mydocker(line: str) -> None:
            result = host.run([sys.executable, "-m", module, *line.split()], cwd=REPOSITORY)
            assert result.code == 0, result

        new = f"--net none --name {name}" if module == "final" else f"--name {name}"
        if words.startswith("run"):
            mydocker(words.format(new, sleep))
        else:
            mydocker(f"create {new} busybox {sleep}")
            if not words.startswith("start"):
                mydocker(f"start {name}")
            mydocker(words.format(name, sleep))
        try:
            watching = [pid for pid in processes.all_pids() if is_command(pid, words.split()[0], name)]
            assert watching
            assert not any(os.access(f"/proc/{pid}/exe", os.W_OK) for pid in watching)
        finally:
            mydocker(f"rm -f {name}")

    def test_cve_2019_5736_of_an_ordinary_user(self, host: Host) -> None:
        """He may not mount anything before he has a container. Python is run from a sealed copy, if it is his own."""
        with tempfile.TemporaryDirectory() as home:
            attacked = Attacked(Path(home))
            mapping = [{"containerID": 0, "hostID": 65534, "size": 1}]
            change = all_of(
                self.change(attacked),
                lambda config: config["linux"]["namespaces"].append({"type": "user"}),
                lambda config: config["mounts"][2]["options"].remove("gid=5"),  # which he is not
                linux(uidMappings=mapping, gidMappings=mapping),
            )
            runtime = Runtime(host, Path(home), MODULE, str(attacked.program))
            bundle = runtime.bundle(["/command"], change)
            subprocess.run(["chown", "-hR", "65534:65534", home], check=True)
            nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
            words = [*nobody, str(attacked.program), "-m", MODULE, "--root", f"{home}/state"]
            if host.run([*words, "--help"], cwd=REPOSITORY).code or host.run([*nobody, "unshare", "-U", "true"]).code:
                pytest.skip("an ordinary user cannot do that here")
            create = [*words, "create", "--bundle", str(bundle), "box"]
            null = subprocess.DEVNULL  # and no pipe, which the container would keep open
            assert host.run(create, cwd=REPOSITORY, stdout=null, stderr=null).code == 0
            assert host.run([*words, "start", "box"], cwd=REPOSITORY).code == 0
            attacked.resists()
            assert host.run([*words, "delete", "--force", "box"], cwd=REPOSITORY).code == 0

    def test_cve_2016_9962(self, runtime: Runtime) -> None:
        """While a process was entering, others in the container could reach what it had open. Ours is undumpable."""
        script = "cat /proc/1/exe /proc/1/fd/0 > /dev/null; ls /proc/1/cwd/ /proc/1/root/; cat /proc/1/environ"

        def peep() -> Result:
            return runtime.raw("exec", "box", "sh", "-c", script)

        usual = process(capabilities=dict.fromkeys(("bounding", "effective", "permitted"), USUAL))
        for change in (usual, with_a_user_namespace(runtime)):
            assert runtime.create("box", ["sleep", "1000"], change).code == 0
            waiting = peep()
            assert waiting.out == b""
            assert waiting.error.count("Permission denied") == 5
            assert runtime.raw("start", "box").code == 0
            eventually(lambda: peep().error == "", "nothing to hide when the command runs")
            runtime.remove_all()

    def test_cve_2016_9962_at_birth(self, host: Host) -> None:
        """Born in a pid namespace, a process is seen there at once: by then, it must be undumpable already."""
        script = """
import ctypes, os
from ch02_namespaces import namespaces, syscalls

is_dumpable = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
reader, writer = os.pipe()
other = namespaces.spawn(syscalls.CLONE_NEWPID, lambda: len(os.read(reader, 1)))
place = os.open(f"/proc/{other.pid}/ns/pid", os.O_RDONLY)
print(is_dumpable(), namespaces.spawn(0, is_dumpable).wait(), namespaces.spawn(0, is_dumpable, join=[place]).wait())
print(is_dumpable())
other.kill()
"""
        assert host.python(script).text.split() == ["1", "1", "0", "1"]


def is_command(pid: int, *words: str) -> bool:
    """Whether a process that is alive has all these words in its command line."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return processes.is_alive(pid) and all(word.encode() in line for word in words)


def with_a_user_namespace(runtime: Runtime) -> Change:
    """Its users are others outside; the root file system belongs to its root."""
    mapping = [{"containerID": 0, "hostID": 100_000, "size": 65_536}]
    subprocess.run(["chown", "-hR", "100000:100000", str(runtime.rootfs)], check=True)
    return all_of(
        lambda config: config["linux"]["namespaces"].append({"type": "user"}),
        linux(uidMappings=mapping, gidMappings=mapping),
    )


# ---------------------------------------------------------------- descriptors and directories


class TestWorkingDirectory:
    """CVE-2024-21626: a descriptor of the host was open while the container's directory was entered, and process.cwd
    led through it. Here no magic link is followed, the directory must lie below /, and nothing is open at execve(2)."""

    NUMBERS = range(3, 20)

    def test_cve_2024_21626_by_create(self, runtime: Runtime, outside: Path) -> None:
        """process.cwd, and a link of the image."""
        for number in self.NUMBERS:
            link = runtime.rootfs / f"link{number}"
            link.symlink_to(f"/proc/self/fd/{number}")
            for directory in (f"/proc/self/fd/{number}", f"/proc/self/fd/{number}/.", f"/{link.name}"):
                result = runtime.run(["cat", f"..{outside}/secret"], process(cwd=directory))
                fails(result, ENGINE_FAILED, "WorkingDirectory")

    def test_cve_2024_21626_by_exec(self, runtime: Runtime, outside: Path) -> None:
        """`exec --cwd`, into a container that runs; and a command by way of a descriptor."""
        assert runtime.create("box", ["sleep", "1000"]).code == 0
        assert runtime.raw("start", "box").code == 0
        for number in self.NUMBERS:
            directory = f"/proc/self/fd/{number}"
            result = runtime.raw("exec", "--cwd", directory, "box", "cat", f"..{outside}/secret")
            fails(result, ENGINE_FAILED, "WorkingDirectory")
            assert runtime.raw("exec", "box", f"{directory}/../../../bin/sh", "-c", "true").code in (126, 127)

    def test_cve_2024_21626_what_the_caller_has_open(self, runtime: Runtime, outside: Path) -> None:
        """Whoever calls the runtime may have leaked a directory of the host himself."""
        listing = "cd /proc/self/fd && echo *; cat /proc/self/fd/*/secret"
        directory = os.open(outside, os.O_RDONLY | os.O_DIRECTORY)
        try:
            run = ["run", "--bundle", str(runtime.bundle(["sh", "-c", listing])), "box"]
            first = runtime.raw(*run, pass_fds=(directory,))
            assert runtime.create("box", ["sleep", "1000"]).code == 0
            assert runtime.raw("start", "box").code == 0
            second = runtime.raw("exec", "box", "sh", "-c", listing, pass_fds=(directory,))
        finally:
            os.close(directory)
        for result in (first, second):
            assert result.out.split() == [b"0", b"1", b"2", b"3"]  # 3 is the shell's, of the directory that it lists
            assert result.code != 0


class TestMountTargets:
    """Where a mount goes was looked up on the host, or changed between look-up and mount. Here the image's root is our
    only root by then (pivot_root comes first), and a mount goes to the descriptor that was looked up."""

    @pytest.fixture
    def volume(self, tmp_path: Path, outside: Path) -> Path:
        """What two containers share: one changes it while the other starts."""
        volume = tmp_path / "volume"
        (volume / "place").mkdir(parents=True)
        (volume / "link").symlink_to(outside)
        return volume

    def run(self, runtime: Runtime, volume: Path, source: Path, outside: Path) -> None:
        """First with a link that stays where it is, then with one that does not."""
        script = f"cat /vol/place/secret /vol/link/secret {outside}/secret 2> /dev/null; true"
        link = all_of(writable, bind(volume, "/vol"), bind(source, "/vol/link/new/target"))
        stays_inside(runtime.sh(script, link), outside)
        place = all_of(writable, bind(volume, "/vol"), bind(source, "/vol/place/new/target"))
        with swapping(volume / "place", volume / "link"):
            for _ in range(ROUNDS):
                stays_inside(runtime.sh(script, place), outside)

    def test_cve_2021_30465(self, runtime: Runtime, volume: Path, outside: Path, tmp_path: Path) -> None:
        """A directory on the way to a mount's target was replaced by a link after it had been checked."""
        (tmp_path / "data").mkdir()
        self.run(runtime, volume, tmp_path / "data", outside)

    def test_cve_2024_45310(self, runtime: Runtime, volume: Path, outside: Path, tmp_path: Path) -> None:
        """By the same trick, empty files and directories were made on the host."""
        (tmp_path / "data").write_text("data")
        self.run(runtime, volume, tmp_path / "data", outside)

    @pytest.mark.parametrize("kind", ["tmpfs", "bind"])
    def test_cve_2019_18837(self, runtime: Runtime, outside: Path, tmp_path: Path, kind: str) -> None:
        """crun resolved the links of a target by itself, and some led outside: `..` at their end, or above the root."""
        (runtime.rootfs / "above").symlink_to("../../../../../../../../../..")
        (runtime.rootfs / "out").symlink_to(f"../../../../../../../../../..{outside}")
        (runtime.rootfs / "deep").symlink_to("above/../out/..")
        (tmp_path / "data").mkdir()
        source = str(tmp_path / "data")
        for destination in (f"/above{outside}/new", "/out/new", f"/deep/{outside.name}/new", f"/../..{outside}/new"):
            mount = tmpfs(destination) if kind == "tmpfs" else bind(source, destination)
            change = all_of(writable, mount)
            assert runtime.sh(f"grep ' /out/' /proc/self/mountinfo; cat {outside}/secret", change).code != 0

    def test_cve_2026_41579(self, runtime: Runtime, outside: Path) -> None:
        """/dev was a link of the image: runc removed ptmx and made links behind it, on the host."""
        self.dev_leads(runtime, outside)

    def test_cve_2026_47766(self, runtime: Runtime, outside: Path) -> None:
        """The same in crun, for device files, those of the document among them."""
        device = {"path": "/dev/new", "type": "c", "major": 1, "minor": 5}
        self.dev_leads(runtime, outside, linux(devices=[device]))

    def dev_leads(self, runtime: Runtime, outside: Path, *changes: Change) -> None:
        (runtime.rootfs / "dev").rmdir()
        for target in (str(outside), f"../../../../../../../../..{outside}", "/proc/self/fd/3"):
            (runtime.rootfs / "dev").symlink_to(target)
            stays_inside(runtime.sh("true", all_of(writable, without_mounts(*DEVICES), *changes)), outside)
            (runtime.rootfs / "dev").unlink()


# ---------------------------------------------------------------- /proc and /sys


class TestProcfs:
    """What a runtime sets in /proc, and what it hides there, must be of the kernel's /proc and not of the image's."""

    @pytest.mark.parametrize("name", ["proc", "sys"])
    def test_cve_2019_19921_and_2023_27561(self, runtime: Runtime, outside: Path, name: str) -> None:
        """/proc was a link of the image, so that masks and labels went elsewhere; 2023-27561 brought it back."""
        (runtime.rootfs / name).rmdir()
        for target in ("usr", "/usr", str(outside), f"../../../../../../../..{outside}"):
            (runtime.rootfs / name).symlink_to(target)
            masked = linux(maskedPaths=["/proc/kcore", "/sys/firmware"], readonlyPaths=["/proc/sys"])
            fails(runtime.sh("true", all_of(writable, masked)), ENGINE_FAILED, "destination", "link")
            (runtime.rootfs / name).unlink()

    LABELLED = (
        "mount -t tmpfs tmpfs /sys/module && mkdir -p /sys/module/apparmor/parameters"
        ' && echo Y > /sys/module/apparmor/parameters/enabled && exec "$@"'
    )
    """Has the runtime believe that there is AppArmor; what it writes, a kernel without such a profile refuses."""

    @pytest.fixture
    def fake(self, tmp_path: Path) -> Iterator[Path]:
        """A /proc of the image's own, good to swallow a label."""
        fake = tmp_path / "fake"
        for name in ("self", "thread-self", "1"):
            (fake / name / "attr/apparmor").mkdir(parents=True)
            (fake / name / "attr/exec").touch()
            (fake / name / "attr/apparmor/exec").touch()
        yield fake
        assert all(path.read_text() == "" for path in fake.glob("*/attr/**/exec"))

    def labelled(self, runtime: Runtime, *words: str) -> Result:
        shell = ["unshare", "--mount", "sh", "-c", self.LABELLED, "sh"]
        return runtime.host.run([*shell, *runtime.words(*words)], cwd=REPOSITORY)

    def test_cve_2019_16884(self, runtime: Runtime, fake: Path) -> None:
        """A volume of the image at /proc swallowed the AppArmor profile. Here it is set while the host's is seen."""
        change = all_of(bind(fake, "/proc"), process(apparmorProfile="nosuch"))
        result = self.labelled(runtime, "run", "--bundle", str(runtime.bundle(["true"], change)), "box")
        fails(result, ENGINE_FAILED, "AppArmorProfile")

    def test_cve_2023_28642(self, runtime: Runtime, fake: Path) -> None:
        """The same by a link at /proc."""
        (runtime.rootfs / "proc").rmdir()
        (runtime.rootfs / "proc").symlink_to("fake")
        change = all_of(writable, bind(fake, "/fake"), without_mounts("/proc"), process(apparmorProfile="nosuch"))
        result = self.labelled(runtime, "run", "--bundle", str(runtime.bundle(["true"], change)), "box")
        fails(result, ENGINE_FAILED, "AppArmorProfile")

    def test_cve_2025_52881_labels(self, runtime: Runtime, fake: Path, tmp_path: Path) -> None:
        """A process of `exec` has only the container's /proc: whether it is one is looked at."""
        assert runtime.create("box", ["sleep", "1000"], all_of(without_mounts("/proc"), bind(fake, "/proc"))).code == 0
        assert runtime.raw("start", "box").code == 0
        (tmp_path / "process.json").write_text('{"args": ["true"], "cwd": "/", "apparmorProfile": "nosuch"}')
        result = self.labelled(runtime, "exec", "--process", f"{tmp_path}/process.json", "box")
        fails(result, ENGINE_FAILED, "AppArmorProfile", "/proc")

    @pytest.mark.parametrize("covered", ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4", "/proc/sys"])
    def test_cve_2025_52881_parameters(self, runtime: Runtime, setting: str, covered: str) -> None:
        """A parameter's file was covered by one of the host, and the value written there."""
        source = {"/proc/sys/net/ipv4/ip_forward": OF_THE_HOST, "/proc/sys": Path("/proc/sys")}.get(covered)
        change = bind(source, covered) if source else tmpfs(covered)
        change = all_of(change, linux(sysctl={"net.ipv4.ip_forward": str(int(setting) + 1)}))
        fails(runtime.sh("true", change), ENGINE_FAILED, "linux.sysctl.net.ipv4.ip_forward")

    @pytest.mark.parametrize("link", [str(OF_THE_HOST), "/nosuch", "zero"])
    def test_cve_2025_31133(self, runtime: Runtime, setting: str, link: str) -> None:
        """/dev/null, which covers masked files, was a link to a file of /proc, or nothing at all."""
        (runtime.rootfs / "dev/null").symlink_to(link)
        change = all_of(without_mounts(*DEVICES), linux(maskedPaths=["/proc/kallsyms"]))
        fails(self.with_a_pipe(runtime, "cat /proc/kallsyms", change), ENGINE_FAILED, "MaskedPaths", "/dev/null")

    def test_cve_2025_31133_by_a_race(self, runtime: Runtime, setting: str) -> None:
        """It became one between look-up and mount."""
        os.mknod(runtime.rootfs / "dev/null", 0o020666, os.makedev(1, 3))
        (runtime.rootfs / "dev/other").symlink_to(OF_THE_HOST)
        change = all_of(without_mounts(*DEVICES), linux(maskedPaths=["/proc/kallsyms"]))
        with swapping(runtime.rootfs / "dev/null", runtime.rootfs / "dev/other"):
            for _ in range(ROUNDS):
                script = f"cat /proc/kallsyms; echo {int(setting) + 1} > /proc/kallsyms"
                result = self.with_a_pipe(runtime, script, change)
                assert result.out == b""
                assert result.code == 0 or fails(result, ENGINE_FAILED, "MaskedPaths")

    def with_a_pipe(self, runtime: Runtime, script: str, change: Change) -> Result:
        """Without /dev/null at a standard stream, which would be looked at before."""
        return runtime.raw("run", "--bundle", str(runtime.bundle(["sh", "-c", script], change)), "box", input=b"")

    def test_masks_stay_on_what_was_looked_at(self, runtime: Runtime) -> None:
        """/proc got another name before its files were masked: who shares the root file system can do that."""
        (runtime.rootfs / "other/kallsyms").parent.mkdir()
        (runtime.rootfs / "other/kallsyms").touch()
        change = all_of(writable, linux(maskedPaths=["/proc/kallsyms"]))
        with swapping(runtime.rootfs / "proc", runtime.rootfs / "other"):
            for _ in range(2 * ROUNDS):
                result = runtime.sh("cat /proc/kallsyms /other/kallsyms 2> /dev/null; true", change)
                assert result.out == b""
                assert result.code == 0 or fails(result, ENGINE_FAILED)


def tmpfs(destination: str) -> Change:
    return lambda config: config["mounts"].append({"destination": destination, "type": "tmpfs", "source": "tmpfs"})


# ---------------------------------------------------------------- terminals and standard streams


class TestTerminals:
    """A terminal is made and known by descriptors; a link of the image on its way is refused."""

    TERMINAL = staticmethod(process(terminal=True))

    def create(self, runtime: Runtime, *changes: Change) -> Result:
        """`create` with somebody who takes the terminal."""
        bundle = runtime.bundle(["true"], all_of(writable, self.TERMINAL, *changes))
        with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as taker:
            taker.bind(f"{short}/console")
            taker.listen()
            result = runtime.raw("create", "--bundle", str(bundle), "--console-socket", f"{short}/console", "box")
        runtime.raw("delete", "--force", "box")
        return result

    def test_it_works_where_nothing_is_wrong(self, runtime: Runtime) -> None:
        assert self.create(runtime).code == 0

    @pytest.mark.parametrize("name", ["ptmx", "0"])
    def test_cve_2025_52565(self, runtime: Runtime, setting: str, name: str) -> None:
        """/dev/pts/0 was a link by the time when it was mounted on /dev/console, and what it meant could be written."""
        (runtime.rootfs / "dev/pts").mkdir()
        for target in (str(OF_THE_HOST), "/dev/null", "/dev/ptmx"):
            (runtime.rootfs / "dev/pts" / name).symlink_to(target)
            fails(self.create(runtime, without_mounts(*DEVICES)), ENGINE_FAILED, "Console", "/dev/pts")
            (runtime.rootfs / "dev/pts" / name).unlink()

    def test_cve_2026_88264(self, runtime: Runtime, outside: Path) -> None:
        """/dev/console was a link of the image: crun made a file where it led, or mounted the terminal there."""
        keeps_pts = without_mounts("/dev", "/dev/shm", "/dev/mqueue")
        for target in (f"{outside}/new", f"../../../../../../../../..{outside}/new", "/etc/passwd", "/proc/self/fd/3"):
            (runtime.rootfs / "dev/console").symlink_to(target)
            fails(self.create(runtime, keeps_pts), ENGINE_FAILED, "Console", "/dev/console", "link")
            (runtime.rootfs / "dev/console").unlink()


class TestNull:
    """The standard streams are the caller's; his /dev/null is replaced by the container's, if it is that device."""

    def test_cve_2026_88265(self, runtime: Runtime, outside: Path) -> None:
        """The image's /dev/null was a link, and what it meant became the standard input, and its owner another."""
        for target in (f"{outside}/secret", f"../../../../../../../../..{outside}/secret", "/etc/passwd"):
            (runtime.rootfs / "dev/null").symlink_to(target)
            change = all_of(without_mounts(*DEVICES), process(user={"uid": 7, "gid": 8}))
            fails(runtime.sh("cat", change), ENGINE_FAILED, "Session", "/dev/null")
            (runtime.rootfs / "dev/null").unlink()
        assert (outside / "secret").stat().st_uid == os.getuid()

    @pytest.mark.parametrize("program", ["final.runtime", "ch04_images"])
    def test_the_hosts_null_is_not_the_containers_to_change(self, host: Host, tmp_path: Path, program: str) -> None:
        """Through /proc/self/fd/0 its mode could be changed, for all the machine."""
        null = tmp_path / "null"
        os.mknod(null, 0o020666, os.makedev(1, 3))
        null.chmod(0o666)
        script = "chmod 600 /proc/self/fd/0 && stat -c %a /dev/null"
        if program == "ch04_images":
            with state_root(host.root):
                busybox.make_image()
            host.may_stay |= {"images", "layers"}
            words = [sys.executable, "-m", program, "run", "--rm", "busybox", "sh", "-c", script]
        else:
            runtime = Runtime(host, tmp_path, program)
            change = process(noNewPrivileges=False)
            words = runtime.words("run", "--bundle", str(runtime.bundle(["sh", "-c", script], change)), "box")
        cover = f'mount --bind {null} /dev/null && exec "$@" < /dev/null'
        assert host.run(["unshare", "--mount", "sh", "-c", cover, "sh", *words], cwd=REPOSITORY).text == "600"
        assert null.stat().st_mode & 0o777 == 0o666


# ---------------------------------------------------------------- rights


class TestRights:
    def test_cve_2022_29162(self, runtime: Runtime, tmp_path: Path) -> None:
        """Capabilities were inheritable, in runc's example and after `exec --cap`, which means a right to programs with
        file capabilities. Here inheritable are those of the document."""
        (tmp_path / "example").mkdir()
        assert runtime.raw("spec", "--bundle", f"{tmp_path}/example").code == 0
        assert "inheritable" not in (tmp_path / "example/config.json").read_text()
        self.none_is_inheritable(runtime, "--cap", "CAP_NET_RAW")

    def test_cve_2022_27650(self, runtime: Runtime) -> None:
        """The same for crun's exec, whoever the user is."""
        self.none_is_inheritable(runtime, "--cap", "CAP_NET_RAW", "--user", "7:8")

    def none_is_inheritable(self, runtime: Runtime, *flags: str) -> None:
        sets = {name: ["CAP_CHOWN"] for name in ("bounding", "effective", "permitted")}
        assert runtime.create("box", ["sleep", "1000"], process(capabilities=sets)).code == 0
        assert runtime.raw("start", "box").code == 0
        status = runtime.raw("exec", *flags, "box", "grep", "^Cap", "/proc/self/status").text
        found = dict(line.split(":\t") for line in status.splitlines())
        assert int(found["CapInh"], 16) == int(found["CapAmb"], 16) == 0
        assert int(found["CapBnd"], 16) == 1 << 0 | 1 << 13  # CAP_CHOWN and CAP_NET_RAW: the flag was not overlooked

    def test_cve_2026_30892(self, runtime: Runtime) -> None:
        """crun took the 1 of `exec --user 1` for root. Here it is user 1 of group 0, as runc has it."""
        assert runtime.create("box", ["sleep", "1000"]).code == 0
        assert runtime.raw("start", "box").code == 0
        ids = ["sh", "-c", "echo $(id -u):$(id -g)"]
        for given, meant in (("1", "1:0"), ("1:2", "1:2"), ("0:5", "0:5"), ("65534", "65534:0")):
            assert runtime.raw("exec", "--user", given, "box", *ids).text == meant
        for given in ("", "a", "1:", ":1", "-1", "1:2:3", "1.0", "4294967295", "0x1"):
            assert runtime.raw("exec", "--user", given, "box", *ids).code == ENGINE_FAILED

    def test_cve_2023_25809(self, runtime: Runtime) -> None:
        """Without a cgroup namespace, /sys/fs/cgroup showed the host's groups, writable. Here it is the container's."""

        def change(config: dict[str, Any]) -> None:
            listed = config["linux"]["namespaces"]
            config["linux"]["namespaces"] = [entry for entry in listed if entry["type"] != "cgroup"]
            [mount] = [mount for mount in config["mounts"] if mount["type"] == "cgroup"]
            mount["options"] = ["nosuid", "noexec", "nodev"]

        script = "for group in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $group/escaped; done 2> /dev/null; sleep 1000"
        top = Path("/sys/fs/cgroup")
        assert runtime.create("box", ["sh", "-c", script], change).code == 0
        assert runtime.raw("start", "box").code == 0
        look = ["sh", "-c", "find /sys/fs/cgroup -type d -name escaped"]
        eventually(lambda: runtime.raw("exec", "box", *look).out, "a group of its own")
        assert not [*top.glob("escaped"), *top.glob("*/escaped"), *top.glob("*/mydocker-runtime/escaped")]
        others = runtime.raw("exec", "box", "find", "/sys/fs/cgroup", "-name", "mydocker-runtime").text
        assert others == ""


KEYS = """
import ctypes, os, platform, sys

add_key, keyctl = {"x86_64": (248, 250), "aarch64": (217, 219)}[platform.machine()]
syscall = ctypes.CDLL(None, use_errno=True).syscall
JOIN, SEARCH, OWN_SESSION = 1, 10, -3
if len(sys.argv) > 1:
    syscall(keyctl, JOIN, None)
    syscall(add_key, b"user", b"of the caller", b"text", 4, OWN_SESSION)
    os.execv(sys.argv[1], sys.argv[1:])
print("found" if syscall(keyctl, SEARCH, OWN_SESSION, b"user", b"of the caller", 0) > 0 else "none")
"""
"""Runs a command in a session that has a key; or looks for this key. See keyctl(2)."""


class TestHooks:
    def test_cve_2025_23266(self, runtime: Runtime, tmp_path: Path) -> None:
        """A hook had the image's variables, and its root file system as working directory: LD_PRELOAD could name a file
        of it. Here it has what the document gives to hooks, and starts in /, as the host has it."""
        seen = tmp_path / "seen"
        hook = {"path": "/bin/sh", "args": ["sh", "-c", f"(env; pwd; ls) >> {seen}"]}
        (runtime.rootfs / "of-the-image").touch()

        def change(config: dict[str, Any]) -> None:
            config["hooks"] = {moment: [hook] for moment in ("createRuntime", "createContainer", "poststart")}
            config["process"]["env"] += ["LD_PRELOAD=./of-the-image", "PYTHONPATH=."]

        assert runtime.sh("true", change).code == 0
        said = seen.read_text()
        assert said.splitlines().count("/") >= 1
        assert not any(word in said for word in ("LD_PRELOAD", "PYTHONPATH", str(runtime.rootfs), "of-the-image"))


class TestWhatIsKept:
    def test_keys_of_the_callers_session(self, runtime: Runtime, tmp_path: Path) -> None:
        """keyrings(7) know no namespaces, and a session is inherited: the container would have its caller's keys."""
        keys = tmp_path / "keys.py"
        keys.write_text(KEYS)
        mounts = [bind(path, path, "ro") for path in Attacked(tmp_path).shared]
        look = [os.path.realpath(sys.executable), "-I", str(keys)]
        bundle = runtime.bundle(look, all_of(writable, bind(keys, str(keys)), *mounts))
        run = runtime.words("run", "--bundle", str(bundle), "box")
        for words, expected in ((look, "found"), (run, "none"), ([*run, "--no-new-keyring"], "found")):
            assert runtime.host.run([sys.executable, str(keys), *words], cwd=REPOSITORY).text == expected

    def test_nobody_else_reads_or_writes_it(self, runtime: Runtime) -> None:
        """Environment variables are secrets, and a pid that somebody has written is one that `kill` would kill."""
        runtime.root.mkdir(0o755)
        os.umask(0)
        try:
            assert runtime.create("box", ["sleep", "1000"]).code == 0
        finally:
            os.umask(0o022)
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        for name in ("state.json", "config.json", "door"):
            assert (runtime.root / "box" / name).exists()
            for test in ("-r", "-w"):
                assert runtime.host.run([*nobody, "test", test, str(runtime.root / "box" / name)]).code == 1
        assert (runtime.root / "box").stat().st_mode & 0o077 == 0

    def test_an_error_says_nothing_to_the_terminal(self, runtime: Runtime) -> None:
        """A name of the image's choice."""
        (runtime.rootfs / "bin/a\x1b[31m\x9bb").mkdir()
        line = fails(runtime.run(["a\x1b[31m\x9bb"]), NOT_EXECUTABLE, r"a\x1b[31m\x9bb")
        assert line.isprintable()

    def test_a_pid_file_overwrites_nothing(self, runtime: Runtime, outside: Path, tmp_path: Path) -> None:
        """A link in a directory of others, at its place."""
        (tmp_path / "pid").symlink_to(outside / "secret")
        bundle = runtime.bundle(["sleep", "1000"])
        assert runtime.raw("create", "--bundle", str(bundle), "--pid-file", f"{tmp_path}/pid", "box").code == 0
        assert (tmp_path / "pid").read_text() == str(runtime.state("box")["pid"])
