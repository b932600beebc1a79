"""Chapter 3's composition root: which commands, which flags, which parts. The chapters after it extend these."""

from __future__ import annotations

import argparse
import os
import sys

from ch02_namespaces.errors import EngineError
from ch02_namespaces.limits import Limits, format_size, parse_size
from ch03_run.command import Command, environment
from ch03_run.command_line import CliCommand, dispatch, leave
from ch03_run.container import Container, Part, run
from ch03_run.foreground import Foreground
from ch03_run.isolation import (
    DieWithEngine,
    Hostname,
    IpcNamespace,
    MountNamespace,
    NetworkNamespace,
    PidNamespace,
    UserNamespace,
)
from ch03_run.resources import Resources
from ch03_run.terminal import Streams, Terminal


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of `run`. Those with one dash and a word are the book's spellings."""
    flag = parser.add_argument
    flag("-i", "--interactive", action="store_true", help="keep standard input open")
    flag("-t", "--tty", action="store_true", help="a terminal of its own")
    flag("-ti", "-it", action="store_true", help="both")
    flag("-e", "--env", metavar="NAME[=VALUE]", action="append", default=[], help="set an environment variable")
    flag("--hostname", metavar="NAME", help="host name (default: the container's id)")
    flag("-m", "--memory", metavar="SIZE", help="memory limit, such as 64m")
    flag("--memory-swap", metavar="SIZE", help="memory and swap together; -1 is unlimited")
    flag("-c", "--cpu-shares", "-cpushare", metavar="N", type=int, help="weight against others, 1024 is usual")
    flag("--cpus", metavar="N", type=float, help="processors' worth of time, such as 0.5")
    flag("--cpuset-cpus", "-cpuset", metavar="LIST", help="processors it may run on, such as 0-2,4")
    flag("--pids-limit", metavar="N", type=int, help="most processes at one time; -1 is unlimited")
    flag("--explain", action="store_true", help="tell each stage, part and system call as it happens")
    flag("command", metavar="COMMAND ...", nargs=argparse.REMAINDER, help="what to run, with its arguments")


def limits_of(options: argparse.Namespace) -> Limits:
    """The Limits that the flags ask for. Raises EngineError."""
    swap = options.memory_swap
    if swap is not None:
        swap = -1 if swap == "-1" else parse_size(swap)
    return Limits(
        memory=None if options.memory is None else parse_size(options.memory),
        memory_swap=swap,
        cpu_shares=options.cpu_shares,
        cpus=options.cpus,
        cpuset_cpus=options.cpuset_cpus,
        pids=options.pids_limit,
    )


def streams_of(options: argparse.Namespace) -> Streams | Terminal:
    """The part for the standard streams that the flags ask for. Raises EngineError."""
    interactive = options.interactive or options.ti
    return Terminal(interactive) if options.tty or options.ti else Streams(interactive)


def command_of(words: list[str], options: argparse.Namespace) -> Command:
    """The command from what the command line has left. Raises EngineError when there is none."""
    argv = words[1:] if words[:1] == ["--"] else words
    if not argv:
        raise EngineError("run", "there is no command to run", "run -ti sh")
    return Command(argv, environment(options.env, terminal=options.tty or options.ti))


def parts_of(options: argparse.Namespace, id: str, streams: Part) -> list[Part]:
    """What a container of chapter 3 consists of, in order."""
    rootless = [UserNamespace()] if os.geteuid() != 0 else []
    return [
        *rootless,
        Resources(limits_of(options)),
        MountNamespace(),
        PidNamespace(),
        Hostname(options.hostname or id),
        IpcNamespace(),
        NetworkNamespace(),
        streams,
        DieWithEngine(),
    ]


def new_id() -> str:
    """A name that no other container has: 12 hexadecimal digits."""
    return os.urandom(6).hex()


def run_command(options: argparse.Namespace) -> int:
    """`run`: create, start, wait, delete; the command's exit code."""
    id = new_id()
    streams = streams_of(options)
    container = Container(id, command_of(options.command, options), parts_of(options, id, streams))
    return run_in_foreground(container, streams, options)


def run_in_foreground(container: Container, streams: Streams | Terminal, options: argparse.Namespace) -> int:
    """Run a container with the user watching; tell them if it ran out of memory."""
    if options.explain:
        from ch03_run.explain import narrate

        narrate(container)
    code = run(container, Foreground(streams).attend)
    if container.out_of_memory:
        limit = format_size(parse_size(options.memory)) if options.memory else "the limit of a group above it"
        print(f"mydocker: out of memory: the kernel killed a process at the limit of {limit} (-m)", file=sys.stderr)
    return code


COMMANDS = {"run": CliCommand("Run a command in a new container.", add_run_flags, run_command)}


def main(arguments: list[str]) -> int:
    return dispatch(COMMANDS, arguments)


def entry_point() -> None:
    leave(main(sys.argv[1:]))
