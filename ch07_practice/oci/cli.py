"""The command line of the runtime, as runc has it: `GLOBAL-FLAGS COMMAND FLAGS ID`. Book section 7.4."""

from __future__ import annotations

import sys
import time

from ch02_namespaces.command_line import (
    HELP,
    CliCommand,
    Flag,
    Options,
    dispatch,
    leave,
    open_standard_streams,
    parse,
    whole_number,
)
from ch02_namespaces.errors import NOT_EXECUTABLE, NOT_FOUND, EngineError, report
from ch02_namespaces.output import FORMAT, print_table
from ch04_images.state import json_of
from ch07_practice.oci import state
from ch07_practice.oci.runtime import Runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ch07_practice.oci.create import Creator

PROGRAM = "python3 -m ch07_practice.oci"
WORDS_OF_RUNC = {NOT_FOUND: "executable file not found in $PATH", NOT_EXECUTABLE: "permission denied"}
"""Docker and podman look for them in what we say or log, to end with 127 or 126 themselves. By the exit code."""


def log_format(text: str) -> str:
    """For Flag.convert. Raises EngineError."""
    if text not in ("text", "json"):
        raise EngineError(text, "it is neither text nor json")
    return text


GLOBAL_FLAGS = [
    Flag("--root", value="DIRECTORY", help=f"where containers are kept (default: {state.DEFAULT_ROOT})"),
    Flag("--log", value="FILE", help="where errors are written to, besides standard error"),
    Flag("--log-format", value="text|json", convert=log_format, help="how (default: text)"),
]
BUNDLE = Flag("-b", "--bundle", value="DIRECTORY", help="with config.json (default: here)")
CREATE_FLAGS = [
    BUNDLE,
    Flag("--console-socket", value="SOCKET", help="who takes the terminal"),
    Flag("--pid-file", value="FILE", help="where the pid is written to"),
    Flag("--preserve-fds", value="N", convert=whole_number, help="pass on so many descriptors behind the three"),
    Flag("--no-new-keyring", help="the caller's keys are the container's: a session has none of its own"),
]
RUN_FLAGS = [
    *CREATE_FLAGS,
    Flag("-d", "--detach", help="do not wait for its end"),
    Flag("--keep", help="do not delete it when it has ended"),
]


class Commands:
    """The commands. Each imports what it needs when it is used."""

    def __init__(self) -> None:
        self.root = state.DEFAULT_ROOT

    def table(self) -> dict[str, CliCommand]:
        """For dispatch()."""
        return {
            "create": CliCommand("Make a container of a bundle.", CREATE_FLAGS, "ID", self.create),
            "start": CliCommand("Let its command begin.", [], "ID", self.start),
            "run": CliCommand("Create and start; wait for its end, and delete it.", RUN_FLAGS, "ID", self.run),
            "state": CliCommand("Show how it is.", [], "ID", self.state),
            "kill": CliCommand("Send it a signal.", [], "ID [SIGNAL]", self.kill),
            "delete": CliCommand(
                "Remove it.", [Flag("-f", "--force", help="end it first, if it runs")], "ID", self.delete
            ),
            "list": CliCommand("List all.", [Flag("-q", "--quiet", help="only their ids"), FORMAT], "", self.list),
            "spec": CliCommand("Write a config.json to begin with.", [BUNDLE], "", self.spec),
        }

    def dispatch(self, arguments: Sequence[str], program: str) -> int:
        """Run the command that the first argument names; the exit code. Raises EngineError."""
        return dispatch(self.table(), arguments, program)

    @property
    def runtime(self) -> Runtime:
        """The runtime for the directory that the command line names."""
        return Runtime(self.root)

    def creator(self) -> Creator:
        """The one that makes containers. A later chapter has another."""
        from ch07_practice.oci.create import Creator

        return Creator(self.root)

    def _creator(self, options: Options) -> Creator:
        creator = self.creator()
        creator.preserved = options.preserve_fds or 0
        creator.keeps_keyring = options.no_new_keyring
        return creator

    def create(self, options: Options) -> int:
        """`create`."""
        (id,) = options.operands
        self._creator(options).create(id, options.bundle or ".", options.console_socket, options.pid_file)
        return 0

    def start(self, options: Options) -> int:
        """`start`."""
        self.runtime.start(options.operands[0])
        return 0

    def run(self, options: Options) -> int:
        """`run`: the exit code is the command's."""
        (id,) = options.operands
        given = (options.bundle or ".", options.console_socket, options.pid_file)
        return self._creator(options).run(id, *given, detach=options.detach, keep=options.keep)

    def state(self, options: Options) -> int:
        """`state`: a JSON object, a field in a line."""
        fields = self.runtime.state(options.operands[0]).items()
        print("{\n" + ",\n".join(f"  {json_of(name)}: {json_of(value)}" for name, value in fields) + "\n}")
        return 0

    def kill(self, options: Options) -> int:
        """`kill`."""
        from ch05_lifecycle.signals import parse_signal

        id, *signal = options.operands
        self.runtime.kill(id, parse_signal(signal[0] if signal else "TERM"))
        return 0

    def delete(self, options: Options) -> int:
        """`delete`."""
        self.runtime.delete(options.operands[0], options.force)
        return 0

    def list(self, options: Options) -> int:
        """`list`."""
        rows = []
        for kept in state.every(self.root):
            if options.quiet:
                print(kept.id)
                continue
            record = kept.record()
            created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record["created"]))
            status = kept.status()
            pid = 0 if status == state.STOPPED else record["pid"]
            rows.append({"id": kept.id, "pid": pid, "status": status, "bundle": record["bundle"], "created": created})
        if rows or options.format == "json":
            print_table(rows, options.format)
        return 0

    def spec(self, options: Options) -> int:
        """`spec`."""
        from ch07_practice.oci.example import example, write_example

        write_example(options.bundle or ".", example())
        return 0


def main(
    commands: Commands, arguments: list[str], program: str = PROGRAM, more: Sequence[Flag] = (), version: str = ""
) -> int:
    """Run a command line; the exit code. Errors are printed, and written into the log.

    more: global flags besides ours; version: what --version prints, if that is one of them.
    """
    open_standard_streams()
    options = Options([*GLOBAL_FLAGS, *more])
    try:
        options = parse([HELP, *GLOBAL_FLAGS, *more], arguments, "COMMAND ...")
        if version and options.version:
            print(version)
            return 0
        if options.root is not None:
            commands.root = options.root
        return commands.dispatch(["--help"] if options.help else options.operands, program)
    except (Exception, KeyboardInterrupt) as error:
        told = in_words_of_runc(error)
        if options.log is not None:
            write_log(options.log, options.log_format or "text", str(told))
        return report(told)


def in_words_of_runc(error: BaseException) -> BaseException:
    """The error, with the words by which engines know it."""
    if not isinstance(error, EngineError) or error.exit_code not in WORDS_OF_RUNC:
        return error
    return EngineError(error.what, f"{error.why}, {WORDS_OF_RUNC[error.exit_code]}", error.hint, error.exit_code)


def write_log(path: str, format: str, message: str) -> None:
    """Add a line to the log: engines read there why something failed."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    record = {"level": "error", "msg": message, "time": now}
    line = json_of(record) if format == "json" else f"time={now} level=error msg={json_of(message)}"
    try:
        with open(path, "a") as log:
            log.write(f"{line}\n")
    except OSError as error:
        report(error)


def entry_point() -> None:
    """The program: run the command line that we were started with, and end."""
    leave(main(Commands(), sys.argv[1:]))
