"""A Dockerfile into instructions: directives, comments, continued lines, here-documents. Nothing is expanded yet.

Source: Docker's "Dockerfile reference": "Format", "Parser directives", "Here-Documents".
"""

from __future__ import annotations

import re

from ch02_namespaces.errors import EngineError
from final.build.words import raw_words, unquoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = 4 << 20  # bytes: our own bound
BUILD_FAILED = 1
"""How a build ends whose Dockerfile is wrong, or one of whose commands has failed: as with Docker."""

KNOWN = frozenset(
    (
        *("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER"),
        *("ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
    )
)
WITH_FLAGS = {
    "ADD": ("chown", "chmod", "link", "checksum", "unpack", "exclude", "keep-git-dir"),
    "COPY": ("from", "chown", "chmod", "link", "parents", "exclude"),
    "FROM": ("platform",),
    "HEALTHCHECK": ("interval", "timeout", "start-period", "start-interval", "retries"),
    "RUN": ("mount", "network", "security"),
}
SWITCHES = {"": True, "true": True, "1": True, "false": False, "0": False}
WITH_DOCUMENTS = ("ADD", "COPY", "RUN")
DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.*?)\s*")
DOCUMENT = re.compile(r"(\d*)<<(-?)([^<]+)")


class DockerfileError(EngineError):
    """What is wrong with a Dockerfile, or failed in it. place: file and line."""

    def __init__(self, place: str, why: str, hint: str = "") -> None:
        super().__init__(place, why, hint, BUILD_FAILED)


class Document:
    """A here-document. name: what ends it; text: its lines; expands: variables in it mean something."""

    def __init__(self, name: str, text: str, expands: bool) -> None:
        self.name = name
        self.text = text
        self.expands = expands


class Instruction:
    """word: in capitals; flags: those before the text, by name, in order; text: the rest, as one line; documents: those
    that it names, in order; escape: the escape character; place: file and line, for messages."""

    def __init__(self, word: str, text: str, place: str, escape: str) -> None:
        self.word = word
        self.place = place
        self.escape = escape
        self.documents: list[Document] = []
        self.flags, self.text = _flags(word, text, place)

    def flag(self, name: str) -> str:
        """The value of a flag that is given once; empty if it is not."""
        values = [value for flag, value in self.flags if flag == name]
        if len(values) > 1:
            raise self.error(f"--{name} is given {len(values)} times")
        return values[0] if values else ""

    def is_on(self, name: str, otherwise: bool = False) -> bool:
        """Whether a switch is on: --NAME, --NAME=true; otherwise: if nothing is said. Raises DockerfileError."""
        if name not in dict(self.flags):
            return otherwise
        value = self.flag(name).lower()
        if value not in SWITCHES:
            raise self.error(f"--{name}={value} is neither true nor false")
        return SWITCHES[value]

    def error(self, why: str, hint: str = "") -> DockerfileError:
        """What is wrong with it."""
        return DockerfileError(f"{self.place}: {self.word}", why, hint)

    @property
    def shown(self) -> str:
        """In one line, for people."""
        flags = [f"--{name}={value}" if value else f"--{name}" for name, value in self.flags]
        return " ".join([self.word, *flags, self.text])


def _flags(word: str, text: str, place: str) -> tuple[list[tuple[str, str]], str]:
    """The flags before the text, and what follows them."""
    found = []
    while word in WITH_FLAGS and text.startswith("--"):
        first, *rest = text.split(maxsplit=1)
        name, _, value = first[2:].partition("=")
        if name not in WITH_FLAGS[word]:
            known = ", ".join(f"--{flag}" for flag in WITH_FLAGS[word])
            raise DockerfileError(f"{place}: {word}", f"there is no flag --{name} here", known)
        found.append((name, value))
        text = rest[0] if rest else ""
    return found, text


def parse(data: bytes, name: str) -> list[Instruction]:
    """The instructions of a Dockerfile. name: as messages call it. Raises DockerfileError."""
    if len(data) > LARGEST:
        raise DockerfileError(name, f"it has more than {LARGEST >> 20} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DockerfileError(name, "it is no UTF-8") from None
    if "\0" in text:
        raise DockerfileError(name, "there is a NUL byte in it")
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return list(_Lines(lines, name, _escape(lines, name)).instructions())


def _escape(lines: list[str], name: str) -> str:
    """The escape character that the directives at the top want. A directive is known until anything else comes."""
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        directive = DIRECTIVE.fullmatch(line.strip())
        if directive is None:
            break
        key = directive[1].lower()
        if key in found and key == "escape":
            raise DockerfileError(f"{name}:{number}", "only one escape directive can be used")
        found[key] = directive[2]
        if key == "escape" and directive[2] not in ("\\", "`"):
            raise DockerfileError(f"{name}:{number}", f"the escape character is {directive[2]!r}", "it is \\ or `")
    return found.get("escape", "\\")


class _Lines:
    """A Dockerfile, read line by line."""

    def __init__(self, lines: list[str], name: str, escape: str) -> None:
        self._lines = lines
        self._name = name
        self._escape = escape
        self._at = 0
        token = re.escape(escape)
        self._continued = re.compile(rf"(^|[^{token}]){token}[ \t]*$")

    def instructions(self) -> Iterator[Instruction]:
        while self._at < len(self._lines):
            if _says_nothing(self._lines[self._at]):
                self._at += 1
            else:
                yield self._instruction()

    def _instruction(self) -> Instruction:
        place = f"{self._name}:{self._at + 1}"
        words = self._joined().split(maxsplit=1)
        word = words[0].upper()
        if word not in KNOWN:
            raise DockerfileError(place, f"there is no instruction {words[0]!r}")
        found = Instruction(word, words[1].strip() if len(words) > 1 else "", place, self._escape)
        if not found.text and word != "MAINTAINER":
            raise DockerfileError(f"{place}: {word}", "it says nothing")
        inner = found.text.split(maxsplit=1)[0].upper() if word == "ONBUILD" else word
        if inner in WITH_DOCUMENTS:
            found.documents = [self._document(found, *wanted) for wanted in _wanted(found)]
        return found

    def _joined(self) -> str:
        """One line, with those by which it is continued. Comments and empty lines between them are left out."""
        found = ""
        while self._at < len(self._lines):
            line = self._lines[self._at]
            self._at += 1
            if found and _says_nothing(line):
                continue
            is_continued = self._continued.search(line)
            found += line[: is_continued.end(1)] if is_continued else line
            found = found or " "  # a line that is nothing but the escape character
            if not is_continued:
                break
        return found.strip() or self._escape

    def _document(self, of: Instruction, name: str, expands: bool, tabs_go: bool) -> Document:
        lines: list[str] = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            line = line.lstrip("\t") if tabs_go else line
            self._at += 1
            if line == name:
                return Document(name, "".join(f"{one}\n" for one in lines), expands)
            lines.append(line)
        raise of.error(f"the here-document {name} has no end", f"a line that says {name}")


def _says_nothing(line: str) -> bool:
    text = line.strip()
    return not text or text.startswith("#")


def _wanted(instruction: Instruction) -> Iterator[tuple[str, bool, bool]]:
    """(name, whether it expands, whether leading tabs go) of each here-document that a line asks for."""
    for word in raw_words(instruction.text, instruction.escape):
        found = DOCUMENT.fullmatch(word)
        if found is not None:
            name = unquoted(found[3])
            yield name, name == found[3], found[2] == "-"


def is_document(word: str) -> bool:
    """Whether a word stands for a here-document."""
    return DOCUMENT.fullmatch(word) is not None
