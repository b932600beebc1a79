"""Which devices a cgroup's processes may use, on version 2: a small program that the kernel asks. Book section 7.3.

Version 2 has no files for this. The kernel runs a program at each open(2) and mknod(2) of a device; its answer decides:
bpf(2), BPF_PROG_TYPE_CGROUP_DEVICE; Documentation/admin-guide/cgroup-v2.rst, "Device controller".
"""

from __future__ import annotations

import ctypes
import os
import struct

from ch02_namespaces.errors import SyscallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from final.runtime.device_rules import Rule

# linux/bpf.h
SYS_BPF = {"x86_64": 321, "aarch64": 280}
PROG_LOAD, PROG_ATTACH = 5, 8
PROG_TYPE_CGROUP_DEVICE = 15
CGROUP_DEVICE = 6
ALLOW_MULTI = 2
KINDS = {"b": 1, "c": 2}
ACCESS = {"m": 1, "r": 2, "w": 4}

LICENSE = b"Apache-2.0"

# Registers. ASKED: what is asked for and not allowed yet.
ANSWER, QUESTION, KIND, ASKED, MAJOR, MINOR = range(6)
LOAD_WORD, MOVE, AND, SHIFT_RIGHT, EXIT = 0x61, 0xB4, 0x54, 0x74, 0x95
JUMP, JUMP_UNLESS_EQUAL, JUMP_IF_ANY = 0x05, 0x56, 0x46

_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long


def instruction(code: int, register: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    """struct bpf_insn: what to do, with which registers, how far to jump, a number."""
    return struct.pack("=BBhi", code, register | source << 4, offset, value)


def answer(allowed: bool) -> bytes:
    """The program's end: 1 allows, 0 refuses (EPERM)."""
    return instruction(MOVE, ANSWER, value=int(allowed)) + instruction(EXIT)


def program(rules: Sequence[Rule]) -> bytes:
    """The instructions for a list of rules, of which a later one has the last word.

    They are tried from the last to the first, on what struct bpf_cgroup_dev_ctx asks for: each allowed bit (mknod,
    read, write) is struck off; when none is left, the answer is yes; a refused one that is still there makes it no.
    """
    code = b"".join(
        (
            instruction(LOAD_WORD, KIND, QUESTION, 0),
            instruction(LOAD_WORD, ASKED, QUESTION, 0),
            instruction(AND, KIND, value=0xFFFF),
            instruction(SHIFT_RIGHT, ASKED, value=16),
            instruction(LOAD_WORD, MAJOR, QUESTION, 4),
            instruction(LOAD_WORD, MINOR, QUESTION, 8),
        )
    )
    return code + b"".join(map(block, reversed(rules))) + answer(False)


def block(rule: Rule) -> bytes:
    """The instructions of one rule; what does not match jumps behind them."""
    bits = sum(ACCESS[letter] for letter in rule.access)
    if rule.allowed:
        verdict = instruction(AND, ASKED, value=~bits) + instruction(JUMP_UNLESS_EQUAL, ASKED, offset=2) + answer(True)
    else:
        ask = instruction(JUMP_IF_ANY, ASKED, offset=1, value=bits)
        verdict = ask + instruction(JUMP, offset=2) + answer(False)
    wanted = [(KIND, KINDS.get(rule.kind)), (MAJOR, rule.major), (MINOR, rule.minor)]
    conditions = [(register, value) for register, value in wanted if value is not None]
    length = len(verdict) // 8
    tests = [
        instruction(JUMP_UNLESS_EQUAL, register, offset=length + len(conditions) - number - 1, value=value)
        for number, (register, value) in enumerate(conditions)
    ]
    return b"".join(tests) + verdict


def load(code: bytes) -> int:
    """Give a program to the kernel, which checks it; a descriptor of it. Raises SyscallError."""
    instructions, license = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(LICENSE)
    places = ctypes.addressof(instructions), ctypes.addressof(license)
    attributes = struct.pack("=IIQQ", PROG_TYPE_CGROUP_DEVICE, len(code) // 8, *places)
    hint = "a kernel with CONFIG_CGROUP_BPF, and CAP_BPF with CAP_NET_ADMIN, or CAP_SYS_ADMIN, are needed"
    return _bpf("BPF_PROG_LOAD", PROG_LOAD, attributes, hint)


def attach(loaded: int, directory: str) -> None:
    """Have a cgroup of version 2 ask a program, besides those that it and the groups above ask already: all must agree.

    Raises SyscallError.
    """
    group = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _bpf("BPF_PROG_ATTACH", PROG_ATTACH, struct.pack("=IIII", group, loaded, CGROUP_DEVICE, ALLOW_MULTI))
    finally:
        os.close(group)


def _bpf(name: str, command: int, attributes: bytes, hint: str = "") -> int:
    buffer = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    result: int = _syscall(SYS_BPF[os.uname().machine], command, buffer, ctypes.c_size_t(128))
    if result == -1:
        raise SyscallError(f"bpf({name})", ctypes.get_errno(), hint)
    return result
