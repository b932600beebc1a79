"""What is written down: events, logs, and images made of containers."""

from __future__ import annotations

import json
import re
import select
from typing import Any

import pytest

from tests.final.engine.conftest import Box
from tests.support.engines import ENGINE_FAILED, fails
from tests.support.hosts import read_line
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel
PAST = ["events", "--since", "0", "--until", "0s"]


def test_events(box: Box) -> None:
    box("volume", "create", "data")
    box.network("net")
    id = box.start(["sh", "-c", "exit 3"], "--name", "one", "-l", "tier=back", "--net", "none")
    eventually(lambda: box(*PAST, "--filter", "event=die"), "the end of it")
    box("rename", "one", "uno")
    fails(box.raw("exec", "uno", "true"), ENGINE_FAILED, "does not run")  # so nothing has happened
    box("rm", "uno")
    box("volume", "rm", "data")

    def found(*filters: str) -> list[str]:
        words = [word for text in filters for word in ("--filter", text)]
        return box.lines(*PAST, *words, "--format", "{{.Type}} {{.Action}}")

    lived = [f"container {what}" for what in ("create", "start", "die", "rename", "destroy")]
    assert found("type=container") == lived
    assert found() == ["volume create", "network create", *lived, "volume destroy"]
    assert found("event=die", "event=start") == lived[1:3]
    assert found("label=tier=back") == lived and found("label=tier=front") == []
    assert found(f"container={id[:10]}") == lived and found("container=nosuch") == []
    assert found("image=busybox", "event=die") == lived[2:3]
    assert found("volume=data") == ["volume create", "volume destroy"]
    died: dict[str, Any] = json.loads(box(*PAST, "--filter", "event=die", "--format", "json"))
    assert died["Actor"]["ID"] == id == died["id"] and died["status"] == "die" and died["from"] == "busybox"
    assert died["Actor"]["Attributes"] == {"exitCode": "3", "image": "busybox", "name": "one", "tier": "back"}
    assert died["timeNano"] // 10**9 == died["time"]
    assert box(*PAST, "--filter", "event=die", "--format", "{{.ID}} {{.Actor.Attributes.exitCode}}") == f"{id} 3"
    assert box(*PAST, "--filter", "event=die", "--format", "{{.Actor.Attributes.nosuch}}") == "<no value>"
    assert box(*PAST, "--filter", "type=volume", "--format", "{{.ID}}|{{.From}}").splitlines() == ["|", "|"]
    for zone, ending in (("UTC", "Z"), ("XXX-1:30", r"\+01:30")):
        line = box.raw(*PAST, "--filter", "event=die", env={"TZ": zone}).text
        stamp = rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{9}}{ending}"
        assert re.fullmatch(rf"{stamp} container die {id} \(exitCode=3, image=busybox, name=one, tier=back\)", line)
    assert box("events", "--since", str(died["time"] + 1000), "--until", "0s") == ""
    for words in (["--filter", "nosuch=1"], ["--since", "yesterday"], ["--until", "nan"], ["--format", "{{.ID"]):
        fails(box.raw(*PAST[:1], "--until", "0s", *words), ENGINE_FAILED)


def test_events_to_come(box: Box) -> None:
    words = box.engine.command_line("events", "--filter", "event=create", "--format", "{{.Type}} {{.Action}}")
    watching = box.engine.host.spawn(words)
    stream = watching.stdout
    assert stream is not None

    def told() -> bool:
        box("volume", "create")
        return bool(select.select([stream], [], [], 0.1)[0])

    eventually(told, "the first event")
    assert read_line(watching) == b"volume create\n"
    watching.terminate()
    watching.wait()


def test_logs(box: Box) -> None:
    flags = ["--log-opt", "labels=tier", "--log-opt", "env=A,B", "-l", "tier=back", "-e", "A=1"]
    box.sh("echo one; echo two >&2; echo three", "--name", "it", "--net", "none", *flags)
    box.has_ended("it")
    shown = box.raw("logs", "it")
    assert (shown.out, shown.err) == (b"one\nthree\n", b"two\n")
    last = box.raw("logs", "--tail", "1", "it")
    assert len((last.out + last.err).splitlines()) == 1
    assert box.raw("logs", "-n", "0", "it").out == b""
    assert re.fullmatch(rb"\d{4}-\S+Z one\n\d{4}-\S+Z three\n", box.raw("logs", "-t", "it").out)
    assert box.raw("logs", "--since", "2000-01-01", "it").out == b"one\nthree\n"
    assert box.raw("logs", "--until", "2000-01-01", "it").out == b""
    assert box.raw("logs", "--details", "it").out == b"A=1,tier=back one\nA=1,tier=back three\n"
    assert box.raw("logs", "-f", "it").out == b"one\nthree\n"
    fails(box.raw("logs", "nosuch"), ENGINE_FAILED, "nosuch")
    fails(box.raw("logs", "--tail", "x", "it"), ENGINE_FAILED, "x")


def test_commit(box: Box) -> None:
    flags = ["-e", "A=1", "-w", "/tmp", "-u", "nobody", "-l", "x=y", "--expose", "80", "--stop-signal", "USR1"]
    box.start(["sh", "-c", "echo new > /tmp/new"], "--name", "one", "--net", "none", *flags)
    box.has_ended("one")
    changes = [
        "-c",
        "CMD cat new",
        "-c",
        "ENV B=2 C=3",
        "-c",
        'ENTRYPOINT ["env"]',
        "-c",
        "LABEL z=1",
        "-c",
        "EXPOSE 81",
    ]
    id = box("commit", "-a", "somebody", "-m", "a remark", *changes, "one", "made:1")
    (known,) = json.loads(box("image", "inspect", "made:1"))
    assert known["Id"] == id and known["Author"] == "somebody" and known["Comment"] == "a remark"
    config = known["Config"]
    assert config["Entrypoint"] == ["env"] and config["User"] == "nobody" and config["WorkingDir"] == "/tmp"
    assert {"A=1", "B=2", "C=3"} <= set(config["Env"]) and config["Labels"] == {"x": "y", "z": "1"}
    assert set(config["ExposedPorts"]) == {"80/tcp", "81/tcp"} and config["StopSignal"] == "USR1"
    assert "a remark" in box("history", "made:1") and len(known["RootFS"]["Layers"]) == 2
    assert box("run", "--rm", "--net", "none", "made:1") == "new"
    unnamed = box("commit", "one")
    assert unnamed.startswith("sha256:") and box("run", "--rm", "--net", "none", unnamed, "cat", "new") == "new"
    for words in (["nosuch", "x"], ["one", "Bad Name"], ["-c", "RUN x", "one", "x"]):
        fails(box.raw("commit", *words), ENGINE_FAILED)


def test_commit_keeps_entrypoint_and_command_apart(box: Box) -> None:
    box.image("said", Entrypoint=["echo", "one"], Cmd=["two"])
    box("create", "--name", "it", "--init", "said", "three")
    box("commit", "it", "again")
    assert box("image", "inspect", "-f", "{{.Config.Entrypoint}} {{.Config.Cmd}}", "again") == "[echo one] [three]"
    assert box("run", "--rm", "--net", "none", "again", "four") == "one four"
