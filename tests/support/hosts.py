"""An isolated "host" for a test: a network of its own with no way out, a state directory, a clean environment."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support import processes
from tests.support.polling import PATIENCE, eventually

if TYPE_CHECKING:
    from tests.support.terminals import Terminal

Word = str | bytes
REPOSITORY = Path(__file__).parents[2]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOLDER = "ip link set lo up && echo ready && exec cat"


class Result(NamedTuple):
    """How a command ended: exit code (-n after signal n, as subprocess has it), and what it printed."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        """Standard output, decoded and stripped; the command must have succeeded."""
        assert self.code == 0, f"exit code {self.code}: {self.err.decode(errors='replace')}"
        return self.out.decode().strip()

    @property
    def error(self) -> str:
        return self.err.decode(errors="replace")


class Host:
    """Commands run on it as real processes. close() ends all that it started.

    root: the engine's state directory. may_stay: paths below it that a test may leave, such as images.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.may_stay: set[str] = set()
        self.started: list[subprocess.Popen[bytes]] = []
        self.terminals: list[Terminal] = []
        self.environment = {
            "PATH": PATH,
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "MYDOCKER_ROOT": str(root),
        }
        root.mkdir(parents=True, exist_ok=True)
        self.boot()

    def boot(self) -> None:
        """Give it a network, in which is nothing but its loopback."""
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", HOLDER],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n", "no network namespace"

    @property
    def pid(self) -> str:
        """A process that is in the host's network namespace as long as there is one, for ip(8)."""
        return str(self._holder.pid)

    @property
    def network(self) -> str:
        """The host's network namespace, as a path for setns(2), ip(8) and nsenter(1)."""
        return f"/proc/{self._holder.pid}/ns/net"

    def argv(self, words: Sequence[Word]) -> list[Word]:
        """The command as it must be executed to run on this host; its process is the command itself."""
        return ["nsenter", f"--net={self.network}", "--", *words]

    def run(
        self,
        words: Sequence[Word],
        *,
        input: bytes | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = PATIENCE,
        **options: Any,
    ) -> Result:
        """Run a command to its end. Without `input`, standard input is empty. env: on top of the host's own."""
        if input is None and "stdin" not in options:
            options["stdin"] = subprocess.DEVNULL
        started = self.spawn(words, env=env, **({"stdin": subprocess.PIPE} | options))
        try:
            out, err = started.communicate(input, timeout)
        except subprocess.TimeoutExpired as late:
            started.kill()  # not waited for its pipes: whoever it started may hold them
            started.wait(PATIENCE)
            raise AssertionError(
                f"still running after {timeout:g} s: {words!r}\n{late.stdout!r}\n{late.stderr!r}"
            ) from None
        return Result(started.returncode, out or b"", err or b"")

    def spawn(
        self, words: Sequence[Word], *, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start a command, its three streams pipes unless told otherwise; close() kills what is left of it."""
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        environment = {**self.environment, **(env or {})}
        process = subprocess.Popen(self.argv(words), env=environment, **{**streams, **options})
        self.started.append(process)
        return process

    def python(self, script: str, *arguments: Word, **options: Any) -> Result:
        """Run Python code in a fresh interpreter on this host, with the repository importable."""
        return self.run([sys.executable, "-c", script, *arguments], cwd=REPOSITORY, **options)

    def leftovers(self) -> list[str]:
        """Files in the state directory that a test should not have left."""
        allowed = [self.root / name for name in self.may_stay]
        found = [path for directory in allowed for path in directory.glob("*.new")]  # never finished
        for above, directories, names in os.walk(self.root):
            entries = [Path(above, name) for name in (*directories, *names) if Path(above, name) not in allowed]
            directories[:] = [path.name for path in entries if path.is_dir() and not path.is_symlink()]
            found += [path for path in entries if path.name not in directories]
        return [str(path) for path in found if path.is_symlink() or not path.is_dir()]

    def lose_power(self) -> None:
        """End all its processes at once, without a word, and its network with them; the files stay. See boot()."""
        network = os.stat(self.network).st_ino
        while found := [pid for pid in processes.descendants(os.getpid()) if _network_of(pid) == network]:
            for pid in found:  # whom one of them starts before its end is found the next time
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._holder.wait(PATIENCE)
        for stream in (self._holder.stdin, self._holder.stdout):
            _close(stream)

    def close(self) -> None:
        """End everything. May be called twice."""
        for process in [*self.started, self._holder]:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait(PATIENCE)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    _close(stream)
        for terminal in self.terminals:
            terminal.close()
        self.terminals.clear()
        shutil.rmtree(self.root, ignore_errors=True)


def _network_of(pid: int) -> int:
    """The network namespace of a process; 0 when it is gone."""
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return 0


def _close(stream: Any) -> None:
    with contextlib.suppress(BrokenPipeError):  # what was not written any more
        stream.close()


def finish(process: subprocess.Popen[bytes], timeout: float = PATIENCE) -> Result:
    """Wait for a spawned command; how it ended."""
    out, err = process.communicate(timeout=timeout)
    return Result(process.returncode, out or b"", err or b"")


def read_line(process: subprocess.Popen[bytes]) -> bytes:
    """The next line that a spawned command prints."""
    assert process.stdout is not None
    return process.stdout.readline()


def wait_for_end(process: subprocess.Popen[bytes], timeout: float = PATIENCE) -> int:
    """The exit code, polled for: other children may be reaped meanwhile."""
    eventually(lambda: process.poll() is not None, f"the end of {process.args!r}", timeout)
    return int(process.returncode)
