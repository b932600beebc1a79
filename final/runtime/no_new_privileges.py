"""No program that the command starts gets more rights than it: no set-user-ID, no file capabilities. Book section 7.3.

OCI runtime-spec, config.md, "Linux Process"; Documentation/userspace-api/no_new_privs.rst of the kernel.
"""

from __future__ import annotations

from ch03_run.container import Container, Part
from ch07_practice.oci.document import Node
from final.runtime import kernel


class NoNewPrivileges(Part):
    """process.noNewPrivileges: from now on, for good."""

    section = "7.3"

    def __init__(self, node: Node) -> None:
        self._wanted = node.flag()

    def enter(self, container: Container) -> None:
        if self._wanted:
            kernel.set_no_new_privileges()
