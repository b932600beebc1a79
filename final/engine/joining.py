"""The part that brings one more process into a container: `exec` and health checks begin with it. Book section 5.4."""

from __future__ import annotations

from ch05_lifecycle.execute import JoinNamespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch05_lifecycle.store import Stored


def join(stored: Stored) -> JoinNamespaces:
    """With --userns=auto, it comes as one of the container's own users."""
    if not stored.settings.get("users"):
        return JoinNamespaces(stored)
    from final.engine.mapped_users import JoinMapped  # it needs all that mounts

    return JoinMapped(stored)
