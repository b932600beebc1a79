"""Device files, and which devices a container may use: linux.devices, linux.resources.devices. Section 7.3."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ch02_namespaces import cgroup_v2, namespaces
from ch02_namespaces.cgroups import Cgroup, hierarchies
from ch02_namespaces.errors import EngineError, SyscallError
from ch03_run.command import Command
from ch03_run.container import Container
from ch07_practice.oci.document import Node
from final.runtime import device_program
from final.runtime.device_rules import DeviceRules, Rule, default_rules, rules_of, with_exceptions
from tests.ch07_practice.bundles import Change, Runtime
from tests.support.engines import ENGINE_FAILED, fails
from tests.support.hosts import Host

pytestmark = pytest.mark.kernel
MODULE = "final.runtime"
ZERO = {"path": "/dev/mine", "type": "c", "major": 1, "minor": 5}
DENY_ALL = {"allow": False, "access": "rwm"}
ALLOW_ALL = {"allow": True, "access": "rwm"}


@pytest.fixture
def runtime(host: Host, tmp_path: Path) -> Runtime:
    """A runtime whose containers are all run to their end."""
    return Runtime(host, tmp_path, MODULE)


def devices(*listed: dict[str, Any]) -> Change:
    return lambda config: config["linux"].update(devices=listed)


def rules(*listed: dict[str, Any]) -> Change:
    return lambda config: config["linux"].update(resources={"devices": listed})


def char(allow: bool, major: int | None, minor: int | None, access: str = "rwm") -> dict[str, Any]:
    numbers = {name: number for name, number in (("major", major), ("minor", minor)) if number is not None}
    return {"allow": allow, "type": "c", "access": access, **numbers}


def both(*changes: Change) -> Change:
    def change(config: dict[str, Any]) -> None:
        for one in changes:
            one(config)

    return change


class TestFiles:
    @pytest.mark.vm
    def test_as_listed(self, runtime: Runtime) -> None:
        change = devices(
            {**ZERO, "fileMode": 0o640, "uid": 7, "gid": 8},
            {**ZERO, "path": "/dev/deep/down/same", "type": "u"},
            {"path": "/dev/disk", "type": "b", "major": 7, "minor": 300, "fileMode": 0o060600},
            {"path": "/dev/pipe", "type": "p"},
        )
        script = "stat -c '%F %a %u:%g %t:%T' /dev/mine /dev/deep/down/same /dev/disk /dev/pipe"
        assert runtime.sh(script, change).text.splitlines() == [
            "character special file 640 7:8 1:5",
            "character special file 666 0:0 1:5",
            "block special file 600 0:0 7:12c",
            "fifo 666 0:0 0:0",
        ]

    def test_the_usual_ones_are_there_anyway(self, runtime: Runtime) -> None:
        script = "for name in null zero full random urandom tty; do stat -c %a:%t:%T /dev/$name; done; ls -l /dev/ptmx"
        lines = runtime.sh(script, devices({**ZERO, "path": "/dev/null", "minor": 3, "fileMode": 0o600})).text.split(
            "\n"
        )
        assert lines[:6] == ["600:1:3", "666:1:5", "666:1:7", "666:1:8", "666:1:9", "666:5:0"]

    def test_the_mask_stays_as_usual(self, runtime: Runtime) -> None:
        assert runtime.sh("umask", devices(ZERO)).text == "0022"

    def test_another_file_is_in_its_place(self, runtime: Runtime) -> None:
        (runtime.rootfs / "dev/mine").write_text("the image's")
        no_dev = lambda config: config.update(mounts=config["mounts"][:1])  # noqa: E731
        fails(runtime.sh("true", both(devices(ZERO), no_dev)), ENGINE_FAILED, "linux.devices[0]", "another file")
        assert (runtime.rootfs / "dev/mine").read_text() == "the image's"
        (runtime.rootfs / "dev/mine").unlink()
        (runtime.rootfs / "dev/mine").symlink_to("/etc/passwd")
        fails(runtime.sh("true", both(devices(ZERO), no_dev)), ENGINE_FAILED, "linux.devices[0]", "another file")
        (runtime.rootfs / "dev/mine").unlink()
        os.mknod(runtime.rootfs / "dev/mine", stat.S_IFCHR | 0o666, os.makedev(1, 5))
        assert runtime.sh("head -c 1 /dev/mine | wc -c", both(devices(ZERO), no_dev)).text == "1"

    def test_a_link_leads_nowhere_outside(self, runtime: Runtime, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (runtime.rootfs / "link").symlink_to(f"../../../..{outside}")
        assert runtime.sh("ls /link/", devices({**ZERO, "path": "/link/mine"})).text == "mine"
        assert list(outside.iterdir()) == []

    def test_in_a_user_namespace_they_are_the_hosts(self, runtime: Runtime) -> None:
        def change(config: dict[str, Any]) -> None:
            config["linux"]["namespaces"].append({"type": "user"})
            mapping = [{"containerID": 0, "hostID": 100_000, "size": 65_536}]
            config["linux"].update(uidMappings=mapping, gidMappings=mapping)

        os.chown(runtime.rootfs, 100_000, 100_000)
        listed = devices({**ZERO, "path": "/dev/kmsg", "minor": 11}, {"path": "/dev/pipe", "type": "p"})
        script = "stat -c %u:%t:%T /dev/kmsg; stat -c %u:%F /dev/pipe; stat -c %t:%T /dev/zero"
        assert runtime.sh(script, both(change, listed)).text.split() == ["65534:1:b", "0:fifo", "1:5"]
        fails(runtime.sh("true", both(change, devices(ZERO))), ENGINE_FAILED, "linux.devices[0]", "/dev/mine")
        wrong = devices({**ZERO, "path": "/dev/kmsg"})
        fails(runtime.sh("true", both(change, wrong)), ENGINE_FAILED, "linux.devices[0]", "another device")

    @pytest.mark.parametrize(
        ("changes", "word"),
        [
            ({"type": "x"}, "linux.devices[0].type"),
            ({"type": None}, "linux.devices[0].type"),
            ({"path": "relative"}, "linux.devices[0].path"),
            ({"path": "/dev/.."}, "linux.devices[0].path"),
            ({"major": None}, "linux.devices[0].major"),
            ({"minor": -1}, "linux.devices[0].minor"),
            ({"major": 1 << 20}, "linux.devices[0].major"),
            ({"fileMode": "rw"}, "linux.devices[0].fileMode"),
            ({"uid": -1}, "linux.devices[0].uid"),
        ],
    )
    def test_wrong_documents(self, runtime: Runtime, changes: dict[str, Any], word: str) -> None:
        fails(runtime.sh("true", devices({**ZERO, **changes})), ENGINE_FAILED, word)


LOOP = {"path": "/dev/loop", "type": "b", "major": 7, "minor": 0}
FULL = devices(LOOP)
OPEN_LOOP = "head -c 0 /dev/loop && echo read"


class TestRules:
    @pytest.mark.vm
    def test_nothing_but_the_usual(self, runtime: Runtime) -> None:
        """Whether or not the document says so; runc has it so, too."""
        for change in (FULL, both(FULL, rules(DENY_ALL)), both(FULL, rules())):
            script = f"{OPEN_LOOP} || echo refused; mknod /dev/other b 7 1 && echo made; head -c 1 /dev/zero | wc -c"
            assert runtime.sh(script, change).text.split() == ["refused", "made", "1"]

    def test_one_more(self, runtime: Runtime) -> None:
        allowed = {"allow": True, "type": "b", "major": 7, "minor": 0, "access": "r"}
        script = f"{OPEN_LOOP}; true > /dev/loop || echo refused"
        assert runtime.sh(script, both(FULL, rules(DENY_ALL, allowed))).text.split() == ["read", "refused"]

    def test_all_but_one(self, runtime: Runtime) -> None:
        denied = {"allow": False, "type": "b", "major": 7, "minor": 0, "access": "rw"}
        script = f"{OPEN_LOOP} || echo refused; head -c 1 /dev/kmsg > /dev/null && echo read"
        change = both(
            devices(LOOP, {**ZERO, "path": "/dev/kmsg", "minor": 11}),
            rules(ALLOW_ALL, denied),
        )
        assert runtime.sh(script, change).text.split() == ["refused", "read"]

    def test_the_usual_ones_cannot_be_denied(self, runtime: Runtime) -> None:
        assert runtime.sh("head -c 1 /dev/zero | wc -c", rules(ALLOW_ALL, char(False, 1, 5))).text == "1"

    @pytest.mark.parametrize(
        ("rule", "word"),
        [
            ({"access": "r"}, "[0].allow"),
            ({"allow": "yes"}, "[0].allow"),
            ({"allow": True, "access": "x"}, "[0].access"),
            ({"allow": True, "type": "u"}, "[0].type"),
            ({"allow": True, "type": "a", "major": 1}, "[0]"),
            ({"allow": True, "type": "c", "major": -2}, "[0].major"),
        ],
    )
    def test_wrong_documents(self, runtime: Runtime, rule: dict[str, Any], word: str) -> None:
        fails(runtime.sh("true", rules(rule)), ENGINE_FAILED, f"linux.resources.devices{word}")


def parsed(*listed: dict[str, Any]) -> list[Rule]:
    return rules_of(Node(list(listed), "devices"))


class TestExceptions:
    """What version 1 can keep."""

    def lines(self, *listed: dict[str, Any]) -> tuple[bool, set[str]]:
        answer, exceptions = with_exceptions(parsed(*listed), Node([], "devices"))
        usual = {part.line() for rule in default_rules() for part in rule.parts()}
        return answer, {rule.line() for rule in exceptions} - usual

    def test_the_last_word_counts(self) -> None:
        assert self.lines(char(True, 9, 1), DENY_ALL) == (False, set())
        assert self.lines(DENY_ALL, char(True, 9, 1, "rw")) == (False, {"c 9:1 r", "c 9:1 w"})
        assert self.lines(char(True, 9, 1, "rw"), char(False, 9, None, "w")) == (False, {"c 9:1 r"})
        assert self.lines(char(True, 9, None, "r"), char(True, 9, 1, "r")) == (False, {"c 9:* r", "c 9:1 r"})
        assert self.lines(ALLOW_ALL, char(True, 9, 1)) == (True, set())
        assert self.lines(ALLOW_ALL, char(False, 9, 1)) == (True, {"c 9:1 r", "c 9:1 w"})  # mknod is the usual right
        assert self.lines(char(True, 9, 1)) == (False, {"c 9:1 r", "c 9:1 w", "c 9:1 m"})  # as it was said
        assert self.lines(char(True, 9, 1), char(False, 9, None)) == (False, set())

    def test_holes_are_refused(self) -> None:
        for listed in (
            (char(True, 9, None), char(False, 9, 1)),
            (ALLOW_ALL, char(False, 1, None)),  # /dev/null is one of these
            (char(True, 9, None, "r"), char(False, None, 1, "r")),
        ):
            with pytest.raises(EngineError, match="devices: cgroup version 1 cannot"):
                self.lines(*listed)


def opening(path: str, flags: int) -> Callable[[], object]:
    return lambda: os.close(os.open(path, flags))


class TestProgram:
    """Version 2: the kernel checks the program, and asks it."""

    @pytest.fixture
    def group(self, leak_check: object) -> Iterator[Cgroup]:
        """A group of version 2, if this machine has that at all."""
        mounted = [hierarchy for hierarchy in hierarchies() if hierarchy.version is cgroup_v2]
        if not mounted:
            pytest.skip("no cgroup version 2 is mounted")
        try:
            os.close(device_program.load(device_program.answer(True)))
        except SyscallError as error:
            pytest.skip(f"this machine takes no device programs: {error}")
        found = Cgroup(f"mydocker-test/{os.getpid()}", mounted)
        found.create()
        found.open_doors()
        yield found
        found.remove()
        for directory in found.directories():
            os.rmdir(os.path.dirname(directory))

    def allowed(self, group: Cgroup, attempts: list[Callable[[], object]], *listed: dict[str, Any]) -> list[bool]:
        """What a process can do in a group with these rules, and the usual ones."""
        container = Container("box", Command(["true"], {}), [])
        DeviceRules(Node(list(listed), "devices"), group).prepare(container)
        reader, writer = os.pipe()

        def child() -> int:
            group.join()
            for attempt in attempts:
                try:
                    attempt()
                    os.write(writer, b"y")
                except PermissionError:
                    os.write(writer, b"n")
            return 0

        assert namespaces.spawn(0, child).wait() == 0
        os.close(writer)
        answers = os.read(reader, 100)
        os.close(reader)
        return [answer == ord("y") for answer in answers]

    @pytest.mark.parametrize(
        ("listed", "expected"),
        [
            ([], [False, False, False, True]),
            ([ALLOW_ALL], [True, True, True, True]),
            ([char(True, 1, 11, "r")], [True, False, False, True]),
            ([char(True, 1, 11, "r"), char(True, 1, None, "w")], [True, True, True, True]),
            ([ALLOW_ALL, char(False, 1, 11, "w")], [True, False, False, True]),
            ([char(True, 1, None), char(False, 1, 11)], [False, False, False, True]),
            ([char(False, 1, 11), char(True, None, 11)], [True, True, True, True]),
            ([{"allow": True, "type": "b", "major": 1, "minor": 11}], [False, False, False, True]),
            ([ALLOW_ALL, DENY_ALL], [False, False, False, True]),
        ],
    )
    def test_the_kernel_asks_it(self, group: Cgroup, listed: list[dict[str, Any]], expected: list[bool]) -> None:
        attempts = [
            opening("/dev/kmsg", os.O_RDONLY),
            opening("/dev/kmsg", os.O_WRONLY),
            opening("/dev/kmsg", os.O_RDWR),
            opening("/dev/null", os.O_RDWR),
        ]
        assert self.allowed(group, attempts, *listed) == expected

    @pytest.mark.vm
    def test_mknod(self, group: Cgroup, tmp_path: Path) -> None:
        """Making is allowed for all, using is not."""
        path = tmp_path / "device"
        attempts = [lambda: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 11)), opening(str(path), os.O_RDONLY)]
        assert self.allowed(group, attempts) == [True, False]

    def test_many_rules_are_no_problem(self, group: Cgroup) -> None:
        many = [char(number % 2 == 0, 1, 11) for number in range(1001)]
        assert self.allowed(group, [opening("/dev/kmsg", os.O_RDONLY)], *many) == [True]
        many.append(char(False, 1, 11))
        assert self.allowed(group, [opening("/dev/kmsg", os.O_RDONLY)], *many) == [False]

    def test_what_the_kernel_does_not_take(self) -> None:
        with pytest.raises(SyscallError, match="BPF_PROG_LOAD"):
            device_program.load(device_program.instruction(device_program.EXIT))  # without an answer
