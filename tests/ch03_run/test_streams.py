"""Standard streams without a terminal, and the state in which a command starts."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import termios
import time

import pytest

from tests.support import processes
from tests.support.engines import ENGINE_FAILED, Engine, fails
from tests.support.hosts import finish, read_line, wait_for_end
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel

MEGABYTE = bytes(random_byte % 251 for random_byte in range(1 << 20))


def test_standard_input_is_empty_without_i(engine: Engine) -> None:
    result = engine.run(["cat"], input=b"not for you")
    assert (result.code, result.out) == (0, b"")


def test_standard_input_is_dev_null_without_i(engine: Engine) -> None:
    assert engine.run(["readlink", "/proc/self/fd/0"], input=b"x").text == "/dev/null"


def test_megabyte_passes_through(engine: Engine) -> None:
    assert engine.run(["cat"], "-i", input=MEGABYTE).out == MEGABYTE


def test_megabyte_on_standard_error(engine: Engine) -> None:
    assert engine.sh("cat >&2", "-i", input=MEGABYTE).err == MEGABYTE


def test_input_may_be_left_unread(engine: Engine) -> None:
    assert engine.run(["true"], "-i", input=MEGABYTE).code == 0


def test_output_and_errors_are_kept_apart(engine: Engine) -> None:
    result = engine.sh("echo out; echo err >&2")
    assert (result.out, result.err) == (b"out\n", b"err\n")


def test_reader_that_leaves_ends_the_command(engine: Engine) -> None:
    """SIGPIPE acts inside, though Python ignores it: `yes | head -1` ends."""
    assert engine.sh("yes | head -1").text == "y"


def test_reader_outside_that_leaves_ends_the_command(engine: Engine) -> None:
    started = engine.spawn(["sh", "-c", "yes; exit 9"])
    assert read_line(started) == b"y\n"
    assert started.stdout is not None
    started.stdout.close()
    assert wait_for_end(started) == 9


@pytest.mark.parametrize("field", ["SigIgn", "SigBlk", "SigPnd"])
def test_no_signal_is_ignored_or_blocked_inside(engine: Engine, field: str) -> None:
    text = engine.run(["grep", field, "/proc/self/status"]).text
    assert int(text.split()[1], 16) == 0


def test_signals_that_the_engine_was_started_with_do_not_matter(engine: Engine) -> None:
    """A parent that blocks and ignores signals, as daemons do."""
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGUSR1, signal.SIG_IGN)"
    block = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGCHLD, signal.SIGALRM])"
    script = f"import os, signal, sys; {ignore}; {block}; os.execvp(sys.argv[1], sys.argv[1:])"
    words = [sys.executable, "-c", script, *engine.run_words(["grep", "-E", "Sig(Ign|Blk)", "/proc/self/status"])]
    for line in engine.host.run(words).text.splitlines():
        assert int(line.split()[1], 16) == 0, line


def test_parent_that_ignores_sigchld(engine: Engine) -> None:
    """Children are then reaped by the kernel, and their exit codes are lost, unless the engine asks for them."""
    words = ["sh", "-c", 'trap "" CHLD; exec "$@"', "sh", *engine.run_words(["sh", "-c", "exit 7"])]
    result = engine.host.run(words)
    assert (result.code, result.err) == (7, b"")


def test_no_descriptor_but_the_three(engine: Engine) -> None:
    """Each would be a door to the host (CVE-2024-21626)."""
    found = engine.sh("ls /proc/$$/fd; true").text.split()
    own = {"10"} if engine.sees_host_files else {"3"}  # a shell's script; the directory, as busybox' ls is no process
    assert set(found) <= {"0", "1", "2"} | own
    assert engine.run(["ls", "/proc/self/fd"]).text.split() == ["0", "1", "2", "3"]  # 3: the directory itself


def test_descriptors_that_the_engine_was_given_do_not_reach_the_container(engine: Engine) -> None:
    words = ["sh", "-c", 'exec 3</ 7</etc/passwd 9</proc; exec "$@"', "sh", *engine.run_words(["ls", "/proc/self/fd"])]
    assert engine.host.run(words).text.split() == ["0", "1", "2", "3"]


CLOSED = ["<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"]


@pytest.mark.parametrize("flags", [[], ["-i"], ["-m", "64m"], ["--explain"]], ids=" ".join)
@pytest.mark.parametrize("closed", CLOSED)
def test_engine_without_some_of_its_streams(engine: Engine, closed: str, flags: list[str]) -> None:
    """A closed 0, 1 or 2 is the number that the next open gets: a control file, say, into which errors then go."""
    words = ["sh", "-c", f'"$@" {closed}', "sh", *engine.run_words(["sh", "-c", "exit 7"], *flags)]
    result = engine.host.run(words)
    assert b"Traceback" not in result.err
    assert b"Error" not in result.err
    assert result.code == 7


@pytest.mark.parametrize("closed", CLOSED)
def test_container_of_an_engine_without_streams_has_no_strange_ones(engine: Engine, closed: str) -> None:
    path = os.fsdecode(engine.plant("out", b"", 0o666))
    script = f'for n in 0 1 2; do readlink /proc/$$/fd/$n; done > "{path}"; exit 7'
    words = ["sh", "-c", f'"$@" {closed}', "sh", *engine.run_words(["sh", "-c", script], "-i")]
    assert engine.host.run(words).code == 7
    with open(path) as file:
        for target in file.read().split():
            assert target == "/dev/null" or target.startswith(("pipe:", "socket:", path)), target
            assert "cgroup" not in target


@pytest.mark.parametrize("closed", CLOSED)
def test_error_of_an_engine_without_streams(engine: Engine, closed: str) -> None:
    words = ["sh", "-c", f'"$@" {closed}', "sh", *engine.run_words(["true"], "-m", "lots")]
    result = engine.host.run(words)
    assert result.code == ENGINE_FAILED
    assert b"Traceback" not in result.err


def test_error_on_a_full_disk_still_has_its_code(engine: Engine) -> None:
    with open("/dev/full", "wb") as full:
        result = engine.run(["nosuchcommand"], stderr=full)
    assert result.code == 127


def test_long_lines_and_binary_are_not_touched(engine: Engine) -> None:
    data = bytes(range(256)) * 10
    assert engine.run(["cat"], "-i", input=data).out == data


def test_input_from_a_file_and_output_to_one(engine: Engine, tmp_path: object) -> None:
    path = f"{tmp_path}/file"
    with open("/etc/passwd", "rb") as source, open(path, "wb") as sink:
        assert engine.run(["cat"], "-i", stdin=source, stdout=sink).code == 0
    with open("/etc/passwd", "rb") as source, open(path, "rb") as copy:
        assert source.read() == copy.read()


def test_terminal_without_a_terminal(engine: Engine) -> None:
    fails(engine.run(["true"], "-ti"), ENGINE_FAILED, "not a terminal")


def test_t_alone_works_in_a_pipe(engine: Engine) -> None:
    result = engine.sh("test -t 1 && echo yes", "-t")
    assert (result.code, result.out) == (0, b"yes\r\n")


def test_t_into_a_pipe_that_is_closed(engine: Engine) -> None:
    """`run -t yes | head -1`: the end must come, and not be called a failure of the engine with a traceback."""
    started = engine.spawn(["yes"], "-t")
    assert read_line(started) == b"y\r\n"
    assert started.stdout is not None
    started.stdout.close()
    code = wait_for_end(started)
    assert started.stderr is not None
    assert b"Traceback" not in started.stderr.read()
    assert code != 0


def unread_bytes(pipe: int) -> int:
    """FIONREAD(2const)."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def has_stopped_growing(pipe: int) -> bool:
    """A pipe is full when its pages are in use, however few bytes each has."""
    before = unread_bytes(pipe)
    time.sleep(0.5)
    return 0 < before == unread_bytes(pipe)


