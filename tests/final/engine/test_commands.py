"""Commands for containers that are there: pause, update, top, stats, rename, wait, rm, prune, exec, tree."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest

from tests.final.engine.conftest import Box
from tests.support.engines import ENGINE_FAILED, fails
from tests.support.hosts import finish, read_line
from tests.support.leaks import cgroups
from tests.support.polling import eventually
from tests.support.terminals import Terminal

pytestmark = pytest.mark.kernel


def limit(id: str, *names: str) -> str:
    """A limit of a container, in the file that it has in version 1 or 2."""
    found = [Path(path, name) for path in cgroups() if os.path.basename(path) == id for name in names]
    return next(path.read_text().strip() for path in found if path.exists())


def test_pause(box: Box) -> None:
    box.sh("while :; do echo x; sleep 0.01; done", "--name", "one", "--net", "none")
    assert box("pause", "one") == "one"
    assert box.show("one", "{{.State.Status}} {{.State.Paused}} {{.State.Running}}") == "paused true true"
    assert re.fullmatch(r"Up .* \(Paused\)", box("ps", "--format", "{{.Status}}"))
    eventually(lambda: len({box("logs", "one") for _ in range(3)}) == 1, "what it has printed before is written down")
    before = box("logs", "one")
    fails(box.raw("pause", "one"), ENGINE_FAILED, "paused already")
    fails(box.raw("exec", "one", "true"), ENGINE_FAILED, "paused")
    fails(box.raw("start", "one"), ENGINE_FAILED, "paused", "`unpause` it first")
    assert box("commit", "one", "made").startswith("sha256:")
    assert box.show("one", "{{.State.Status}}") == "paused" and box("logs", "one") == before
    assert box("unpause", "one") == "one"
    eventually(lambda: box("logs", "one") != before, "it goes on")
    fails(box.raw("unpause", "one"), ENGINE_FAILED, "not paused")
    fails(box.raw("pause", "nosuch"), ENGINE_FAILED, "nosuch")


@pytest.mark.parametrize("words", [["stop", "-t", "0"], ["kill"], ["rm", "-f"], ["restart", "-t", "0"]], ids=" ".join)
def test_a_paused_container_can_be_ended(box: Box, words: list[str]) -> None:
    box.sleeper("one")
    box("pause", "one")
    assert box(*words, "one") == "one"
    if words[0] == "kill":
        box.has_ended("one")
    expected = {"stop": "exited", "kill": "exited", "restart": "running", "rm": ""}[words[0]]
    assert box("ps", "-a", "--format", "{{.State}}") == expected


def test_restart_by_another_signal(box: Box) -> None:
    script = "trap 'echo hup; exit 5' HUP; trap 'echo term; exit 6' TERM; echo up; while :; do sleep 0.01; done"
    box.sh(script, "--name", "one", "--net", "none")
    for word in ("HUP", "SIGTERM"):
        eventually(lambda: box.lines("logs", "-n", "1", "one") == ["up"], "it catches signals")
        assert box("restart", "-s", word, "-t", "30", "one") == "one"
    eventually(lambda: box.lines("logs", "one") == ["up", "hup", "up", "term", "up"], "both have come")
    box("stop", "--signal", "HUP", "one")
    assert box.show("one", "{{.State.ExitCode}}") == "5"
    told = box.lines("events", "--since", "0", "--until", "0s", "--format", "{{.Action}}")
    assert told == ["create", "start", *2 * ["kill", "die", "stop", "start", "restart"], "kill", "die", "stop"]
    fails(box.raw("restart", "-s", "nosuch", "one"), ENGINE_FAILED, "nosuch")


def test_update(box: Box) -> None:
    id = box.sleeper("one", "-m", "64m")
    wanted = ["-m", "96m", "--pids-limit", "50", "--cpu-shares", "512", "--restart", "on-failure:3"]
    assert box("update", *wanted, "one") == "one"
    assert limit(id, "memory.limit_in_bytes", "memory.max") == str(96 << 20)
    assert limit(id, "pids.max") == "50"
    known = box.known("one")["HostConfig"]
    assert (known["Memory"], known["PidsLimit"], known["CpuShares"]) == (96 << 20, 50, 512)
    assert known["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    box("update", "--cpus", "0.5", "one")
    box("restart", "-t", "0", "one")
    assert limit(id, "cpu.cfs_quota_us", "cpu.max").split()[0] == "50000" and limit(id, "pids.max") == "50"
    box("stop", "-t", "0", "one")
    box("update", "-m", "128m", "one")
    box("start", "one")
    assert limit(id, "memory.limit_in_bytes", "memory.max") == str(128 << 20)
    for words in ([], ["--cpus", "0"], ["-m", "1m"], ["--cpus", "0.5", "--cpu-quota", "5000"]):
        fails(box.raw("update", *words, "one"), ENGINE_FAILED)
    fails(box.raw("update", "-m", "64m", "nosuch"), ENGINE_FAILED, "nosuch")
    assert limit(id, "memory.limit_in_bytes", "memory.max") == str(128 << 20)


def test_top(box: Box) -> None:
    box.sh("sleep 1000 & exec sleep 2000", "--name", "one", "--net", "none")
    eventually(lambda: "sleep 1000" in box("top", "one") and "sleep 2000" in box("top", "one"), "both processes")
    head, *lines = box.lines("top", "one", "-o", "pid,args")
    assert head.split() == ["PID", "COMMAND"] and len(lines) == 2
    assert box.show("one", "{{.State.Pid}}") in [line.split()[0] for line in lines]
    assert len(box.lines("top", "one", "aux")) == 3
    assert box.lines("top", "one", "-ef")[0].split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    fails(box.raw("top", "one", "-o", "args"), ENGINE_FAILED, "PID")
    fails(box.raw("top", "nosuch"), ENGINE_FAILED, "nosuch")


def test_top_on_a_terminal(box: Box) -> None:
    """What ps(1) is told to show counts, and not which terminal it is on."""
    box.sleeper("one")
    for words in (["-o", "pid,args"], ["aux"], ["-f"], ["-ef"]):
        terminal = Terminal(box.engine.host, box.engine.command_line("top", "one", *words))
        terminal.expect(rb"PID.*sleep 1000")
        assert terminal.wait() == 0


def test_stats_on_a_terminal(box: Box) -> None:
    box.sleeper("one", "-m", "64m")
    for number in (signal.SIGINT, signal.SIGTERM):
        terminal = Terminal(box.engine.host, box.engine.command_line("stats"))
        terminal.expect(rb"cpu %.*one.*/ 64MiB")
        terminal.expect(rb"one.*/ 64MiB")  # again
        terminal.process.send_signal(number)
        terminal.expect(rb"\x1b\[\?25h")  # the cursor
        assert terminal.wait() == 130 and terminal.mode_is_restored()


def test_stats_of_one_on_the_network_of_this_host(box: Box) -> None:
    box.start(["sleep", "1000"], "--name", "one", "--net", "host")
    box.engine.host.run(["ping", "-c1", "127.0.0.1"])
    box.engine.host.run(["ip", "link", "add", "busy", "type", "dummy"])
    assert box("stats", "--no-stream", "--format", "{{.NetIO}}", "one") == "0B / 0B"
    box.engine.host.run(["ip", "link", "del", "busy"])


def test_stats(box: Box) -> None:
    id = box.sleeper("one", "-m", "64m")
    box("create", "--name", "two", "busybox")
    head, row = box.lines("stats", "--no-stream")
    assert re.split(r"\s{2,}", head) == [
        *("CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS")
    ]
    assert row.split()[:2] == [id[:12], "one"] and "/ 64MiB" in row and row.split()[-1] == "1"
    found = json.loads(box("stats", "--no-stream", "--format", "json", "one"))
    assert set(found) == {"ID", "Container", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"}
    assert sorted(box.lines("stats", "--no-stream", "-a", "--format", "{{.Name}} {{.PIDs}}")) == ["one 1", "two --"]
    fails(box.raw("stats", "--no-stream", "nosuch"), ENGINE_FAILED, "nosuch")


def test_rename_and_wait(box: Box) -> None:
    box.sh("read line; exit 3", "--name", "one", "--net", "none", "-i")
    box.sh("exit 4", "--name", "two", "--net", "none")
    box("rename", "one", "uno")
    assert box.show("uno", "{{.Name}}") == "/uno"
    fails(box.raw("inspect", "one"), ENGINE_FAILED, "there is none")
    for words in (["uno", "two"], ["nosuch", "x"], ["uno", "a/b"]):
        fails(box.raw("rename", *words), ENGINE_FAILED)
    waiting = box.engine.host.spawn(box.engine.command_line("wait", "two", "uno"))
    assert read_line(waiting) == b"4\n"
    assert box.raw("attach", "uno", input=b"go\n").code == 3
    assert finish(waiting).text == "3"
    fails(box.raw("wait", "nosuch"), ENGINE_FAILED, "nosuch")


def test_rm_and_prune(box: Box) -> None:
    box.sleeper("up")
    for name in ("one", "two", "three"):
        box("create", "--name", name, "-l", f"name={name}", "busybox")
    fails(box.raw("rm", "up"), ENGINE_FAILED, "in use")
    several = box.raw("rm", "nosuch", "one")
    assert several.out == b"one\n"
    fails(several, ENGINE_FAILED, "nosuch")
    forced = box.raw("rm", "-f", "nosuch", "two", "nosuch2")  # what is not there is away already
    assert (forced.code, forced.out) == (0, b"two\n")
    assert [line.count(b"there is none") for line in forced.err.splitlines()] == [1, 1]
    box("create", "--name", "two", "-l", "name=two", "busybox")
    assert box("container", "prune", input=b"\n").startswith("WARNING!")
    two = box.show("two", "{{.Id}}")
    assert box.lines("container", "prune", "-f", "--filter", "label=name=two")[:2] == ["Deleted Containers:", two]
    assert box.lines("container", "prune", "-f", "--filter", "until=1h") == ["Total reclaimed space: 0B"]
    assert len(box.lines("container", "prune", "-f")) == 4
    assert box("ps", "-a", "--format", "{{.Names}}") == "up"
    fails(box.raw("container", "prune", "-f", "--filter", "nosuch=1"), ENGINE_FAILED, "nosuch")


@pytest.mark.parametrize("group", ["builder", "container", "image", "manifest", "network", "system", "volume"])
def test_groups_tell_their_commands(box: Box, group: str) -> None:
    shown = box(group, "--help")
    assert shown == box("help", group) == box.raw(group).out.decode().strip()
    assert shown.startswith(f"usage: mydocker {group} COMMAND ...")
    assert any(f"\n  {name} " in shown for name in ("prune", "inspect"))
    fails(box.raw(group, "nosuch"), ENGINE_FAILED, "nosuch", f"mydocker {group} --help")


def test_groups_of_commands(box: Box) -> None:
    id = box("container", "create", "--name", "one", "busybox", "sleep", "1000")
    assert box("container", "ls", "-a", "-q") == id[:12]
    assert box("container", "start", "one") == "one"
    assert box("container", "exec", "one", "echo", "x") == "x"
    assert box("container", "kill", "one") == "one"
    box.has_ended("one")
    assert box("container", "rm", "one") == "one"
    assert "busybox" in box("image", "ls")
    assert box.raw("container").code == ENGINE_FAILED
    fails(box.raw("container", "nosuch"), ENGINE_FAILED, "nosuch")


def test_exec(box: Box, tmp_path: Path) -> None:
    file = tmp_path / "variables"
    file.write_text("A=file\nB=file\n")
    box.sleeper("one", "-e", "C=run", "-w", "/tmp", "--cap-drop", "ALL")
    script = 'echo "$A $B $C $(pwd) $(grep CapEff /proc/self/status | cut -f2)"'
    told = box("exec", "--env-file", str(file), "-e", "B=flag", "one", "sh", "-c", script)
    assert told == f"file flag run /tmp {0:016x}"
    assert box.raw("exec", "one", "sh", "-c", "exit 5").code == 5
    assert box.raw("exec", "one", "nosuch").code == 127 and box.raw("exec", "one", "/etc/passwd").code == 126
    fails(box.raw("exec", "-w", "/nowhere", "one", "true"), ENGINE_FAILED, "/nowhere", "No such file")
    assert box.raw("exec", "one", "test", "-e", "/nowhere").code == 1
    box("exec", "-d", "one", "touch", "/made")
    eventually(lambda: box.raw("exec", "one", "test", "-e", "/made").code == 0, "it is done")
    assert box("exec", "-i", "one", "cat", input=b"typed") == "typed"
    box("stop", "-t", "0", "one")
    fails(box.raw("exec", "one", "true"), ENGINE_FAILED, "does not run")


def test_tree(box: Box) -> None:
    box.sleeper("one")
    box.start(["sleep", "2000"], "--name", "two", "--net", "container:one", "-v", "data:/d:ro")
    box("create", "--name", "three", "busybox")
    drawn = box("tree")
    assert "2 containers" in drawn and "sleep 2000" in drawn and "/d volume: data (read-only)" in drawn
    assert re.search(r"net \d+, shared with two", drawn) and "three" not in drawn
    assert "three" in box("tree", "-a") and "one" not in box("tree", "three")
    fails(box.raw("tree", "nosuch"), ENGINE_FAILED, "nosuch")
