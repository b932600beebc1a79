"""HOME, where nobody gave one: the user's own, as the container's /etc/passwd has it. Book section 7.3.

The specification does not ask for it; but runc does it, and so docker leaves it to its runtime.
"""

from __future__ import annotations

import os

from ch03_run.container import Container, Part
from ch04_images.user import home_of
from ch07_practice.oci.document import Node


class Home(Part):
    """It is looked up inside, for another may have the number outside."""

    section = "7.3"

    def __init__(self, user: Node) -> None:
        self._uid = user["uid"].number(0)

    def enter(self, container: Container) -> None:
        container.command.environment[b"HOME"] = os.fsencode(home_of(self._uid))
