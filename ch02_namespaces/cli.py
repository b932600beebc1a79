"""Chapter 2's commands: one a section, each starting a shell or a command, so that a reader can look around in it."""

from __future__ import annotations

import os
import sys

from ch02_namespaces import namespaces, syscalls
from ch02_namespaces.cgroup_commands import CGROUP_COMMANDS
from ch02_namespaces.command_line import CliCommand, Flag, Group, Options, leave, number, whole_number
from ch02_namespaces.command_line import main as run_command_line
from ch02_namespaces.errors import EngineError
from ch02_namespaces.output import FORMAT, print_table
from ch02_namespaces.union_commands import UNION_COMMANDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = "python3 -m ch02_namespaces"
COMMAND = "[COMMAND [ARGUMENT ...]]"
SHOWN_PIDS = 8


def list_namespaces(options: Options) -> int:
    """`ls [PID]`: the namespaces of a process, and who shares them. Section 2.1.1."""
    pid = whole_number(options.operands[0]) if options.operands else os.getpid()
    rows = []
    for kind, inode in namespaces.of_process(pid).items():
        members = namespaces.processes_in(kind, inode)
        more = " ..." if len(members) > SHOWN_PIDS else ""
        shown = " ".join(map(str, members[:SHOWN_PIDS])) + more
        rows.append({"kind": kind, "inode": inode, "processes": len(members), "pids": shown})
    print_table(rows, options.format)
    return 0


def in_new(flags: int, prepare: Callable[[Options], None] | None = None) -> Callable[[Options], int]:
    """A command that starts its operands, or a shell, in new namespaces; `prepare` runs inside before."""

    def execute(options: Options) -> int:
        def child() -> int:
            syscalls.die_with_parent()
            if prepare is not None:
                prepare(options)
            return namespaces.run_command(options.operands or shell())

        return attend(namespaces.spawn(flags, child))

    return execute


def attend(process: namespaces.Process) -> int:
    """Wait for a child that shares our terminal. Ctrl-C reaches both of us; it is meant for the child."""
    syscalls.block_signals([syscalls.SIGINT, syscalls.SIGQUIT])
    code = process.wait()
    assert code is not None
    return code


def shell() -> list[str]:
    """The user's shell, for those who give no command."""
    return [os.environ.get("SHELL") or "/bin/sh"]


def private_mounts(options: Options) -> None:
    """Let no mount of ours reach the host, then show the new pid namespace in /proc. Section 2.1.5.

    The process is in new mount and pid namespaces already. systemd makes / shared: unless all mounts are made private
    before, our /proc covers the host's, too. /proc is mounted nosuid, nodev, noexec. Raises SyscallError.
    Example: afterwards the only number in `ls /proc` is 1. Sources: mount_namespaces(7), mount(2).
    """
    syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("proc", "/proc", "proc", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)


def own_cgroup_root(options: Options) -> None:
    """From here on our own cgroup is "/". Membership comes first, then the namespace: cgroup_namespaces(7)."""
    syscalls.unshare(syscalls.CLONE_NEWCGROUP)


def as_root_inside(options: Options) -> int:
    """`user`: a new user namespace in which we are root. Section 2.1.6.

    The child waits until its parent has said who it is: until then it is nobody (65534) and would run so.
    """
    uid_map, gid_map = f"0 {os.geteuid()} 1", f"0 {os.getegid()} 1"
    reader, writer = os.pipe2(os.O_CLOEXEC)

    def child() -> int:
        os.close(writer)
        if not os.read(reader, 1):
            return 125
        syscalls.die_with_parent()
        return namespaces.run_command(options.operands or shell())

    process = namespaces.spawn(syscalls.CLONE_NEWUSER, child)
    try:
        namespaces.write_id_maps(process.pid, uid_map, gid_map)
        os.write(writer, b"1")
    except BaseException:
        process.kill()
        raise
    finally:
        os.close(writer)
        os.close(reader)
    return attend(process)


