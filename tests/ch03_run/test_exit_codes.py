"""How a run ends: exit codes, and errors of one line each."""

from __future__ import annotations

import signal

import pytest

from tests.support.engines import ENGINE_FAILED, NOT_EXECUTABLE, NOT_FOUND, Engine, fails, one_line
from tests.support.hosts import Word

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("code", [0, 1, 2, 3, 42, 124, 125, 126, 127, 128, 137, 255])
def test_code_of_the_command_is_the_code_of_run(engine: Engine, code: int) -> None:
    result = engine.sh(f"exit {code}")
    assert (result.code, result.err) == (code, b"")


@pytest.mark.parametrize("number", [1, 2, 3, 6, 9, 10, 11, 13, 15, 34, 64])
def test_death_by_signal_n_is_128_plus_n(engine: Engine, number: int) -> None:
    """Of a child inside: a PID 1 can't be ended by a signal from inside. Both shells then say 128+n."""
    if number == signal.SIGQUIT and not engine.sees_host_files:
        pytest.skip("the shell of busybox ignores SIGQUIT")
    assert engine.sh(f"sh -c 'kill -{number} $$'; exit $?").code == 128 + number


def test_pid_one_is_not_ended_from_inside(engine: Engine) -> None:
    assert engine.sh("kill -9 1; kill -15 1; kill -11 1; exit 7").code == 7


WRONG: dict[str, tuple[list[Word], str]] = {
    "unknown long flag": (["run", "--nosuch", "true"], "--nosuch"),
    "unknown short flag": (["run", "-Z", "true"], "-Z"),
    "unknown switch in a group": (["run", "-iZ", "true"], "-Z"),
    "no command": (["run"], "it is missing"),
    "no command after flags": (["run", "-i", "--hostname", "box"], "it is missing"),
    "no command after --": (["run", "--"], "it is missing"),
    "value missing": (["run", "-m"], "-m"),
    "switch with value": (["run", "--tty=yes", "true"], "--tty"),
    "no such command": (["fly"], "'fly'"),
    "memory no number": (["run", "-m", "lots", "true"], "lots"),
    "memory too small": (["run", "-m", "1k", "true"], "6m"),
    "memory negative": (["run", "-m", "-5m", "true"], "negative"),
    "memory empty": (["run", "-m", "", "true"], "--memory"),
    "memory infinite": (["run", "-m", "inf", "true"], "inf"),
    "memory not a number": (["run", "-m", "nan", "true"], "nan"),
    "memory of 5000 digits": (["run", "-m", "9" * 5000, "true"], "not a number"),
    "swap alone": (["run", "--memory-swap", "64m", "true"], "-m"),
    "swap below memory": (["run", "-m", "64m", "--memory-swap", "32m", "true"], "smaller"),
    "shares no number": (["run", "--cpu-shares", "many", "true"], "many"),
    "shares too few": (["run", "--cpu-shares", "1", "true"], "262144"),
    "shares too many": (["run", "-cpushare", "262145", "true"], "262144"),
    "shares of 5000 digits": (["run", "-c", "9" * 5000, "true"], "whole number"),
    "cpus no number": (["run", "--cpus", "two", "true"], "two"),
    "cpus negative": (["run", "--cpus", "-1", "true"], "cpus"),
    "cpus none": (["run", "--cpus", "0", "true"], "cpus"),
    "cpus nan": (["run", "--cpus", "nan", "true"], "cpus"),
    "cpus more than there are": (["run", "--cpus", "4096", "true"], "cpus"),
    "cpuset no list": (["run", "--cpuset-cpus", "fast", "true"], "cpuset"),
    "cpuset not there": (["run", "-cpuset", "4095", "true"], "cpuset"),
    "cpuset half a range": (["run", "-cpuset", "0-", "true"], "cpuset"),
    "pids none": (["run", "--pids-limit", "0", "true"], "pids"),
    "pids negative": (["run", "--pids-limit", "-2", "true"], "pids"),
    "pids no number": (["run", "--pids-limit", "1.5", "true"], "1.5"),
    "pids beyond the kernel's": (["run", "--pids-limit", str(1 << 70), "true"], "pids"),
    "environment without a name": (["run", "-e", "=x", "true"], "name"),
    "host name too long": (["run", "--hostname", "x" * 65, "true"], "host name"),
    "not UTF-8": ([b"run", b"-m", b"\xff\xfe", b"true"], "not a number"),
    "flag not UTF-8": ([b"run", b"--\xff", b"true"], "flag"),
    "newline in a value": (["run", "-m", "6\n4m", "true"], "not a number"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_125_with_one_line(engine: Engine, case: str) -> None:
    arguments, word = WRONG[case]
    if arguments[-1] in ("true", b"true"):
        arguments = [*arguments[:-1], *engine.image(), arguments[-1]]
    result = engine.raw(*arguments)
    fails(result, ENGINE_FAILED, word)
    assert result.out == b""


def test_no_arguments_at_all_print_the_usage(engine: Engine) -> None:
    result = engine.raw()
    assert result.code == ENGINE_FAILED
    assert b"usage: " in result.out + result.err


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["help", "run"], ["help"]])
def test_help_is_no_error(engine: Engine, arguments: list[str]) -> None:
    result = engine.raw(*arguments)
    assert (result.code, result.err) == (0, b"")
    assert b"usage: " in result.out


