"""A 64-bit kernel that plays a 32-bit one: personality(2). Book section 7.3.

OCI runtime-spec, config-linux.md, "Personality".
"""

from __future__ import annotations

from ch03_run.container import Container, Part
from ch07_practice.oci.document import Node
from final.runtime import kernel

DOMAINS = {"LINUX": 0x0000, "LINUX32": 0x0008}  # linux/personality.h


class Personality(Part):
    """linux.personality: under LINUX32, uname(2) says i686 where the machine is an x86_64."""

    section = "7.3"

    def __init__(self, node: Node) -> None:
        self._domain = DOMAINS[node["domain"].one_of(DOMAINS)]
        for flag in node["flags"].items():
            raise flag.wrong(f"{flag.text()!r} is not known: the specification has no flags yet")

    def enter(self, container: Container) -> None:
        kernel.personality(self._domain)
