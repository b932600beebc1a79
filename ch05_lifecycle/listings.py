"""Commands that show what containers there are, how they are, and what they print. Book sections 5.2 and 5.3."""

from __future__ import annotations

import os
import time

from ch02_namespaces import namespaces
from ch02_namespaces.command_line import CliCommand, Flag, Options, whole_number
from ch02_namespaces.errors import EngineError
from ch02_namespaces.output import FORMAT, print_table
from ch04_images import state
from ch05_lifecycle import names, process, store
from ch05_lifecycle.logs import parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def list_containers(options: Options) -> int:
    """`ps`: those that run, or all."""
    named = names.all_names()
    rows = []
    for stored in store.every():
        try:
            known, command = stored.state(), stored.settings["command"]
        except store.GoneError:
            continue
        except (EngineError, KeyError):  # `rm` can still take it away
            known, command = {"status": "damaged"}, []
        if not options.all and known["status"] not in (store.RUNNING, store.RESTARTING):
            continue
        if options.quiet:
            print(state.short(stored.id))
            continue
        rows.append(
            {
                "container id": stored.id if options.format == "json" else state.short(stored.id),
                "image": stored.record.image.removesuffix(":latest"),
                "command": shown_command(command, short=options.format != "json"),
                "created": f"{shown_time(time.time() - stored.record.created)} ago",
                "status": shown_status(known),
                "name": named.get(stored.id, ""),
            }
        )
    if not options.quiet:
        print_containers(rows, options.format)
    return 0


def print_containers(rows: list[dict[str, Any]], format: str | None) -> None:
    """A table of containers; its head alone if there is none."""
    if rows or format == "json":
        print_table(rows, format)
    else:
        print("CONTAINER ID  IMAGE  COMMAND  CREATED  STATUS  NAME")


def shown_command(argv: list[str], short: bool) -> str:
    """A command in one line of printable characters."""
    text = " ".join(argv)
    line = "".join(character if character.isprintable() else "?" for character in text)
    return line if not short or len(line) <= 30 else line[:29] + "…"


def shown_time(seconds: float) -> str:
    """How long, as people say it."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count = int(seconds // length)
        if count:
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{int(seconds)} second{'s' if int(seconds) != 1 else ''}"


def shown_status(known: dict[str, Any]) -> str:
    """How a container is, in words."""
    if known["status"] == store.RUNNING:
        return f"Up {shown_time(time.time() - known['started'])}"
    if known["status"] == store.EXITED:
        return f"Exited ({known['exit_code']}) {shown_time(time.time() - known['finished'])} ago"
    return str(known["status"]).capitalize()


def show_logs(options: Options, more: bytes = b"") -> int:
    """`logs`: what a container has printed, on the stream that it was printed on. more: stands before each line."""
    from ch05_lifecycle import logs

    stored = store.find(options.operands[0])
    path = stored.record.path("log")
    ended = lambda: not stored.is_watched()  # noqa: E731
    if options.tail is None:
        lines = logs.follow(path, ended) if options.follow else logs.read(path)
    elif options.follow:
        lines = logs.tail_and_follow(path, options.tail, ended)
    else:
        lines = iter(logs.tail(logs.read(path), options.tail))
    for line in lines:
        moment, stream, text = logs.parse(line)
        if options.since and moment < options.since:
            continue
        if options.until and moment >= options.until:
            break
        write_all(logs.STREAMS[stream], (f"{moment} ".encode() if options.timestamps else b"") + more + text)
    return 0


def write_all(descriptor: int, data: bytes) -> None:
    """Write, past every buffer: two streams keep their order."""
    while data:
        data = data[os.write(descriptor, data) :]


def inspect_containers(options: Options) -> int:
    """`inspect`: all that is known of containers, as JSON."""
    import json

    found = []
    for text in options.operands:
        stored = store.find(text)
        found.append(
            {
                "id": stored.id,
                "name": stored.name,
                "created": stored.record.created,
                "image": stored.record.image,
                "layers": stored.record.layers,
                "storage_driver": stored.record.driver,
                "directory": stored.record.path(),
                "state": stored.state(),
                "settings": stored.settings,
            }
        )
    print(json.dumps(found, indent=2))
    return 0


def list_processes(options: Options) -> int:
    """`top`: the processes of a container, with their numbers on the host."""
    stored = store.find(options.operands[0])
    os.close(process.open_process(stored))
    inode = namespaces.of_process(stored.state()["pid"])["pid"]
    rows = []
    for pid in namespaces.processes_in("pid", inode):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                argv = file.read().decode(errors="replace").split("\0")[:-1]
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        row = {"pid": pid, "ppid": int(fields[1]), "state": fields[0].decode()}
        rows.append({**row, "command": shown_command(argv, short=False)})
    print_table(rows, options.format)
    return 0


def time_of(text: str) -> str:
    """For Flag.convert. Raises EngineError."""
    return parse_time(text)


def count(text: str) -> int | None:
    """For Flag.convert: a number of lines, or `all`. Raises EngineError."""
    if text == "all":
        return None
    if whole_number(text) < 0:
        raise EngineError(text, "it is negative")
    return whole_number(text)


COMMANDS = {
    "ps": CliCommand(
        "List containers.",
        [
            Flag("-a", "--all", help="also those that do not run"),
            Flag("-q", "--quiet", help="only their ids"),
            FORMAT,
        ],
        "",
        list_containers,
    ),
    "logs": CliCommand(
        "Show what a container has printed.",
        [
            Flag("-f", "--follow", help="go on until it ends"),
            Flag("-n", "--tail", value="N", convert=count, help="only the last lines"),
            Flag(
                "--since", value="TIME", convert=time_of, help="only from then on: a date, or how long ago, such as 10m"
            ),
            Flag("--until", value="TIME", convert=time_of, help="only what is older"),
            Flag("-t", "--timestamps", help="with the time of each line"),
        ],
        "CONTAINER",
        show_logs,
    ),
    "inspect": CliCommand("Show all that is known of containers.", [], "CONTAINER ...", inspect_containers),
    "top": CliCommand("List the processes of a container.", [FORMAT], "CONTAINER", list_processes),
}
