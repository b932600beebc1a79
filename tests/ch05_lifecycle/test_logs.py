"""logs: what a container printed, byte for byte, on the stream that it was printed on. Book section 5.3."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from ch05_lifecycle import logs
from tests.ch05_lifecycle.conftest import Keeper
from tests.support.engines import ENGINE_FAILED, fails
from tests.support.hosts import finish, read_line
from tests.support.polling import PATIENCE, eventually
from tests.support.processes import open_files

TIME = rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z "


@pytest.mark.kernel
class TestCommand:
    def test_both_streams_apart(self, keeper: Keeper) -> None:
        id = keeper.sh("echo out; echo err >&2; echo more")
        keeper.raw("wait", id)
        result = keeper.raw("logs", id)
        assert (result.out, result.err) == (b"out\nmore\n", b"err\n")

    def test_binary_output_is_unharmed(self, keeper: Keeper) -> None:
        data = bytes(range(256)) * 40 + b"\r\n\0\n\n" + b"x" * 300_000 + b"no newline at the end"
        path = keeper.engine.plant("data", data)
        volume = b"%b:/data:ro" % path
        id = keeper.start(["cat", "/data"], "-v", volume)
        keeper.raw("wait", id)
        assert keeper.raw("logs", id).out == data

    def test_tail(self, keeper: Keeper) -> None:
        id = keeper.sh("seq 1 100; printf unfinished")
        keeper.raw("wait", id)
        assert keeper.raw("logs", "--tail", "3", id).out == b"99\n100\nunfinished"
        assert keeper.raw("logs", "--tail", "0", id).out == b""
        assert len(keeper.raw("logs", "--tail", "1000", id).out.splitlines()) == 101
        for wrong in ("-1", "x"):
            fails(keeper.raw("logs", "--tail", wrong, id), ENGINE_FAILED, wrong)

    def test_timestamps_and_since(self, keeper: Keeper) -> None:
        id = keeper.sh("echo before; sleep 1.2; echo after")
        keeper.raw("wait", id)
        lines = keeper.raw("logs", "-t", id).out.splitlines()
        assert all(re.match(TIME, line) for line in lines) and lines[0].endswith(b" before")
        second = lines[1].split()[0].decode()
        assert keeper.raw("logs", "--since", second, id).text == "after"
        assert keeper.raw("logs", "--since", "1h30m", id).text == "before\nafter"
        assert keeper.raw("logs", "--since", "0s", id).text == ""
        fails(keeper.raw("logs", "--since", "yesterday", id), ENGINE_FAILED, "yesterday")

    def test_follow_ends_with_the_container(self, keeper: Keeper) -> None:
        id = keeper.sh("for i in 1 2 3; do echo $i; sleep 0.1; done; printf end; exit 3")
        assert keeper.raw("logs", "-f", id).out == b"1\n2\n3\nend"
        assert keeper.raw("logs", "-f", id).out == b"1\n2\n3\nend"  # also afterwards

    def test_follow_shows_lines_as_they_come(self, keeper: Keeper) -> None:
        id = keeper.sh("echo old; read x; echo new", "-i")
        eventually(lambda: keeper.raw("logs", id).text == "old", "the first line")
        for flags, first in (([], b"old\n"), (["--tail", "0"], b"new\n")):
            follower = keeper.engine.host.spawn(keeper.engine.command_line("logs", "-f", *flags, id))
            if first == b"new\n":
                eventually(lambda pid=follower.pid: has_open(pid, "log"), "it to look")  # type: ignore[misc]
                keeper.raw("attach", id, input=b"\n")
            assert read_line(follower) == first
            if first == b"old\n":
                follower.kill()
            else:
                assert finish(follower).out == b""

    def test_of_nobody(self, keeper: Keeper) -> None:
        fails(keeper.raw("logs", "nosuch"), ENGINE_FAILED, "nosuch")
        created = keeper.raw("create", "busybox", "true").text
        assert keeper.raw("logs", created).out == b""
        assert keeper.raw("logs", "-f", created).out == b""

    def test_a_reader_that_leaves(self, keeper: Keeper) -> None:
        id = keeper.sh("seq 1 100000")
        keeper.raw("wait", id)
        words = ["sh", "-c", '"$@" | head -1', "sh", *keeper.engine.command_line("logs", id)]
        result = keeper.engine.host.run(words)
        assert (result.out, result.err) == (b"1\n", b"")

    def test_a_terminal_of_its_own(self, keeper: Keeper) -> None:
        id = keeper.start(["sh", "-c", "tty; test -t 0 && echo yes"], "-t")
        keeper.raw("wait", id)
        assert keeper.raw("logs", id).out == b"/dev/pts/0\r\nyes\r\n"

    def test_nothing_is_lost_of_what_is_printed_fast(self, keeper: Keeper) -> None:
        """60 MB in short lines, through rotation; what remains is the end, without a gap."""
        id = keeper.sh("yes 0123456789abcdef | head -3000000 | nl | tail -n 3000000; echo the end")
        assert keeper.raw("wait", id, timeout=5 * PATIENCE).text == "0"
        lines = keeper.raw("logs", id).out.splitlines()
        assert lines[-1] == b"the end"
        numbers = [int(line.split()[0]) for line in lines[1:-1]]  # the first may be the rest of one
        assert numbers == list(range(numbers[0], 3_000_001)) and len(numbers) > 100_000
        files = [name for name in os.listdir(keeper.root / "containers" / id) if name.startswith("log")]
        assert sorted(files) == ["log", "log.1", "log.2"]

    def test_a_full_disk_does_not_stop_the_container_and_is_told(self, keeper: Keeper) -> None:
        script = "echo before; seq 1 400000; echo full; read x; echo after"
        root = keeper.root / "containers"
        words = keeper.engine.command_line("run", "-d", "-i", "busybox", "sh", "-c", script)
        id = keeper.raw(*words[3:]).text
        eventually(lambda: keeper.raw("logs", "--tail", "1", id).text == "full", "the output")
        assert (root / id / "log").exists()
        keeper.raw("attach", id, input=b"\n")
        keeper.raw("wait", id)
        assert keeper.raw("logs", "--tail", "1", id).text == "after"


def has_open(pid: int, name: str) -> bool:
    """Whether a process has a file of this name open."""
    return any(os.path.basename(target) == name for target in open_files(pid))


class FullDisk:
    """write(2) fails as on a full disk, until there is room again."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.is_full = False
        self._write = os.write
        patch.setattr("ch05_lifecycle.logs.os.write", self.write)

    def write(self, descriptor: int, data: bytes) -> int:
        if self.is_full:
            raise OSError(28, "No space left on device")
        return self._write(descriptor, data)


