"""Platforms: operating system, processor, and its variant. OCI image-spec, image-index.md; names are Go's."""

from __future__ import annotations

import os

from ch02_namespaces.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from final.images.documents import Descriptor

MACHINES = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i686": ("386", ""),
    "ppc64le": ("ppc64le", ""),
    "s390x": ("s390x", ""),
    "riscv64": ("riscv64", ""),
}
ALIASES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "i386": "386",
    "armhf": "arm/v7",
    "armel": "arm/v6",
}
DEFAULT_VARIANTS = {"arm64": "v8", "arm": "v7", "amd64": "v1"}
CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")


class Platform:
    """os: such as linux; architecture: such as amd64; variant: such as v7, mostly empty."""

    def __init__(self, os: str, architecture: str, variant: str = "") -> None:
        self.os = os
        self.architecture = architecture
        self.variant = "" if variant == DEFAULT_VARIANTS.get(architecture) and architecture != "arm" else variant

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def rank(self, other: Platform) -> int:
        """How well an image for another platform runs on this one: 0 is best, -1 not at all.

        A processor runs what was made for earlier variants of it, the newest of them best.
        """
        if (self.os, self.architecture) != (other.os, other.architecture):
            return -1
        ours, theirs = (_number(each.variant or DEFAULT_VARIANTS.get(each.architecture, "")) for each in (self, other))
        return ours - theirs if ours >= theirs else -1


def _number(variant: str) -> int:
    digits = variant.removeprefix("v")
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 4 else 0


def of_machine() -> Platform:
    """What this machine is."""
    machine = os.uname().machine
    return Platform("linux", *MACHINES.get(machine, (machine, "")))


def parse(text: str) -> Platform:
    """OS/ARCHITECTURE[/VARIANT], or one of the first two. For Flag.convert. Raises EngineError."""
    parts = text.lower().split("/")
    if len(parts) == 1:
        parts = [parts[0], of_machine().architecture] if parts[0] == "linux" else ["linux", parts[0]]
    parts[1:2] = ALIASES.get(parts[1], parts[1]).split("/") if len(parts) > 1 else []
    if len(parts) > 3 or not all(part and set(part) <= CHARACTERS for part in parts):
        raise EngineError(repr(text), "it is no platform", "OS/ARCHITECTURE[/VARIANT], such as linux/arm64")
    return Platform(*parts)


def of_document(fields: Mapping[str, Any]) -> Platform:
    """The platform that an index or a configuration names; what is missing is `unknown`."""
    texts = [fields.get(key) for key in ("os", "architecture", "variant")]
    known = [text if isinstance(text, str) and set(text) <= CHARACTERS else "" for text in texts]
    return Platform(known[0] or "unknown", known[1] or "unknown", known[2])


def choose(what: str, manifests: Sequence[Descriptor], wanted: Platform) -> Descriptor:
    """The manifest of an index that runs best on a platform. Raises EngineError when none does."""
    ranked = [(wanted.rank(one.platform), one) for one in manifests if one.platform is not None]
    fitting = [(rank, one) for rank, one in ranked if rank >= 0]
    if not fitting:
        names = sorted({str(one.platform) for _, one in ranked if one.platform and one.platform.os != "unknown"})
        raise EngineError(what, f"there is none for {wanted}", f"--platform: {', '.join(names) or 'it names none'}")
    return min(fitting, key=lambda pair: pair[0])[1]
