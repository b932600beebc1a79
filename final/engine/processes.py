"""`top`: the processes of a container; with options for ps(1), in the columns that these ask for, as Docker has it."""

from __future__ import annotations

import os
import subprocess

from ch02_namespaces import namespaces
from ch02_namespaces.command_line import CliCommand, Options
from ch02_namespaces.errors import EngineError
from ch02_namespaces.output import FORMAT
from ch05_lifecycle import listings, process, store
from final.runtime.resources import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch05_lifecycle.store import Stored


def list_processes(options: Options) -> int:
    """`top CONTAINER [OPTION ...]`."""
    container, *words = options.operands
    if not words:
        return listings.list_processes(options)
    stored = store.find(container)
    os.close(process.open_process(stored))  # it runs
    pids = set(map(str, pids_of(stored)))
    head, *lines = _ps(words, pids)
    columns = head.split()
    if "PID" not in columns:
        raise EngineError(f"top {' '.join(words)}", "these columns have no PID", "such as -o pid,args")
    at = columns.index("PID")
    print(head, *(line for line in lines if line.split()[at] in pids), sep="\n")
    return 0


def pids_of(stored: Stored) -> list[int]:
    """The processes of a container that runs: those of its cgroup, or if an ordinary user's has none, of its pid
    namespace."""
    group = store.group_of(stored)
    if group.hierarchies:
        return processes(group)
    return namespaces.processes_in("pid", namespaces.of_process(stored.state()["pid"])["pid"])


def _ps(words: list[str], pids: set[str]) -> list[str]:
    """What this machine's ps(1) says of these processes, whatever their terminals; and of more, if its options don't go
    together with a list of pids."""
    found = _run([*words, f"-q{','.join(sorted(pids))}"])
    if found.returncode:
        found = _run(words)
    lines = found.stdout.splitlines()
    if found.returncode or not lines:
        raise EngineError(f"ps {' '.join(words)}", " ".join(found.stderr.split()[:12]) or "it says nothing")
    return lines


def _run(words: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["ps", *words], capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError:
        raise EngineError("top", "there is no ps here", "Debian has it in the package procps") from None


COMMANDS = {
    "top": CliCommand(
        "List the processes of a container.", [FORMAT], "CONTAINER [OPTION_OF_COMMAND_ps ...]", list_processes
    )
}
