"""Whom the kernel kills first when memory runs out: proc_pid_oom_score_adj(5). Book section 7.3.

OCI runtime-spec, config.md, "Linux Process".
"""

from __future__ import annotations

import errno

from ch02_namespaces import syscalls
from ch02_namespaces.errors import SyscallError
from ch03_run.container import Container, Part
from ch07_practice.oci.document import Node

LEAST, MOST = -1000, 1000


class OomScore(Part):
    """process.oomScoreAdj: from -1000, never, to 1000, at once. Set from outside, which may have the right to lower it.

    Without a value, the process has the runtime's.
    """

    section = "7.3"

    def __init__(self, node: Node) -> None:
        self._node = node
        self._score = node.number(least=LEAST, most=MOST)

    def attach(self, container: Container) -> None:
        assert container.process is not None
        try:
            syscalls.write_file(f"/proc/{container.process.pid}/oom_score_adj", str(self._score))
        except SyscallError as error:
            lowered = error.errno == errno.EACCES
            raise self._node.wrong(error.why, "lowering it takes CAP_SYS_RESOURCE" if lowered else "") from None
