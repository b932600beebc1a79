"""Which devices the container's processes may use: linux.resources.devices. Book section 7.3.

OCI runtime-spec, config-linux.md, "Allowed Device list". The rules are applied in their order, on a list that allows
nothing; the devices that every container has are allowed at the end, as runc does.
"""

from __future__ import annotations

import os

from ch02_namespaces import cgroup_v1, cgroup_v2, syscalls
from ch02_namespaces.cgroups import Cgroup
from ch03_run.container import Container, Part
from ch04_images.filesystems import NODES
from ch07_practice.oci.document import Node
from final.runtime.devices import LARGEST_MAJOR, LARGEST_MINOR

KINDS = ("a", "b", "c")
ACCESS = "rwm"
TERMINALS = ((5, 1), (5, 2), (136, None))  # console, ptmx, pts/*


class Rule:
    """allowed; kind: c, b, or a for both; major, minor: None is any; access: of the letters r, w and m (mknod)."""

    def __init__(self, allowed: bool, kind: str, major: int | None, minor: int | None, access: str) -> None:
        self.allowed = allowed
        self.kind = kind
        self.major = major
        self.minor = minor
        self.access = access

    @property
    def is_everything(self) -> bool:
        """Whether it is about all that there is, and so replaces the whole list."""
        return (self.kind, self.major, self.minor, set(self.access)) == ("a", None, None, set(ACCESS))

    def line(self) -> str:
        """As devices.allow and devices.deny of version 1 have it."""
        major, minor = ("*" if number is None else number for number in (self.major, self.minor))
        return f"{self.kind} {major}:{minor} {self.access}"

    def parts(self) -> list[Rule]:
        """The same, one rule for each kind of device and each letter of its access."""
        kinds = "bc" if self.kind == "a" else self.kind
        return [Rule(self.allowed, kind, self.major, self.minor, letter) for kind in kinds for letter in self.access]

    def covers(self, other: Rule) -> bool:
        """Whether it is about all that another one is about. Both are parts."""
        pairs = ((self.major, other.major), (self.minor, other.minor))
        return (self.kind, self.access) == (other.kind, other.access) and all(
            mine in (None, its) for mine, its in pairs
        )

    def overlaps(self, other: Rule) -> bool:
        """Whether there is a device that both are about. Both are parts."""
        pairs = ((self.major, other.major), (self.minor, other.minor))
        same_numbers = all(None in pair or pair[0] == pair[1] for pair in pairs)
        return same_numbers and (self.kind, self.access) == (other.kind, other.access)


def rules_of(listed: Node) -> list[Rule]:
    """The rules of the document, and at the end those that every container has. Raises EngineError."""
    return [*map(rule_of, listed.items()), *default_rules()]


def rule_of(node: Node) -> Rule:
    """One rule of the document. -1 is any number, too. Raises EngineError."""
    if not node["allow"]:
        raise node["allow"].wrong("it is missing")
    access = node["access"].text(ACCESS) or ACCESS
    if not set(access) <= set(ACCESS):
        raise node["access"].wrong(f"{access!r} has other letters than r, w and m")
    kind = node["type"].one_of(KINDS, "a")
    major, minor = _number(node["major"], LARGEST_MAJOR), _number(node["minor"], LARGEST_MINOR)
    if kind == "a" and (major, minor) != (None, None):
        raise node.wrong("a rule for all kinds of devices takes no numbers", "type c or b")
    return Rule(node["allow"].flag(), kind, major, minor, access)


def _number(node: Node, most: int) -> int | None:
    found = node.number(-1, least=-1, most=most)
    return None if found < 0 else found


def default_rules() -> list[Rule]:
    """To make any device file harms nobody; to use those that every container has, neither."""
    making = [Rule(True, kind, None, None, "m") for kind in "cb"]
    return making + [Rule(True, "c", major, minor, ACCESS) for major, minor in (*NODES.values(), *TERMINALS)]


class DeviceRules(Part):
    """The rules, in the container's cgroup: written on version 1, a program on version 2.

    It comes right after the part that makes the group, before any process is in it.
    """

    section = "7.3"

    def __init__(self, listed: Node, group: Cgroup) -> None:
        self._rules = rules_of(listed)
        self._node = listed
        self._group = group

    def prepare(self, container: Container) -> None:
        if (
            os.geteuid() != 0 or syscalls.in_user_namespace()
        ):  # only the machine's root may; else their files' modes rule
            return
        for hierarchy in self._group.hierarchies:
            if hierarchy.version is cgroup_v1 and "devices" in hierarchy.controllers:
                write(self._rules, self._group.directory("devices"), self._node)
                return
        if self._group.hierarchies and self._group.hierarchies[0].version is cgroup_v2:
            from final.runtime import device_program

            loaded = device_program.load(device_program.program(self._rules))
            device_program.attach(loaded, self._group.directory())
            os.close(loaded)
        elif self._node:
            raise self._node.wrong("no cgroup of this machine controls devices", "`doctor` lists the controllers")


def write(rules: list[Rule], directory: str, node: Node) -> None:
    """Write rules into a group of version 1. Raises EngineError for what its list cannot hold."""
    answer, exceptions = with_exceptions(rules, node)
    syscalls.write_file(f"{directory}/devices.{'allow' if answer else 'deny'}", "a")
    for rule in exceptions:
        syscalls.write_file(f"{directory}/devices.{'allow' if rule.allowed else 'deny'}", rule.line())


def with_exceptions(rules: list[Rule], node: Node) -> tuple[bool, list[Rule]]:
    """The rules as version 1 can keep them: one answer, and a list of exceptions to it.

    It has no exceptions to exceptions, such as one number refused of a range that is allowed; the kernel would leave
    out a part without a word. Raises EngineError for rules that need one.
    """
    answer, exceptions = False, list[Rule]()
    for rule in rules:
        if rule.is_everything:
            answer, exceptions = rule.allowed, []
            continue
        for part in rule.parts():
            if part.allowed != answer:
                exceptions.append(part)
                continue
            exceptions = [known for known in exceptions if not part.covers(known)]
            if any(part.overlaps(known) for known in exceptions):
                word = "allow" if part.allowed else "deny"
                raise node.wrong(f"cgroup version 1 cannot {word} {part.line()!r} alone within a wider rule")
    return answer, exceptions
