"""Health checks: what is looked at, what is known of it, and that nothing of it is left."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from final.engine import durations
from tests.final.engine.conftest import Box
from tests.support import processes
from tests.support.engines import ENGINE_FAILED, fails
from tests.support.hosts import Word, finish
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel
SLEEPS = ["sleep", "1000"]
OFTEN = ["--health-interval", "50ms"]
EARLY = ["--health-interval", "1h", "--health-start-period", "1h", "--health-start-interval", "50ms"]
IS_OK = ["--health-cmd", "test -e /ok"]


def health(box: Box, container: str) -> dict[str, Any]:
    """What is known of its health; empty if nobody looks."""
    found: dict[str, Any] = box.known(container)["State"].get("Health") or {}
    return found


def until(box: Box, container: str, condition: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
    """Its health, as soon as that is so."""

    def look() -> dict[str, Any] | None:
        found = health(box, container)
        return found if condition(found) else None

    found = eventually(look, what)
    assert found is not None
    return found


def becomes(box: Box, container: str, status: str) -> dict[str, Any]:
    return until(box, container, lambda known: known["Status"] == status, f"it is {status}")


def result(box: Box, container: str) -> dict[str, Any]:
    """The first of the looks that are known, when there is one."""
    log: list[dict[str, Any]] = until(box, container, lambda known: bool(known.get("Log")), "a look")["Log"]
    return log[0]


def listed(box: Box, *words: Word) -> str:
    """What `ps` says of containers."""
    return box("ps", *words, "--format", "{{.Names}} {{.Status}}")


def test_starting_healthy_unhealthy_healthy(box: Box) -> None:
    box.start(SLEEPS, "--name", "box", *IS_OK, *OFTEN, "--health-start-period", "1h", "--health-start-interval", "50ms")
    found = until(box, "box", lambda known: len(known["Log"]) == 5, "five failures")
    assert (found["Status"], found["FailingStreak"]) == ("starting", 0)
    assert {one["ExitCode"] for one in found["Log"]} == {1}
    assert listed(box).startswith("box Up ") and listed(box).endswith(" (health: starting)")
    box.raw("exec", "box", "touch", "/ok")
    becomes(box, "box", "healthy")
    assert listed(box).endswith(" (healthy)")
    box.raw("exec", "box", "rm", "/ok")
    found = becomes(box, "box", "unhealthy")
    assert found["FailingStreak"] >= 3 and len(found["Log"]) == 5
    starts = [one["Start"] for one in found["Log"]]
    assert starts == sorted(starts) and all(one["Start"] < one["End"] for one in found["Log"])
    box.raw("exec", "box", "touch", "/ok")
    assert becomes(box, "box", "healthy")["FailingStreak"] == 0
    told = box.raw("events", "--since", "0", "--until", "0s", "--filter", "event=health_status", "--format", "json")
    said = [json.loads(line) for line in told.text.splitlines()]
    assert [event["Action"] for event in said] == [
        f"health_status: {word}" for word in ("healthy", "unhealthy", "healthy")
    ]
    assert said[0]["Actor"]["Attributes"]["name"] == "box"


def test_ps_filters_by_health(box: Box) -> None:
    box.start(SLEEPS, "--net", "none", "--name", "well", "--health-cmd", "true", *OFTEN)
    box.start(SLEEPS, "--net", "none", "--name", "ill", "--health-cmd", "false", *OFTEN, "--health-retries", "1")
    box.start(SLEEPS, "--net", "none", "--name", "new", "--health-cmd", "true")
    box.start(SLEEPS, "--net", "none", "--name", "plain")
    for name, status in (("well", "healthy"), ("ill", "unhealthy"), ("new", "starting")):
        becomes(box, name, status)
        assert box.raw("ps", "--filter", f"health={status}", "--format", "{{.Names}}").text == name
    assert box.raw("ps", "--filter", "health=none", "--format", "{{.Names}}").text == "plain"
    fails(box.raw("ps", "--filter", "health=good"), ENGINE_FAILED, "good", "unhealthy")


def test_a_look_is_as_exec_would_do_it(box: Box) -> None:
    look = "id; pwd; echo $WORD; grep -E 'Cap|Seccomp|NoNew' /proc/self/status; cat /proc/self/cgroup; hostname; exit 3"
    flags = ["-u", "1000:50", "-w", "/tmp", "-e", "WORD=so", "--cap-drop", "CHOWN", "--group-add", "7"]
    box.start(SLEEPS, "--net", "none", "--name", "box", *flags, "--health-cmd", look, *OFTEN)
    found = result(box, "box")
    assert found["ExitCode"] == 3
    assert found["Output"].encode() == box.raw("exec", "box", "sh", "-c", look).out
    assert "uid=1000" in found["Output"] and "\n/tmp\nso\n" in found["Output"]


def test_what_a_look_prints_is_kept_up_to_a_length(box: Box) -> None:
    long = "echo out; echo err >&2; head -c 100000 /dev/zero | tr '\\0' x; exit 2"
    box.start(SLEEPS, "--net", "none", "--name", "box", "--health-cmd", long, *OFTEN)
    found = result(box, "box")
    assert found["ExitCode"] == 2
    assert found["Output"].startswith("out\nerr\nxxx") and found["Output"].endswith("xxx...")
    assert len(found["Output"]) == 4096 + len("...")


def test_a_look_that_takes_too_long_is_killed_with_all_that_it_has_started(box: Box) -> None:
    starts = "echo begun; sleep 1001 & (setsid sleep 1001 &); exec sleep 1001"
    box.start(SLEEPS, "--net", "none", "--name", "box", "--health-cmd", starts, *OFTEN, "--health-timeout", "200ms")
    becomes(box, "box", "unhealthy")
    found = until(box, "box", lambda known: any("begun" in one["Output"] for one in known["Log"]), "one that began")
    for one in found["Log"]:
        assert one["ExitCode"] == -1
        assert one["Output"] in (
            "Health check exceeded timeout (200ms): begun\n",
            "Health check exceeded timeout (200ms)",
        )

    def are_of_one_look() -> bool:
        """A list of processes may have those of two, of which one is just being killed."""
        lines = box.raw("exec", "box", "ps", "-o", "args").text.splitlines()
        return len([line for line in lines if line.startswith("sleep 1001")]) <= 3

    eventually(are_of_one_look, "the end of all that earlier looks have started")


def test_what_a_look_leaves_behind_goes_on(box: Box) -> None:
    """As with Docker: nobody waits for it, either, though it holds the standard streams."""
    box.start(
        SLEEPS,
        "--net",
        "none",
        "--name",
        "box",
        "--health-cmd",
        "test -e /left || { touch /left; sleep 1002 & }",
        *OFTEN,
    )
    becomes(box, "box", "healthy")
    list_all = ("exec", "box", "ps", "-o", "args")
    eventually(lambda: box.raw(*list_all).text.splitlines().count("sleep 1002") == 1, "what the first has started")


def test_a_command_that_is_not_there(box: Box) -> None:
    box.image("odd", Healthcheck={"Test": ["CMD", "nosuch"], "Interval": 50_000_000, "Retries": 2})
    box.start(SLEEPS, "--net", "none", "--name", "box", image="odd")
    found = becomes(box, "box", "unhealthy")
    assert found["Log"][0]["ExitCode"] == -1 and "nosuch" in found["Log"][0]["Output"]


def test_the_image_says_how_and_flags_say_otherwise(box: Box) -> None:
    said = {"Test": ["CMD", "sh", "-c", 'echo "$0"', "a b"], "Interval": 50_000_000, "Retries": 7}
    box.image("checked", Healthcheck=said)
    box.start(SLEEPS, "--net", "none", "--name", "as-said", image="checked")
    assert result(box, "as-said")["Output"] == "a b\n"
    assert box.known("as-said")["Config"]["Healthcheck"] == said
    box.start(
        SLEEPS,
        "--net",
        "none",
        "--name",
        "other",
        "--health-cmd",
        "echo $0; exit 1",
        "--health-retries",
        "1",
        image="checked",
    )
    found = becomes(box, "other", "unhealthy")
    assert found["Log"][0]["Output"] == "/bin/sh\n"
    changed = {**said, "Test": ["CMD-SHELL", "echo $0; exit 1"], "Retries": 1}
    assert box.known("other")["Config"]["Healthcheck"] == changed
    box.raw("commit", "other", "next")
    box.start(SLEEPS, "--net", "none", "--name", "committed", image="next")
    assert box.known("committed")["Config"]["Healthcheck"] == changed
    box.start(SLEEPS, "--net", "none", "--name", "without", "--no-healthcheck", image="checked")
    assert health(box, "without") == {}
    assert "(" not in listed(box, "--filter", "name=without")


def test_the_shell_of_the_image(box: Box) -> None:
    box.image("shelled", Healthcheck={"Test": ["CMD-SHELL", "told"], "Interval": 50_000_000}, Shell=["/bin/echo", "-n"])
    box.start(SLEEPS, "--net", "none", "--name", "box", image="shelled")
    assert result(box, "box")["Output"] == "told"


def test_an_image_without_a_command_is_not_looked_at(box: Box) -> None:
    checks: list[object] = [{"Test": ["NONE"]}, {"Test": []}, {"Interval": 50_000_000}, {}, None]
    for check in checks:
        box.image("plain", Healthcheck=check)
        name = box.start(SLEEPS, "--net", "none", image="plain")
        assert health(box, name) == {}, check


def test_an_image_whose_check_makes_no_sense_is_refused(box: Box) -> None:
    wrong: list[tuple[object, str]] = [
        ({"Test": "true"}, "Healthcheck.Test"),
        ({"Test": ["SHELL", "true"]}, "Healthcheck.Test[0]"),
        ({"Test": ["CMD"]}, "no command"),
        ({"Test": ["CMD-SHELL", "a", "b"]}, "no command"),
        ({"Test": ["CMD", "true", 7]}, "Healthcheck.Test[2]"),
        ({"Test": ["CMD", "a\0b"]}, "NUL"),
        ({"Test": ["CMD", "true"], "Interval": -1}, "Healthcheck.Interval"),
        ({"Test": ["CMD", "true"], "Interval": 1 << 63}, "Healthcheck.Interval"),
        ({"Test": ["CMD", "true"], "Retries": 1.5}, "Healthcheck.Retries"),
        (["CMD", "true"], "Healthcheck"),
    ]
    for check, word in wrong:
        box.image("hostile", Healthcheck=check)
        fails(box.raw("create", "hostile", "true"), ENGINE_FAILED, "hostile", word, "--no-healthcheck")
    assert box.ids() == []
    assert box.raw("create", "--no-healthcheck", "hostile", "true").code == 0


def test_flags_that_make_no_sense(box: Box) -> None:
    wrong = [
        (["--no-healthcheck", "--health-cmd", "true"], ["--no-healthcheck"]),
        (["--health-interval", "soon"], ["soon", "30s"]),
        (["--health-interval", "-1s"], ["-1s"]),
        (["--health-interval", "10"], ["10"]),
        (["--health-timeout", "1us"], ["1us", "1ms"]),
        (["--health-start-period", "9999999999h"], ["too long"]),
        (["--health-retries", "-1"], ["-1"]),
        (["--health-retries", "many"], ["many"]),
    ]
    for flags, words in wrong:
        fails(box.raw("create", *flags, "busybox", "true"), ENGINE_FAILED, *words)
    assert box.ids() == []


def test_in_the_foreground(box: Box) -> None:
    process = box.engine.spawn(SLEEPS, "--rm", "--name", "box", "--health-cmd", "true", *OFTEN)
    eventually(lambda: "(healthy)" in listed(box), "it is healthy")
    process.send_signal(signal.SIGTERM)
    assert finish(process).code == 128 + signal.SIGTERM
    assert box.ids() == []


def test_at_a_terminal_and_left_there(box: Box) -> None:
    terminal = box.engine.pty(SLEEPS, "-ti", "--name", "box", "--health-cmd", "true", *OFTEN)
    eventually(lambda: "(healthy)" in listed(box), "it is healthy")
    terminal.type(b"\x10\x11")
    assert terminal.wait() == 0
    first = health(box, "box")["Log"][-1]
    eventually(lambda: first not in health(box, "box")["Log"], "it is still looked at")
    assert health(box, "box")["Status"] == "healthy"


def test_after_its_end_and_when_started_again(box: Box) -> None:
    box.raw("create", "--name", "box", *IS_OK, *EARLY, "busybox", *SLEEPS)
    assert health(box, "box") == {}
    box.raw("start", "box")
    box.raw("exec", "box", "touch", "/ok")
    becomes(box, "box", "healthy")
    box.raw("exec", "box", "rm", "/ok")
    box.raw("stop", "-t", "0", "box")
    ended = health(box, "box")
    assert ended["Status"] == "unhealthy" and ended["Log"][-1]["ExitCode"] == 0
    assert "healthy" not in listed(box, "-a")
    box.raw("restart", "box")
    found = until(box, "box", lambda known: known["Log"][-1]["ExitCode"] == 1, "a look")
    assert (found["Status"], found["FailingStreak"]) == ("starting", 0)
    assert ended["Log"][-1] in found["Log"] or len(found["Log"]) == 5


def test_a_restart_policy_begins_anew(box: Box) -> None:
    script = "test -e /again && exec sleep 1000; touch /again; while [ ! -e /end ]; do sleep 0.02; done; exit 1"
    box.sh(
        script, "--name", "box", "--restart", "on-failure", "--health-cmd", "test -e /again && test ! -e /end", *EARLY
    )
    becomes(box, "box", "healthy")
    box.raw("exec", "box", "touch", "/end")
    eventually(lambda: health(box, "box")["Status"] == "starting", "it is looked at anew")
    assert box.known("box")["RestartCount"] == 1


def test_nobody_looks_at_a_paused_one(box: Box) -> None:
    slow = "sleep 0.1"  # a look is likely under way when it is paused
    box.start(SLEEPS, "--name", "box", "--health-cmd", slow, *OFTEN, "--health-retries", "1", "--health-timeout", "3s")
    box.start(SLEEPS, "--net", "none", "--name", "clock", "--health-cmd", slow, *OFTEN)
    becomes(box, "box", "healthy")
    box.raw("pause", "box")
    assert listed(box, "--filter", "name=box").endswith(" (Paused)")
    before = health(box, "box")["Log"]
    tick, end = result(box, "clock"), time.monotonic() + 3.5  # after that, a look would have taken too long
    eventually(lambda: tick not in health(box, "clock")["Log"], "five more looks at another one")
    eventually(lambda: time.monotonic() > end, "an end")
    assert health(box, "box")["Log"] == before
    box.raw("unpause", "box")
    eventually(lambda: before[-1] not in health(box, "box")["Log"], "it is looked at again")
    assert {one["ExitCode"] for one in health(box, "box")["Log"]} == {0}
    assert health(box, "box")["Status"] == "healthy"


@pytest.mark.parametrize("mode", [[], ["--pid", "host"]])
def test_the_end_of_the_container_ends_a_look(box: Box, mode: list[str]) -> None:
    """It leaves neither a process nor a result; the leak check sees the rest."""
    box.start(
        SLEEPS,
        "--net",
        "none",
        "--name",
        "box",
        *mode,
        "--health-cmd",
        "touch /begun; sleep 1003 & exec sleep 1003",
        *OFTEN,
    )
    eventually(lambda: box.raw("exec", "box", "test", "-e", "/begun").code == 0, "a look")
    box.raw("kill", "box")
    box.raw("wait", "box")
    assert health(box, "box")["Log"] == []

    def is_there() -> bool:
        return any("sleep 1003" in processes.described(pid) for pid in processes.all_pids())

    eventually(lambda: not is_there(), "the end of its processes")


@pytest.mark.parametrize("which", ["watcher", "monitor"])
def test_one_of_the_two_is_killed(box: Box, which: str) -> None:
    box.start(SLEEPS, "--net", "none", "--name", "box", "--health-cmd", "true", *OFTEN)
    becomes(box, "box", "healthy")
    inside = box.status("box")["pid"]
    watcher = int(processes.status(inside, "PPid"))
    (monitor,) = (pid for pid in processes.children(watcher) if pid != inside)
    os.kill(watcher if which == "watcher" else monitor, signal.SIGKILL)
    if which == "watcher":
        eventually(lambda: not processes.is_alive(monitor), "the monitor ends with it")
        eventually(lambda: box.status("box")["status"] == "exited", "so does the container")
    else:
        assert listed(box).endswith(" (healthy)")  # nobody knows better; and it can be removed as any other


def test_the_container_holds_nothing_of_it(box: Box) -> None:
    box.start(SLEEPS, "--net", "none", "--name", "box", "--health-cmd", "ls -l /proc/self/fd /proc/1/fd", *OFTEN)
    lines = [line.partition(" -> ")[2] for line in result(box, "box")["Output"].splitlines() if " -> " in line]
    first, mine = lines[:3], lines[3:]
    assert mine[0] == "/dev/null" and mine[1] == mine[2] and mine[1].startswith("pipe:")
    assert len(lines) == 6 and mine[1] not in first


def test_lengths_of_time() -> None:
    known = [
        ("0", 0, "0s"),
        ("1ns", 1, "1ns"),
        ("1.5us", 1500, "1.5µs"),
        ("500ms", 500_000_000, "500ms"),
        ("0.5s", 500_000_000, "500ms"),
        ("30s", 30_000_000_000, "30s"),
        ("1m30s", 90_000_000_000, "1m30s"),
        ("90s", 90_000_000_000, "1m30s"),
        ("1.5h", 5_400_000_000_000, "1h30m0s"),
    ]
    for text, duration, shown in known:
        assert durations.nanoseconds(text) == duration
        assert durations.text_of(duration) == shown
