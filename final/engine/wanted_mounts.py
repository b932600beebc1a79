"""What a new container has mounted: what -v, --mount, --tmpfs and --volumes-from say, and the image's volumes."""

from __future__ import annotations

import os

from ch02_namespaces.errors import EngineError
from ch05_lifecycle import store
from final.engine import mounts, volumes, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ch02_namespaces.command_line import Options
    from ch04_images.images import Image
    from final.engine.volumes import NamedVolume


def mounts_of(image: Image, options: Options) -> list[dict[str, Any]]:
    """All that the user and the image want mounted, with volumes found or made. Raises EngineError."""
    wanted = [*options.volume, *options.mount, *options.tmpfs]
    targets = [mount["target"] for mount in wanted]
    shared = [mount for container, mode in options.volumes_from for mount in mounts_from(container, mode)]
    wanted += [mount for mount in shared if mount["target"] not in targets]
    targets = [mount["target"] for mount in wanted]
    wanted += [
        mounts.entry(mounts.VOLUME, "", target, [])
        for target in image.config.get("Volumes") or {}
        if os.path.normpath(target) not in targets
    ]
    return [with_source(mount, f"volumes/{number}" if options.rm else "") for number, mount in enumerate(wanted)]


def mounts_from(container: str, mode: str) -> list[dict[str, Any]]:
    """What --volumes-from brings: the volumes and directories of another container. Raises EngineError."""
    stored = store.find(container)
    found = [mount for mount in words.mounts_of(stored.settings) if mount["type"] != mounts.TMPFS]
    return [
        {
            **mount,
            "type": mounts.VOLUME if mount.get("name") else mounts.BIND,
            "source": mount.get("name") or os.path.join(stored.record.path(), mount["source"]),
            "read_only": mount["read_only"] or mode == "ro",
        }
        for mount in found
    ]


def with_source(mount: dict[str, Any], own: str) -> dict[str, Any]:
    """A volume with its name and its directory.

    own: where a volume without a name is in the container's directory, if it is to go with the container.
    """
    if mount["type"] == mounts.VOLUME and own and not mount["source"]:
        return {**mount, "source": own}
    if mount["type"] == mounts.VOLUME:
        volume = _volume_with_path(mount) if "subpath" in mount else volumes.create(mount["source"])
        return {**mount, "name": volume.name, "source": volume.path}
    return mount


def _volume_with_path(mount: dict[str, Any]) -> NamedVolume:
    """A new volume would have nothing in it."""
    try:
        return volumes.find(mount["source"])
    except EngineError as error:
        raise EngineError(f"volume-subpath={mount['subpath']}", f"{error.what}: {error.why}", error.hint) from None
