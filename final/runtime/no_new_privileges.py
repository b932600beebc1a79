"""No program that the command starts gets more rights than it: no set-user-ID, no file capabilities. Book section 7.3.

OCI runtime-spec, config.md, "Linux Process"; Documentation/userspace-api/no_new_privs.rst of the kernel.
"""

from __future__ import annotations

from ch03_run.container import Container, Part
from final.runtime import kernel


class NoNewPrivileges(Part):
    """process.noNewPrivileges: from now on, for good."""

    section = "7.3"

    def enter(self, container: Container) -> None:
        kernel.set_no_new_privileges()
