"""Names of images as registries know them: HOST/PATH:TAG or HOST/PATH@DIGEST. distribution-spec, "Pulling manifests".

Docker's short forms are understood and shown: `busybox` is docker.io/library/busybox:latest. The short form is the name
in the store, too.
"""

from __future__ import annotations

from ch02_namespaces.errors import EngineError
from ch04_images.image_names import HEXADECIMAL, full_name, split_name

DEFAULT_HOST = "docker.io"
OFFICIAL = "library/"
ALIASES = {"index.docker.io": DEFAULT_HOST, "registry-1.docker.io": DEFAULT_HOST}
NAMELESS = "sha256"


class Reference:
    """host: of the registry, with its port; path: of the repository there; tag, digest: one of them is empty."""

    def __init__(self, host: str, path: str, tag: str, digest: str = "") -> None:
        self.host = host
        self.path = path
        self.tag = tag
        self.digest = digest

    @property
    def repository(self) -> str:
        """Host and path."""
        return f"{self.host}/{self.path}"

    @property
    def short_repository(self) -> str:
        """As people write it: without Docker's own host and `library/`, where nobody can mistake it."""
        for short in (self.path.removeprefix(OFFICIAL), self.path):
            if self.host == DEFAULT_HOST and parse(short).repository == self.repository:
                return short
        return self.repository

    @property
    def name(self) -> str:
        """The name in the store: the short form, with the tag or the digest."""
        return self.short_repository + self._end

    @property
    def target(self) -> str:
        """What to ask the registry for: the digest, or the tag."""
        return self.digest or self.tag

    @property
    def _end(self) -> str:
        return f"@{self.digest}" if self.digest else f":{self.tag}"

    def __str__(self) -> str:
        return self.repository + self._end


def parse(text: str) -> Reference:
    """What a name means. Raises EngineError for one that is not allowed."""
    full = full_name(text)
    if is_nameless(full):
        raise EngineError(f"image name {text!r}", "that is an image's id", "a name does not begin with `sha256:`")
    name, tag = split_name(full)
    digest = full.partition("@")[2]
    first, slash, rest = name.partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    host, path = (ALIASES.get(first, first), rest) if is_host else (DEFAULT_HOST, name)
    if host == DEFAULT_HOST and "/" not in path:
        path = OFFICIAL + path
    return Reference(host, path, tag, digest)


def is_nameless(name: str) -> bool:
    """Whether a name in the store is an id, as images have it that have no name: no repository can be called so."""
    kind, _, value = name.partition(":")
    return kind == NAMELESS and len(value) == 64 and set(value) <= HEXADECIMAL
