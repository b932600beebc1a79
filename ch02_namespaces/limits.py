"""What a container may use, as one record: book section 3.2.1. Both cgroup versions are set from it."""

from __future__ import annotations

import errno
import os

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError, SyscallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MEMORY_MINIMUM = 6 << 20  # as Docker: below it a process dies before it has started
UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class Limits:
    """Upper bounds for a group of processes. None means: no bound of its own.

    memory, memory_swap: bytes; memory_swap counts memory and swap together, -1 is unlimited, and without it
        swap may hold as much again as memory (as Docker).
    cpu_shares: weight against other groups, 2 to 262144, 1024 is usual; cpus: processors' worth of time, 0.5 is a half.
    cpuset_cpus, cpuset_mems: the processors and memory nodes it may run on, such as "0-2,7".
    pids: tasks at one time. io_weight: 1 to 1000. read_bps, write_bps: device path to bytes a second.
    """

    def __init__(
        self,
        *,
        memory: int | None = None,
        memory_swap: int | None = None,
        cpu_shares: int | None = None,
        cpus: float | None = None,
        cpuset_cpus: str | None = None,
        cpuset_mems: str | None = None,
        pids: int | None = None,
        io_weight: int | None = None,
        read_bps: Mapping[str, int] | None = None,
        write_bps: Mapping[str, int] | None = None,
    ) -> None:
        self.memory = memory
        self.memory_swap = memory_swap
        self.cpu_shares = cpu_shares
        self.cpus = cpus
        self.cpuset_cpus = cpuset_cpus
        self.cpuset_mems = cpuset_mems
        self.pids = pids
        self.io_weight = io_weight
        self.read_bps = dict(read_bps or {})
        self.write_bps = dict(write_bps or {})
        self._check()

    def _check(self) -> None:
        """Refuse what no kernel would take, with a reason that the kernel's EINVAL does not give."""
        if self.memory is not None and self.memory < MEMORY_MINIMUM:
            raise EngineError("memory limit", f"{self.memory} bytes are too few", "the minimum is 6m")
        if self.memory_swap is not None and self.memory_swap != -1:
            if self.memory is None:
                raise EngineError("memory and swap limit", "it needs a memory limit beside it", "add -m")
            if self.memory_swap < self.memory:
                raise EngineError(
                    "memory and swap limit",
                    "it is smaller than the memory limit",
                    "it counts memory and swap together; -1 is unlimited",
                )
        if self.cpu_shares is not None and not 2 <= self.cpu_shares <= 262144:
            raise EngineError("cpu shares", f"{self.cpu_shares} is not between 2 and 262144")
        processors = os.cpu_count() or 1
        if self.cpus is not None and not 0.01 <= self.cpus <= processors:
            raise EngineError("cpus", f"{self.cpus:g} is not between 0.01 and the machine's {processors}")
        if self.pids is not None and self.pids < 1 and self.pids != -1:
            raise EngineError("pids limit", f"{self.pids} is not a positive number", "-1 is unlimited")
        if self.io_weight is not None and not 1 <= self.io_weight <= 1000:
            raise EngineError("io weight", f"{self.io_weight} is not between 1 and 1000")

    def swap_total(self) -> int | None:
        """Bytes of memory and swap together: as asked for, or twice the memory limit; -1 is unlimited."""
        if self.memory_swap is not None or self.memory is None:
            return self.memory_swap
        return 2 * self.memory

    def controllers(self) -> Iterator[str]:
        """The cgroup controllers that these limits need, by their version 2 names."""
        if self.memory is not None or self.memory_swap is not None:
            yield "memory"
        if self.cpu_shares is not None or self.cpus is not None:
            yield "cpu"
        if self.cpuset_cpus is not None or self.cpuset_mems is not None:
            yield "cpuset"
        if self.pids is not None:
            yield "pids"
        if self.io_weight is not None or self.read_bps or self.write_bps:
            yield "io"


def make_directory(directory: str, for_groups: bool = False) -> None:
    """Make one cgroup. Raises SyscallError: EEXIST, EACCES or EROFS without the right to.

    for_groups: others are made in it, and it may be there already. No other user may open it: he could lock it, and
    whoever makes a group in it would wait for him (Cgroup.create). Its groups are open to those who know their names.
    """
    try:
        syscalls.mkdir(directory, 0o711 if for_groups else 0o755)
    except SyscallError as error:
        if error.errno != errno.EEXIST or not for_groups:
            raise


def write_limit(path: str, value: str, optional: bool = False) -> None:
    """Write one limit. A file that is missing is an EngineError, unless `optional`; a refused value a SyscallError."""
    if os.path.exists(path):
        syscalls.write_file(path, value)
    elif not optional:
        raise EngineError(os.path.basename(path), "this kernel does not offer that limit", path)


def parse_size(text: str) -> int:
    """Bytes from a size such as 64m, 1.5g or 4096; units b, k, m, g, t are powers of 1024. Raises EngineError."""
    number = text.lower().removesuffix("ib").rstrip("bkmgt")
    unit = text.lower().removesuffix("ib")[len(number) :]
    unit = unit if len(unit) < 2 else unit.removesuffix("b")
    try:
        size = int(float(number) * UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        raise EngineError(f"size {text!r}", "it is not a number with one of b, k, m, g, t", "64m") from None
    if size < 0:
        raise EngineError(f"size {text!r}", "it is negative")
    return size


def format_size(size: float) -> str:
    """A size for people: 64 MiB, 1.5 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} TiB"
