"""What RUN --mount=… says, word by word. Source: Docker's "Dockerfile reference", RUN --mount."""

from __future__ import annotations

import posixpath

from ch02_namespaces.errors import EngineError
from ch02_namespaces.limits import parse_size
from final.build import configuration
from final.build.copying import target_of
from final.build.dockerfile import SWITCHES, Instruction
from final.build.modes import octal
from final.build.owner import is_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from final.build.built import Built

BIND, CACHE, TMPFS, SECRET, SSH = "bind", "cache", "tmpfs", "secret", "ssh"
OWN = ("mode", "uid", "gid")
KEYS = {
    BIND: ("target", "source", "from", "readonly", "readwrite"),
    CACHE: ("target", "id", "sharing", "readonly", "readwrite", *OWN),
    TMPFS: ("target", "size"),
    SECRET: ("target", "id", "source", "required", "env", *OWN),
    SSH: ("target", "id", "required", *OWN),
}
ALIASES = {"dst": "target", "destination": "target", "src": "source", "ro": "readonly", "rw": "readwrite"}
SHARED, PRIVATE, LOCKED = "shared", "private", "locked"
SECRETS = "/run/secrets"
AGENTS = "/run/buildkit/ssh_agent."  # and a number: where BuildKit has them


class MountWish:
    """One --mount. kind: its type; target: absolute, empty where the kind has one of its own; source, stage: of bind,
    and where from (from=); id: of a cache, a secret, an agent; writable; required; sharing: of a cache; variable: that
    has the secret; size: of a tmpfs, as tmpfs(5) has it; mode, owner: None for the usual ones."""

    def __init__(self, kind: str, said: Mapping[str, str], directory: str) -> None:
        self.kind = kind
        self.target = target_of(said["target"], directory).rstrip("/") if said.get("target") else ""
        self.source = posixpath.normpath(f"/{said.get('source') or ''}").lstrip("/")
        self.stage = said.get("from", "")
        self.id = said.get("id", "")
        self.required = _is_on(said, "required", False)
        self.writable = _is_on(said, "readwrite", not _is_on(said, "readonly", kind not in (CACHE, TMPFS)))
        self.sharing = said.get("sharing", SHARED)
        self.variable = said.get("env", "")
        self.size = f"size={parse_size(said['size'])}" if "size" in said else ""
        self.mode = octal(said["mode"]) if "mode" in said else None
        ids = [_number(said, name) for name in ("uid", "gid")]
        self.owner = None if ids == [None, None] else (ids[0] or 0, ids[1] or 0)
        self._check()

    def _check(self) -> None:
        """Raise EngineError for what goes not together; and fill in what follows from the rest."""
        if self.kind == SECRET:
            if self.source and self.id:
                raise EngineError("source", "it is another word for id")
            self.id = self.id or self.source or posixpath.basename(self.target)
            if not self.id:
                raise EngineError("id", "it is not said")
            if "=" in self.variable:
                raise EngineError(f"env={self.variable}", "it is no name of a variable")
            if not self.target and not self.variable:
                self.target = f"{SECRETS}/{posixpath.basename(self.id)}"
        elif self.kind == SSH:
            self.id = self.id or "default"
        elif not self.target:
            raise EngineError("target", "it is not said, or the root itself")
        elif self.kind == CACHE:
            self.id = self.id or self.target
        if self.sharing not in (SHARED, PRIVATE, LOCKED):
            raise EngineError(f"sharing={self.sharing}", "it is not known", "shared, private or locked")


def wishes_of(instruction: Instruction, built: Built) -> list[MountWish]:
    """All --mount of a RUN, with their variables replaced. Raises DockerfileError."""
    found = [_wish(instruction, text, built) for flag, text in instruction.flags if flag == "mount"]
    for number, wish in enumerate(wish for wish in found if wish.kind == SSH):
        wish.target = wish.target or f"{AGENTS}{number}"
    return found


def stages_of(instruction: Instruction) -> list[str]:
    """The stages and images that they come from. Raises DockerfileError for one that is a variable."""
    texts = [text for flag, text in instruction.flags if flag == "mount"]
    names = [name for text in texts if (name := _said(text).get("from"))]
    for name in names:
        if "$" in name:
            raise instruction.error(f"from={name} takes no variables", "FROM … AS NAME does")
    return names


def _wish(instruction: Instruction, text: str, built: Built) -> MountWish:
    said = {key: configuration.expanded(instruction, value, built.variables) for key, value in _said(text).items()}
    kind = said.pop("type", BIND)
    if kind not in KEYS:
        raise instruction.error(f"--mount=type={kind} is not known", ", ".join(KEYS))
    unknown = ", ".join(key for key in said if key not in KEYS[kind])
    if unknown:
        raise instruction.error(f"--mount={text}: {unknown} is not known for type {kind}", ", ".join(KEYS[kind]))
    try:
        return MountWish(kind, said, built.directory)
    except EngineError as error:
        raise instruction.error(f"--mount={text}: {error.what}: {error.why}", error.hint) from None


def _said(text: str) -> dict[str, str]:
    pairs = (word.partition("=")[::2] for word in text.split(","))
    return {ALIASES.get(key.lower(), key.lower()): value for key, value in pairs}


def _is_on(said: Mapping[str, str], key: str, usual: bool) -> bool:
    if key not in said:
        return usual
    if said[key].lower() not in SWITCHES:
        raise EngineError(f"{key}={said[key]}", "it is neither true nor false")
    return SWITCHES[said[key].lower()]


def _number(said: Mapping[str, str], key: str) -> int | None:
    text = said.get(key)
    if text is None:
        return None
    if not is_id(text):
        raise EngineError(f"{key}={text}", "it is no number of a user or group")
    return int(text)
