"""The program `mydocker-runtime`: chapter 7's command line, and what engines call besides. It stands in for runc."""

from __future__ import annotations

import sys
import time

from ch02_namespaces.command_line import CliCommand, Flag, Options, leave, whole_number
from ch02_namespaces.errors import EngineError
from ch02_namespaces.output import FORMAT
from ch04_images.state import json_of, parse_json
from ch07_practice.oci import cli, state
from ch07_practice.oci.document import SPEC, Node
from ch07_practice.oci.state import Kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ch02_namespaces.cgroups import Cgroup
    from ch07_practice.oci.create import Creator

PROGRAM = "mydocker-runtime"
VERSION = "0.7.0"
GLOBAL_FLAGS = [
    Flag("--debug", help="for those who ask for more; we always say all"),
    Flag("--systemd-cgroup", help="found out by itself: cgroupsPath is slice:prefix:name then"),
    Flag("--rootless", value="true|false|auto", help="found out by itself"),
    Flag("-v", "--version", help="print the version"),
]
EXEC_FLAGS = [
    Flag("-p", "--process", value="FILE", help="the process, as config.json has one"),
    Flag("-t", "--tty", help="with a terminal of its own"),
    Flag("-d", "--detach", help="do not wait for it"),
    Flag("--console-socket", value="SOCKET", help="who takes the terminal"),
    Flag("--pid-file", value="FILE", help="where the pid is written to"),
    Flag("--cwd", value="DIRECTORY", help="where it starts"),
    Flag("-e", "--env", value="NAME=VALUE", many=True, help="set an environment variable"),
    Flag("-u", "--user", value="UID[:GID]", help="who it is"),
    Flag("-g", "--additional-gids", value="GID", convert=whole_number, many=True, help="one more group"),
    Flag("-c", "--cap", value="CAPABILITY", many=True, help="one more capability"),
    Flag("--no-new-privs", help="it cannot gain privileges"),
]
UPDATE_FLAGS = [
    Flag("-r", "--resources", value="FILE", help="linux.resources as JSON; - is standard input"),
    Flag("--memory", value="BYTES", convert=whole_number, help="memory limit"),
    Flag("--memory-swap", value="BYTES", convert=whole_number, help="memory and swap together"),
    Flag("--memory-reservation", value="BYTES", convert=whole_number, help="what it may keep when memory is short"),
    Flag("--cpu-shares", value="N", convert=whole_number, help="weight against others"),
    Flag("--cpu-quota", value="MICROSECONDS", convert=whole_number, help="time in each period"),
    Flag("--cpu-period", value="MICROSECONDS", convert=whole_number, help="length of a period"),
    Flag("--cpuset-cpus", value="LIST", help="processors it may run on"),
    Flag("--cpuset-mems", value="LIST", help="memory nodes it may use"),
    Flag("--pids-limit", value="N", convert=whole_number, help="most processes at one time"),
]
GIVEN = {
    "memory": ("memory", "limit"),
    "memory_swap": ("memory", "swap"),
    "memory_reservation": ("memory", "reservation"),
    "cpu_shares": ("cpu", "shares"),
    "cpu_quota": ("cpu", "quota"),
    "cpu_period": ("cpu", "period"),
    "cpuset_cpus": ("cpu", "cpus"),
    "cpuset_mems": ("cpu", "mems"),
    "pids_limit": ("pids", "limit"),
}


