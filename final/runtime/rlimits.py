"""Limits of the process that are older than cgroups: getrlimit(2). Book section 7.3.

OCI runtime-spec, config.md, "POSIX process".
"""

from __future__ import annotations

from ch02_namespaces.errors import SyscallError
from ch03_run.container import Container, Part
from ch07_practice.oci.document import Node
from final.runtime import kernel

NAMES = (  # asm-generic/resource.h, in the order of their numbers
    *("RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_RSS", "RLIMIT_NPROC"),
    *("RLIMIT_NOFILE", "RLIMIT_MEMLOCK", "RLIMIT_AS", "RLIMIT_LOCKS", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE"),
    *("RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME"),
)


class Limit:
    """One entry of process.rlimits. Raises EngineError for one that makes no sense."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.name = node["type"].one_of(NAMES)
        self.soft, self.hard = node["soft"].number(), node["hard"].number()
        if self.soft > self.hard:
            raise node["soft"].wrong(f"{self.soft} is more than the hard limit, {self.hard}")

    @property
    def resource(self) -> int:
        """The kernel's number for it."""
        return NAMES.index(self.name)

    def set(self, pid: int, soft: int, hard: int) -> None:
        """Set it. Raises EngineError."""
        try:
            kernel.set_limit(pid, self.resource, self.name, soft, hard)
        except SyscallError as error:
            raise self.node.wrong(f"{error.call}: {error.why}", error.hint) from None


class ResourceLimits(Part):
    """process.rlimits: soft and hard limits.

    Raised from outside: a container with its own user namespace has no right to do so. Lowered as late as can be,
    for they hold for the rest of our own work, too.
    """

    section = "7.3"

    def __init__(self, listed: Node) -> None:
        self._limits = [Limit(item) for item in listed.items()]
        names = [limit.name for limit in self._limits]
        for number, limit in enumerate(self._limits):
            if limit.name in names[:number]:
                raise limit.node["type"].wrong(f"{limit.name} is there twice")

    def attach(self, container: Container) -> None:
        assert container.process is not None
        pid = container.process.pid
        for limit in self._limits:
            soft, hard = kernel.get_limit(pid, limit.resource)
            if limit.hard > hard:
                limit.set(pid, soft, limit.hard)

    def enter(self, container: Container) -> None:
        for limit in self._limits:
            limit.set(0, limit.soft, limit.hard)
