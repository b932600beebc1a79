"""`stats`: what containers use, of processor, memory, network, disks and pids, as `docker stats` shows it.

The cgroups count; the share of the processor is what two looks differ by. Book section 2.2.2.
"""

from __future__ import annotations

import os
import sys
import time

from ch02_namespaces.command_line import CliCommand, Flag, Options
from ch02_namespaces.errors import EngineError, SyscallError
from ch04_images import state
from ch04_images.image_commands import clean_up_when_interrupted
from ch05_lifecycle import names, store
from ch06_network import wishes
from final.output import LIST_FORMAT, print_rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ch05_lifecycle.store import Stored

HEADERS = {
    "ID": "CONTAINER ID",
    "Container": "CONTAINER",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}
COLUMNS = ["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"]
INTERVAL = 1.0  # seconds between two looks
NOTHING = "--"  # for what cannot be told, as Docker has it
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class Look:
    """What a container has used up to a moment. Times are nanoseconds, sizes bytes; None: nobody counts that here, as
    an ordinary user's container may have no cgroup."""

    def __init__(self, stored: Stored) -> None:
        from final.runtime.statistics import statistics

        self.at = time.monotonic_ns()
        found = statistics(store.group_of(stored))
        self.processor = _in(found, "cpu", "usage", "total")
        used = _in(found, "memory", "usage", "usage")
        self.memory = None if used is None else used - inactive(found)
        self.limit = min(_in(found, "memory", "usage", "limit") or machine_memory(), machine_memory())
        self.pids = _in(found, "pids", "current")
        self.disks = disk_bytes(found) if "blkio" in found else None
        has_own = wishes.mode_of(stored)[0] != "host"  # else the counters are this machine's
        self.received, self.sent = network_bytes(stored.state()["pid"]) if has_own else (0, 0)


def _in(found: dict[str, Any], *keys: str) -> int | None:
    """A number; None if nobody counts that here."""
    value: Any = found
    for key in keys:
        value = (value or {}).get(key)
    return None if value is None else int(value)


def inactive(found: dict[str, Any]) -> int:
    """Of the memory in use, that of files which nobody has looked at lately: the kernel takes it when it needs some,
    and Docker does not count it."""
    raw = (found.get("memory") or {}).get("raw") or {}
    return int(raw.get("total_inactive_file", raw.get("inactive_file", 0)))


def machine_memory() -> int:
    """What this machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def disk_bytes(found: dict[str, Any]) -> tuple[int, int]:
    """Read and written, of all disks."""
    entries = (found.get("blkio") or {}).get("ioServiceBytesRecursive") or []
    read, written = (sum(one["value"] for one in entries if one["op"] == kind) for kind in ("Read", "Write"))
    return read, written


def network_bytes(pid: int) -> tuple[int, int]:
    """Received and sent, by all devices of a process' network namespace but its loopback: proc_pid_net(5)."""
    try:
        with open(f"/proc/{pid}/net/dev", encoding="ascii") as file:
            lines = file.read().splitlines()[2:]
    except OSError:  # it has ended
        return 0, 0
    counted = [line.partition(":")[2].split() for line in lines if line.partition(":")[0].strip() != "lo"]
    return sum(int(words[0]) for words in counted), sum(int(words[8]) for words in counted)


def binary_size(size: float) -> str:
    """Bytes as Docker prints memory: 1.5MiB."""
    number = 0
    while size >= 1024 and number < len(UNITS) - 1:
        size, number = size / 1024, number + 1
    return f"{size:.4g}{UNITS[number]}"


# ---------------------------------------------------------------- the list


def show_consumption(options: Options) -> int:
    """`stats`: again and again, or once."""
    state.require_root()
    wanted = [store.find(text) for text in options.operands]
    before = looks(wanted, options.all)
    screen = None if options.no_stream or options.format or not sys.stdout.isatty() else _screen()
    try:
        while True:
            time.sleep(INTERVAL)
            now = looks(wanted, options.all)
            rows = [row_of(id, look, before.get(id), options.no_trunc) for id, look in now.items()]
            if screen is not None:
                screen.update(_drawn(rows), refresh=True)
            else:
                print_rows(rows, HEADERS, COLUMNS, options.format)
                sys.stdout.flush()
            if options.no_stream:
                return 0
            before = now
    finally:
        if screen is not None:
            screen.stop()


def looks(wanted: list[Stored], every: bool) -> dict[str, Look | None]:
    """A look at each that runs, by id; none at those that don't, if all are wanted, or these. Raises EngineError."""
    found: dict[str, Look | None] = {}
    for stored in wanted or store.every():
        try:
            if stored.state()["status"] == store.RUNNING:
                found[stored.id] = Look(stored)
                continue
        except store.GoneError:
            continue
        except SyscallError:  # it ends at this moment, and its cgroup with it
            pass
        except EngineError:  # its record is damaged
            if wanted:
                raise
        if wanted or every:
            found[stored.id] = None
    return found


def row_of(id: str, now: Look | None, before: Look | None, whole: bool) -> dict[str, Any]:
    """The fields of HEADERS."""
    from final.images.listing import decimal_size

    name = names.of(id)
    row = {"ID": id if whole else state.short(id), "Container": name or id, "Name": name}
    row |= {"CPUPerc": NOTHING, "MemUsage": f"{NOTHING} / {NOTHING}", "MemPerc": NOTHING}
    row |= {"NetIO": NOTHING, "BlockIO": NOTHING, "PIDs": NOTHING}
    if now is None:
        return row
    row["NetIO"] = f"{decimal_size(now.received)} / {decimal_size(now.sent)}"
    if now.processor is not None:
        row["CPUPerc"] = f"{share_of_processor(now, before):.2f}%"
    if now.memory is not None:
        row["MemUsage"] = f"{binary_size(now.memory)} / {binary_size(now.limit)}"
        row["MemPerc"] = f"{now.memory / now.limit * 100:.2f}%"
    if now.disks is not None:
        row["BlockIO"] = " / ".join(map(decimal_size, now.disks))
    if now.pids is not None:
        row["PIDs"] = str(now.pids)
    return row


def share_of_processor(now: Look, before: Look | None) -> float:
    """In percent of one processor, between two looks; 0 without a first one."""
    if before is None or before.processor is None or now.processor is None or now.at <= before.at:
        return 0.0
    return (now.processor - before.processor) / (now.at - before.at) * 100


def _screen() -> Any:
    from rich.live import Live

    clean_up_when_interrupted()
    live = Live(auto_refresh=False)
    live.start()
    return live


def _drawn(rows: list[dict[str, Any]]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(*(HEADERS[name].lower() for name in COLUMNS))
    for row in rows:
        table.add_row(*(Text(row[name]) for name in COLUMNS))
    return table


COMMANDS = {
    "stats": CliCommand(
        "Show what containers use, as it changes.",
        [
            Flag("-a", "--all", help="also those that do not run"),
            Flag("--no-stream", help="once"),
            Flag("--no-trunc", help="all of each field"),
            LIST_FORMAT,
        ],
        "[CONTAINER ...]",
        show_consumption,
    )
}
