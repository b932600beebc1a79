"""`system`, `info`, `version`, `completion`, and what every command has in common."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from final.engine.completion import every_command
from tests.final.engine.conftest import Box
from tests.support.engines import ENGINE_FAILED, fails

pytestmark = pytest.mark.kernel


def test_version_and_info(box: Box) -> None:
    version = box("version", "--format", "{{.Server.Version}}")
    assert box("--version") == f"mydocker version {version}"
    shown = box("version")
    assert "Client:" in shown and "Server:" in shown and version in shown
    assert re.search(r"^ API version: +1\.43$", shown, re.MULTILINE) and re.search(r"^ +OS/Arch: +linux/", shown, re.M)
    assert box("version", "-f", "{{.Client.APIVersion}} {{.Server.APIVersion}}") == "1.43 1.43"
    assert box("version", "-f", "[{{.Client.GoVersion}}] {{.Server.Experimental}}") == "[] false"
    assert box("info", "-f", "{{.Swarm.LocalNodeState}} {{.ClientInfo.Version}}") == f"inactive {version}"
    fails(box.raw("info", "-f", "{{.Nosuch}}"), ENGINE_FAILED, "Nosuch")
    box.sleeper("one")
    box("create", "--name", "two", "busybox")
    box("pause", "one")
    known = json.loads(box("info", "--format", "json"))
    counts = {name: known[f"Containers{name}"] for name in ("Running", "Paused", "Stopped")}
    assert counts == {"Running": 0, "Paused": 1, "Stopped": 1} and known["Containers"] == 2 and known["Images"] == 1
    assert known["DockerRootDir"] == str(box.root) and known["Driver"] == "overlay2" and known["NCPU"] >= 1
    assert box("info", "--format", "{{.OSType}} {{.CgroupVersion}}").split()[0] == "linux"
    shown = box("info")
    for line in ("Containers: 2", " Paused: 1", "Storage Driver: overlay2", f"Docker Root Dir: {box.root}", " seccomp"):
        assert f" {line}" in shown.splitlines(), line
    assert "Containers: 2" in box("info") and box("system", "info", "--format", "{{.Containers}}") == "2"
    box("unpause", "one")


def test_flags_before_the_command(box: Box, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"auths": {"registry.example": {"auth": "bWU6c2VjcmV0"}}}')
    box("--config", str(tmp_path), "logout", "registry.example")
    assert "registry.example" not in (tmp_path / "config.json").read_text()
    id = box("-l", "error", "create", "busybox")
    assert box("-D", "--log-level=debug", "ps", "-aq") == id[:12]
    assert b"Traceback" in box.raw("--debug", "start", "nosuch").err
    for flag in (["-H", "tcp://192.0.2.1:1"], ["--context=other"]):
        fails(box.raw(*flag, "ps"), ENGINE_FAILED, "no daemon")
    fails(box.raw("--nosuch", "ps"), ENGINE_FAILED, "--nosuch")
    fails(box.raw("-l"), ENGINE_FAILED, "-l")


def test_system_df_and_prune(box: Box) -> None:
    box.sh("head -c 100000 /dev/zero > /big", "--name", "one", "--net", "none", "-v", "/anonymous")
    box.has_ended("one")
    box("volume", "create", "named")
    box.network("net")
    box.network("used")
    box.sleeper("up")
    box("create", "--name", "wants-it", "--net", "used", "-l", "keep", "busybox")
    head, *rows = box.lines("system", "df")
    assert head.split() == ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]
    shown = {row["Type"]: row for row in map(json.loads, box.lines("system", "df", "--format", "json"))}
    assert (shown["Containers"]["TotalCount"], shown["Containers"]["Active"]) == ("3", "1")
    assert shown["Containers"]["Reclaimable"].startswith("100kB")
    assert (shown["Images"]["TotalCount"], shown["Images"]["Active"]) == ("1", "1")
    assert (shown["Local Volumes"]["TotalCount"], shown["Local Volumes"]["Active"]) == ("2", "1")
    assert len(rows) >= 3
    asked = box("system", "prune", input=b"n\n")
    assert asked.startswith("WARNING! This will remove:\n  - all stopped containers\n  - all networks not")
    assert len(box.lines("ps", "-a", "-q")) == 3
    told = box("system", "prune", "-f", "--volumes", "--filter", "label!=keep")
    assert "Deleted Containers:" in told and "Deleted Networks:\nnet" in told and "Deleted Volumes:" in told
    assert "Total reclaimed space: 100kB" in told
    assert set(box.lines("ps", "-a", "--format", "{{.Names}}")) == {"up", "wants-it"}
    assert box.lines("volume", "ls", "-q") == ["named"]
    assert box.lines("network", "ls", "--format", "{{.Name}}") == ["used"]
    assert box.lines("images", "-q") != []
    box("rm", "-f", "up", "wants-it")
    assert "Deleted Images:" in box("system", "prune", "-a", "-f")
    assert box("images", "-q") == ""


def test_system_df_one_by_one(box: Box, tmp_path: Path) -> None:
    box.sh("head -c 100000 /dev/zero > /big; head -c 3000 /dev/zero > /v/x", "--name", "one", "-v", "data:/v")
    box.has_ended("one")
    box("commit", "one", "child")
    box("create", "--name", "two", "-v", "data:/v", "child")
    (tmp_path / "Dockerfile").write_text("FROM child\nRUN echo x > /made\n")
    box("build", "--network", "none", "-t", "built", str(tmp_path))
    found = json.loads(box("system", "df", "-v", "--format", "json"))
    sizes = {one["Repository"]: (one["SharedSize"], one["UniqueSize"], one["Containers"]) for one in found["Images"]}
    assert sizes == {
        "busybox": (next(one["Size"] for one in found["Images"] if one["Repository"] == "busybox"), "0B", "1"),
        "child": (next(one["Size"] for one in found["Images"] if one["Repository"] == "child"), "0B", "1"),
        "built": (sizes["child"][0], "2B", "0"),
    }
    assert box("system", "df", "-v", "--format", "{{len .Images}} {{(index .Volumes 0).Name}}") == "3 data"
    written = {one["Names"]: (one["Size"], one["LocalVolumes"]) for one in found["Containers"]}
    assert written == {"one": ("100kB", "1"), "two": ("0B", "1")}
    assert found["Volumes"] == [{"Name": "data", "Links": "2", "Size": "3kB"}]
    assert [(step["Size"], step["Shared"]) for step in found["BuildCache"]] == [("2B", "true")]
    shown = box("system", "df", "-v")
    titles = ["Images", "Containers", "Local Volumes"]
    assert [line for line in shown.splitlines() if line.endswith(":")] == [f"{title} space usage:" for title in titles]
    assert "Build cache usage: 0B" in shown and "SHARED SIZE" in shown and "VOLUME NAME  LINKS  SIZE" in shown
    fails(box.raw("system", "df", "-v", "--format", "{{.Nosuch}}"), ENGINE_FAILED, "Nosuch")
    box("builder", "prune", "-f")


def complete(box: Box, *words: str) -> list[str]:
    """What bash offers for the last word."""
    script = f"""
        mydocker() {{ {" ".join(str(word) for word in box.engine.command_line())} "$@"; }}
        source <(mydocker completion bash)
        COMP_WORDS=({" ".join(f"'{word}'" for word in ("mydocker", *words))}) COMP_CWORD={len(words)}
        _mydocker; printf '%s\\n' "${{COMPREPLY[@]}}" """
    return box.engine.host.run(["bash", "-c", script]).text.split()


def test_completion_in_bash(box: Box) -> None:
    box("create", "--name", "my-box", "busybox")
    box("volume", "create", "my-data")
    box.network("my-net")
    assert {"run", "ps", "volume", "network", "--help"} <= set(complete(box, ""))
    assert complete(box, "unpa") == ["unpause"]
    assert {"ls", "create", "prune"} <= set(complete(box, "volume", ""))
    assert complete(box, "run", "--cap-") == ["--cap-add", "--cap-drop"]
    assert complete(box, "start", "my-") == ["my-box"]
    assert complete(box, "container", "rm", "my-") == ["my-box"]
    assert complete(box, "volume", "rm", "my-") == ["my-data"]
    assert complete(box, "network", "inspect", "my-") == ["my-net"]
    assert sorted(complete(box, "inspect", "my-")) == ["my-box", "my-data", "my-net"]
    assert complete(box, "run", "--rm", "busy") == ["busybox:latest"]
    assert complete(box, "network", "ls", "--fo") == ["--format"]
    fails(box.raw("completion", "nosuch"), ENGINE_FAILED, "nosuch")
    for shell in ("zsh", "fish"):
        assert "unpause" in box("completion", shell)
    assert subprocess.run(["bash", "-n"], input=box("completion", "bash").encode(), check=False).returncode == 0


def test_every_command_has_help_and_says_what_is_wrong(box: Box) -> None:
    for words, command, _ in every_command():
        assert command.summary.endswith((".", "…")), words
        assert all(flag.help for flag in command.flags), words
        names = [name for flag in command.flags for name in flag.names]
        assert len(names) == len(set(names)), words
    assert "usage: mydocker run" in box("run", "--help")
    assert "usage: mydocker volume ls" in box("volume", "ls", "--help")
    assert "--help" in box("help") and "usage: mydocker ps" in box("help", "ps")
    for wrong in (["nosuch"], ["run"], ["run", "--nosuch", "x"], ["rename", "a"], ["ps", "x"], ["network", "nosuch"]):
        fails(box.raw(*wrong), ENGINE_FAILED)
