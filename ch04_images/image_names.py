"""Names of images: [HOST[:PORT]/]NAME[:TAG][@DIGEST], about the grammar of distribution-spec, "Pulling manifests"."""

from __future__ import annotations

from ch02_namespaces.errors import EngineError

NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-/")
TAG_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
HEXADECIMAL = frozenset("0123456789abcdef")
LONGEST_NAME, LONGEST = 200, 230  # as files are called: 255, less what a record has beside; without and with the tag


def full_name(text: str) -> str:
    """A name with its tag, `latest` if none is given: busybox is busybox:latest. A digest takes the place of the tag.

    The name consists of lower-case letters, digits, and `.`, `_`, `-`, `/` between them; its first part may be a host
    with a port. The tag may have capital letters. Raises EngineError.
    """
    rest, at, digest = text.partition("@")
    name, tag = _split(rest)
    if not _is_name(name):
        raise EngineError(
            f"image name {text!r}", "it is not allowed", "lower-case letters, digits, and . _ - / between"
        )
    tag = "latest" if tag is None else tag
    if not tag or not set(tag) <= TAG_CHARACTERS or tag[0] in ".-":
        raise EngineError(f"image name {text!r}", f"the tag {tag!r} is not allowed", "NAME:TAG, such as busybox:1.35")
    if at and not _is_digest(digest):
        raise EngineError(f"image name {text!r}", f"{digest!r} is no digest", "NAME@sha256: and 64 digits")
    full = f"{name}@{digest}" if at else f"{name}:{tag}"
    if len(full.replace("/", "%2F")) > LONGEST:
        raise EngineError(f"image name {text!r}", "it is too long")
    return full


def split_name(full: str) -> tuple[str, str]:
    """The name and the tag of what full_name() returns; the tag is empty where a digest stands in its place."""
    name, tag = _split(full.partition("@")[0])
    return name, tag or ""


def _split(text: str) -> tuple[str, str | None]:
    """A colon before the last slash is a port's."""
    above, slash, last = text.rpartition("/")
    last, colon, tag = last.partition(":")
    return above + slash + last, tag if colon else None


def _is_name(name: str) -> bool:
    first, slash, others = name.partition("/")
    host, colon, port = first.partition(":")
    if colon and not (slash and _is_port(port)):
        return False
    plain = host + slash + others
    fits = len(name.replace("/", "%2F")) <= LONGEST_NAME
    return fits and set(plain) <= NAME_CHARACTERS and all(map(_is_part, plain.split("/")))


def _is_part(part: str) -> bool:
    return part[:1].isalnum() and part[-1:].isalnum() and ".." not in part


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5


def _is_digest(text: str) -> bool:
    algorithm, _, value = text.partition(":")
    return algorithm == "sha256" and len(value) == 64 and set(value) <= HEXADECIMAL
