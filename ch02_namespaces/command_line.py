"""A command line of several commands: tables of commands and flags. A chapter's cli.py extends the ones before it.

The rules are Docker's: flags come before the operands, the first operand ends them (what follows belongs to the
command that is run), short switches can be joined (-ti), values can be (-m64m, --memory=64m). Python's argparse would
take 8 ms of every start, half of what runc needs in all, and gets "the first operand ends them" wrong.
"""

from __future__ import annotations

import os
import sys

from ch02_namespaces.errors import EngineError, report

TYPE_CHECKING = False  # for the type checker alone: to import typing takes 3 ms of each start
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, NoReturn

PROGRAM = "mydocker"


class Flag:
    """One flag: its spellings, its metavar if it takes a value, and what it does.

    names: "-m", "--memory", or a book spelling such as "-cpuset"; the last one with two dashes names the option.
    value: the metavar, such as SIZE; empty for a switch. convert: makes the value from its text, may raise EngineError.
    many: may be given several times; the option is then a list.
    """

    def __init__(
        self,
        *names: str,
        help: str,
        value: str = "",
        convert: Callable[[str], object] = str,
        many: bool = False,
    ) -> None:
        self.names = names
        self.help = help
        self.value = value
        self.convert = convert
        self.many = many
        self.option = [name for name in names if name.startswith("--")][-1][2:].replace("-", "_")

    def default(self) -> object:
        if self.many:
            return []
        return None if self.value else False


class Options:
    """What the command line said: an attribute a flag, and the operands."""

    def __init__(self, flags: Sequence[Flag]) -> None:
        self.operands: list[str] = []
        for flag in flags:
            setattr(self, flag.option, flag.default())

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def take(self, flag: Flag, text: str) -> None:
        try:
            value = flag.convert(text) if flag.value else True
        except EngineError as error:
            raise EngineError(f"{flag.names[-1]} {text}", error.why, error.hint) from None
        if flag.many:
            getattr(self, flag.option).append(value)
        else:
            setattr(self, flag.option, value)


class CliCommand:
    """A command: its line in the overview, its flags, its operands for the usage line, and what it does.

    execute gets the options and returns the exit code.
    """

    def __init__(self, summary: str, flags: Sequence[Flag], operands: str, execute: Callable[[Options], int]) -> None:
        self.summary = summary
        self.flags = flags
        self.operands = operands
        self.execute = execute


def parse(flags: Sequence[Flag], arguments: Sequence[str]) -> Options:
    """Flags, then operands. Raises EngineError for a flag that is unknown, lacks its value, or has one too many."""
    known = {name: flag for flag in flags for name in flag.names}
    options = Options(flags)
    words = list(arguments)
    while words and words[0].startswith("-") and words[0] != "-":
        word = words.pop(0)
        if word == "--":
            break
        flag, text, rest = _split(known, word)
        if flag.value and text is None:
            if not words:
                raise EngineError(word, f"it needs a value: {flag.value}")
            text = words.pop(0)
        if not flag.value and text is not None:
            raise EngineError(word, "it takes no value")
        options.take(flag, text or "")
        if rest:
            words.insert(0, rest)
    options.operands = words
    return options


def _split(known: Mapping[str, Flag], word: str) -> tuple[Flag, str | None, str]:
    """The flag that a word starts with, the value joined to it, and what is left of joined switches."""
    name, equals, text = word.partition("=")
    if name in known:
        return known[name], text if equals else None, ""
    short, rest = word[:2], word[2:]
    if word.startswith("--") or short not in known:
        raise EngineError(name, "there is no such flag", "--help lists them")
    if known[short].value:
        return known[short], rest, ""
    return known[short], None, f"-{rest}"


def whole_number(text: str) -> int:
    """For Flag.convert. Raises EngineError."""
    try:
        return int(text)
    except ValueError:
        raise EngineError(repr(text), "it is not a whole number") from None


def number(text: str) -> float:
    """For Flag.convert. Raises EngineError."""
    try:
        return float(text)
    except ValueError:
        raise EngineError(repr(text), "it is not a number") from None


HELP = Flag("-h", "--help", help="show this text")


def main(commands: Mapping[str, CliCommand], arguments: Sequence[str], program: str = PROGRAM) -> int:
    """Run the command that the first argument names; the exit code. Errors are printed, not raised."""
    try:
        return dispatch(commands, arguments, program)
    except (EngineError, OSError, KeyboardInterrupt) as error:
        return report(error)


def dispatch(commands: Mapping[str, CliCommand], arguments: Sequence[str], program: str) -> int:
    """The same, with errors raised: for a command that has commands of its own. program: the words before."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview(commands, program))
        return 0 if arguments else 125
    name = arguments[0]
    if name not in commands:
        raise EngineError(repr(name), "there is no such command", f"`{program} --help` lists them")
    command = commands[name]
    options = parse([*command.flags, HELP], arguments[1:])
    if options.help:
        print(usage(f"{program} {name}", command))
        return 0
    return command.execute(options)


def overview(commands: Mapping[str, CliCommand], program: str) -> str:
    """What `--help` prints without a command."""
    lines = [f"  {name:<10} {command.summary}" for name, command in commands.items()]
    return "\n".join([f"usage: {program} COMMAND ...", "", *lines, "", f"`{program} COMMAND --help` has more."])


def usage(program: str, command: CliCommand) -> str:
    """What `--help` prints for one command."""
    lines = []
    for flag in [*command.flags, HELP]:
        spellings = ", ".join(flag.names) + (f" {flag.value}" if flag.value else "")
        lines.append(f"  {spellings:<32} {flag.help}")
    return "\n".join([f"usage: {program} [FLAG ...] {command.operands}", "", command.summary, "", *lines])


def leave(code: int) -> NoReturn:
    """End the program. What Python does at its end, such as freeing every object, would only take time: 3 ms."""
    try:
        sys.stdout.flush()
    except OSError as error:
        code = report(error)
    os._exit(code)
