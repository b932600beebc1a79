"""Where the container's cgroup is: linux.cgroupsPath, also as systemd's users write it. Book section 7.3.

OCI runtime-spec, config-linux.md, "Cgroups Path". Engines that let systemd make the groups write "slice:prefix:name".
Without systemd we make them ourselves, and where it would: systemd.slice(5), systemd.scope(5). Where it runs, all
groups but the delegated ones are its alone: it may take controllers, and so limits, from one that it does not know.
It would have to be asked for a scope over D-Bus, which we cannot do; so the path is refused. sd_booted(3); "Control
Group APIs and Delegation" of systemd's documentation.
"""

from __future__ import annotations

import os

from ch02_namespaces.errors import EngineError
from ch07_practice.oci import resources
from ch07_practice.oci.document import Node

SLICE, SCOPE = ".slice", ".scope"
DEFAULT_SLICE = "system.slice"
ROOT_SLICE = "-"
SYSTEMD_RUNS = "/run/systemd/system"


def path_of(config: Node, id: str) -> str:
    """The path below the hierarchies' roots. Raises EngineError for one that leads out, and for names of no unit."""
    node = config["linux"]["cgroupsPath"]
    text = node.text("")
    if text.count(":") != 2 or "/" in text:
        return resources.path_of(config, id)
    if os.path.isdir(SYSTEMD_RUNS):
        raise node.wrong(
            f"{text!r} is for systemd to make, which this runtime cannot ask for it",
            "let the engine manage cgroups by itself: its cgroup manager or driver `cgroupfs`",
        )
    slice, prefix, name = text.split(":")
    if not name or name in (".", ".."):
        raise node.wrong(f"{text!r} names no unit", "slice:prefix:name")
    unit = name if name.endswith(SLICE) else f"{prefix}-{name}{SCOPE}"
    try:
        return "/".join([*slice_path(slice or DEFAULT_SLICE), unit])
    except EngineError as error:
        raise node.wrong(error.why, "system.slice:prefix:name") from None


def slice_path(slice: str) -> list[str]:
    """The groups of a slice, the outermost first: a-b.slice lies in a.slice. Raises EngineError for no slice's name."""
    words = slice.removesuffix(SLICE)
    if words == ROOT_SLICE:
        return []
    parts = words.split("-")
    if not slice.endswith(SLICE) or not all(parts) or ".." in parts:
        raise EngineError("slice", f"{slice!r} is no name of a slice")
    return ["-".join(parts[: number + 1]) + SLICE for number in range(len(parts))]
