"""A user at a terminal: -ti, Ctrl-C, Ctrl-Z, window size, jobs of a shell."""

from __future__ import annotations

import os
import signal
import termios
from collections.abc import Callable

import pytest

from tests.support import processes
from tests.support.engines import Engine
from tests.support.hosts import wait_for_end
from tests.support.polling import becomes, eventually
from tests.support.terminals import (
    COLUMNS,
    CONTROL_BACKSLASH,
    CONTROL_C,
    CONTROL_D,
    CONTROL_Z,
    ROWS,
    Terminal,
)

pytestmark = pytest.mark.kernel

SHELL = ["env", "PS1=inside> ", "sh", "-i"]
RAW = termios.ICANON | termios.ECHO | termios.ISIG


def is_raw(terminal: Terminal) -> bool:
    return not terminal.mode()[3] & RAW


def shell(engine: Engine) -> Terminal:
    """A shell in a container, at its prompt."""
    terminal = engine.pty(SHELL, "-ti")
    terminal.expect(b"inside> ")
    return terminal


def job_has_the_terminal(terminal: Terminal) -> bool:
    """Whether the shell has given its terminal to a job: until then, the shell itself takes the keys' signals."""
    inside = processes.inside(terminal.process.pid)
    if len(inside) != 2:
        return False
    group, owner = processes.foreground_group(inside[1])
    return group == owner != processes.foreground_group(inside[0])[0]


def leave(terminal: Terminal, code: int = 0) -> None:
    terminal.type(b"exit %d\r" % code)
    assert terminal.wait() == code
    assert terminal.mode_is_restored()


def test_all_three_streams_are_a_terminal(engine: Engine) -> None:
    terminal = engine.pty(["sh", "-c", "test -t 0 && test -t 1 && test -t 2 && echo yes; exit 4"], "-ti")
    assert terminal.wait() == 4
    assert terminal.screen == b"yes\r\n"
    assert terminal.mode_is_restored()


def test_terminal_inside_is_not_the_users(engine: Engine) -> None:
    terminal = shell(engine)
    user = os.stat(f"/proc/{terminal.process.pid}/fd/0")
    inside = os.stat(f"/proc/{processes.children(terminal.process.pid)[0]}/fd/0")
    assert (user.st_dev, user.st_ino) != (inside.st_dev, inside.st_ino)
    leave(terminal)


def test_shell_has_job_control(engine: Engine) -> None:
    """No "can't access tty; job control turned off": it has a controlling terminal."""
    terminal = shell(engine)
    terminal.type(b"sleep 1000\r")
    eventually(lambda: job_has_the_terminal(terminal), "sleep in the foreground")
    terminal.type(CONTROL_Z)
    terminal.expect(b"Stopped")
    terminal.expect(b"inside> ")
    terminal.type(b"fg\r")
    terminal.expect(b"sleep 1000")
    eventually(lambda: job_has_the_terminal(terminal), "sleep in the foreground again")
    terminal.type(CONTROL_C)
    terminal.expect(b"inside> ")
    assert b"tty" not in terminal.screen
    leave(terminal)


def test_keys_are_echoed_once(engine: Engine) -> None:
    terminal = engine.pty(["sh", "-c", "echo ready; read line; echo got $line"], "-ti")
    terminal.expect(b"ready\r\n")
    terminal.type(b"hello\r")
    assert terminal.wait() == 0
    assert terminal.screen == b"ready\r\nhello\r\ngot hello\r\n"


def test_control_d_is_end_of_file(engine: Engine) -> None:
    terminal = engine.pty(["cat"], "-ti")
    terminal.type(b"abc\r")
    terminal.expect(b"abc\r\nabc\r\n")
    terminal.type(CONTROL_D)
    assert terminal.wait() == 0


def test_control_c_ends_the_job_and_not_the_shell(engine: Engine) -> None:
    terminal = shell(engine)
    terminal.type(b"sleep 1000\r")
    eventually(lambda: job_has_the_terminal(terminal), "sleep in the foreground")
    terminal.type(CONTROL_C)
    terminal.expect(b"inside> ")
    terminal.type(b"echo code $?\r")
    terminal.expect(b"code 130")
    leave(terminal)


