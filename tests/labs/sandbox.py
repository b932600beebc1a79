"""Where a student's code runs while it is graded: processes, mounts, a network and a number of processes of its own.

The grader never imports that code. It is started by util-linux (unshare(1), nsenter(1), prlimit(1)) in namespaces that
end with it, under limits of processes and memory; whatever it does in there costs its own points alone. Only the
sandbox's own directory can be written to, besides what the kernel shows: /proc, /dev, cgroups. No code of the chapters
is used here.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from tests.labs.checks import NOTHING, MismatchError, shown
from tests.labs.tasks import LabError
from tests.support.polling import PATIENCE, becomes

SECONDS_A_COMMAND = PATIENCE / 3
SECONDS_FOR_AN_END = PATIENCE / 12
MOST_PROCESSES = 256
LARGEST_FILE = 256 << 20  # bytes
LARGEST_PROCESS = 2 << 30  # bytes
LONGEST_OUTPUT = 1 << 20
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
JOIN = f'echo $$ > "$0/cgroup.procs" && exec prlimit --core=0 --fsize={LARGEST_FILE} --as={LARGEST_PROCESS} -- "$@"'
NAMESPACES = ["--mount", "--net", "--pid", "--ipc", "--uts"]
UNSHARE = ["unshare", *NAMESPACES, "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
SETUP = """
set -e
mount --bind "$2" "$2"
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
mount -o remount,bind,ro /
mount -t tmpfs -o mode=755 none /run
ip link set lo up
echo ready
exec cat
"""
"""What PID 1 of a sandbox does. $1: the tree; $2: the directory that can be written to."""

BOOT = """
import json, os, sys, time
sys.path[:0], sys.path[len(sys.path):] = [sys.argv[2]], [sys.argv[3]]
given = json.loads(sys.argv[4])
_answer = open(sys.argv[5], "w")
def answer(value):
    json.dump({"answer": value}, _answer)
    _answer.flush()
def fork(work):
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = work() or 0
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\\n".encode())
        finally:
            os._exit(code)
    return pid
def end_of(pid):
    end = time.monotonic() + float(sys.argv[6])
    while time.monotonic() < end:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return "it still runs"
try:
    exec(compile(sys.argv[1], "<test>", "exec"), globals())
except Exception as error:
    json.dump({"raised": [type(error).__name__, str(error)]}, _answer)
    _answer.flush()
    os._exit(1)
