"""Where the container's cgroup is: linux.cgroupsPath, also as systemd's users write it. Book section 7.3.

OCI runtime-spec, config-linux.md, "Cgroups Path". Engines that let systemd make the groups write "slice:prefix:name".
We make them ourselves, and where systemd would: systemd.slice(5), systemd.scope(5).
"""

from __future__ import annotations

from ch02_namespaces.errors import EngineError
from ch07_practice.oci import resources
from ch07_practice.oci.document import Node

SLICE, SCOPE = ".slice", ".scope"
DEFAULT_SLICE = "system.slice"
ROOT_SLICE = "-"


def path_of(config: Node, id: str) -> str:
    """The path below the hierarchies' roots. Raises EngineError for one that leads out, and for names of no unit."""
    node = config["linux"]["cgroupsPath"]
    text = node.text("")
    if text.count(":") != 2 or "/" in text:
        return resources.path_of(config, id)
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
