"""The rights of root, one by one: capabilities(7). Book section 7.3.

OCI runtime-spec, config.md, "Linux Process". The five sets are chained, and the user hangs on the same chain:

    bounding      what execve(2) may ever give; only dropped, and only while we have CAP_SETPCAP: first
    the user      setresuid(2) to an ordinary user clears permitted and effective, unless KEEPCAPS is set
    permitted     what may be made effective; effective: what the kernel looks at; inheritable: asked for by capset(2)
    ambient       what outlives execve(2) for an ordinary user; must be permitted and inheritable already: last
"""

from __future__ import annotations

from ch02_namespaces import syscalls
from ch02_namespaces.errors import warn
from ch03_run.container import Container
from ch07_practice.oci.document import Node
from ch07_practice.oci.process import User
from final.runtime import kernel

NAMES = (  # linux/capability.h, in the order of their numbers
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID"),
    *("CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST"),
    *("CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO"),
    *("CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE"),
    *("CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE"),
    *("CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM"),
    *("CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE"),
)
NUMBERS = {name: number for number, name in enumerate(NAMES)}
LAST = "/proc/sys/kernel/cap_last_cap"


class Credentials(User):
    """The user of the command, and the capabilities that it has: what User does, and more.

    Without process.capabilities, they are what becomes of them by the change of the user. What the runtime does not
    have itself, it cannot give: the command goes without, and a warning says so.
    """

    section = "7.3"

    def __init__(self, process: Node) -> None:
        super().__init__(process)
        node = process["capabilities"]
        self._given = bool(node)
        self._last = int(syscalls.read_file(LAST))
        self._bounding, self._permitted, self._effective, self._inheritable, self._ambient = (
            self._set_of(node[name]) for name in ("bounding", "permitted", "effective", "inheritable", "ambient")
        )
        _check_within(node["effective"], self._effective, "permitted", self._permitted)
        _check_within(node["inheritable"], self._inheritable, "bounding", self._bounding)
        self._ambient &= self._permitted & self._inheritable  # the kernel raises no others; documents often name some

    def _set_of(self, node: Node) -> set[int]:
        found = set()
        for item in node.items():
            number = NUMBERS.get(item.text())
            if number is None:
                raise item.wrong(f"{item.value!r} is no capability", "such as CAP_CHOWN: capabilities(7)")
            if number > self._last:
                raise item.wrong(f"this kernel does not have {item.value}", f"its last is {NAMES[self._last]}")
            found.add(number)
        return found

    def attach(self, container: Container) -> None:
        assert container.process is not None
        if not self._given:
            return
        status = syscalls.read_file(f"/proc/{container.process.pid}/status").splitlines()
        has = {
            name: int(value, 16) for name, _, value in (line.partition(":\t") for line in status) if name[:3] == "Cap"
        }
        missing = {number for number in self._permitted if not has["CapPrm"] >> number & 1}
        missing |= {number for number in self._bounding if not has["CapBnd"] >> number & 1}
        if missing:
            names = ", ".join(NAMES[number] for number in sorted(missing))
            warn(f"process.capabilities: the runtime does not have {names}")

    def enter(self, container: Container) -> None:
        """Become the user with these capabilities, in the order of the chain above: drop from the bounding set, change
        the user with permitted ones kept, set the three sets, raise ambient ones.

        Only what we have can be given: capget(2). Without process.capabilities, only the user is changed (super).
        Raises SyscallError. Source: capabilities(7), PR_SET_KEEPCAPS(2const), PR_CAP_AMBIENT(2const).
        Example: with all five sets {CAP_KILL} and the user 1000, CapBnd … CapAmb of /proc/self/status are 0x20.
        """
        if not self._given:
            super().enter(container)
            return
        for number in range(self._last + 1):
            if number not in self._bounding and kernel.in_bounding_set(number):
                kernel.drop_from_bounding_set(number)
        kernel.keep_capabilities(True)
        super().enter(container)
        kernel.keep_capabilities(False)
        _, ours, _ = kernel.capget()
        kernel.capset(*(_mask(numbers) & ours for numbers in (self._effective, self._permitted, self._inheritable)))
        kernel.set_ambient(number for number in sorted(self._ambient) if ours >> number & 1)


def every_capability() -> list[str]:
    """The names of all that this kernel knows, in the order of their numbers."""
    return list(NAMES[: int(syscalls.read_file(LAST)) + 1])


def _check_within(node: Node, part: set[int], name: str, whole: set[int]) -> None:
    if part - whole:
        names = ", ".join(NAMES[number] for number in sorted(part - whole))
        raise node.wrong(f"{names} must be in capabilities.{name}, too", "capabilities(7)")


def _mask(numbers: set[int]) -> int:
    return sum(1 << number for number in numbers)
