"""Rules about system calls, compiled into a program for the kernel's BPF machine. Book section 7.3.

OCI runtime-spec, config-linux.md, "Seccomp". The compiler is libseccomp: it knows the numbers of the calls on every
machine. seccomp_init(3), seccomp_rule_add(3), seccomp_export_bpf(3).
"""

from __future__ import annotations

import ctypes
import errno
import os

from ch07_practice.oci.document import Node
from final.runtime import seccomp_unknown
from final.runtime.libseccomp import Condition, load_library, version

# seccomp.h of libseccomp
ALLOW, NOTIFY = "SCMP_ACT_ALLOW", "SCMP_ACT_NOTIFY"
ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    NOTIFY: 0x7FC00000,
    ALLOW: 0x7FFF0000,
}
PERMISSIVE = (ALLOW, "SCMP_ACT_LOG", "SCMP_ACT_TRACE")
WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
LARGEST_ERRNO = 4094  # the library takes no larger one
OPERATORS = (  # in the order of their numbers, which begin at 1
    *("SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT"),
    "SCMP_CMP_MASKED_EQ",
)
ARCHITECTURES = [
    f"SCMP_ARCH_{name}"
    for name in (
        *("X86", "X86_64", "X32", "ARM", "AARCH64", "MIPS", "MIPS64", "MIPS64N32", "MIPSEL", "MIPSEL64", "MIPSEL64N32"),
        *("PPC", "PPC64", "PPC64LE", "S390", "S390X", "PARISC", "PARISC64", "RISCV64", "LOONGARCH64", "M68K", "SH"),
        "SHEB",
    )
]
FIELDS = ("defaultAction", "defaultErrnoRet", "architectures", "syscalls")
FLTATR_CTL_OPTIMIZE, BINARY_TREE = 8, 2
MANY_CALLS = 32
NO_SUCH_CALL = -1
LAST_ARGUMENT = 5
INSTRUCTION = 8  # bytes
MOST_INSTRUCTIONS = 4096  # BPF_MAXINSNS, linux/bpf_common.h
HANDING_OVER = ("sendmsg", "close")
"""What the container's process does between loading the filter and having told the listener: none may ask him."""


