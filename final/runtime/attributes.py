"""The parts that change nothing but the process itself, also of one that `exec` starts. Book section 7.3.

What would take away rights that others need comes last, and the user last of all, with one exception: a process that
may gain no privileges needs none to load a seccomp filter, so that it comes even later, and judges fewer calls of ours.
"""

from __future__ import annotations

from ch03_run.container import Part
from ch07_practice.oci.document import Node
from final.runtime import optional
from final.runtime.capabilities import Credentials
from final.runtime.keyring import SessionKeyring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def attributes_of(
    described: Node, linux: Node, state_of: Callable[[int], dict[str, Any]], root: str, keeps_keyring: bool = False
) -> list[Part]:
    """In their order. described: the document of the process; state_of: of a container whose process has this pid;
    root: where the runtime keeps its containers; keeps_keyring: whether the caller's keys are the process's, too.

    Raises EngineError.
    """
    seccomp = optional.seccomp(linux["seccomp"], state_of, root)
    gains_nothing = described["noNewPrivileges"].flag()
    return [
        *([] if keeps_keyring else [SessionKeyring()]),
        *optional.home(described),
        *optional.scheduling(described),
        *optional.memory_policy(linux["memoryPolicy"]),
        *optional.personality(linux["personality"]),
        *optional.no_new_privileges(described["noNewPrivileges"]),
        *optional.resource_limits(described["rlimits"]),
        *([] if gains_nothing else seccomp),
        Credentials(described),
        *(seccomp if gains_nothing else []),
    ]
