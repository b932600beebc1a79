"""A command line of several commands: tables of commands and flags. A chapter's cli.py extends the ones before it.

The rules are Docker's: flags and operands in any order; but where a command is to be run, the first operand ends the
flags, and what follows is its own. Short switches can be joined (-ti), values too (-m64m, --memory=64m); a switch is
also told by --rm=true and --rm=false. Python's argparse would take 8 ms of every start, half of what runc needs in all.
"""

from __future__ import annotations

import os
import sys

from ch02_namespaces.errors import EngineError, report

TYPE_CHECKING = False  # for the type checker alone: to import typing takes 3 ms of each start
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, NoReturn

    Commands = Mapping[str, "CliCommand | Postponed"]

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
        """The option's value when the flag is not given."""
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
        """Set the option of a flag that was given. Raises EngineError for a value that it can't convert."""
        try:
            value = flag.convert(text) if flag.value else text != "false"
        except EngineError as error:
            raise EngineError(f"{flag.names[-1]} {text}", error.why, error.hint) from None
        if flag.many:
            getattr(self, flag.option).append(value)
        else:
            setattr(self, flag.option, value)


class CliCommand:
    """A command: its line in the overview, its flags, its operands, and what it does.

    operands: as the usage line shows them; `[X]` may be missing, `...` may be many, COMMAND is one that is to be run.
    execute gets the options and returns the exit code.
    """

    def __init__(self, summary: str, flags: Sequence[Flag], operands: str, execute: Callable[[Options], int]) -> None:
        self.summary = summary
        self.flags = flags
        self.operands = operands
        self.execute = execute


class Group(CliCommand):
    """A command that has commands of its own, such as `network`, and does nothing by itself.

    load: their table, when it is needed.
    """

    def __init__(self, summary: str, load: Callable[[], Commands]) -> None:
        self.summary = summary
        self.flags = []
        self.operands = "COMMAND ..."
        self.load = load


class Postponed:
    """A command whose module is imported when the command is used: the others start without it.

    load: imports the module and returns its table, in which the command stands.
    """

    def __init__(self, name: str, load: Callable[[], Mapping[str, CliCommand]]) -> None:
        self._name = name
        self._load = load

    def command(self) -> CliCommand:
        """Import it."""
        return self._load()[self._name]


def postponed(names: str, load: Callable[[], Mapping[str, CliCommand]]) -> dict[str, Postponed]:
    """Several of one module, for a table of commands. names: with spaces between."""
    return {name: Postponed(name, load) for name in names.split()}


def parse(flags: Sequence[Flag], arguments: Sequence[str], operands: str) -> Options:
    """The flags and operands of a command line. operands: what is allowed, see CliCommand.

    Raises EngineError for a flag that is unknown, lacks its value, or has one too many, and for operands that are
    missing or too many.
    """
    known = {name: flag for flag in flags for name in flag.names}
    options = Options(flags)
    words = list(arguments)
    while words:
        word = words.pop(0)
        is_operand = not word.startswith("-") or word == "-"
        if is_operand:
            options.operands.append(word)
        if word == "--" or (is_operand and "COMMAND" in operands):
            options.operands += words
            break
        if not is_operand:
            rest = _take_flag(known, word, words, options)
            words[:0] = [rest] if rest else []
    return options


def _take_flag(known: Mapping[str, Flag], word: str, words: list[str], options: Options) -> str:
    """Take one flag, and its value from `words` if it is not joined; what is left of joined switches."""
    flag, text, rest = _split(known, word)
    if flag.value and text is None:
        if not words:
            raise EngineError(word, f"it needs a value: {flag.value}")
        text = words.pop(0)
    if not flag.value and text not in (None, "true", "false"):
        raise EngineError(word, "it takes no value")
    options.take(flag, text or "")
    return rest


def check_operands(usage: str, operands: Sequence[str]) -> None:
    """Raise EngineError if there are fewer or more operands than a usage such as `NAME [PID ...]` allows."""
    names = usage.replace("[", "").replace("]", "").replace("...", "").split()
    if len(operands) < _fewest(usage):
        raise EngineError(names[len(operands)], "it is missing", f"the operands are: {usage}")
    if "..." not in usage and len(operands) > len(names):
        raise EngineError(repr(operands[len(names)]), "that is one too many", f"the operands are: {usage or 'none'}")


def _fewest(usage: str) -> int:
    return len(usage.partition("[")[0].replace("...", "").split())


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
EXPLAIN = Flag("--explain", help="tell each stage, part and system call as it happens")


def main(commands: Commands, arguments: Sequence[str], program: str = PROGRAM) -> int:
    """Run the command that the first argument names; the exit code. Errors are printed, not raised."""
    open_standard_streams()
    try:
        return dispatch(commands, arguments, program)
    except (Exception, KeyboardInterrupt) as error:  # also what is our mistake is one line; MYDOCKER_DEBUG=1 shows more
        return report(error)


def open_standard_streams() -> None:
    """Put /dev/null where the caller has closed a standard stream: the next file opened would take its place."""
    for stream in (0, 1, 2):
        try:
            os.fstat(stream)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number: this one


def dispatch(commands: Commands, arguments: Sequence[str], program: str) -> int:
    """The same, with errors raised. program: the words before."""
    if len(arguments) > 1 and arguments[0] == "help":
        arguments = [arguments[1], "--help"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview(commands, program))
        return 0 if arguments else 125
    name = arguments[0]
    if name not in commands:
        raise EngineError(repr(name), "there is no such command", f"`{program} --help` lists them")
    command = loaded(commands[name])
    if isinstance(command, Group):
        return dispatch(command.load(), arguments[1:], f"{program} {name}")
    options = parse([HELP, EXPLAIN, *command.flags], arguments[1:], command.operands)
    if options.help:
        print(usage(f"{program} {name}", command))
        return 0
    check_operands(command.operands, options.operands)
    if options.explain:
        from ch02_namespaces import explain

        explain.begin(name, command)
    return command.execute(options)


def loaded(command: CliCommand | Postponed) -> CliCommand:
    """The command, imported if it has not been."""
    return command.command() if isinstance(command, Postponed) else command


def overview(commands: Commands, program: str) -> str:
    """What `--help` prints without a command."""
    lines = [f"  {name:<10} {loaded(command).summary}" for name, command in commands.items()]
    return "\n".join([f"usage: {program} COMMAND ...", "", *lines, "", f"`{program} COMMAND --help` has more."])


def usage(program: str, command: CliCommand) -> str:
    """What `--help` prints for one command."""
    lines = []
    taken = {name for flag in command.flags for name in flag.names}
    for flag in [*command.flags, EXPLAIN, HELP]:
        names = [name for name in flag.names if flag is not HELP or name not in taken]
        spellings = ", ".join(names) + (f" {flag.value}" if flag.value else "")
        lines.append(f"  {spellings:<32} {flag.help}")
    return "\n".join([f"usage: {program} [FLAG ...] {command.operands}", "", command.summary, "", *lines])


def leave(code: int) -> NoReturn:
    """End the program. What Python does at its end, such as freeing every object, would only take time: 3 ms."""
    try:
        if sys.stdout is not None:  # as it is when the program was started without one
            sys.stdout.flush()
    except OSError as error:
        code = report(error)
    os._exit(code)
