"""Chapter 3's composition root: which commands, which flags, which parts. The chapters after it extend these."""

from __future__ import annotations

import os
import sys

from ch02_namespaces.command_line import CliCommand, Flag, Options, leave, number, whole_number
from ch02_namespaces.command_line import main as run_command_line
from ch02_namespaces.limits import Limits, format_size, parse_size
from ch03_run.command import Command, environment
from ch03_run.container import Container, Part, run
from ch03_run.foreground import Foreground
from ch03_run.isolation import (
    DieWithEngine,
    Hostname,
    IpcNamespace,
    MountNamespace,
    NetworkNamespace,
    PidNamespace,
    Proc,
    UserNamespace,
)
from ch03_run.resources import Resources
from ch03_run.terminal import Streams, Terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def memory_and_swap(text: str) -> int:
    """Bytes, or -1 for unlimited. Raises EngineError."""
    return -1 if text == "-1" else parse_size(text)


RUN_FLAGS = [
    Flag("-i", "--interactive", help="keep standard input open"),
    Flag("-t", "--tty", help="a terminal of its own"),
    Flag("-e", "--env", value="NAME[=VALUE]", many=True, help="set an environment variable"),
    Flag("-h", "--hostname", value="NAME", help="host name (default: the container's id)"),
    Flag("-m", "--memory", value="SIZE", convert=parse_size, help="memory limit, such as 64m"),
    Flag("--memory-swap", value="SIZE", convert=memory_and_swap, help="memory and swap together; -1 is unlimited"),
    Flag(
        "-c", "-cpushare", "--cpu-shares", value="N", convert=whole_number, help="weight against others, usually 1024"
    ),
    Flag("--cpus", value="N", convert=number, help="processors' worth of time, such as 0.5"),
    Flag("-cpuset", "--cpuset-cpus", value="LIST", help="processors it may run on, such as 0-2,4"),
    Flag("--pids-limit", value="N", convert=whole_number, help="most processes at one time; -1 is unlimited"),
]
"""The flags of `run`. Those with one dash and a word are the book's spellings."""


def limits_of(options: Options) -> Limits:
    """The Limits that the flags ask for. Raises EngineError."""
    return Limits(
        memory=options.memory,
        memory_swap=options.memory_swap,
        cpu_shares=options.cpu_shares,
        cpus=options.cpus,
        cpuset_cpus=options.cpuset_cpus,
        pids=options.pids_limit,
    )


def streams_of(options: Options) -> Streams | Terminal:
    """The part for the standard streams that the flags ask for. Raises EngineError."""
    return Terminal(options.interactive) if options.tty else Streams(options.interactive)


def command_of(argv: list[str], options: Options) -> Command:
    """The command from what is left of the command line."""
    return Command(argv, environment(options.env, terminal=options.tty))


def parts_of(options: Options, id: str, streams: Part) -> list[Part]:
    """What a container of chapter 3 consists of, in order."""
    rootless = [UserNamespace()] if os.geteuid() != 0 else []
    return [
        *rootless,
        Resources(limits_of(options)),
        MountNamespace(),
        PidNamespace(),
        Proc(),
        Hostname(options.hostname or id),
        IpcNamespace(),
        NetworkNamespace(),
        streams,
        DieWithEngine(),
    ]


def new_id() -> str:
    """A name that no other container has: 12 hexadecimal digits."""
    return os.urandom(6).hex()


def run_command(options: Options) -> int:
    """`run`: create, start, wait, delete; the command's exit code."""
    id = new_id()
    streams = streams_of(options)
    foreground = Foreground(streams)
    container = Container(id, command_of(options.operands, options), parts_of(options, id, streams))
    return run_in_foreground(container, foreground, options)


def run_in_foreground(
    container: Container,
    foreground: Foreground,
    options: Options,
    run: Callable[[Container, Callable[[Container], int]], int] = run,
) -> int:
    """Run a container with the user watching; tell them if it ran out of memory. run: the loop, or one around it."""
    code = run(container, foreground.attend)
    if container.out_of_memory:
        limit = format_size(options.memory) if options.memory else "the limit of a group above it"
        print(f"mydocker: out of memory: the kernel killed a process at the limit of {limit} (-m)", file=sys.stderr)
    return code


COMMANDS = {
    "run": CliCommand("Run a command in a new container.", RUN_FLAGS, "COMMAND [ARGUMENT ...]", run_command),
}


def main(arguments: list[str]) -> int:
    """Run a command line; the exit code."""
    return run_command_line(COMMANDS, arguments)


def entry_point() -> None:
    """The program: run the command line that we were started with, and end."""
    leave(main(sys.argv[1:]))
