"""exec: one more process in a container, with all that makes one. Book section 5.4."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.ch05_lifecycle.conftest import Keeper
from tests.support import leaks, processes
from tests.support.engines import ENGINE_FAILED, NOT_EXECUTABLE, NOT_FOUND, fails
from tests.support.hosts import finish, read_line
from tests.support.polling import eventually
from tests.support.terminals import Terminal

pytestmark = pytest.mark.kernel
SLEEPS = ["sleep", "1000"]


@pytest.mark.vm
def test_every_namespace_is_the_containers(keeper: Keeper) -> None:
    id = keeper.start(SLEEPS)
    pid = keeper.status(id)["pid"]
    names = [name for name in os.listdir(f"/proc/{pid}/ns") if not name.endswith("_for_children")]
    inside = keeper.raw("exec", id, "sh", "-c", "".join(f"readlink /proc/self/ns/{name};" for name in names)).text
    assert inside.split() == [os.readlink(f"/proc/{pid}/ns/{name}") for name in names]


@pytest.mark.vm
def test_its_cgroup_is_the_containers(keeper: Keeper) -> None:
    id = keeper.start(SLEEPS)
    started = keeper.engine.host.spawn(keeper.engine.command_line("exec", "-i", id, "sh", "-c", "echo up; read x"))
    assert read_line(started) == b"up\n"
    groups = [group for group in leaks.cgroups() if os.path.basename(group) == id]
    assert groups
    for group in groups:
        members = Path(group, "cgroup.procs").read_text().split()
        assert len(members) == 2 and str(keeper.status(id)["pid"]) in members
    finish(started)
    assert set(keeper.raw("exec", id, "cut", "-d:", "-f3", "/proc/self/cgroup").text.split()) == {"/"}


@pytest.mark.vm
def test_it_shares_the_limits(keeper: Keeper) -> None:
    id = keeper.start(SLEEPS, "--pids-limit", "5")
    result = keeper.raw("exec", id, "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 1000 > /dev/null 2>&1 & done")
    assert b"fork" in result.err


def test_environment_user_and_directory_are_the_containers(keeper: Keeper) -> None:
    id = keeper.start(SLEEPS, "-e", "A=1", "-e", "B=2", "-u", "nobody", "-w", "/tmp")
    script = 'echo "$A $B $(id -u) $(pwd) $HOME"'
    assert keeper.raw("exec", id, "sh", "-c", script).text == "1 2 65534 /tmp /home"
    result = keeper.raw("exec", "-e", "B=3", "-u", "0", "-w", "/etc", id, "sh", "-c", script)
    assert result.text == "1 3 0 /etc /root"
    fails(keeper.raw("exec", "-u", "nosuch", id, "true"), ENGINE_FAILED, "nosuch")
    fails(keeper.raw("exec", "-w", "relative", id, "true"), ENGINE_FAILED, "relative")


def test_the_hosts_environment_stays_outside(keeper: Keeper) -> None:
    id = keeper.start(SLEEPS)
    result = keeper.engine.host.run(keeper.engine.command_line("exec", id, "env"), env={"SECRET": "hidden"})
    found = {line.split("=")[0] for line in result.text.splitlines()}
    assert found - {"HOSTNAME"} == {"HOME", "PATH"}  # the full engine says the container's own name, too


def test_no_descriptor_and_no_directory_of_the_host(keeper: Keeper) -> None:
    """CVE-2024-21626, CVE-2016-9962."""
    id = keeper.start(SLEEPS)
    assert keeper.raw("exec", id, "ls", "/proc/self/fd").text.split() == ["0", "1", "2", "3"]
    assert keeper.raw("exec", id, "readlink", "/proc/self/cwd").text == "/"
    for number in range(3, 40):
        result = keeper.raw("exec", id, f"/proc/self/fd/{number}/../../../../../../bin/ls", "/")
        assert result.code in (NOT_FOUND, NOT_EXECUTABLE)
        result = keeper.raw("exec", "-w", f"/proc/self/fd/{number}", id, "pwd", "-P")
        assert result.code == ENGINE_FAILED or result.out.startswith(b"/proc/")


def test_exit_codes(keeper: Keeper) -> None:
    id = keeper.start(SLEEPS)
    assert keeper.raw("exec", id, "sh", "-c", "exit 7").code == 7
    assert keeper.raw("exec", id, "sh", "-c", "kill -9 $$").code == 137
    fails(keeper.raw("exec", id, "nosuch"), NOT_FOUND, "nosuch")
    fails(keeper.raw("exec", id, "/etc/passwd"), NOT_EXECUTABLE, "/etc/passwd")


def test_streams(keeper: Keeper) -> None:
    id = keeper.start(SLEEPS)
    result = keeper.raw("exec", "-i", id, "sh", "-c", "cat; echo err >&2", input=b"in\0put")
    assert (result.out, result.err) == (b"in\0put", b"err\n")
    assert keeper.raw("exec", id, "cat", input=b"not for it").out == b""
    arguments = ["two words", "", "it's", "-x", "new\nline", "\udcff"]
    result = keeper.raw("exec", id, "printf", "[%s]", *map(os.fsencode, arguments))
    assert result.out == b"".join(b"[" + os.fsencode(argument) + b"]" for argument in arguments)


def test_a_terminal_of_its_own(keeper: Keeper) -> None:
    for flags, name in (([], b"/dev/pts/0"), (["-t"], b"/dev/pts/1")):
        id = keeper.start(SLEEPS, *flags)
        script = "tty; stty size; sleep 1000"
        terminal = Terminal(keeper.engine.host, keeper.engine.command_line("exec", "-ti", id, "sh", "-c", script))
        terminal.expect(name + b"\r\n31 97\r\n")
        terminal.type(b"\x03")
        assert terminal.wait() == 130
        assert terminal.mode_is_restored()


def test_in_the_background(keeper: Keeper) -> None:
    id = keeper.start(SLEEPS)
    pid = keeper.status(id)["pid"]
    result = keeper.raw("exec", "-d", id, "sh", "-c", "echo x > /file; exec sleep 1001")
    assert (result.code, result.out) == (0, b"")
    eventually(lambda: "sleep 1001" in keeper.raw("top", id).text, "the process")
    assert keeper.raw("exec", id, "cat", "/file").text == "x"
    fails(keeper.raw("exec", "-d", id, "nosuch"), NOT_FOUND, "nosuch")
    keeper.raw("stop", "-t", "0", id)
    assert not processes.is_alive(pid)


def test_it_ends_with_the_container(keeper: Keeper) -> None:
    id = keeper.start(SLEEPS)
    started = keeper.engine.host.spawn(keeper.engine.command_line("exec", id, "sh", "-c", "echo up; exec sleep 1001"))
    assert read_line(started) == b"up\n"
    keeper.raw("stop", "-t", "0", id)
    assert finish(started).code == 137


def test_a_killed_exec_takes_its_process_along(keeper: Keeper) -> None:
    id = keeper.start(SLEEPS)
    started = keeper.engine.host.spawn(keeper.engine.command_line("exec", id, "sh", "-c", "echo up; exec sleep 1001"))
    assert read_line(started) == b"up\n"
    started.kill()
    started.wait(60)
    leaks.reap_orphans()  # we are the orphans' parent in tests; elsewhere the machine's init is
    eventually(lambda: "sleep 1001" not in keeper.raw("top", id).text, "its end")
    leaks.reap_orphans()


@pytest.mark.parametrize("state", ["created", "exited", "nosuch"])
def test_only_into_one_that_runs(keeper: Keeper, state: str) -> None:
    """The book's readers met this as a setns that fails, after `run -d top` had died at once."""
    name = "nosuch"
    if state == "created":
        name = keeper.raw("create", "busybox", *SLEEPS).text
    if state == "exited":
        name = keeper.start(["true"])
        keeper.raw("wait", name)
    fails(keeper.raw("exec", name, "true"), ENGINE_FAILED, "there is none" if state == "nosuch" else "does not run")


