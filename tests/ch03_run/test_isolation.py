"""What a container sees of the machine, and what is left of the machine afterwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.support import processes
from tests.support.engines import Engine
from tests.support.hosts import finish, read_line
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel

SHARED = "mount --make-rshared / && exec "
PRINTS_MOUNTS_AFTERWARDS = '"$@"; cat /proc/self/mountinfo'


def test_command_is_pid_one(engine: Engine) -> None:
    assert engine.sh("echo $$").text == "1"


def test_ps_shows_the_inside_only(engine: Engine) -> None:
    lines = engine.sh("ps -o pid,args; true").text.splitlines()
    assert lines[1].split() == ["1", "sh", "-c", "ps", "-o", "pid,args;", "true"]
    assert len(lines) == 3  # the title, the shell, ps


def test_proc_of_the_inside_has_no_stranger(engine: Engine) -> None:
    pids = engine.sh("cd /proc && echo [0-9]*").text.split()
    assert pids == ["1"]


@pytest.mark.vm
@pytest.mark.parametrize("kind", ["mnt", "pid", "uts", "ipc", "net"])
def test_namespaces_are_its_own(engine: Engine, kind: str) -> None:
    assert engine.run(["readlink", f"/proc/self/ns/{kind}"]).text != os.readlink(f"/proc/self/ns/{kind}")


ENDS = {
    "normal": ["true"],
    "failing": ["sh", "-c", "exit 3"],
    "signal": ["sh", "-c", "kill -9 $$; kill -TERM $$; exit 0"],
    "missing": ["/nonexistent"],
    "unmounts proc": ["umount", "/proc"],
    "mounts over proc": ["mount", "-t", "tmpfs", "none", "/proc"],
    "forks and leaves": ["sh", "-c", "sleep 100 & exit 0"],
}


@pytest.mark.parametrize("end", ENDS)
def test_hosts_proc_is_whole_after(engine: Engine, end: str) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    engine.run(ENDS[end])
    assert Path("/proc/self/mountinfo").read_text() == before
    assert os.readlink("/proc/self") == str(os.getpid())


@pytest.mark.parametrize("end", ENDS)
def test_nothing_propagates_where_the_host_shares_its_mounts(engine: Engine, end: str) -> None:
    """As on every machine with systemd. The book's readers lost their /proc here."""
    script = SHARED + "sh -c 'cat /proc/self/mountinfo; echo ===; " + PRINTS_MOUNTS_AFTERWARDS + '\' sh "$@"'
    words = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        script,
        "sh",
        *engine.run_words(["sh", "-c", '"$@" >&2', "sh", *ENDS[end]]),
    ]
    before, _, after = engine.host.run(words).out.partition(b"===\n")
    assert b"shared:" in before
    assert after == before


def test_nothing_propagates_when_the_engine_is_killed(engine: Engine) -> None:
    script = SHARED + 'sh -c \'cat /proc/self/mountinfo; echo ===; "$@"; cat /proc/self/mountinfo\' sh "$@"'
    command = ["sh", "-c", "echo up >&2; sleep 100"]
    started = engine.host.spawn(["unshare", "--mount", "sh", "-c", script, "sh", *engine.run_words(command)])
    assert started.stderr is not None
    assert started.stderr.readline() == b"up\n"
    [engine_pid] = processes.children(started.pid)
    os.kill(engine_pid, signal.SIGKILL)
    before, _, after = finish(started).out.partition(b"===\n")
    assert after == before
    assert engine.run(["true"]).code == 0  # sweeps what the killed one could not


def test_mounts_of_the_host_are_still_seen(engine: Engine) -> None:
    """Privacy is for what is mounted from now on; nothing is hidden."""
    assert engine.run(["test", "-e", "/proc/self/mountinfo"]).code == 0
    assert " - proc proc " in engine.run(["cat", "/proc/self/mountinfo"]).text


def test_host_name_is_set_inside_only(engine: Engine) -> None:
    assert engine.run(["hostname"], "--hostname", "box").text == "box"
    assert socket.gethostname() != "box"


def test_host_name_changed_inside_stays_inside(engine: Engine) -> None:
    before = socket.gethostname()
    assert engine.sh("hostname other && hostname", *engine.rights).text == "other"
    assert socket.gethostname() == before


def test_host_name_is_the_id_by_default(engine: Engine) -> None:
    first, second = (engine.run(["hostname"]).text for _ in range(2))
    assert len(first) == 12
    assert int(first, 16) >= 0
    assert first != second


@pytest.mark.parametrize("name", ["x" * 64, "ü", "-box", "a b"])
def test_odd_host_names_arrive(engine: Engine, name: str) -> None:
    assert engine.run(["cat", "/proc/sys/kernel/hostname"], f"--hostname={name}").text == name


def test_message_queue_of_the_host_is_not_seen(engine: Engine) -> None:
    made = engine.host.run(["ipcmk", "--queue"]).text
    number = made.split()[-1]
    try:
        assert len(Path("/proc/sysvipc/msg").read_text().splitlines()) > 1
        assert len(engine.run(["cat", "/proc/sysvipc/msg"]).text.splitlines()) == 1  # the title
    finally:
        engine.host.run(["ipcrm", "--queue-id", number])


@pytest.mark.vm
def test_network_is_lo_alone_and_down(engine: Engine) -> None:
    lines = engine.run(["cat", "/proc/net/dev"]).text.splitlines()[2:]
    assert [line.split(":")[0].strip() for line in lines] == ["lo"]
    assert engine.run(["cat", "/proc/net/route"]).text.splitlines()[1:] == []
    if engine.has_networks:
        return  # from chapter 6 on it is up
    assert (
        engine.run(["cat", "/proc/net/fib_trie"]).text == ""
        or "127.0.0.1" not in engine.run(["cat", "/proc/net/fib_trie"]).text
    )


@pytest.mark.vm
def test_end_of_pid_one_ends_all(engine: Engine) -> None:
    started = engine.spawn(["sh", "-c", "sleep 1000 & echo up; read x"], "-i")
    assert read_line(started) == b"up\n"
    [pid_one] = processes.children(started.pid)
    [sleeper] = eventually(lambda: processes.children(pid_one), "the sleeper")
    assert finish_stdin(started) == 1  # read met end of file
    eventually(lambda: not processes.is_alive(sleeper), "the end of the sleeper")


def finish_stdin(started: subprocess.Popen[bytes]) -> int:
    """Close a spawned command's standard input; its exit code."""
    return finish(started).code  # communicate() closes it


def test_orphans_are_reparented_to_pid_one(engine: Engine) -> None:
    script = "sh -c 'sleep 1000 & echo $!' > /dev/fd/1; grep PPid /proc/[2-9]*/status; true"
    assert "PPid:\t1" in engine.sh(script).text


def test_container_keeps_the_working_directory_in_chapter_3(engine: Engine, tmp_path: Path) -> None:
    if not engine.sees_host_files:
        pytest.skip("from chapter 4 on it is the image's")
    assert engine.run(["pwd"], cwd=tmp_path).text == str(tmp_path)


def test_many_containers_at_once(engine: Engine) -> None:
    """Twenty started together: each is PID 1, none disturbs another, nothing is left."""
    all_of_them = [engine.spawn(["sh", "-c", "echo $$ $(hostname)"], "--hostname", f"box{n}") for n in range(20)]
    for number, result in enumerate(map(finish, all_of_them)):
        assert result.err == b""
        assert result.out == b"1 box%d\n" % number
        assert result.code == 0
