"""`--explain` on the commands for containers that live on: also what happens in the background is told."""

from __future__ import annotations

import re

import pytest

from tests.ch05_lifecycle.conftest import Keeper
from tests.support.hosts import finish
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel
SLEEPS = ["sleep", "1000"]


def explained(keeper: Keeper, *words: str) -> list[str]:
    """What a command tells; it succeeds."""
    result = keeper.raw(words[0], "--explain", *words[1:])
    assert result.code == 0, result
    return result.error.splitlines()


def stages(lines: list[str]) -> list[str]:
    return list(dict.fromkeys(line.split()[0] for line in lines if not line.startswith(" ")))


def is_told(lines: list[str], call: str) -> bool:
    return any(re.match(rf" +{call}", line) for line in lines)


def test_a_start_in_the_background_is_told_up_to_the_command(keeper: Keeper) -> None:
    """And whoever reads that does not wait for the container: its watcher lets go of standard error."""
    lines = explained(keeper, "run", "-d", "--name", "it", "busybox", "sh", "-c", "echo up; echo error >&2; sleep 1000")
    assert stages(lines) == ["run", "prepare", "spawn", "attach", "enter", "exec"]
    assert is_told(lines, r"execve\('/bin/sh'")
    eventually(lambda: "up" in keeper.raw("logs", "it").text, "its output")
    logs = keeper.raw("logs", "it")
    assert (logs.out, logs.err) == (b"up\n", b"error\n")  # and nothing of the story


@pytest.mark.parametrize("flags", [[], ["-d"]], ids=["", "-d"])
@pytest.mark.parametrize("reader", ["2>/dev/full", "2>&1 | head -1"], ids=["a full disk", "a reader that leaves"])
def test_a_story_that_nobody_can_read_harms_nothing(keeper: Keeper, flags: list[str], reader: str) -> None:
    words = keeper.engine.command_line("run", "--explain", *flags, "--name", "it", "busybox", "true")
    told = keeper.engine.host.run(["sh", "-c", f'"$@" {reader}', "sh", *words])
    assert told.code == 0
    assert keeper.raw("wait", "it").text == "0"
    keeper.remove("it")


def test_several_starts_are_told_one_after_the_other(keeper: Keeper) -> None:
    for name in ("one", "two"):
        keeper.raw("create", "--name", name, "busybox", *SLEEPS)
    lines = explained(keeper, "start", "one", "two")
    assert [line.split()[0] for line in lines].count("spawn") == 2


def test_a_restart_by_policy_tells_nobody(keeper: Keeper) -> None:
    lines = explained(keeper, "run", "-d", "--name", "it", "--restart", "on-failure:1", "busybox", "sh", "-c", "exit 3")
    eventually(lambda: keeper.status("it")["restarts"] == 1, "its restart")
    assert [line.split()[0] for line in lines].count("spawn") == 1
    assert keeper.raw("wait", "it").text == "3"
    assert keeper.raw("logs", "it").text == ""


@pytest.mark.parametrize("flags", [[], ["-d"]], ids=["", "-d"])
def test_exec(keeper: Keeper, flags: list[str]) -> None:
    keeper.start(SLEEPS, "--name", "it")
    lines = explained(keeper, "exec", *flags, "it", "true")
    told = stages(lines)
    assert told[:3] == ["exec", "prepare", "spawn"] and "enter" in told
    assert is_told(lines, "setns") and is_told(lines, r"execve\('/bin/true'")


def test_stop_tells_its_signal(keeper: Keeper) -> None:
    keeper.start(SLEEPS, "--name", "it")
    lines = explained(keeper, "stop", "-t", "0", "it")
    assert stages(lines) == ["stop"]
    assert is_told(lines, r"pidfd_send_signal\(\d+, 9\) = 0")


def test_changes_among_files_are_told(keeper: Keeper) -> None:
    keeper.start(SLEEPS, "--name", "it")
    lines = explained(keeper, "rename", "it", "that")
    assert is_told(lines, r"symlink\('[0-9a-f]{64}', '/.*/names/that'\)$")
    assert is_told(lines, r"unlink\('/.*/names/it'\)$")


def test_what_only_reads_names_its_function(keeper: Keeper) -> None:
    result = keeper.raw("ps", "-q", "--explain")
    (line,) = result.error.splitlines()
    assert re.fullmatch(r"ps       List .*: \w+/\w+(/\w+)?\.py, \w+\(\)", line)


def test_at_a_terminal_of_exec(keeper: Keeper) -> None:
    """`exec -d -t`: nobody sees its terminal, but the story has a way of its own."""
    keeper.start(SLEEPS, "--name", "it")
    words = keeper.engine.command_line("exec", "-d", "-t", "--explain", "it", "true")
    assert b"execve('/bin/true'" in finish(keeper.engine.host.spawn(words)).err