def test_help_into_a_full_disk_is_one_line(engine: Engine) -> None:
    with open("/dev/full", "wb") as full:
        result = engine.raw("run", "--help", stdout=full)
    assert result.code != 0
    one_line(result)


def test_missing_command_names_the_path_that_was_searched(engine: Engine) -> None:
    fails(engine.run(["nosuchcommand"]), NOT_FOUND, "nosuchcommand", "not found", "PATH is /usr/local/sbin:")


@pytest.mark.parametrize("command", ["/nonexistent", "/nonexistent/sh", "./nosuch", "/etc/passwd/sh"])
def test_missing_file(engine: Engine, command: str) -> None:
    fails(engine.run([command]), NOT_FOUND, command)


def test_empty_command(engine: Engine) -> None:
    fails(engine.run([""]), NOT_FOUND)


def test_missing_command_whose_name_is_not_utf8(engine: Engine) -> None:
    fails(engine.run([b"\xff\n\xfe"]), NOT_FOUND, "\\xff")


@pytest.mark.parametrize("command", ["/etc", "/etc/", "/etc/passwd", "/dev/null", "/"])
def test_what_is_no_program_is_126(engine: Engine, command: str) -> None:
    fails(engine.run([command]), NOT_EXECUTABLE, command)


def test_file_without_execute_permission(engine: Engine) -> None:
    path = engine.plant("plain", b"#!/bin/sh\n", 0o644)
    fails(engine.run([path]), NOT_EXECUTABLE, "plain", "not executable")


@pytest.mark.parametrize("content", [b"", b"neither fish nor flesh\n", b"\x7fELF" + bytes(60)])
def test_file_in_no_known_format(engine: Engine, content: bytes) -> None:
    fails(engine.run([engine.plant("odd", content)]), NOT_EXECUTABLE, "Exec format error", "#!/bin/sh")


def test_missing_interpreter_is_what_the_hint_speaks_of(engine: Engine) -> None:
    """The kernel says "no such file" of a file that is there: the most puzzling of all errors."""
    path = engine.plant("script", b"#!/opt/nosuch/python\n")
    fails(engine.run([path]), NOT_FOUND, "script", "interpreter")


def test_script_is_run_by_its_interpreter(engine: Engine) -> None:
    path = engine.plant("script", b"#!/bin/sh\necho $#\n")
    assert engine.run([path, "a b", ""]).text == "2"


def test_debug_shows_the_traceback(engine: Engine) -> None:
    result = engine.run(["nosuchcommand"], env={"MYDOCKER_DEBUG": "1"})
    assert result.code == NOT_FOUND
    assert b"Traceback" in result.err


def test_starved_of_descriptors_the_engine_says_so(engine: Engine) -> None:
    """With ulimit -n from hopeless to enough: a clear end each time, and nothing left."""
    for limit in (*range(8, 44, 4), 64):
        words = ["sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh", *engine.run_words(["true"])]
        result = engine.host.run(words)
        assert result.code in (0, 1, ENGINE_FAILED)
        if result.code == ENGINE_FAILED:
            one_line(result)
    assert result.code == 0
