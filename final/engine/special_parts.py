"""Parts for what most containers do without: each function gives those for one wish. See final/runtime/optional.py.

A module is imported only for a container that needs it.
"""

from __future__ import annotations

from ch03_run.container import Part
from ch04_images.rootfs import DRIVERS
from ch07_practice.oci.mounts import Sources
from final.engine import health_check, user_ranges
from final.engine.part_list import one_of, replace
from final.runtime.mapped_mounts import MappedMounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch05_lifecycle.lifecycle import KeptDirectory
    from ch05_lifecycle.store import Stored
    from ch05_lifecycle.streams import LoggedStreams
    from ch07_practice.oci.bundle import Bundle
    from ch07_practice.oci.namespaces import Namespaces


def union(stored: Stored, directory: KeptDirectory) -> Part:
    """What mounts its layers and its own: with --userns=auto, as its own users see them."""
    users = user_ranges.of(stored)
    if users is None:
        return DRIVERS[directory.driver](directory)
    from final.engine.mapped_users import MappedOverlay

    return MappedOverlay(directory, users)


def streams(stored: Stored) -> LoggedStreams | None:
    """With --userns=auto and without a terminal: streams that its own users may open anew."""
    users = user_ranges.of(stored)
    if users is None or stored.settings["tty"]:
        return None
    from final.engine.mapped_users import MappedStreams

    return MappedStreams(stored.record.path("stdin") if stored.settings["interactive"] else None, users)


def find_sub_paths(stored: Stored, parts: list[Part], bundle: Bundle, own: Namespaces) -> None:
    """If it wants but a part of a volume: among the runtime's parts, let the one that opens the sources find it."""
    wanted = [mount for mount in stored.settings["mounts"] if "subpath" in mount]
    if wanted:
        from final.engine.sub_paths import VolumePaths

        replace(parts, Sources, VolumePaths(bundle, one_of(parts, MappedMounts), own, wanted))


def monitor(stored: Stored) -> list[Part]:
    """Who looks after its health, if it has a health check."""
    check = health_check.of(stored)
    if check is None:
        return []
    from final.engine.health_monitor import Monitored

    return [Monitored(stored, check)]
