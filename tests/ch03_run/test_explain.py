"""`run --explain`: the narration names what happens, and what it says is true."""

from __future__ import annotations

import re
import shutil

import pytest

from ch02_namespaces.cgroups import hierarchies
from tests.support.engines import Engine
from tests.support.hosts import REPOSITORY

pytestmark = pytest.mark.kernel

MUST_SHOW = "echo $$; hostname; cat /proc/self/cgroup"
LIMITED = ["-m", "64m"] if any("memory" in hierarchy.controllers for hierarchy in hierarchies()) else []


def told(engine: Engine, *flags: str) -> list[str]:
    result = engine.run(["true"], "--explain", *flags)
    assert result.code == 0
    assert result.out == b""
    return result.error.splitlines()


def test_must_show_command(engine: Engine) -> None:
    result = engine.sh(MUST_SHOW, "--explain", *LIMITED)
    assert result.code == 0
    lines = result.out.decode().splitlines()
    assert lines[0] == "1"
    assert f"sethostname('{lines[1]}') = 0" in result.error
    assert len(lines) > 2


def test_the_function_to_read_comes_first(engine: Engine) -> None:
    first = told(engine)[0]
    found = re.fullmatch(r"run      Run a command in a new container: (\S+), (\w+\.)?(\w+)\(\)", first)
    assert found, first
    assert f"def {found[3]}(" in (REPOSITORY / found[1]).read_text()


def test_stages_come_in_order(engine: Engine) -> None:
    stages = [line.split()[0] for line in told(engine)[1:] if not line.startswith(" ")]
    order = ["prepare", "spawn", "attach", "enter", "exec", "cleanup"]
    assert [order.index(stage) for stage in stages] == sorted(order.index(stage) for stage in stages)
    assert {"prepare", "spawn", "enter", "exec", "cleanup"} <= set(stages)


@pytest.mark.parametrize(
    "part", ["Resources", "MountNamespace", "PidNamespace", "Hostname", "IpcNamespace", "NetworkNamespace"]
)
def test_every_part_is_introduced_once_with_its_section(engine: Engine, part: str) -> None:
    if engine.is_full and part in ("PidNamespace", "IpcNamespace", "NetworkNamespace"):
        part = r"\bNamespaces"  # one part for all that the document lists
    introductions = [line for line in told(engine) if re.search(rf"{part} \(section [\d., ]+\): \w", line)]
    assert len(introductions) == 1


@pytest.mark.parametrize("flag", ["CLONE_NEWNS", "CLONE_NEWPID", "CLONE_NEWUTS", "CLONE_NEWIPC", "CLONE_NEWNET"])
def test_namespaces_are_named(engine: Engine, flag: str) -> None:
    [clone] = [line for line in told(engine) if "clone3(" in line]
    assert flag in clone


def test_failing_call_is_told_with_its_reason(engine: Engine) -> None:
    result = engine.run(["nosuchcommand"], "--explain")
    assert result.code == 127
    assert result.error.splitlines()[-1].startswith("mydocker: ")


def test_narration_agrees_with_strace(engine: Engine, tmp_path: object) -> None:
    """Each kernel call that is told was made, with that result, and the calls that matter are all told."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace")
    path = f"{tmp_path}/trace"
    calls = "mount,umount2,sethostname,clone3,setsid,mkdir,rmdir,execve"
    words = [strace, "-f", "-qq", "-o", path, "-e", f"trace={calls}", *engine.run_words(["/bin/true"], "--explain")]
    result = engine.host.run(words)
    assert result.code == 0, result
    with open(path) as file:
        trace = file.read()
    narrated = [line.strip() for line in result.error.splitlines() if line.startswith("   ") and "(" in line]
    for name in ("mount", "sethostname", "clone3", "setsid", "rmdir"):
        real = [line for line in re.findall(rf"{name}\(.*= -?\w+", trace) if "ENOENT" not in line]
        said = [line for line in narrated if line.startswith(f"{name}(") and "No such file" not in line]
        assert len(said) == len(real), f"{name}: told {said}, made {real}"
    place = "." if engine.is_full else "/proc"  # it opens what it mounts on first
    assert re.search(rf'mount\("proc", "{place}", "proc", [A-Z_|]+, NULL\) += 0', trace)
    assert any(line.startswith(f"mount('proc', '{place}', 'proc', ") for line in narrated)