@pytest.mark.parametrize(("key", "name"), [(CONTROL_C, "INT"), (CONTROL_BACKSLASH, "QUIT")])
def test_key_reaches_a_handler_once(engine: Engine, key: bytes, name: str) -> None:
    terminal = engine.pty(
        ["sh", "-c", f"trap 'echo got; exit 3' {name}; echo ready; while :; do sleep 0.05; done"], "-ti"
    )
    terminal.expect(b"ready")
    terminal.type(key)
    assert terminal.wait() == 3
    assert terminal.screen.count(b"got") == 1


def test_window_has_the_users_size(engine: Engine) -> None:
    terminal = engine.pty(["stty", "size"], "-ti")
    assert terminal.wait() == 0
    assert terminal.screen == b"%d %d\r\n" % (ROWS, COLUMNS)


def test_window_follows_the_user(engine: Engine) -> None:
    terminal = engine.pty(["sh", "-c", "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done"], "-ti")
    terminal.expect(b"ready")
    for rows, columns in ((10, 40), (50, 200)):
        terminal.resize(rows, columns)
        terminal.expect(b"%d %d" % (rows, columns))
    terminal.process.send_signal(signal.SIGTERM)
    terminal.wait()


def test_window_resized_while_stopped_is_right_afterwards(engine: Engine) -> None:
    terminal = shell(engine)
    os.kill(terminal.process.pid, signal.SIGSTOP)
    eventually(lambda: processes.is_stopped(terminal.process.pid), "the engine stopped")
    terminal.resize(12, 34)
    os.kill(terminal.process.pid, signal.SIGCONT)
    terminal.type(b"stty size\r")
    terminal.expect(b"12 34")
    leave(terminal)


ENDS: dict[str, Callable[[Terminal], object]] = {
    "exit": lambda terminal: terminal.type(b"exit 7\r"),
    "TERM": lambda terminal: terminal.process.send_signal(signal.SIGTERM),
    "HUP": lambda terminal: terminal.process.send_signal(signal.SIGHUP),
    "kill from outside": lambda terminal: os.kill(processes.children(terminal.process.pid)[0], signal.SIGKILL),
}


@pytest.mark.parametrize("end", ENDS)
def test_users_terminal_is_as_before_after(engine: Engine, end: str) -> None:
    terminal = engine.pty(["sh", "-c", "echo ready; read x; exit 7"], "-ti")
    terminal.expect(b"ready")
    eventually(lambda: is_raw(terminal), "raw mode")
    ENDS[end](terminal)
    assert terminal.wait() != 0
    assert terminal.mode_is_restored()


def test_users_terminal_is_as_before_after_an_error(engine: Engine) -> None:
    terminal = engine.pty(["nosuchcommand"], "-ti")
    assert terminal.wait() == 127
    assert terminal.mode_is_restored()
    assert terminal.screen.endswith(b"\r\n")
    assert terminal.screen.count(b"\n") == 1


def test_megabyte_of_output_is_complete(engine: Engine) -> None:
    terminal = engine.pty(["sh", "-c", "yes 0123456789abcde | head -c 1048576"], "-ti")
    assert terminal.wait() == 0
    assert terminal.screen == b"0123456789abcde\r\n" * (1 << 16)


def test_large_paste_arrives(engine: Engine) -> None:
    """To a program that reads, faster than it does: nothing is lost."""
    terminal = engine.pty(["sh", "-c", "stty raw -echo; echo ready; head -c 300000 | md5sum"], "-ti")
    terminal.expect(b"ready")
    paste = bytes(32 + number % 90 for number in range(300_000))
    terminal.type(paste)
    assert terminal.wait() == 0
    expected = engine.host.run(["md5sum"], input=paste).text
    assert expected.encode() in terminal.screen


def test_large_paste_that_nobody_reads_does_not_hang_the_end(engine: Engine) -> None:
    terminal = engine.pty(
        ["sh", "-c", "stty raw -echo; trap 'exit 6' TERM; echo ready; while :; do sleep 0.05; done"], "-ti"
    )
    terminal.expect(b"ready")
    os.set_blocking(terminal.master, False)
    while becomes(lambda: writes_some(terminal), 0.5):
        continue
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.wait() == 6
    assert terminal.mode_is_restored()


