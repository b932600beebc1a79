"""COPY and ADD: what their sources are: files of the context, a stage or an image, here-documents, and what is fetched.

Source: Docker's "Dockerfile reference", COPY and ADD.
"""

from __future__ import annotations

import contextlib
import os

from ch02_namespaces.errors import EngineError
from final.build import cache, configuration, copying, fetching
from final.build.built import Built
from final.build.context import Files
from final.build.copying import Piece, Wish
from final.build.dockerfile import Instruction, is_document
from final.build.owner import numbers_of, owner_of
from final.build.patterns import Ignored
from final.build.union import Union
from final.build.words import WordError, expand_document
from final.engine.container_root import Root
from final.images.digest import is_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ch04_images.containers import ContainerRecord
    from final.build.building import Build
    from final.build.stages import Stage

ROOT = (0, 0)


def copy_files(build: Build, stage: Stage, built: Built, instruction: Instruction) -> None:
    """COPY and ADD: each source is a batch of files, which the cache knows by a digest, and which can be copied."""
    words = _words(built, instruction)
    target = copying.target_of(words[-1], built.directory)
    wish = _wish(build, built, instruction)
    with contextlib.ExitStack() as stack:
        batches = list(_batches(build, stage, built, instruction, words, wish, stack))
        if sum(batch.count for batch in batches) > 1 and not target.endswith("/"):
            raise instruction.error("several things go into a directory", f"{words[-1]}/")
        digests = [batch.digest() for batch in batches]

        @contextlib.contextmanager
        def make() -> Iterator[ContainerRecord]:
            with Union(build.layers_of(built), built.name) as union:
                for batch in batches:
                    batch.copy(union.root)
                if [batch.digest() for batch in batches] != digests:
                    raise instruction.error("a file has changed while it was copied", "build again")
                yield union.record

        key = cache.key_of(built.diff_ids, instruction.word, target, wish.extracts, *digests)
        flags = [f"--{name}={value}" for name, value in instruction.flags]
        build.add_layer(built, key, " ".join([instruction.word, *flags, *words]), make)


class Batch:
    """Files of one tree, and how they are copied."""

    def __init__(self, files: Files, pieces: Sequence[Piece], wish: Wish) -> None:
        self.count = len(pieces)
        self._files = files
        self._pieces = list(pieces)
        self._wish = wish

    def digest(self) -> str:
        """What the cache knows them by. Raises OSError, EngineError."""
        return copying.digest_of(self._files, self._pieces, self._wish)

    def copy(self, root: Root) -> None:
        """Copy them into a tree. Raises OSError, EngineError."""
        copying.copy(self._files, self._pieces, self._wish, root)


