"""Kernel calls that only production's parts need, one thin function each. See ch02_namespaces/syscalls.py.

What differs between machines is looked up here at import: under personality LINUX32, uname(2) names another machine.
"""

from __future__ import annotations

import ctypes
import os

from ch02_namespaces import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# linux/prctl.h
PR_SET_KEEPCAPS = 8
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4

# linux/capability.h
CAPABILITY_VERSION_3 = 0x20080522

# linux/seccomp.h
SECCOMP_SET_MODE_FILTER = 1

# linux/ioprio.h
IOPRIO_WHO_PROCESS = 1
IOPRIO_CLASS_SHIFT = 13

# linux/keyctl.h
KEYCTL_JOIN_SESSION_KEYRING = 1

# asm/unistd.h
NUMBERS = {
    "x86_64": {"set_mempolicy": 238, "keyctl": 250, "ioprio_set": 251, "sched_setattr": 314, "seccomp": 317},
    "aarch64": {"set_mempolicy": 237, "keyctl": 219, "ioprio_set": 30, "sched_setattr": 274, "seccomp": 277},
}
_NUMBERS = NUMBERS[os.uname().machine]

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)
_libc.prlimit64.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_libc.personality.argtypes = (ctypes.c_ulong,)
_libc.sched_setaffinity.argtypes = (ctypes.c_int, ctypes.c_size_t, ctypes.c_char_p)
_libc.syscall.restype = ctypes.c_long


class _CapabilityHeader(ctypes.Structure):
    """struct __user_cap_header_struct, linux/capability.h."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Limit(ctypes.Structure):
    """struct rlimit64, linux/resource.h."""

    _fields_ = (("soft", ctypes.c_uint64), ("hard", ctypes.c_uint64))


class _SchedulingAttributes(ctypes.Structure):
    """struct sched_attr, linux/sched/types.h."""

    _fields_ = (
        *(("size", ctypes.c_uint32), ("policy", ctypes.c_uint32), ("flags", ctypes.c_uint64)),
        *(("nice", ctypes.c_int32), ("priority", ctypes.c_uint32)),
        *(("runtime", ctypes.c_uint64), ("deadline", ctypes.c_uint64), ("period", ctypes.c_uint64)),
        *(("util_min", ctypes.c_uint32), ("util_max", ctypes.c_uint32)),
    )


class _Program(ctypes.Structure):
    """struct sock_fprog, linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


class _Symbol:
    """A constant that the observer is shown by its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __str__(self) -> str:
        return self._name


# ---------------------------------------------------------------- processes


def adopt_orphans() -> None:
    """Become the parent of those below us whose own parent ends, in place of init. It outlives execve(2), and is not
    passed on: PR_SET_CHILD_SUBREAPER(2const)."""
    result = _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    syscalls.checked("prctl", result, _Symbol("PR_SET_CHILD_SUBREAPER"), 1)


# ---------------------------------------------------------------- capabilities and rights


def in_bounding_set(capability: int) -> bool:
    """Whether a capability can still be gained by execve(2): PR_CAPBSET_READ(2const). EINVAL beyond the last."""
    result = _libc.prctl(PR_CAPBSET_READ, capability, 0, 0, 0)
    return bool(syscalls.checked("prctl", result, _Symbol("PR_CAPBSET_READ"), capability))


def drop_from_bounding_set(capability: int) -> None:
    """Let execve(2) never give a capability again: PR_CAPBSET_DROP(2const)."""
    result = _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    syscalls.checked("prctl", result, _Symbol("PR_CAPBSET_DROP"), capability)


def keep_capabilities(keep: bool) -> None:
    """Whether the permitted set outlives the change to an ordinary user: PR_SET_KEEPCAPS(2const)."""
    result = _libc.prctl(PR_SET_KEEPCAPS, int(keep), 0, 0, 0)
    syscalls.checked("prctl", result, _Symbol("PR_SET_KEEPCAPS"), int(keep))


def capget() -> tuple[int, int, int]:
    """Our effective, permitted and inheritable capabilities, a bit each: capget(2)."""
    words = (ctypes.c_uint32 * 6)()
    header = _CapabilityHeader(version=CAPABILITY_VERSION_3)
    syscalls.checked("capget", _libc.capget(ctypes.byref(header), words))
    effective, permitted, inheritable = (words[place] | words[place + 3] << 32 for place in range(3))
    return effective, permitted, inheritable


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set our capabilities, a bit each: capset(2)."""
    halves = [(value >> shift) & 0xFFFFFFFF for shift in (0, 32) for value in (effective, permitted, inheritable)]
    header = _CapabilityHeader(version=CAPABILITY_VERSION_3)
    result = _libc.capset(ctypes.byref(header), (ctypes.c_uint32 * 6)(*halves))
    syscalls.checked("capset", result, *(_Symbol(f"{value:#x}") for value in (effective, permitted, inheritable)))


def set_owner_of_new_files(uid: int, gid: int) -> None:
    """Who the files belong to that we make, and whose rights to files we have; capabilities for files go: setfsuid(2).

    The call never fails, it only does nothing."""
    _libc.setfsgid(gid)
    _libc.setfsuid(uid)
    syscalls.checked("setfsuid", 0 if _libc.setfsuid(uid) == uid else -1, uid)


