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
from final.runtime.flags import EXEC_FLAGS, GIVEN, GLOBAL_FLAGS, SPEC_FLAGS, UPDATE_FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ch02_namespaces.cgroups import Cgroup
    from ch07_practice.oci.create import Creator

PROGRAM = "mydocker-runtime"
VERSION = "0.8.0"
REFUSED = ("checkpoint", "restore")
"""Commands that engines look for, and find out by `--help` that they are not there."""


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
            "spec": CliCommand("Write a config.json to begin with.", SPEC_FLAGS, "", self.spec),
            "features": CliCommand("Say what this runtime can do.", [], "", self.features),
        }

    def dispatch(self, arguments: Sequence[str], program: str) -> int:
        """Run a command. Raises EngineError."""
        if arguments and arguments[0] in REFUSED:
            raise EngineError(
                arguments[0], "this runtime cannot keep a running container in files", "runc can, with CRIU"
            )
        return super().dispatch(arguments, program)

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
        if kept.status() == state.PAUSED and not options.ignore_paused:
            raise EngineError(f"container {kept.id}", "it is paused", "`resume` it, or --ignore-paused")
        given = (options.detach, options.console_socket, options.pid_file, options.preserve_fds or 0)
        return execute_in(kept, config, described, group, *given)

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
        for option, field in (("process_label", "selinuxLabel"), ("apparmor", "apparmorProfile")):
            if getattr(options, option) is not None:
                wanted[field] = getattr(options, option)
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
        if kept.status() not in (state.CREATED, state.RUNNING, state.PAUSED):
            raise EngineError(f"container {kept.id}", f"it is {kept.status()}")
        group.freeze(frozen)
        kept.write(**{state.IS_PAUSED: frozen})
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

    def spec(self, options: Options) -> int:
        """`spec`."""
        if not options.rootless:
            return super().spec(options)
        from ch07_practice.oci.example import write_example
        from final.runtime.rootless_example import rootless_example

        write_example(options.bundle or ".", rootless_example())
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