class Fetched:
    """A file of a web server. checksum: of what it must be; if it is given, the cache needs no look at the server.
    directory: for the file. Raises EngineError for a target that needs a name, where the URL has none."""

    count = 1

    def __init__(self, url: str, checksum: str, target: str, wish: Wish, directory: str) -> None:
        self._name = fetching.name_in(url)
        if not self._name and target.endswith("/"):
            raise EngineError(url, "it names no file", "a target with a name: /DIRECTORY/NAME")
        self._name = self._name or "file"
        self._url = url
        self._checksum = checksum
        self._target = target
        self._wish = wish
        self._directory = directory
        self._digest = ""

    def digest(self) -> str:
        """What the cache knows it by: content, name, owner and mode."""
        content = self._checksum or self._fetched()
        wish = self._wish
        return f"{content} {self._name} {wish.owner} {wish.mode.text if wish.mode else ''} {wish.extracts}"

    def copy(self, root: Root) -> None:
        """Copy it into a tree. Raises OSError, EngineError."""
        self._fetched()
        with Root(os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as own:
            copying.copy(Files(own), [Piece(self._name, self._target)], self._wish, root)

    def _fetched(self) -> str:
        """Its digest. It is there from now on."""
        if not self._digest:
            os.mkdir(self._directory)
            algorithm = self._checksum.partition(":")[0] or "sha256"
            found = fetching.fetch(self._url, f"{self._directory}/{self._name}", algorithm)
            if self._checksum not in ("", found):
                raise EngineError(self._url, f"its digest is {found}, not {self._checksum}", "--checksum")
            self._digest = found
        return self._digest


def _batches(
    build: Build,
    stage: Stage,
    built: Built,
    instruction: Instruction,
    words: Sequence[str],
    wish: Wish,
    stack: contextlib.ExitStack,
) -> Iterator[Batch | Fetched]:
    """What each source means. Raises DockerfileError."""
    *sources, last = words
    target = copying.target_of(last, built.directory)
    urls = [word for word in sources if fetching.is_web(word) or fetching.is_repository(word)]
    checksum = _checksum(built, instruction, urls)
    files = build.files_of(stage, instruction, instruction.flag("from"), stack)
    for word in sources:
        if word in urls:
            one = Wish(instruction.is_on("unpack"), wish.owner, wish.mode)
            yield Fetched(_checked(instruction, word), checksum, target, one, build.new_path())
        elif not is_document(word):
            yield Batch(files, copying.found(instruction, files, word, target), wish)
    if instruction.documents:
        written = _written(build, built, instruction, stack)
        yield Batch(written, [Piece(document.name, target) for document in instruction.documents], wish)


def _checked(instruction: Instruction, url: str) -> str:
    """A URL that can be fetched. Raises DockerfileError."""
    if instruction.word != "ADD":
        raise instruction.error(f"{url} is not fetched", "ADD does")
    if fetching.is_repository(url):
        raise instruction.error(f"{url} is a git repository, and not cloned", "RUN git clone does")
    return url


def _checksum(built: Built, instruction: Instruction, urls: Sequence[str]) -> str:
    text = configuration.expanded(instruction, instruction.flag("checksum"), built.variables)
    if text and (not is_digest(text) or len(urls) != 1):
        raise instruction.error(f"--checksum={text} is no digest of one URL", "sha256: and 64 hexadecimal digits")
    return text


def _words(built: Built, instruction: Instruction) -> list[str]:
    """The sources of COPY, and its target, with their variables replaced. Raises DockerfileError."""
    words = configuration.words_of(instruction.text) or instruction.text.split()
    found = [
        word if is_document(word) else configuration.expanded(instruction, word, built.variables) for word in words
    ]
    if len(found) < 2 or not all(found):
        raise instruction.error("it has no source, or no target, or an empty one")
    return found


def _wish(build: Build, built: Built, instruction: Instruction) -> Wish:
    """What the flags say. ADD unpacks archives, unless it is told not to."""
    extracts = instruction.word == "ADD" and instruction.is_on("unpack", otherwise=True)
    wish = Wish(extracts, _owner(build, built, instruction))
    wish.mode = copying.mode_of(instruction, built.variables)
    excluded = [text for flag, text in instruction.flags if flag == "exclude"]
    wish.excluded = Ignored(
        [configuration.expanded(instruction, text, built.variables) for text in excluded], "--exclude"
    )
    return wish


def _owner(build: Build, built: Built, instruction: Instruction) -> tuple[int, int] | None:
    """Of what is copied: as --chown says; else root, but files of a stage or an image keep theirs."""
    text = configuration.expanded(instruction, instruction.flag("chown"), built.variables)
    if not text:
        return None if instruction.flag("from") else ROOT
    numbers = numbers_of(text)
    if numbers is not None:
        return numbers
    with Union(build.layers_of(built), built.name) as union:
        return owner_of(instruction, text, union.root)


def _written(build: Build, built: Built, instruction: Instruction, stack: contextlib.ExitStack) -> Files:
    """Its here-documents, as files."""
    top = build.new_path()
    os.mkdir(top)
    for document in instruction.documents:
        if "/" in document.name or document.name in (".", ".."):
            raise instruction.error(f"{document.name!r} is no name for a file")
        text = document.text
        if document.expands:
            try:
                text = expand_document(text, built.variables, instruction.escape)
            except WordError as error:
                raise instruction.error(str(error)) from None
        write_text(f"{top}/{document.name}", text, 0o644)
    return Files(stack.enter_context(Root(os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))))


def write_text(path: str, text: str, mode: int) -> None:
    """A new file. Raises OSError."""
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