def test_t_into_a_pipe_that_nobody_reads_can_be_ended(engine: Engine) -> None:
    """The engine that copies the output must not be stuck in a write while a signal waits."""
    started = engine.spawn(["yes"], "-t")
    assert read_line(started) == b"y\r\n"
    assert started.stdout is not None
    pipe = started.stdout.fileno()
    eventually(lambda: has_stopped_growing(pipe), "a full pipe")
    started.send_signal(signal.SIGTERM)
    assert wait_for_end(started) == 128 + signal.SIGTERM


def test_t_into_a_pipe_that_does_not_block(engine: Engine) -> None:
    """Whoever shares the pipe may have set O_NONBLOCK: then a write takes a part, or nothing."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    started = engine.spawn(["sh", "-c", "yes | head -c 300000"], "-t", stdout=writer)
    os.close(writer)
    eventually(lambda: processes.children(started.pid) or started.poll() is not None, "the container")
    with open(reader, "rb") as pipe:
        output = pipe.read()
    result = finish(started)
    assert (result.code, result.err) == (0, b"")
    assert output.replace(b"\r", b"") == b"y\n" * 150_000


def test_output_with_t_is_complete_each_time(engine: Engine) -> None:
    """What a command printed at the last moment is still in the terminal when it ends."""
    for _ in range(20):
        assert engine.sh("echo first; echo last", "-t").out == b"first\r\nlast\r\n"


def test_streams_may_be_one_file(engine: Engine) -> None:
    result = engine.sh("echo out; echo err >&2", stderr=subprocess.STDOUT)
    assert result.out == b"out\nerr\n"
