"""--userns=auto: users of its own for each container, whose files on the disk have the owners that it sees."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.final.engine.conftest import Box
from tests.support import processes
from tests.support.engines import ENGINE_FAILED, fails
from tests.support.hosts import finish
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel
SLEEPS = ["sleep", "1000"]
AUTO = ["--userns", "auto"]
FIRST, SIZE = 1 << 31, 65_536

Subordinate = Callable[[str], None]


@pytest.fixture
def subordinate(tmp_path: Path) -> Iterator[Subordinate]:
    """Says what /etc/subuid and /etc/subgid say, on mounts that only the tests see."""
    covered = []

    def say(text: str) -> None:
        for path in ("/etc/subuid", "/etc/subgid"):
            said = tmp_path / os.path.basename(path)
            said.write_text(text)
            Path(path).touch()
            subprocess.run(["mount", "--bind", str(said), path], check=True)
            covered.append(path)

    yield say
    for path in covered:
        subprocess.run(["umount", path], check=True)


def root_of(box: Box, container: str) -> int:
    """Who the container's root is on this host."""
    words = processes.status(box.status(container)["pid"], "Uid").split()
    return int(words[0])


def upper(box: Box, container: str, name: str) -> os.stat_result:
    """A file of the container's own layer, on the disk."""
    return os.stat(box.root / "containers" / container / "upper" / name)