def writes_some(terminal: Terminal) -> bool:
    try:
        return os.write(terminal.master, b"x" * 4096) > 0
    except BlockingIOError:
        return False


def test_engine_rests_while_a_paste_waits(engine: Engine) -> None:
    """It must wait for room, not ask for it in a loop."""
    terminal = engine.pty(
        ["sh", "-c", "stty raw -echo; trap 'exit 6' TERM; echo ready; while :; do sleep 0.05; done"], "-ti"
    )
    terminal.expect(b"ready")
    os.set_blocking(terminal.master, False)
    while becomes(lambda: writes_some(terminal), 0.5):
        continue
    before = cpu_ticks(terminal.process.pid)
    becomes(lambda: False, 1.0)
    assert cpu_ticks(terminal.process.pid) - before < 30  # of about 100
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.wait() == 6


def cpu_ticks(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        return sum(map(int, file.read().rpartition(")")[2].split()[11:13]))


def test_closed_streams_inside_do_not_hang_the_terminal_up(engine: Engine) -> None:
    script = "exec 3<&0 0<&- 1>&- 2>&- 3<&-; sleep 0.1; exec 0<>/dev/tty 1>&0; echo back"
    terminal = engine.pty(["sh", "-c", script], "-ti")
    assert terminal.wait() == 0
    assert terminal.screen == b"back\r\n"


def test_hang_up_of_the_users_terminal_ends_the_container(engine: Engine) -> None:
    """The window is closed."""
    reader, writer = os.pipe()
    terminal = engine.pty(["sh", "-c", "echo ready; read x"], "-ti", stderr=writer)
    os.close(writer)
    terminal.expect(b"ready")
    eventually(lambda: is_raw(terminal), "raw mode")
    inside = processes.descendants(terminal.process.pid)
    os.close(terminal.master)
    os.close(terminal._slave)
    engine.host.terminals.remove(terminal)
    assert wait_for_end(terminal.process) == 128 + signal.SIGHUP
    with open(reader) as pipe:
        assert pipe.read() == ""
    eventually(lambda: not any(map(processes.is_alive, inside)), "the end of the container")


def test_errors_go_to_standard_error_also_with_a_terminal(engine: Engine) -> None:
    reader, writer = os.pipe()
    terminal = engine.pty(["nosuchcommand"], "-ti", stderr=writer)
    os.close(writer)
    assert terminal.wait() == 127
    with open(reader) as pipe:
        assert pipe.read().startswith("mydocker: ")
    assert terminal.screen == b""


def test_control_c_without_a_terminal_of_its_own(engine: Engine) -> None:
    """No -t: the user's terminal makes SIGINT of the key, the engine passes it on."""
    terminal = engine.pty(["sh", "-c", "trap 'echo got; exit 3' INT; echo ready; while :; do sleep 0.05; done"])
    terminal.expect(b"ready")
    terminal.type(CONTROL_C)
    assert terminal.wait() == 3
    assert terminal.screen.count(b"got") == 1


# ---------------------------------------------------------------- as jobs of a shell


@pytest.fixture
def bash(engine: Engine) -> Terminal:
    """The user's own shell, outside, with job control."""
    terminal = Terminal(engine.host, ["bash", "--norc", "--noprofile", "-i"], env={"PS1": "outside> ", "HISTFILE": ""})
    terminal.expect(b"outside> ")
    return terminal


def command_line(engine: Engine, command: str, *flags: str) -> bytes:
    """A `run` as it is typed into a shell."""
    words = [word if isinstance(word, str) else os.fsdecode(word) for word in engine.run_words([], *flags)]
    return " ".join([*words, command]).encode()


def log_out(bash: Terminal) -> None:
    """Leave the shell; it asks again when it has not noticed yet that a stopped job has ended."""
    bash.type(b"exit\r")
    if not becomes(lambda: bash.process.poll() is not None, 2):
        bash.type(b"exit\r")
    bash.wait()


def assert_sane(bash: Terminal) -> None:
    """The terminal's mode is one for people: it echoes, and has lines."""
    bash.type(b"stty -a\r")
    found = bash.expect(rb"-?isig.*?echoctl").group()
    for word in (b"-isig", b"-icanon", b"-echo "):
        assert word not in found
    bash.expect(b"outside> ")


def test_control_z_and_fg(engine: Engine, bash: Terminal) -> None:
    bash.type(command_line(engine, "sh -c 'echo up; read x; echo got $x'", "-i") + b"\r")
    bash.expect(rb"up\r\n")
    bash.type(CONTROL_Z)
    bash.expect(b"Stopped")
    bash.expect(b"outside> ")
    bash.type(b"fg\r")
    bash.expect(b" run ")
    bash.type(b"hello\r")
    bash.expect(b"got hello")
    bash.expect(b"outside> ")
    assert_sane(bash)
    log_out(bash)


def test_terminal_started_in_the_background_waits_for_fg(engine: Engine, bash: Terminal) -> None:
    bash.type(command_line(engine, "sh -c 'echo up; read x; echo got $x'", "-ti") + b" &\r")
    bash.expect(b"outside> ")
    eventually(lambda: any(map(processes.is_stopped, processes.descendants(bash.process.pid))), "a stopped job")
    bash.type(b"fg\r")
    bash.type(b"hello\r")
    bash.expect(b"got hello")
    bash.expect(b"outside> ")
    assert_sane(bash)
    log_out(bash)


def test_input_in_the_background_waits_for_fg(engine: Engine, bash: Terminal) -> None:
    bash.type(command_line(engine, "cat", "-i") + b" &\r")
    bash.expect(b"outside> ")
    eventually(lambda: any(map(processes.is_stopped, processes.descendants(bash.process.pid))), "a stopped job")
    bash.type(b"fg\r")
    bash.expect(b"cat")
    bash.type(b"hello\r")
    bash.expect(b"hello\r\nhello\r\n")
    bash.type(CONTROL_D)
    bash.expect(b"outside> ")
    log_out(bash)


def test_input_sent_to_the_background_leaves_the_keys_to_the_shell(engine: Engine, bash: Terminal) -> None:
    """Ctrl-Z and `bg`: a program that then reads would be stopped by SIGTTIN. Its keys are the shell's now."""
    bash.type(command_line(engine, "sh -c 'echo up; cat'", "-i") + b"\r")
    bash.expect(rb"up\r\n")
    bash.type(CONTROL_Z)
    bash.expect(b"Stopped")
    bash.type(b"bg\r")
    bash.expect(b"outside> ")
    for number in range(5):
        bash.type(b"echo $((%d+1000))\r" % number)
        bash.expect(b"%d\r\n" % (number + 1000))
    bash.type(b"kill -9 %1; while kill -0 %1 2> /dev/null; do sleep 0.02; done\r")  # it tells of the end at a prompt
    bash.expect(b"Killed")
    log_out(bash)
    engine.run(["true"])


def test_stopped_background_job_can_be_ended(engine: Engine, bash: Terminal) -> None:
    """`kill %1` sends TERM and CONT; the job may not stop again before it has looked at TERM."""
    bash.type(command_line(engine, "sh", "-ti") + b" &\r")
    bash.expect(b"outside> ")
    [job] = eventually(lambda: processes.children(bash.process.pid), "the job")
    eventually(lambda: processes.is_stopped(job), "a stopped job")
    bash.type(b"kill %1\r")
    bash.expect(b"outside> ")
    eventually(lambda: not processes.is_alive(job), "its end")
    log_out(bash)


def test_job_that_does_not_read_runs_in_the_background(engine: Engine, bash: Terminal) -> None:
    bash.type(command_line(engine, "sh -c 'exit 3'") + b" & wait $!; echo code $?\r")
    bash.expect(b"code 3")
    log_out(bash)


def test_container_in_a_pipeline(engine: Engine, bash: Terminal) -> None:
    run = command_line(engine, "cat", "-i")
    bash.type(b"echo through | " + run + b" | " + run + b" | tr a-z A-Z\r")
    bash.expect(b"THROUGH")
    bash.expect(b"outside> ")
    assert_sane(bash)
    log_out(bash)
