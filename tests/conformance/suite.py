"""Running the programs of a suite that somebody has built: each alone, for a limited time, and nothing stays behind.

Each has network, mounts and processes of its own: with the first process, tini, the kernel ends all others. What is
left then are a runtime's records and cgroups; the runtime itself removes them.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.conformance.tap import first_failure

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
SECONDS = 90.0
ISOLATED = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--", "tini", "-s", "--"]
DELETE_ALL = 'for id in $("$1" list -q); do "$1" delete --force "$id"; done'
HIDE_VERSION_2 = "umount --lazy /sys/fs/cgroup/unified 2> /dev/null; "
CGROUPS = ("cgrouptest", "testdir/cgrouptest/container", "testdir/cgrouptest", "testdir")
"""Where the suite wants cgroups: fixed names, so that two programs at a time would be in each other's way."""


class SuiteError(Exception):
    """The suite is not there, or not built."""


class Suite:
    """directory: of opencontainers/runtime-tools, with runtimetest and validation/NAME/NAME.t built.

    Raises SuiteError for what is missing.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.names = sorted(path.stem for path in self.directory.glob("validation/*/*.t"))
        rootfs = f"rootfs-{ARCHITECTURES.get(platform.machine(), platform.machine())}.tar.gz"
        for name in ("runtimetest", rootfs):
            if not (self.directory / name).is_file():
                raise SuiteError(f"there is no {name} in {self.directory}")
        if not self.names:
            raise SuiteError(f"there is no validation/NAME/NAME.t in {self.directory}: final/runtime/README.md")

    def judge(self, name: str, runtime: Runtime, seconds: float = SECONDS) -> str:
        """Run one program with a runtime; what is wrong, or nothing."""
        with tempfile.TemporaryDirectory() as top:
            os.chmod(top, 0o755)  # users of a container's own user namespace pass through
            wrapper = runtime.wrap(Path(top))
            try:
                ended = self._run(name, wrapper, Path(top), seconds)
            finally:
                clean_up(wrapper)
        return verdict(name, ended)

    def _run(self, name: str, wrapper: Path, top: Path, seconds: float) -> Ended:
        program = self.directory / f"validation/{name}/{name}.t"
        environment = {"PATH": os.environ["PATH"], "RUNTIME": str(wrapper), "TMPDIR": str(top)}
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = subprocess.Popen(
                [*ISOLATED, str(program)],
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            try:
                code: int | None = process.wait(seconds)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode(errors="replace"))
        return Ended(code, *texts)


class Ended(NamedTuple):
    """How a program has ended. code: None if it did not."""

    code: int | None
    out: str
    err: str


class Runtime:
    """A runtime with runc's command line. program: as a path, or on the PATH."""

    def __init__(self, program: str) -> None:
        self.program = program
        self.name = Path(program).name

    def wrap(self, top: Path) -> Path:
        """A program that calls it, with a directory of its own for what it keeps. It sees what the suite calls RUNTIME.

        crun refuses to work where version 2 of cgroups is mounted beside version 1; it alone is shown none.
        """
        call = f'exec {shlex.quote(self.program)} --root {shlex.quote(str(top / "state"))} "$@"'
        if "crun" in self.name:
            call = f'exec unshare --mount sh -c {shlex.quote(HIDE_VERSION_2 + call)} sh "$@"'
        wrapper = top / "runtime"
        wrapper.write_text(f"#!/bin/sh\n{call}\n")
        wrapper.chmod(0o755)
        return wrapper


def verdict(name: str, ended: Ended) -> str:
    """What is wrong with how a program has ended, or nothing."""
    if ended.code is None:
        return "it did not end in time"
    said = first_failure(ended.out)
    if not ended.out.strip() and name.endswith("_fail"):
        said = ""
    if ended.code and (not said or not ended.out.strip()):
        return ": ".join(ended.err.split("\n")[:2]) or f"exit code {ended.code}"
    return said


def clean_up(wrapper: Path) -> None:
    """Have a runtime remove its containers, all of whose processes are gone, and remove the suite's cgroups."""
    words = [*ISOLATED, "sh", "-c", DELETE_ALL, "sh", str(wrapper)]
    subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    for name in CGROUPS:
        for directory in Path("/sys/fs/cgroup").glob(f"*/{name}"):
            with contextlib.suppress(OSError):
                directory.rmdir()
