"""Keys that the kernel keeps for a session, such as those of encrypted directories: keyrings(7). Book section 7.3."""

from __future__ import annotations

import errno

from ch02_namespaces.errors import SyscallError
from ch03_run.container import Container, Part
from final.runtime import kernel


class SessionKeyring(Part):
    """A session keyring of its own: with the caller's, the container could read and use the keys of whoever started it.

    Keyrings know no namespaces; that of a session is passed on to all children.
    """

    section = "7.3"

    def enter(self, container: Container) -> None:
        try:
            kernel.join_session_keyring()
        except SyscallError as error:
            if error.errno != errno.ENOSYS:  # a kernel without keyrings has no keys
                raise
