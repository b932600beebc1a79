"""Arguments and environment arrive byte for byte. Book section 3.3."""

from __future__ import annotations

import os
import random

import pytest

from tests.support.engines import ENGINE_FAILED, NOT_EXECUTABLE, Engine, fails

pytestmark = pytest.mark.kernel

PRINT_ALL = 'for word; do printf "%s\\0" "$word"; done'
ODD_WORDS: list[bytes] = [
    b"a b",
    b" leading and trailing ",
    b"",
    b"'single' \"double\" `back` $(sh) ${HOME} \\",
    b"new\nline\n",
    b"tab\tand\rreturn\x1b[31m",
    b"--",
    b"-",
    b"-ti",
    b"--explain",
    b"-m",
    b"--hostname=x",
    b"=",
    b"*",
    b"~",
    b"#",
    b"\xff\xfe\x80",
    "容器 ünïcode".encode(),
    b"\xed\xa0\x80",  # a surrogate, which UTF-8 forbids
    bytes(range(1, 256)),
]


def arrived(engine: Engine, words: list[bytes]) -> list[bytes]:
    """The words as a container's command gets them."""
    result = engine.run(["sh", "-c", PRINT_ALL, "sh", *words])
    assert (result.code, result.err) == (0, b"")
    return result.out.split(b"\0")[:-1]


@pytest.mark.parametrize("word", ODD_WORDS, ids=ascii)
def test_odd_word_arrives(engine: Engine, word: bytes) -> None:
    assert arrived(engine, [word]) == [word]


def test_all_odd_words_arrive_together(engine: Engine) -> None:
    assert arrived(engine, ODD_WORDS) == ODD_WORDS


@pytest.mark.parametrize("seed", range(10))
def test_random_words_arrive(engine: Engine, seed: int) -> None:
    chance = random.Random(seed)
    words = [
        bytes(chance.choices(range(1, 256), k=chance.choice([0, 1, 2, 10, 1000]))) for _ in range(chance.randint(1, 60))
    ]
    assert arrived(engine, words) == words


@pytest.mark.parametrize("size", [100_000, 131_071 - 1])
def test_long_argument_arrives(engine: Engine, size: int) -> None:
    """Up to the kernel's own limit for one argument, 32 pages with its closing zero."""
    assert arrived(engine, [b"x" * size]) == [b"x" * size]


def test_many_arguments_arrive(engine: Engine) -> None:
    words = [b"%d" % number for number in range(20_000)]
    assert arrived(engine, words) == words


def test_more_than_the_kernel_takes_is_an_error_that_says_so(engine: Engine) -> None:
    """-e adds to what the engine itself was given, so the container's exec can fail where the engine's did not."""
    script = 'ulimit -s 512; exec "$@"'
    flags = [word for n in range(20) for word in ("-e", f"V{n}")]
    environment = {f"V{n}": "x" * 6_000 for n in range(20)}
    words = ["sh", "-c", script, "sh", *engine.run_words(["true"], *flags)]
    result = engine.host.run(words, env=environment)
    assert result.code in (0, NOT_EXECUTABLE, 2, 126)


def test_flags_end_at_the_command(engine: Engine) -> None:
    assert engine.run(["echo", "-m", "1k", "--nosuch", "-h", "--help"]).text == "-m 1k --nosuch -h --help"


def test_two_dashes_end_the_flags(engine: Engine) -> None:
    if not engine.sees_host_files:
        pytest.skip("an image stands before the command")
    assert engine.raw("run", "--", "echo", "--", "x").text == "-- x"


@pytest.mark.parametrize("spelling", [["-e", "A=b"], ["-eA=b"], ["--env", "A=b"], ["--env=A=b"], ["-ieA=b"]])
def test_spellings_of_a_flag_with_value(engine: Engine, spelling: list[str]) -> None:
    assert engine.sh("echo $A", *spelling).text == "b"


# ---------------------------------------------------------------- environment


def environment_of(engine: Engine, *flags: str | bytes, **options: object) -> dict[bytes, bytes]:
    """The environment of a container's command, as the kernel gave it."""
    result = engine.run(["cat", "/proc/self/environ"], *flags, **options)
    assert (result.code, result.err) == (0, b"")
    pairs = [item.partition(b"=") for item in result.out.split(b"\0")[:-1]]
    return {name: value for name, _, value in pairs}


