"""An ordinary user runs a container: root inside, nobody special outside. Book section 2.1.6."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import processes
from tests.support.delegation import delegated_to
from tests.support.engines import ENGINE_FAILED, NOT_FOUND, fails, increments
from tests.support.hosts import REPOSITORY, Host, Result, Word, finish, read_line
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel

NOBODY = 65534
BECOME_NOBODY: list[Word] = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


class User:
    """Somebody without rights, with a copy of the program that they may read."""

    def __init__(self, host: Host, home: Path, python: str) -> None:
        self.host = host
        self.home = home
        self.python = python

    def words(self, *arguments: Word) -> list[Word]:
        return [*BECOME_NOBODY, self.python, "-m", "ch03_run", "run", *arguments]

    def run(self, *arguments: Word) -> Result:
        return self.host.run(self.words(*arguments), env={"PYTHONPATH": str(self.home)}, cwd="/")


def readable_python(host: Host) -> str:
    """An interpreter that nobody may execute: that of a virtual environment is often root's own."""
    for python in (sys.executable, "/usr/bin/python3"):
        if (
            host.run([*BECOME_NOBODY, python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"], cwd="/").code
            == 0
        ):
            return python
    pytest.skip("no Python that an ordinary user may run")


@pytest.fixture
def user(host: Host) -> Iterator[User]:
    python = readable_python(host)
    if host.run([*BECOME_NOBODY, "unshare", "--user", "true"], cwd="/").code:
        pytest.skip("this kernel gives ordinary users no user namespace")
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        home.chmod(0o755)
        for chapter in ("ch02_namespaces", *increments()):
            shutil.copytree(REPOSITORY / chapter, home / chapter, ignore=shutil.ignore_patterns("__pycache__"))
        yield User(host, home, python)


@pytest.mark.vm
def test_root_inside(user: User) -> None:
    assert user.run("id", "-u").text == "0"
    assert user.run("id", "-g").text == "0"


def test_files_of_the_user_are_roots_and_others_nobodys(user: User) -> None:
    assert user.run("stat", "-c", "%u", "/etc/passwd").text == str(NOBODY)


def test_everything_else_is_as_for_root(user: User) -> None:
    assert user.run("--hostname", "box", "sh", "-c", "echo $$; hostname; ls /proc/1/exe >/dev/null").text == "1\nbox"
    assert user.run("sh", "-c", "exit 7").code == 7
    fails(user.run("nosuchcommand"), NOT_FOUND, "nosuchcommand")


@pytest.mark.vm
def test_no_right_outside(user: User) -> None:
    secret = user.home / "secret"
    secret.touch(0o600)
    os.chmod(secret, 0o600)
    assert user.run("cat", str(secret)).code != 0
    assert user.run("sh", "-c", "echo x > /proc/sys/kernel/sysrq").code != 0


@pytest.mark.parametrize(
    ("flags", "controller"),
    [
        (["-m", "64m"], "memory"),
        (["--cpus", "0.5"], "cpu"),
        (["--pids-limit", "20"], "pids"),
        (["-cpuset", "0"], "cpuset"),
    ],
)
def test_limits_need_a_delegated_cgroup_and_it_says_so(user: User, flags: list[str], controller: str) -> None:
    fails(user.run(*flags, "true"), ENGINE_FAILED, controller, "delegated")


@pytest.fixture
def delegated() -> Iterator[str]:
    """A group that is nobody's, with controllers; its directory."""
    with delegated_to(NOBODY, "memory", "pids") as top:
        yield top


@pytest.mark.vm
def test_limits_in_a_delegated_cgroup(user: User, delegated: str) -> None:
    enter = ["sh", "-c", f'echo $$ > {delegated}/session/cgroup.procs; exec "$@"', "sh"]

    def run(*arguments: Word) -> Result:
        environment = {"PYTHONPATH": str(user.home)}
        return user.host.run([*enter, *user.words(*arguments)], env=environment, cwd="/")

    result = run("-m", "64m", "--pids-limit", "20", "sh", "-c", f"cat {delegated}/mydocker/*/memory.max")  # from inside
    assert result.text == str(64 << 20)
    result = run("-m", "64m", "sh", "-c", "exec dd if=/dev/zero of=/dev/null bs=256M count=1")
    assert (result.code, b"out of memory" in result.err) == (137, True)
    assert os.listdir(delegated).count("mydocker") == 1 and not any(Path(delegated, "mydocker").glob("*/"))


@pytest.mark.vm
def test_killed_engine_takes_the_container_along(user: User) -> None:
    words = user.words("sh", "-c", "echo up; exec sleep 1000")
    started = user.host.spawn(words, env={"PYTHONPATH": str(user.home)}, cwd="/")
    assert read_line(started) == b"up\n"
    inside = processes.descendants(started.pid)
    started.kill()
    eventually(lambda: not any(map(processes.is_alive, inside)), "its end")
    finish(started)


@pytest.mark.vm
def test_terminal(user: User) -> None:
    from tests.support.terminals import Terminal

    words = user.words("-ti", "sh", "-c", "test -t 0 && stty size")
    terminal = Terminal(user.host, words, env={"PYTHONPATH": str(user.home)}, cwd="/")
    assert terminal.wait() == 0
    assert terminal.screen == b"31 97\r\n"