class TestFiles:
    def test_rotation(self, tmp_path: Path) -> None:
        path = str(tmp_path / "log")
        writer = logs.LogWriter(path, most_bytes=1000, most_files=3)
        for number in range(200):
            writer.add("stdout", b"line %d\n" % number)
        writer.close()
        shown = [logs.parse(line)[2] for line in logs.read(path)]
        assert shown[-1] == b"line 199\n" and 30 < len(shown) < 100
        assert shown == [b"line %d\n" % number for number in range(200 - len(shown), 200)]
        assert all(os.path.getsize(tmp_path / name) < 1100 for name in os.listdir(tmp_path))

    def test_follow_through_rotation(self, tmp_path: Path) -> None:
        path = str(tmp_path / "log")
        writer = logs.LogWriter(path, most_bytes=500, most_files=5)
        count = 0

        def write_more() -> None:
            nonlocal count
            for _ in range(5):
                writer.add("stderr", b"%d\n" % count)
                count += 1

        shown = [logs.parse(line)[2] for line in logs.follow(path, lambda: count >= 200, write_more)]
        writer.close()
        assert shown == [b"%d\n" % number for number in range(200)]

    def test_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        disk = FullDisk(monkeypatch)
        path = str(tmp_path / "log")
        writer = logs.LogWriter(path, 1 << 20, 2)
        writer.add("stdout", b"before\n")
        disk.is_full = True
        writer.add("stdout", b"lost\n")
        writer.add("stdout", b"lost, too\n")
        disk.is_full = False
        writer.add("stdout", b"after\n")
        writer.close()
        shown = [logs.parse(line)[1:] for line in logs.read(path)]
        assert shown[0] == ("stdout", b"before\n") and shown[2] == ("stdout", b"after\n")
        assert shown[1][0] == "stderr" and b"bytes of output are lost: No space left on device" in shown[1][1]

    @pytest.mark.parametrize("line", [b"", b"x", b"2026 stdout\n", b"2026 stdlog F x\n", b"\xff\xff\n"])
    def test_damaged_lines_are_an_error(self, line: bytes) -> None:
        with pytest.raises(Exception, match="damaged line"):
            logs.parse(line)