def test_nothing_is_imported_from_the_image(keeper: Keeper) -> None:
    """A container that writes modules wherever the engine's Python would look for them."""
    id = keeper.start(SLEEPS)
    script = "for d in /usr/lib/python3.11 / /work; do mkdir -p $d; for m in socket array struct os codecs json; do "
    script += "echo 'import os; os.mkdir(\"/trapped\")' > $d/$m.py; done; done"
    assert keeper.raw("exec", id, "sh", "-c", script).code == 0
    for words in (["true"], ["nosuch"], ["-u", "nosuch", "true"], ["-e", "X=\udcff", "/\udcff"]):
        keeper.raw("exec", *map(os.fsencode, words[:-1]), id, os.fsencode(words[-1]))
    assert keeper.raw("exec", id, "ls", "-d", "/trapped").code == 1


def test_many_at_once(keeper: Keeper) -> None:
    id = keeper.start(SLEEPS)
    started = [keeper.engine.host.spawn(keeper.engine.command_line("exec", id, "echo", str(n))) for n in range(20)]
    results = [finish(one) for one in started]
    assert [result.out for result in results] == [b"%d\n" % number for number in range(20)]
    assert re.fullmatch(r"PID\s+PPID\s+STATE\s+COMMAND\n\d+.*sleep 1000", keeper.raw("top", id).text)
