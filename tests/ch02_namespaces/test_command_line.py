"""Flags and operands: Docker's rules."""

from __future__ import annotations

import pytest

from ch02_namespaces.command_line import Flag, Options, check_operands, number, parse, whole_number
from ch02_namespaces.errors import EngineError

COMMAND = "COMMAND [ARGUMENT ...]"
FLAGS = [
    Flag("-i", "--interactive", help=""),
    Flag("-t", "--tty", help=""),
    Flag("-m", "--memory", value="SIZE", help=""),
    Flag("-e", "--env", value="NAME", many=True, help=""),
    Flag("-cpuset", "--cpuset-cpus", value="LIST", help=""),
    Flag("-c", "--cpu-shares", value="N", convert=whole_number, help=""),
]


def said(options: Options) -> dict[str, object]:
    """What differs from the defaults."""
    return {name: value for name, value in vars(options).items() if value not in (None, False, [])}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", {}),
        ("sh -c ls -t", {"operands": ["sh", "-c", "ls", "-t"]}),
        ("-t -i sh", {"tty": True, "interactive": True, "operands": ["sh"]}),
        ("-ti sh", {"tty": True, "interactive": True, "operands": ["sh"]}),
        ("-it -m 1 sh", {"tty": True, "interactive": True, "memory": "1", "operands": ["sh"]}),
        ("-m64m x", {"memory": "64m", "operands": ["x"]}),
        ("-m=64m x", {"memory": "64m", "operands": ["x"]}),
        ("--memory=64m x", {"memory": "64m", "operands": ["x"]}),
        ("--memory 64m x", {"memory": "64m", "operands": ["x"]}),
        ("-tm64m x", {"tty": True, "memory": "64m", "operands": ["x"]}),
        ("-tie A=b=c", {"tty": True, "interactive": True, "env": ["A=b=c"]}),
        ("-e A=1 --env=B=2 --env C", {"env": ["A=1", "B=2", "C"]}),
        ("--memory= x", {"memory": "", "operands": ["x"]}),
        ("-cpuset 0-1 x", {"cpuset_cpus": "0-1", "operands": ["x"]}),
        ("-c 512", {"cpu_shares": 512}),
        ("-c512", {"cpu_shares": 512}),
        ("-c -1", {"cpu_shares": -1}),
        ("-t -- -m x", {"tty": True, "operands": ["-m", "x"]}),
        ("--tty=true -i=false x", {"tty": True, "operands": ["x"]}),
        ("- x", {"operands": ["-", "x"]}),
        ("x -- y", {"operands": ["x", "--", "y"]}),
    ],
)
def test_parses(line: str, expected: dict[str, object]) -> None:
    assert said(parse(FLAGS, line.split(), COMMAND)) == expected


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("--nosuch", "--nosuch: there is no such flag"),
        ("-x", "-x: there is no such flag"),
        ("-tx", "-x: there is no such flag"),
        ("--mem 1", "--mem: there is no such flag"),  # no guessing: a new flag must not change what an old line means
        ("-m", "-m: it needs a value: SIZE"),
        ("--tty=yes", "--tty=yes: it takes no value"),
        ("-c x", "--cpu-shares x: it is not a whole number"),
        ("-c 1.5", "--cpu-shares 1.5: it is not a whole number"),
    ],
)
def test_complains(line: str, complaint: str) -> None:
    with pytest.raises(EngineError, match=complaint) as raised:
        parse(FLAGS, line.split(), COMMAND)
    assert raised.value.exit_code == 125


def test_a_list_belongs_to_one_parse_only() -> None:
    assert parse(FLAGS, ["-e", "A"], COMMAND).env == ["A"]
    assert parse(FLAGS, [], COMMAND).env == []


def test_numbers() -> None:
    assert (whole_number("12"), number("0.5")) == (12, 0.5)
    with pytest.raises(EngineError, match="not a number"):
        number("half")


def test_where_no_command_is_run_flags_may_follow_operands() -> None:
    options = parse(FLAGS, ["a", "-t", "b", "-m", "1", "--", "-c"], "NAME ...")
    assert said(options) == {"tty": True, "memory": "1", "operands": ["a", "b", "-c"]}


@pytest.mark.parametrize(
    ("usage", "operands", "complaint"),
    [
        ("", "", None),
        ("", "a", "'a': that is one too many (the operands are: none)"),
        ("NAME", "", "NAME: it is missing"),
        ("NAME", "a", None),
        ("NAME", "a b", "'b': that is one too many"),
        ("[PID]", "", None),
        ("[PID]", "1 2", "'2': that is one too many"),
        ("NAME PID ...", "a", "PID: it is missing"),
        ("NAME PID ...", "a 1 2 3", None),
        ("PID [COMMAND [ARGUMENT ...]]", "", "PID: it is missing"),
        ("PID [COMMAND [ARGUMENT ...]]", "1 sh -c x", None),
        (COMMAND, "", "COMMAND: it is missing"),
        (COMMAND, "sh -c x", None),
    ],
)
def test_operands_are_counted(usage: str, operands: str, complaint: str | None) -> None:
    try:
        check_operands(usage, operands.split())
        said = None
    except EngineError as error:
        said = str(error)
    assert said is complaint is None or (complaint is not None and complaint in str(said))
