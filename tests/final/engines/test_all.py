"""podman, docker and containerd run containers with our runtime in place of runc. Book section 7.5.

Each test asks all three for the same.
"""

from __future__ import annotations

import subprocess

import pytest

from tests.final.engines.manager import Manager
from tests.support.hosts import finish
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel
SLEEP = ("sleep", "1000")
RIGHT_SIZE = "until stty size | grep -q '^31 97$'; do sleep 0.02; done"  # engines tell it when the command runs already


def test_a_life(manager: Manager) -> None:
    manager.start("box", *SLEEP)
    assert manager.status("box") == "running"
    assert manager.pause("box").code == 0
    assert manager.status("box") == "paused"
    assert manager.resume("box").code == 0
    assert manager.status("box") == "running"
    assert manager.kill("box") == 137
    assert manager.again("box").code == 0
    assert manager.status("box") == "running"
    assert manager.remove("box").code == 0


def test_what_is_run_comes_back(manager: Manager) -> None:
    result = manager.run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert result[:2] == (7, b"out\n")
    assert b"err\n" in result.err
    assert manager.run("sh", "-c", "kill -9 $$; echo on").text == "on"  # PID 1 does not get it


def test_more_processes_in_a_container(manager: Manager) -> None:
    manager.start("box", "sh", "-c", "sleep 1000 & sleep 1000 & wait")
    assert manager.execute("box", "cat", input=b"hello").out == b"hello"
    assert manager.execute("box", "sh", "-c", "echo $0 out; exit 9", "a b")[:2] == (9, b"a b out\n")
    assert "PID 1" not in manager.execute("box", "sh", "-c", "echo PID $$").text
    eventually(lambda: len(manager.processes("box").splitlines()) == 1 + 3, "three processes and the heading")


def test_a_command_that_cannot_be_run(manager: Manager) -> None:
    manager.start("box", *SLEEP)
    for command, words, code in (
        ("nosuch", "executable file not found", manager.NOT_FOUND),
        ("/etc/passwd", "permission denied", manager.NOT_EXECUTABLE),
    ):
        for result in (manager.run(command), manager.execute("box", command)):
            said = (result.out + result.err).decode().lower()  # `docker exec` says it on standard output
            assert command in said and words in said
        assert manager.run(command).code == code
    assert manager.status("box") == "running"


def test_terminals(manager: Manager) -> None:
    """One that a new container gets, and one for a process more; each has the size of the user's."""
    terminal = manager.terminal(manager.run_words("run", "sh", "-c", f"{RIGHT_SIZE}; tty; exit 6", wishes=["terminal"]))
    terminal.expect(rb"/dev/pts/0\r+\n")
    assert terminal.wait() == 6
    manager.start("box", *SLEEP)
    terminal = manager.terminal(manager.exec_words("box", ["sh", "-c", f"{RIGHT_SIZE}; tty; read x; exit $x"], "-t"))
    terminal.expect(rb"/dev/pts/0\r+\n")
    terminal.type(b"5\n")
    assert terminal.wait() == 5
    assert terminal.mode_is_restored()


def test_what_a_container_must_not_do(manager: Manager) -> None:
    assert b"Read-only" in manager.run("touch", "/x", wishes=("read-only",)).err
    assert b"not permitted" in manager.run("chown", "7", "/tmp", wishes=("no-chown",)).err
    assert manager.run("chown", "7", "/tmp").code == 0
    for wish, mode in (("seccomp", "2"), ("open", "0")):
        assert manager.run("grep", "Seccomp:", "/proc/self/status", wishes=(wish,)).text.split()[1] == mode


def test_a_memory_limit_acts_and_is_shown(manager: Manager) -> None:
    assert manager.run("tail", "/dev/zero", wishes=("limit",)).code == 137
    manager.start("box", *SLEEP, wishes=("limit",))
    assert manager.SHOWN_LIMIT in manager.statistics("box")


def test_several_at_once(manager: Manager) -> None:
    lines = [manager.run_words(f"box{number}", "echo", f"{number}") for number in range(4)]
    started = [manager.host.spawn(words, cwd=manager.top, stdin=subprocess.DEVNULL) for words in lines]
    assert [finish(process).text for process in started] == ["0", "1", "2", "3"]