class Rule:
    """One entry of linux.seccomp.syscalls. Raises EngineError for one that makes no sense."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.names = node["names"].texts()
        if not self.names:
            raise node["names"].wrong("it is empty")
        self.action = _action(node["action"], node["errnoRet"])
        if self.action == ACTIONS[NOTIFY]:
            for name in node["names"].items():
                if name.value in HANDING_OVER:
                    raise name.wrong(
                        f"{NOTIFY} cannot be for {name.value}: the listener is told of itself by this call"
                    )
        self.conditions = [
            Condition(
                item["index"].number(most=LAST_ARGUMENT),
                OPERATORS.index(item["op"].one_of(OPERATORS)) + 1,
                item["value"].number(),
                item["valueTwo"].number(0),
            )
            for item in node["args"].items()
        ]

    def alternatives(self) -> list[list[Condition]]:
        """Sets of conditions, of which one must hold as a whole. Usually that is one set.

        Two conditions on the same argument can't be in one set: then each is a set by itself, as runc has it.
        """
        arguments = {condition.argument for condition in self.conditions}
        if len(arguments) < len(self.conditions):
            return [[condition] for condition in self.conditions]
        return [self.conditions]


class Filter:
    """linux.seccomp without what is about loading. Raises EngineError for one that makes no sense."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._default = _action(node["defaultAction"], node["defaultErrnoRet"])
        if self._default == ACTIONS[NOTIFY]:
            raise node["defaultAction"].wrong(f"{NOTIFY} cannot be for all calls", "in `syscalls`, for some")
        self._architectures = node["architectures"].items()
        for architecture in self._architectures:
            architecture.one_of(ARCHITECTURES)
        self._rules = [Rule(item) for item in node["syscalls"].items()]

    @property
    def notifies(self) -> bool:
        """Whether some calls are for a listener to decide."""
        return any(rule.action == ACTIONS[NOTIFY] for rule in self._rules)

    def source(self) -> bytes:
        """All that the program depends on. Raises EngineError."""
        fields = {name: self._node[name].value for name in FIELDS}
        return repr((version(load_library()), fields)).encode()

    def compile(self) -> bytes:
        """The program, for this machine and for the architectures listed. Raises EngineError."""
        library = load_library()
        architectures = [library.seccomp_arch_native(), *(_number(library, node) for node in self._architectures)]
        program = self._program_for_unknown(library, architectures) + self._compile(library, architectures)
        if len(program) > MOST_INSTRUCTIONS * INSTRUCTION:
            raise self._node.wrong(f"the filter is larger than {MOST_INSTRUCTIONS} instructions")
        return program

    def _program_for_unknown(self, library: ctypes.CDLL, architectures: list[int]) -> bytes:
        """What comes before, unless the default lets calls pass that nobody knew of."""
        if self._node["defaultAction"].value in PERMISSIVE:
            return b""
        names = {name.encode() for rule in self._rules for name in rule.names}
        last_calls = {}
        for architecture in architectures:
            numbers = [library.seccomp_syscall_resolve_name_arch(architecture, name) for name in names]
            if (last := max(numbers, default=NO_SUCH_CALL)) > 0:  # negative ones are not of this architecture
                last_calls[architecture] = last
        return seccomp_unknown.program(last_calls)

    def _compile(self, library: ctypes.CDLL, architectures: list[int]) -> bytes:
        context = library.seccomp_init(self._default)
        if not context:
            raise self._node["defaultAction"].wrong("libseccomp, or this kernel, does not have this action")
        try:
            self._add_architectures(library, context, architectures)
            if sum(len(rule.names) for rule in self._rules) > MANY_CALLS:
                library.seccomp_attr_set(context, FLTATR_CTL_OPTIMIZE, BINARY_TREE)  # if it can: the same, but faster
            for rule in self._rules:
                self._add_rule(library, context, rule)
            return self._export(library, context)
        finally:
            library.seccomp_release(context)

    def _add_architectures(self, library: ctypes.CDLL, context: int, architectures: list[int]) -> None:
        """All but this machine's, which is there already."""
        for node, architecture in zip(self._architectures, architectures[1:], strict=True):
            _check(node, library.seccomp_arch_add(context, architecture), allowed=errno.EEXIST)

    def _add_rule(self, library: ctypes.CDLL, context: int, rule: Rule) -> None:
        if rule.action == self._default:
            return  # the library refuses what says nothing
        for name in rule.names:
            call = library.seccomp_syscall_resolve_name(name.encode())
            if call == NO_SUCH_CALL:
                continue  # profiles are written for many kernels
            for conditions in rule.alternatives():
                array = (Condition * len(conditions))(*conditions)
                _check(rule.node, library.seccomp_rule_add_array(context, rule.action, call, len(array), array))

    def _export(self, library: ctypes.CDLL, context: int) -> bytes:
        file = os.memfd_create("filter", os.MFD_CLOEXEC)
        try:
            _check(self._node, library.seccomp_export_bpf(context, file))
            program = os.pread(file, os.fstat(file).st_size, 0)
        finally:
            os.close(file)
        return program


def _number(library: ctypes.CDLL, node: Node) -> int:
    """An architecture's number. Raises EngineError."""
    number: int = library.seccomp_arch_resolve_name(node.text().removeprefix("SCMP_ARCH_").lower().encode())
    if not number:
        raise node.wrong(f"this version of libseccomp does not know {node.value}")
    return number


def _action(node: Node, errno_node: Node) -> int:
    name = node.one_of(ACTIONS)
    if name in WITH_ERRNO:
        return ACTIONS[name] | errno_node.number(errno.EPERM, most=LARGEST_ERRNO)
    if errno_node:
        raise errno_node.wrong(f"{name} returns none", " and ".join(WITH_ERRNO) + " do")
    return ACTIONS[name]


def _check(node: Node, result: int, allowed: int = 0) -> None:
    """libseccomp returns a negative errno."""
    if result < 0 and -result != allowed:
        raise node.wrong(f"libseccomp refuses it: {os.strerror(-result)}")