class Commands(cli.Commands):
    """Chapter 7's commands, and more."""

    def table(self) -> dict[str, CliCommand]:
        """For dispatch()."""
        return super().table() | {
            "kill": CliCommand(
                "Send it a signal.", [Flag("-a", "--all", help="to all its processes")], "ID [SIGNAL]", self.kill
            ),
            "exec": CliCommand("Run one more process in it.", EXEC_FLAGS, "ID [COMMAND ...]", self.execute),
            "ps": CliCommand("List its processes.", [FORMAT], "ID", self.list_processes),
            "pause": CliCommand("Stop all its processes for a while.", [], "ID", self.pause),
            "resume": CliCommand("Let them go on.", [], "ID", self.resume),
            "update": CliCommand("Change what it may use.", UPDATE_FLAGS, "ID", self.update),
            "events": CliCommand(
                "Tell what it uses.",
                [
                    Flag("--stats", help="once"),
                    Flag("--interval", value="SECONDS", convert=whole_number, help="how often (default: 5)"),
                ],
                "ID",
                self.events,
            ),
            "features": CliCommand("Say what this runtime can do.", [], "", self.features),
        }

    def creator(self) -> Creator:
        """One that knows all of the specification."""
        from final.runtime.runtime import FullRuntime

        return FullRuntime(self.root)

    def _find(self, options: Options) -> tuple[Kept, Cgroup]:
        from ch02_namespaces.cgroups import Cgroup

        kept = state.find(self.root, options.operands[0])
        return kept, Cgroup(kept.record()["cgroup"])

    def kill(self, options: Options) -> int:
        """`kill`, with --all to every process of its cgroup."""
        if not options.all:
            return super().kill(options)
        from ch05_lifecycle.signals import parse_signal
        from final.runtime.resources import signal_all

        _, group = self._find(options)
        signal_all(group, parse_signal(options.operands[1] if len(options.operands) > 1 else "TERM"))
        return 0

    def execute(self, options: Options) -> int:
        """`exec`: the exit code of the process, or 0 with --detach."""
        from ch07_practice.oci.bundle import check_process
        from final.runtime.execute import execute_in

        kept, group = self._find(options)
        config = Node(kept.config(), "")
        described = self._process(options, config)
        check_process(described)
        return execute_in(kept, config, described, group, options.detach, options.console_socket, options.pid_file)

    def _process(self, options: Options, config: Node) -> Node:
        """The document of the process: the one that is given, or the container's with another command."""
        if options.process is not None:
            return Node(document_in(options.process), "process")
        wanted: dict[str, Any] = dict(config["process"].value)
        wanted |= {"args": options.operands[1:], "terminal": options.tty}
        wanted["env"] = [*(wanted.get("env") or []), *options.env]
        if options.cwd is not None:
            wanted["cwd"] = options.cwd
        if options.user is not None:
            uid, colon, gid = options.user.partition(":")
            wanted["user"] = {"uid": whole_number(uid), "gid": whole_number(gid) if colon else 0}
        if options.additional_gids:
            wanted["user"] = {**wanted["user"], "additionalGids": options.additional_gids}
        if options.no_new_privs:
            wanted["noNewPrivileges"] = True
        if options.cap:
            sets = wanted.get("capabilities") or {}
            kinds = ("bounding", "effective", "permitted")
            wanted["capabilities"] = sets | {kind: [*(sets.get(kind) or []), *options.cap] for kind in kinds}
        return Node(wanted, "process")

    def list_processes(self, options: Options) -> int:
        """`ps`: pids as a JSON array, or a table."""
        from final.runtime.resources import processes

        _, group = self._find(options)
        pids = processes(group)
        if options.format == "json":
            print(json_of(pids))
            return 0
        print("PID")
        for pid in pids:
            print(pid)
        return 0

    def pause(self, options: Options) -> int:
        """`pause`."""
        return self._freeze(options, True)

    def resume(self, options: Options) -> int:
        """`resume`."""
        return self._freeze(options, False)

    def _freeze(self, options: Options, frozen: bool) -> int:
        kept, group = self._find(options)
        if kept.status() not in (state.CREATED, state.RUNNING):
            raise EngineError(f"container {kept.id}", f"it is {kept.status()}")
        group.freeze(frozen)
        return 0

    def update(self, options: Options) -> int:
        """`update`."""
        from final.runtime.resources import update

        _, group = self._find(options)
        wanted: dict[str, Any] = {} if options.resources is None else document_in(options.resources)
        for option, (subject, field) in GIVEN.items():
            value = getattr(options, option)
            if value is not None:
                wanted.setdefault(subject, {})[field] = value
        update(group, Node(wanted, "linux.resources"))
        return 0

    def events(self, options: Options) -> int:
        """`events`: a JSON object a line, until the container ends; with --stats, one."""
        from final.runtime.statistics import statistics

        kept, group = self._find(options)
        while True:
            print(json_of({"type": "stats", "id": kept.id, "data": statistics(group)}), flush=True)
            if options.stats:
                return 0
            time.sleep(options.interval or 5)
            if kept.status() == state.STOPPED:
                return 0

    def features(self, options: Options) -> int:
        """`features`: OCI runtime-spec, features.md."""
        import json

        from final.runtime.features import features

        print(json.dumps(features(), indent=2))
        return 0


def document_in(path: str) -> Any:
    """What a JSON file contains; - is standard input. Raises EngineError."""
    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
            return parse_json(file.read())
    except OSError as error:
        raise EngineError(path, str(error.strerror)) from None
    except (ValueError, RecursionError) as error:
        raise EngineError(path, f"it is no JSON: {error}") from None


def main(arguments: list[str]) -> int:
    """Run a command line; the exit code."""
    version = f"{PROGRAM} version {VERSION}\nspec: {SPEC}"
    return cli.main(Commands(), arguments, PROGRAM, GLOBAL_FLAGS, version)


def entry_point() -> None:
    """The program: run the command line that we were started with, and end."""
    leave(main(sys.argv[1:]))
