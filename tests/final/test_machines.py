"""What differs between x86-64 and arm64, on either of them: numbers of system calls, as libseccomp knows them."""

from __future__ import annotations

import errno
import struct

import pytest

from ch02_namespaces import syscalls
from ch04_images import sealed
from final.runtime import device_program, kernel, seccomp_unknown
from final.runtime.libseccomp import load_library

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # linux/audit.h
EVERYWHERE = {
    "clone3": syscalls.SYS_CLONE3,
    "pidfd_send_signal": syscalls.SYS_PIDFD_SEND_SIGNAL,
    "close_range": syscalls.SYS_CLOSE_RANGE,
    "openat2": syscalls.SYS_OPENAT2,
    "open_tree": syscalls.SYS_OPEN_TREE,
    "move_mount": syscalls.SYS_MOVE_MOUNT,
    "fsopen": syscalls.SYS_FSOPEN,
    "fsconfig": syscalls.SYS_FSCONFIG,
    "fsmount": syscalls.SYS_FSMOUNT,
    "mount_setattr": syscalls.SYS_MOUNT_SETATTR,
}
BY_MACHINE = {
    "clone": syscalls.SYS_CLONE,
    "pivot_root": syscalls.SYS_PIVOT_ROOT,
    "rt_sigaction": syscalls.SYS_RT_SIGACTION,
    "bpf": device_program.SYS_BPF,
}
ALLOWED, NO_SUCH_CALL = 0x7FFF0000, 0x00050000 | errno.ENOSYS  # linux/seccomp.h


def number(machine: str, name: str) -> int:
    return int(load_library().seccomp_syscall_resolve_name_arch(ARCHITECTURES[machine], name.encode()))


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_numbers_of_calls(machine: str) -> None:
    ours = {
        **EVERYWHERE,
        **{name: numbers[machine] for name, numbers in BY_MACHINE.items()},
        **kernel.NUMBERS[machine],
    }
    assert ours == {name: number(machine, name) for name in ours}


def test_before_anything_is_imported() -> None:
    assert sealed.SYS_OPEN_TREE == syscalls.SYS_OPEN_TREE
    assert sealed.SYS_MOUNT_SETATTR == syscalls.SYS_MOUNT_SETATTR


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_calls_that_a_profile_does_not_know(machine: str) -> None:
    """What comes before the filter, on the numbers of each machine: openat2 is the last one that is named."""
    other = {"x86_64": "aarch64", "aarch64": "x86_64"}[machine]
    last = number(machine, "openat2")
    program = seccomp_unknown.program({ARCHITECTURES[machine]: last})
    allow = seccomp_unknown.instruction(seccomp_unknown.RETURN, ALLOWED)
    answers = [judge(program + allow, ARCHITECTURES[machine], call) for call in (0, last, last + 1, 100_000)]
    assert answers == [ALLOWED, ALLOWED, NO_SUCH_CALL, NO_SUCH_CALL]
    assert judge(program + allow, ARCHITECTURES[other], 100_000) == ALLOWED


def judge(program: bytes, architecture: int, call: int) -> int:
    """What the kernel's BPF machine would return, for the few instructions that we use: linux/bpf_common.h."""
    data = {seccomp_unknown.NUMBER: call, seccomp_unknown.ARCHITECTURE: architecture}
    instructions = list(struct.iter_unpack("=HBBI", program))
    place = word = 0
    while True:
        code, then, otherwise, value = instructions[place]
        place += 1
        if code == seccomp_unknown.RETURN:
            return int(value)
        if code == seccomp_unknown.LOAD:
            word = data[value]
            continue
        holds = {
            seccomp_unknown.JUMP_IF_EQUAL: word == value,
            seccomp_unknown.JUMP_IF_MORE: word > value,
            seccomp_unknown.JUMP_IF_NOT_LESS: word >= value,
        }[code]
        place += then if holds else otherwise