def test_environment_is_clean(engine: Engine) -> None:
    """Nothing of the host's: its environment may hold secrets."""
    found = environment_of(engine, env={"SECRET": "x", "LD_PRELOAD": "", "PATH": "/usr/bin:/bin:/usr/sbin:/opt/x"})
    assert set(found) <= {b"PATH", b"HOME", b"HOSTNAME"}
    assert found[b"PATH"] == b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@pytest.mark.parametrize(
    ("item", "name", "value"),
    [
        (b"K=V", b"K", b"V"),
        (b"K=a=b=c", b"K", b"a=b=c"),
        (b"K=", b"K", b""),
        (b"K=two\nlines", b"K", b"two\nlines"),
        (b"K=\xff\xfe", b"K", b"\xff\xfe"),
        (b"\xff=1", b"\xff", b"1"),
        (b"a.b-c=1", b"a.b-c", b"1"),
        (b"K=" + b"x" * 100_000, b"K", b"x" * 100_000),
        (b"FROM_HOST", b"FROM_HOST", b"out\nside"),
        (b"PATH=/bin", b"PATH", b"/bin"),
        (b"HOME=/", b"HOME", b"/"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_variable_arrives(engine: Engine, item: bytes, name: bytes, value: bytes) -> None:
    found = environment_of(engine, b"-e", item, env={"FROM_HOST": "out\nside"})
    assert found[name] == value


def test_variable_that_the_host_lacks_is_not_set(engine: Engine) -> None:
    assert b"NOSUCH" not in environment_of(engine, "-e", "NOSUCH")


def test_last_value_of_a_variable_counts(engine: Engine) -> None:
    assert environment_of(engine, "-e", "K=1", "-e", "K=2")[b"K"] == b"2"


def test_term_is_set_with_a_terminal_only(engine: Engine) -> None:
    terminal = engine.pty(["sh", "-c", "echo =$TERM="], "-ti", env={"TERM": "vt220"})
    terminal.expect(b"=vt220=")
    assert terminal.wait() == 0
    assert b"TERM" not in environment_of(engine, env={"TERM": "vt220"})


# ---------------------------------------------------------------- where the command is found


def test_command_is_searched_on_the_containers_path(engine: Engine) -> None:
    path = engine.plant("greet", b"#!/bin/sh\necho hello\n")
    directory = os.path.dirname(path)
    assert engine.run(["greet"], b"-e", b"PATH=/nonexistent:" + directory).text == "hello"
    fails(engine.run(["greet"], env={"PATH": os.fsdecode(directory) + ":/usr/bin:/usr/sbin"}), 127)


def test_what_is_not_executable_is_passed_over(engine: Engine) -> None:
    path = engine.plant("ls", b"no program", 0o644)
    result = engine.run(["ls", "/proc/self/stat"], b"-e", b"PATH=" + os.path.dirname(path) + b":/bin")
    assert result.text == "/proc/self/stat"


def test_directory_on_the_path_is_passed_over(engine: Engine) -> None:
    path = engine.plant("x", b"")
    os.mkdir(os.path.join(os.path.dirname(path), b"echo"))
    result = engine.run(["echo", "found"], b"-e", b"PATH=" + os.path.dirname(path) + b":/bin")
    assert result.text == "found"


def test_file_in_the_path_is_no_directory(engine: Engine) -> None:
    assert engine.run(["echo", "found"], "-e", "PATH=/etc/passwd:/bin").text == "found"


def test_empty_path_is_the_current_directory(engine: Engine) -> None:
    fails(engine.run(["echo"], "-e", "PATH=", cwd="/"), 127, "echo")


def test_name_with_a_slash_is_not_searched(engine: Engine) -> None:
    fails(engine.run(["./echo"], cwd="/"), 127)


def test_environment_name_alone_with_equals_is_refused(engine: Engine) -> None:
    fails(engine.run(["true"], "-e", ""), ENGINE_FAILED, "name")