def shift_clocks(options: Options) -> int:
    """`time`: a boot that was some other day. time_namespaces(7).

    The offsets can be set only while the namespace is still empty: unshare makes it, our next child is its first
    process. clone3 would put the child in at once.
    """

    def child() -> int:
        syscalls.die_with_parent()
        syscalls.unshare(syscalls.CLONE_NEWTIME)
        offset = options.boottime or 0
        syscalls.write_file("/proc/self/timens_offsets", f"boottime {int(offset)} {int(offset % 1 * 1e9)}")
        return attend(namespaces.spawn(0, inside))

    def inside() -> int:
        syscalls.die_with_parent()
        return namespaces.run_command(options.operands or shell())

    return attend(namespaces.spawn(0, child))


def join_namespaces(options: Options) -> int:
    """`enter PID`: a command in namespaces of a running process. Section 2.1.1, setns(2)."""
    pid = whole_number(options.operands[0])
    theirs, ours = namespaces.of_process(pid), namespaces.of_process()
    kinds = options.kind or [kind for kind in theirs if theirs[kind] != ours.get(kind)]
    for kind in kinds:
        if kind not in namespaces.KINDS:
            raise EngineError(f"--kind {kind}", "there is no such kind", ", ".join(namespaces.KINDS))
    descriptors = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in kinds]

    def child() -> int:
        syscalls.die_with_parent()
        return namespaces.run_command(options.operands[1:] or shell())

    try:
        return attend(namespaces.spawn(0, child, join=descriptors))
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def run_doctor(options: Options) -> int:
    """`doctor`: the table of findings; 1 if something is missing."""
    from ch02_namespaces.doctor import run

    return run(options.format)


MOUNT_AND_PID = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID

COMMANDS = {
    "ls": CliCommand("2.1.1 The namespaces of a process, and who shares them.", [FORMAT], "[PID]", list_namespaces),
    "enter": CliCommand(
        "2.1.1 A command in the namespaces of a running process.",
        [Flag("--kind", value="KIND", many=True, help="only this one; may be given again (default: all that differ)")],
        f"PID {COMMAND}",
        join_namespaces,
    ),
    "uts": CliCommand("2.1.2 A host name of its own.", [], COMMAND, in_new(syscalls.CLONE_NEWUTS)),
    "ipc": CliCommand("2.1.3 Message queues of its own.", [], COMMAND, in_new(syscalls.CLONE_NEWIPC)),
    "pid": CliCommand("2.1.4 Process numbers of its own.", [], COMMAND, in_new(syscalls.CLONE_NEWPID)),
    "mount": CliCommand("2.1.5 Mounts and /proc of its own.", [], COMMAND, in_new(MOUNT_AND_PID, private_mounts)),
    "user": CliCommand("2.1.6 Users of its own: root inside.", [], COMMAND, as_root_inside),
    "net": CliCommand("2.1.7 A network of its own.", [], COMMAND, in_new(syscalls.CLONE_NEWNET)),
    "cgroup-ns": CliCommand("Beyond: a view of cgroups of its own.", [], COMMAND, in_new(0, own_cgroup_root)),
    "time": CliCommand(
        "Beyond: clocks of its own.",
        [Flag("--boottime", value="SECONDS", convert=number, help="move the time since boot by so much")],
        COMMAND,
        shift_clocks,
    ),
    "cgroup": Group("2.2 Make and use cgroups.", lambda: CGROUP_COMMANDS),
    "union": Group("2.3 Make and look at union file systems.", lambda: UNION_COMMANDS),
    "doctor": CliCommand("What this machine offers, and what to do about the rest.", [FORMAT], "", run_doctor),
}


def main(arguments: list[str]) -> int:
    """Run a command line; the exit code."""
    return run_command_line(COMMANDS, arguments, PROGRAM)


def entry_point() -> None:
    """The program: run the command line that we were started with, and end."""
    leave(main(sys.argv[1:]))