"""
"""Isolated (-I), so that no environment and no other checkout of the chapters gets in between."""


class Outcome(NamedTuple):
    """How a command ended: exit code, -n after signal n; what it printed."""

    code: int
    out: str
    err: str


class Sandbox:
    """tree: whose chapters are tried; directory: for files, the only place that can be written to; seconds: for all
    that happens in here together. Raises LabError if the machine has no sandboxes."""

    def __init__(self, tree: Path, directory: Path, seconds: float) -> None:
        self.tree = tree
        self.directory = directory
        self._end = time.monotonic() + seconds
        self._groups_before = groups()
        self._group = _make_group()
        command = [*UNSHARE, "sh", "-c", SETUP, "sh", str(tree), str(directory)]
        self._holder = subprocess.Popen(
            ["sh", "-c", JOIN, str(self._group), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._environment(),
        )
        assert self._holder.stdout is not None and self._holder.stderr is not None
        if self._holder.stdout.readline() != b"ready\n":
            said = self._holder.stderr.read().decode(errors="replace").strip()
            self.close()
            raise LabError(f"no sandbox can be made on this machine: {said}")

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": PATH,
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "MYDOCKER_ROOT": str(self.directory / "state"),
            "TMPDIR": str(self.directory),
        }

    def run(self, words: Sequence[str], seconds: float = SECONDS_A_COMMAND) -> Outcome:
        """Run a command in here to its end. Raises MismatchError if it takes longer; then all in here is ended."""
        seconds = min(seconds, max(0.1, self._end - time.monotonic()))
        holder = f"/proc/{self._holder.pid}/ns"
        join = [f"--mount={holder}/mnt", f"--net={holder}/net", f"--ipc={holder}/ipc", f"--uts={holder}/uts"]
        command = ["nsenter", *join, f"--pid={holder}/pid_for_children", f"--wd={self.tree}", "--", *words]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:  # no pipes: others could hold them open
            process = subprocess.Popen(
                ["sh", "-c", JOIN, str(self._group), *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=self._environment(),
            )
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.close()
                process.kill()
                process.wait()
                raise MismatchError("an end", f"it was still running after {seconds:.0f} seconds") from None
            return Outcome(process.returncode, _first_of(out), _first_of(err))

    def shell(self, script: str, *arguments: str) -> str:
        """What a shell script of the test's own prints; it must succeed. Its arguments are $1, $2, …"""
        outcome = self.run(["sh", "-ec", script, "sh", *arguments])
        assert outcome.code == 0, f"the test's own script failed: {outcome.err.strip()}"
        return outcome.out.strip()

    def module(self, name: str, *arguments: str) -> Outcome:
        """Run `python3 -m NAME ARGUMENT …` of the tree."""
        run = f"import runpy, sys; sys.argv[1:] = given; runpy.run_module({name!r}, None, '__main__', True)"
        return self.run(self._python(run, list(arguments)))

    def ask(self, script: str, within: Sequence[str] = (), **given: Any) -> Any:
        """Run Python code that may import the tree's chapters. It finds what it is given in the dictionary `given`, and
        calls answer() with something that JSON knows; that is returned. Raises MismatchError if it does not come to it.

        fork(FUNCTION) runs a function in a child, and gives its pid; end_of(PID) gives its exit code, -n after signal
        n. within: a command that runs others, such as unshare(1), and its flags.
        """
        raised, value, outcome = self._ask(script, given, within)
        if raised is not None:
            raise MismatchError("no error", _described(*raised))
        if value is None:
            raise MismatchError(
                "that it runs to its end", f"the process ended with {_end(outcome.code)}: {_said(outcome)}"
            )
        return value["answer"]

    def refusal(self, script: str, kind: str = "EngineError", **given: Any) -> str:
        """The same for code that shall raise an error of this name; its message."""
        raised, value, outcome = self._ask(script, given)
        if raised is None:
            happened = f"the result {shown(value['answer'])}" if value else f"{_end(outcome.code)}: {_said(outcome)}"
            raise MismatchError(f"an {kind}", happened)
        if raised[0] != kind:
            raise MismatchError(f"an {kind}", _described(*raised))
        return raised[1]

    def _ask(
        self, script: str, given: dict[str, Any], within: Sequence[str] = ()
    ) -> tuple[tuple[str, str] | None, Any, Outcome]:
        file = self.directory / f"answer-{secrets.token_hex(4)}"
        file.touch()
        outcome = self.run([*within, *self._python(script, given, file)])
        try:
            found = json.loads(file.read_text())
        except ValueError:
            found = {}
        if "NotImplementedError" in outcome.err:
            found = {"raised": ("NotImplementedError", "")}
        if "raised" in found:
            return tuple(found["raised"]), None, outcome
        return None, found or None, outcome

    def _python(self, script: str, given: Any, file: Path = Path(os.devnull)) -> list[str]:
        words = [str(self.tree), sysconfig.get_path("purelib"), json.dumps(given), str(file), str(SECONDS_FOR_AN_END)]
        return [sys.executable, "-ISB", "-c", BOOT, script, *words]

    def close(self) -> None:
        """End all that runs in here, and remove what it has left in the cgroup file systems. Twice does no harm."""
        self._holder.kill()
        self._holder.wait()
        for stream in (self._holder.stdin, self._holder.stdout, self._holder.stderr):
            assert stream is not None
            stream.close()
        becomes(lambda: not self._remove_groups(), PATIENCE)

    def _remove_groups(self) -> list[Path]:
        """Remove those that are new, without processes and without an engine that holds their lock; what is left of
        ours."""
        for group in sorted([*(groups() - self._groups_before), self._group], reverse=True):
            with contextlib.suppress(OSError):
                _remove_if_free(group)
        return [self._group] if self._group.exists() else []


def _first_of(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(LONGEST_OUTPUT).decode(errors="replace")


def _described(kind: str, message: str) -> str:
    if kind == "NotImplementedError":
        return NOTHING
    return f"{kind}: {message}"


def _end(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def _said(outcome: Outcome) -> str:
    """The last line of what it complained of."""
    lines = (outcome.err.strip() or outcome.out.strip() or "it printed nothing").splitlines()
    return NOTHING if "NotImplementedError" in outcome.err else lines[-1][:300]


# ---------------------------------------------------------------- cgroups, for a limit of processes


def _hierarchies() -> list[tuple[str, set[str], Path]]:
    """Kind, controllers and place of each cgroup hierarchy: proc_pid_mountinfo(5)."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        place = Path(left.split()[4])
        if kind == "cgroup":
            found.append((kind, set(options.split(",")), place))
        elif kind == "cgroup2":
            found.append((kind, set((place / "cgroup.controllers").read_text().split()), place))
    return found


def _make_group() -> Path:
    """A cgroup with a limit of processes, against those who fork without end. Raises LabError."""
    for kind, controllers, place in _hierarchies():
        if "pids" not in controllers:
            continue
        group = place / f"mydocker-lab-{secrets.token_hex(4)}"
        try:
            if kind == "cgroup2":
                (place / "cgroup.subtree_control").write_text("+pids")
            group.mkdir()
            (group / "pids.max").write_text(str(MOST_PROCESSES))
        except OSError as error:
            raise LabError(f"{place}: no cgroup can be made there: {error.strerror}") from None
        return group
    raise LabError("this machine has no cgroup controller `pids`, which stops those who fork without end")


def _remove_if_free(group: Path) -> None:
    """Raises OSError for one that is in use."""
    descriptor = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        group.rmdir()
    finally:
        os.close(descriptor)


def groups() -> set[Path]:
    """The cgroups at the top, and those of the engine, in all hierarchies."""
    places = [place for _, _, place in _hierarchies()]
    above = [*places, *(place / name for place in places for name in ("mydocker", "mydocker-runtime"))]
    return {Path(entry.path) for place in above if place.is_dir() for entry in os.scandir(place) if entry.is_dir()}