def set_ambient(capabilities: Iterable[int]) -> None:
    """The capabilities that outlive execve(2) without any on the file, and no others: PR_CAP_AMBIENT(2const)."""
    result = _libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    syscalls.checked("prctl", result, _Symbol("PR_CAP_AMBIENT"), _Symbol("PR_CAP_AMBIENT_CLEAR_ALL"))
    for capability in capabilities:
        result = _libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)
        syscalls.checked("prctl", result, _Symbol("PR_CAP_AMBIENT"), _Symbol("PR_CAP_AMBIENT_RAISE"), capability)


def set_no_new_privileges() -> None:
    """Let execve(2) give no rights that we do not have, for good: PR_SET_NO_NEW_PRIVS(2const)."""
    result = _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    syscalls.checked("prctl", result, _Symbol("PR_SET_NO_NEW_PRIVS"), 1)


def seccomp_filter(program: bytes, flags: int) -> int:
    """Have each of our system calls judged by a BPF program, for good: seccomp(2), SECCOMP_SET_MODE_FILTER.

    program: the instructions, 8 bytes each; flags: SECCOMP_FILTER_FLAG_*.
    Returns 0, or the descriptor of notifications if flags ask for one.
    """
    wanted = _Program(length=len(program) // 8, instructions=program)
    mode = (ctypes.c_uint(SECCOMP_SET_MODE_FILTER), ctypes.c_uint(flags))
    result = _libc.syscall(_NUMBERS["seccomp"], *mode, ctypes.byref(wanted))
    shown = (_Symbol("SECCOMP_SET_MODE_FILTER"), flags, _Symbol(f"{wanted.length} instructions"))
    return syscalls.checked("seccomp", result, *shown)


def join_session_keyring() -> None:
    """Leave our session keyring for a new one without a name: keyctl_join_session_keyring(3). ENOSYS if the kernel has
    no keyrings."""
    result = _libc.syscall(_NUMBERS["keyctl"], ctypes.c_int(KEYCTL_JOIN_SESSION_KEYRING), None)
    syscalls.checked("keyctl", result, _Symbol("KEYCTL_JOIN_SESSION_KEYRING"), None)


# ---------------------------------------------------------------- limits and scheduling


def get_limit(pid: int, resource: int) -> tuple[int, int]:
    """The soft and the hard limit of a process, 0 for our own: getrlimit(2)."""
    found = _Limit()
    result = _libc.prlimit64(pid, resource, None, ctypes.byref(found))
    syscalls.checked("prlimit", result, pid, resource, None)
    return found.soft, found.hard


def set_limit(pid: int, resource: int, name: str, soft: int, hard: int) -> None:
    """Set the soft and the hard limit of a process, 0 for our own: prlimit(2). name: for the observer."""
    result = _libc.prlimit64(pid, resource, ctypes.byref(_Limit(soft=soft, hard=hard)), None)
    syscalls.checked("prlimit", result, pid, _Symbol(name), _Symbol(f"{{{soft}, {hard}}}"))


def sched_setattr(pid: int, policy: int, flags: int, nice: int, priority: int, times: tuple[int, int, int]) -> None:
    """How a process gets its share of the processors: sched_setattr(2). times: runtime, deadline, period in ns."""
    size = ctypes.sizeof(_SchedulingAttributes)
    wanted = _SchedulingAttributes(size, policy, flags, nice, priority, *times)
    result = _libc.syscall(_NUMBERS["sched_setattr"], ctypes.c_int(pid), ctypes.byref(wanted), ctypes.c_uint(0))
    syscalls.checked("sched_setattr", result, pid, policy, flags, nice, priority, *times)


def sched_setaffinity(pid: int, cpus: Iterable[int]) -> None:
    """The processors on which a process may run, 0 for our own: sched_setaffinity(2)."""
    mask = sum(1 << cpu for cpu in cpus)
    octets = mask.to_bytes((mask.bit_length() + 63) // 64 * 8, "little")
    result = _libc.sched_setaffinity(pid, len(octets), octets)
    syscalls.checked("sched_setaffinity", result, pid, _Symbol(f"{mask:#x}"))


def ioprio_set(pid: int, kind: int, level: int) -> None:
    """Whose reads and writes come first: ioprio_set(2). kind: IOPRIO_CLASS_*; level: 0 (first) to 7 of its kind."""
    value = kind << IOPRIO_CLASS_SHIFT | level
    result = _libc.syscall(_NUMBERS["ioprio_set"], *map(ctypes.c_int, (IOPRIO_WHO_PROCESS, pid, value)))
    syscalls.checked("ioprio_set", result, _Symbol("IOPRIO_WHO_PROCESS"), pid, _Symbol(f"{value:#x}"))


def set_mempolicy(mode: int, nodes: Iterable[int]) -> None:
    """From which nodes our memory comes, and that of the children to come: set_mempolicy(2). ENOSYS if the kernel knows
    no nodes. mode: MPOL_*, with flags."""
    mask = sum(1 << node for node in nodes)
    words = (mask.bit_length() + 63) // 64
    octets = mask.to_bytes(words * 8, "little") if mask else None
    size = ctypes.c_ulong(words * 64 + 1 if mask else 0)  # the kernel takes one less
    result = _libc.syscall(_NUMBERS["set_mempolicy"], ctypes.c_int(mode), octets, size)
    syscalls.checked("set_mempolicy", result, _Symbol(f"{mode:#x}"), _Symbol(f"{mask:#x}"))


def personality(domain: int) -> None:
    """Which system the kernel plays for us: personality(2)."""
    syscalls.checked("personality", _libc.personality(domain), _Symbol(f"{domain:#x}"))
