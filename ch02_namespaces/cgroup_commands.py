"""`cgroup …`: cgroups by hand. Book section 2.2."""

from __future__ import annotations

import os
import sys

from ch02_namespaces import cgroups, namespaces, syscalls
from ch02_namespaces.cgroups import Cgroup
from ch02_namespaces.command_line import CliCommand, Flag, Options, number, whole_number
from ch02_namespaces.errors import EngineError
from ch02_namespaces.limits import Limits, format_size, parse_size
from ch02_namespaces.output import FORMAT, print_table

LIMIT_FLAGS = [
    Flag("-m", "--memory", value="SIZE", convert=parse_size, help="memory limit, such as 64m"),
    Flag("--memory-swap", value="SIZE", convert=parse_size, help="memory and swap together"),
    Flag("--cpu-shares", value="N", convert=whole_number, help="weight against others, usually 1024"),
    Flag("--cpus", value="N", convert=number, help="processors' worth of time, such as 0.5"),
    Flag("--cpuset-cpus", value="LIST", help="processors it may run on, such as 0-2,4"),
    Flag("--pids", value="N", convert=whole_number, help="most processes at one time"),
]
SIZES = ("memory", "memory_peak", "io_read", "io_write")


def limits_of(options: Options) -> Limits:
    """The Limits that the flags ask for. Raises EngineError."""
    return Limits(
        memory=options.memory,
        memory_swap=options.memory_swap,
        cpu_shares=options.cpu_shares,
        cpus=options.cpus,
        cpuset_cpus=options.cpuset_cpus,
        pids=options.pids,
    )


def group_of(options: Options) -> Cgroup:
    """The group that the first operand names. Raises EngineError for names that climb out."""
    name = options.operands[0]
    if not name.strip("/") or ".." in name.split("/"):
        raise EngineError(f"cgroup {name!r}", "that is not a name of a group", "a path such as demo or demo/inner")
    return Cgroup(name)


def existing_group(options: Options) -> Cgroup:
    """The group that the first operand names. Raises EngineError when it is not there."""
    group = group_of(options)
    if not os.path.isdir(group.directory()):
        raise EngineError(f"cgroup {group.path!r}", "there is no such group", "`cgroup create` makes one")
    return group


def show_layout(options: Options) -> int:
    """`cgroup layout`: the hierarchies of this machine. Section 2.2.1."""
    rows = [
        {
            "version": hierarchy.number(),
            "mounted at": hierarchy.mountpoint,
            "controllers": " ".join(sorted(hierarchy.controllers)),
            "this process": hierarchy.own,
        }
        for hierarchy in cgroups.hierarchies()
    ]
    print_table(rows, options.format)
    return 0


def create_group(options: Options) -> int:
    """`cgroup create NAME`: a group with limits; it stays until `cgroup remove`."""
    group = group_of(options)
    limits = limits_of(options)
    group.create()
    try:
        group.set(limits)
    except BaseException:
        group.remove()
        raise
    for directory in group.directories():
        print(directory)
    group.close()
    return 0


def set_limits(options: Options) -> int:
    """`cgroup set NAME`: change the limits of a group."""
    existing_group(options).set(limits_of(options))
    return 0


def add_process(options: Options) -> int:
    """`cgroup add NAME PID ...`: move processes into a group."""
    group = existing_group(options)
    for pid in options.operands[1:]:
        group.add(whole_number(pid))
    return 0


def show_statistics(options: Options) -> int:
    """`cgroup stats NAME`: what its processes use."""
    rows = []
    for name, value in existing_group(options).statistics().items():
        shown = format_size(value) if name in SIZES else f"{value:g}"
        rows.append({"name": name, "value": value if options.format == "json" else shown})
    print_table(rows, options.format)
    return 0


def list_processes(options: Options) -> int:
    """`cgroup ps NAME`: the pids of a group, a line each."""
    for pid in existing_group(options).processes():
        print(pid)
    return 0


def freeze_group(options: Options) -> int:
    """`cgroup freeze NAME`: stop all its processes."""
    existing_group(options).freeze()
    return 0


def thaw_group(options: Options) -> int:
    """`cgroup thaw NAME`: let them go on."""
    existing_group(options).freeze(False)
    return 0


def kill_group(options: Options) -> int:
    """`cgroup kill NAME`: SIGKILL to all its processes."""
    existing_group(options).kill()
    return 0


def remove_group(options: Options) -> int:
    """`cgroup remove NAME`: remove a group without processes."""
    existing_group(options).remove()
    return 0


def run_in_group(options: Options) -> int:
    """`cgroup run COMMAND`: in a new group that is removed afterwards. Section 2.2.3."""
    limits = limits_of(options)
    cgroups.sweep()
    group = Cgroup(f"{cgroups.PARENT}/run-{os.getpid()}")
    group.create()
    try:
        group.set(limits)
        group.open_doors()

        def child() -> int:
            syscalls.die_with_parent()
            group.join()
            return namespaces.run_command(options.operands)

        process = namespaces.spawn(0, child)
        syscalls.block_signals([syscalls.SIGINT, syscalls.SIGQUIT])
        code = process.wait()
        assert code is not None
        if killed := group.oom_kills():
            print(f"mydocker: out of memory: the kernel killed {killed} process(es) of the group", file=sys.stderr)
        return code
    finally:
        if group.processes():
            group.kill()
        group.remove()


CGROUP_COMMANDS = {
    "layout": CliCommand("2.2.1 The hierarchies of this machine, and where we are in them.", [FORMAT], "", show_layout),
    "create": CliCommand("2.2.1 Make a group with limits.", LIMIT_FLAGS, "NAME", create_group),
    "set": CliCommand("2.2.1 Change the limits of a group.", LIMIT_FLAGS, "NAME", set_limits),
    "add": CliCommand("2.2.1 Move processes into a group.", [], "NAME PID ...", add_process),
    "ps": CliCommand("2.2.1 The processes of a group.", [], "NAME", list_processes),
    "stats": CliCommand("2.2.2 What a group uses.", [FORMAT], "NAME", show_statistics),
    "run": CliCommand("2.2.3 Run a command in a new group.", LIMIT_FLAGS, "COMMAND [ARGUMENT ...]", run_in_group),
    "freeze": CliCommand("Stop all processes of a group.", [], "NAME", freeze_group),
    "thaw": CliCommand("Let them go on.", [], "NAME", thaw_group),
    "kill": CliCommand("End all processes of a group.", [], "NAME", kill_group),
    "remove": CliCommand("Remove a group that has no processes.", [], "NAME", remove_group),
}