def owner_in(archive: bytes, name: str) -> tuple[int, int]:
    """Who a file in a tar archive belongs to."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        found = opened.getmember(name)
    return found.uid, found.gid


def test_each_has_users_of_its_own(box: Box) -> None:
    one, two = (box.start(SLEEPS, "--net", "none", *AUTO) for _ in range(2))
    assert [root_of(box, id) for id in (one, two)] == [FIRST, FIRST + SIZE]
    assert box.raw("exec", two, "id", "-u").text == "0"
    assert box.raw("exec", two, "cat", "/proc/self/uid_map").text.split() == ["0", str(FIRST + SIZE), str(SIZE)]
    box.raw("restart", "-t", "0", two)
    assert root_of(box, two) == FIRST + SIZE
    box.remove(one)
    three = box.start(SLEEPS, "--net", "none", *AUTO)
    assert root_of(box, three) == FIRST
    assert json.loads(box.raw("inspect", three).text)[0]["HostConfig"]["UsernsMode"] == "auto"
    assert root_of(box, box.start(SLEEPS, "--userns", "host")) == 0


def test_many_at_once_share_none(box: Box) -> None:
    started = [box.engine.host.spawn(box.engine.command_line("create", *AUTO, "busybox", "true")) for _ in range(5)]
    ids = [finish(process).text for process in started]
    settings = [json.loads((box.root / "containers" / id / "settings.json").read_bytes()) for id in ids]
    assert sorted(one["users"] for one in settings) == [[FIRST + number * SIZE] * 2 for number in range(5)]


def test_files_have_the_owners_that_it_sees(box: Box) -> None:
    script = (
        "stat -c %u /bin/busybox /etc; echo x > /root-s; cp /bin/busybox /copy; echo y > /other; chown 1000:7 /other"
    )
    id = box.sh(f"{script}; mkdir /dir; rm /etc/passwd; exec sleep 1000", *AUTO, "--net", "none")
    eventually(lambda: box.raw("exec", id, "test", "-e", "/etc/passwd").code != 0, "all is done")
    assert box.raw("logs", id).text.split() == ["0", "0"]
    assert box.raw("exec", id, "stat", "-c", "%u:%g", "/root-s", "/other").text.split() == ["0:0", "1000:7"]
    assert [upper(box, id, name).st_uid for name in ("root-s", "other", "copy", "dir")] == [0, 1000, 0, 0]
    assert box.raw("diff", id).text.splitlines() == [
        "A /copy",
        "A /dir",
        "C /etc",
        "D /etc/passwd",
        "A /other",
        "A /root-s",
    ]
    assert owner_in(box.raw("export", id).out, "other") == (1000, 7)
    box.raw("commit", id, "made")
    for mode in ("auto", "host"):
        owners = box.raw("run", "--rm", "--userns", mode, "made", "stat", "-c", "%u:%g", "/root-s", "/other")
        assert owners.text.split() == ["0:0", "1000:7"]


def test_cp_in_and_out(box: Box, tmp_path: Path) -> None:
    id = box.sh("echo x > /other; chown 1000:7 /other; touch /done; exec sleep 1000", *AUTO, "--net", "none")
    eventually(lambda: box.raw("exec", id, "test", "-e", "/done").code == 0, "the file")
    own = tmp_path / "own"
    own.write_text("y")
    os.chown(own, 33, 34)
    for state in ("running", "exited"):
        archive = box.raw("cp", f"{id}:/other", "-").out
        assert owner_in(archive, "other") == (1000, 7), state
        box.raw("cp", "-a", f"{id}:/other", str(tmp_path / state))
        assert (tmp_path / state).stat().st_uid == 1000
        assert box.raw("cp", str(own), f"{id}:/{state}-plain").code == 0
        assert box.raw("cp", "-a", str(own), f"{id}:/{state}-owned").code == 0
        assert box.raw("cp", "-", f"{id}:/home", input=archive).code == 0
        owners = [upper(box, id, name) for name in (f"{state}-plain", f"{state}-owned", "home/other")]
        assert [(found.st_uid, found.st_gid) for found in owners] == [(0, 0), (33, 34), (1000, 7)], state
        box.raw("stop", "-t", "0", id)


def test_volumes(box: Box, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "file").touch()
    os.chown(shared / "file", 1000, 7)
    script = "stat -c %u:%g /bind/file; touch /bind/new /named/new /own/new; chown 5 /bind/new; stat -c %u /named /own"
    flags = ["-v", f"{shared}:/bind", "-v", "data:/named", "-v", "/own"]
    said = box.raw("run", "--rm", *AUTO, *flags, "busybox", "sh", "-c", script)
    assert said.text.split() == ["1000:7", "0", "0"]
    assert (shared / "new").stat().st_uid == 5
    assert box.raw("run", "--rm", "-v", "data:/named", "busybox", "stat", "-c", "%u", "/named/new").text == "0"
    refused = box.raw("run", "--rm", *AUTO, "-v", "/proc/sys:/x", "busybox", "true")
    fails(refused, ENGINE_FAILED, "/proc/sys", "mapping of users", "file system")
    box.raw("volume", "rm", "data")


def test_what_it_may_and_may_not(box: Box) -> None:
    refused = "hostname x; mknod /disk b 8 0; mount -t tmpfs none /mnt; echo 1 > /proc/sys/vm/swappiness"
    given = "echo x > /dev/null && head -c 2 /dev/zero | wc -c; ls /sys/class/net; touch /dev/shm/x && echo shm"
    script = f"{refused}; {given}"
    said = box.raw("run", "--rm", *AUTO, "--net", "none", "busybox", "sh", "-c", f"({script}) 2>&1").text
    assert said.splitlines()[0].startswith("hostname:")
    assert "mknod: /disk: Operation not permitted" in said and "mount: " in said and "swappiness" in said
    assert [line.strip() for line in said.splitlines()[-3:]] == ["2", "lo", "shm"]


def test_flags_that_go_with_it(box: Box) -> None:
    script = "id -u; id -g; touch /t/x && echo t; touch /x 2>/dev/null || echo closed; cat /proc/1/comm"
    flags = ["--read-only", "--tmpfs", "/t:mode=1777", "-u", "1000:50", "--init", "-e", "A=b", "--cap-drop", "ALL"]
    said = box.raw("run", "--rm", *AUTO, *flags, "busybox", "sh", "-c", script)
    assert said.text.split() == ["1000", "50", "t", "closed", "init"]
    terminal = box.engine.pty(["sh", "-c", "tty; stat -c %u $(tty)"], *AUTO, "-ti", "--rm")
    terminal.expect(b"/dev/pts/0\r\n0\r\n")
    assert terminal.wait() == 0


def test_standard_output_can_be_opened_anew(box: Box) -> None:
    id = box.sh("echo one > /dev/stdout; echo two > /dev/stderr", *AUTO)
    box.raw("wait", id)
    logs = box.raw("logs", id)
    assert (logs.out, logs.err) == (b"one\n", b"two\n")


def test_network_and_health(box: Box) -> None:
    looks = ["--health-cmd", "test $(id -u) = 0 && ping -c 1 other", "--health-interval", "50ms"]
    box.start(SLEEPS, "--name", "other", *AUTO)
    box.start(SLEEPS, "--name", "box", *AUTO, *looks)
    eventually(lambda: "(healthy)" in box.raw("ps", "--filter", "name=box").text, "it is healthy")
    assert "eth0" in box.raw("exec", "box", "ls", "/sys/class/net").text.split()


@pytest.mark.parametrize(
    "flags",
    [
        ["--privileged"],
        ["--net", "host"],
        ["--pid", "host"],
        ["--ipc", "host"],
        ["--uts", "host"],
        ["--pid", "container:x"],
    ],
)
def test_what_does_not_go_with_it(box: Box, flags: list[str]) -> None:
    fails(box.raw("create", *AUTO, *flags, "busybox", "true"), ENGINE_FAILED, "--userns auto", flags[0])
    assert box.ids() == []


@pytest.mark.parametrize("owner", ["mydocker", "containers"])
def test_the_ids_that_there_are(box: Box, subordinate: Subordinate, owner: str) -> None:
    subordinate(f"somebody:1:65536\n{owner}:100000:65535\n{owner}:300000:{2 * SIZE + 1}\n")
    first, _ = (box.start(SLEEPS, "--net", "none", *AUTO) for _ in range(2))
    assert root_of(box, first) == 300_000
    fails(box.raw("create", *AUTO, "busybox", "true"), ENGINE_FAILED, "/etc/subuid", "65536", "rm")
    box.remove(first)
    assert root_of(box, box.start(SLEEPS, "--net", "none", *AUTO)) == 300_000


@pytest.mark.parametrize("line", ["mydocker:ten:10", "mydocker:10", "mydocker:0:65536", f"mydocker:65536:{1 << 32}"])
def test_ids_that_cannot_be(box: Box, subordinate: Subordinate, line: str) -> None:
    subordinate(f"{line}\n")
    fails(box.raw("create", *AUTO, "busybox", "true"), ENGINE_FAILED, "/etc/subuid", line)
    assert box.ids() == []
