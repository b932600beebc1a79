"""The part that says who a process is: by names of the image's own files, and with which rights. Book section 4.1.2."""

from __future__ import annotations

import os

from ch03_run.container import Container
from ch04_images.user import find_group, identity_of
from ch07_practice.oci.document import Node
from final.runtime.capabilities import Credentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class ImageUser(Credentials):
    """The user by the names of the image, and his rights. groups: --group-add. sets_home: nobody else gave HOME. So it
    is with HOSTNAME, if it is missing: that of the container."""

    def __init__(self, process: Node, user: str, groups: Sequence[str], sets_home: bool) -> None:
        super().__init__(process)
        self._text = user
        self._more = groups
        self._sets_home = sets_home

    def enter(self, container: Container) -> None:
        identity = identity_of(self._text)
        self._uid, self._gid = identity.uid, identity.gid
        self._groups = list(dict.fromkeys([*identity.all_groups(), *map(find_group, self._more)]))
        environment = container.command.environment
        if self._sets_home:
            environment[b"HOME"] = os.fsencode(identity.home)
        environment.setdefault(b"HOSTNAME", os.fsencode(os.uname().nodename))
        super().enter(container)
