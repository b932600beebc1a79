"""How the suite's programs are run and judged; and, where the suite is, that what the README promises holds.

MYDOCKER_CONFORMANCE names the directory of the built suite; without it the last test is skipped.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests.conformance.__main__ import failures, summary
from tests.conformance.suite import Ended, Runtime, Suite, SuiteError, verdict
from tests.conformance.tap import first_failure
from tests.support.hosts import REPOSITORY

BUILT = os.environ.get("MYDOCKER_CONFORMANCE")
README = REPOSITORY / "final/runtime/README.md"
OURS = Path(sys.executable).with_name("mydocker-runtime")
ROW = re.compile(r"\| `(\w+)` \| pass ")
DETAILS = '  ---\n  {\n    "error": "it is wrong\\nRefer to: x"\n  }\n  ...\n'
QUOTED = '  ---\n  {\n    "stdout": "TAP version 13\\nnot ok 1 - x"\nnot ok 1 - x\n  }\n  ...\n'


@pytest.mark.parametrize(
    ("output", "failure"),
    [
        ("TAP version 13\nok 1 - a\nok 2 - b\n1..2\n", ""),
        ("TAP version 13\n1..2\nok 1 - a\nnot ok 2 - b is set\n# expect: 1\n", "b is set"),
        ("TAP version 13\nok 1 - a\nnot ok 2 # TODO later\nnot ok 3 # SKIP no such thing here\n1..3\n", ""),
        ("TAP version 13\nok 1 - a\n1..2\n", "1 of 2 tests"),
        ("TAP version 13\nok 1 - a\n", "it has ended before its plan"),
        ("TAP version 13\nok 1 - a\n1..1\nTAP version 13\n1..0\n", ""),
        ("TAP version 13\nok 1 - a\n1..1\nTAP version 13\nnot ok 1 - b\n1..1\n", "b"),
        (f"TAP version 13\n{DETAILS}1..0\n", "it is wrong"),
        (f"TAP version 13\nok 1 - an error is wanted\n{DETAILS}1..1\n", ""),
        (f"TAP version 13\nok 1 - a\n{QUOTED}1..1\n", ""),
        ("", "it says nothing"),
    ],
)
def test_what_a_report_means(output: str, failure: str) -> None:
    assert first_failure(output) == failure


@pytest.mark.parametrize(
    ("name", "ended", "failure"),
    [
        ("mounts", Ended(0, "TAP version 13\nok 1 - a\n1..1\n", ""), ""),
        ("mounts", Ended(None, "TAP version 13\nok 1 - a\n1..1\n", ""), "it did not end in time"),
        ("mounts", Ended(1, "", "failed to create\nmydocker: no\nexit status 125\n"), "failed to create: mydocker: no"),
        ("mounts", Ended(2, "TAP version 13\nok 1 - a\n1..1\n", "panic: x\n\n"), "panic: x: "),
        ("mounts", Ended(0, "", ""), "it says nothing"),
        ("rlimits_fail", Ended(0, "", "failed to create\n"), ""),
        ("rlimits_fail", Ended(1, "", "an error is wanted\n"), "an error is wanted: "),
    ],
)
def test_how_a_program_ends(name: str, ended: Ended, failure: str) -> None:
    assert verdict(name, ended) == failure


def test_tables() -> None:
    results = {"create": {"ours": "", "theirs": ""}, "kill": {"ours": "", "theirs": "no\nsignal"}}
    assert summary(results) == [
        {"program": "create", "ours": "pass", "theirs": "pass"},
        {"program": "kill", "ours": "pass", "theirs": "fail"},
        {"program": "all", "ours": "2 of 2", "theirs": "1 of 2"},
    ]
    assert failures(results) == [{"program": "kill", "runtime": "theirs", "first failure": "no signal"}]


def test_a_directory_without_a_suite(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="runtimetest"):
        Suite(tmp_path)


CARELESS = """
mkdir -p $TMPDIR/rootfs/bin
cp /bin/busybox $TMPDIR/rootfs/bin/sh
$RUNTIME spec --bundle $TMPDIR
sed -i 's/"terminal": true/"terminal": false/' $TMPDIR/config.json
$RUNTIME create --bundle $TMPDIR box
$RUNTIME state box | grep -q '"created"' || echo not ok 1 - it is created
setsid sleep 1003 &"""
PROGRAMS = {"content": "", "careless": CARELESS, "endless": "sleep 1004"}


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """Programs: one that is content, one that leaves a container and a process behind, and one that never ends."""
    for name in ("runtimetest", "rootfs-amd64.tar.gz", "rootfs-arm64.tar.gz"):
        (tmp_path / name).touch()
    for name, script in PROGRAMS.items():
        program = tmp_path / f"validation/{name}/{name}.t"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\necho TAP version 13\n{script}\necho 1..1\necho ok 1 - done\n")
        program.chmod(0o755)
    return Suite(tmp_path)


@pytest.mark.kernel
@pytest.mark.skipif(not OURS.exists(), reason="mydocker-runtime is not installed")
class TestRuns:
    """What they leave, the leak check would see: processes, cgroups, files."""

    @pytest.mark.parametrize("name", ["content", "careless"])
    def test_to_the_end(self, suite: Suite, name: str) -> None:
        assert suite.names == sorted(PROGRAMS)
        assert suite.judge(name, Runtime(str(OURS))) == ""

    def test_one_that_has_no_end(self, suite: Suite) -> None:
        assert suite.judge("endless", Runtime(str(OURS)), seconds=0.2) == "it did not end in time"


def promised() -> list[str]:
    """What we pass, as the README's table has it."""
    return ROW.findall(README.read_text())


@pytest.mark.kernel
@pytest.mark.skipif(not BUILT, reason="MYDOCKER_CONFORMANCE names no built suite")
@pytest.mark.parametrize("name", promised())
def test_what_the_readme_promises(name: str) -> None:
    assert Suite(Path(BUILT or "")).judge(name, Runtime(str(OURS))) == ""
