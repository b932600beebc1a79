"""COPY and ADD: files of a context, a stage or an image into the tree of a step.

They go the way of `cp`: packed into an archive at one end of a pipe, unpacked from the other, by chapter 4's code. The
same archive, without times, is what the cache knows them by. Source: Docker's "Dockerfile reference", COPY and ADD.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import posixpath
import stat

from ch02_namespaces.errors import EngineError, SyscallError
from ch04_images import tar_header as tar
from ch04_images.compression import open_plain
from ch04_images.tar import Bounds
from final.build import configuration
from final.build.context import Files, archive_in
from final.build.dockerfile import Instruction
from final.build.patterns import PatternError
from final.engine.container_root import Root
from final.engine.copying import Copying, Source, Target, extract, transfer
from final.images.gzip_writer import Sum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import IO

    from ch04_images.tar_header import Entry, Records

    Owner = tuple[int, int]

REMOTE = ("http://", "https://", "git@", "git://", "ssh://")


class Wish:
    """How files are copied. target: where to, absolute, ending with / if it must be a directory; extracts: archives
    become what is in them; owner, mode: of what is made, None for their own."""

    def __init__(self, target: str, extracts: bool) -> None:
        self.target = target
        self.extracts = extracts
        self.owner: Owner | None = None
        self.mode: int | None = None


def target_of(text: str, directory: str) -> str:
    """Where files go. directory: what a path is relative to."""
    is_directory = text.endswith("/") or posixpath.basename(text) in (".", "..")
    path = "/" + posixpath.normpath(posixpath.join("/", directory, text)).lstrip("/")
    return f"{path.rstrip('/')}/" if is_directory else path


def mode_of(instruction: Instruction, variables: Mapping[str, str]) -> int | None:
    """--chmod. Raises DockerfileError."""
    text = configuration.expanded(instruction, instruction.flag("chmod"), variables)
    if not text:
        return None
    try:
        return mode_in(text)
    except EngineError as error:
        raise instruction.error(f"--chmod={text}: {error.why}", error.hint) from None


def mode_in(text: str) -> int:
    """A mode in octal digits. Raises EngineError."""
    if not (set(text) <= set("01234567") and len(text) in (3, 4)):
        raise EngineError(f"mode {text!r}", "it is no octal mode", "such as 755")
    return int(text, 8)


def found(instruction: Instruction, files: Files, patterns: Sequence[str]) -> list[str]:
    """The paths of all that is to be copied. Raises DockerfileError if there is none for a source."""
    paths: list[str] = []
    for text in patterns:
        if text.startswith(REMOTE):
            raise instruction.error(f"{text} is not fetched", "RUN wget does, and says so in the image's history")
        try:
            matching = files.find(text)
        except PatternError as error:
            raise instruction.error(str(error)) from None
        if not matching:
            raise instruction.error(
                f"{text} is not there", "nor is what .dockerignore leaves out, or a link leads out to"
            )
        paths += matching
    return paths


def digest_of(files: Files, paths: Sequence[str], wish: Wish) -> str:
    """What the cache knows files by: names, modes, owners and contents, but no times. Raises OSError, EngineError."""
    total = hashlib.sha256()
    for path in paths:
        with contextlib.closing(_source(files, path)) as source:
            one = Sum()
            _Packing(one, files, wish, timeless=True).add_source(source, source.name)  # type: ignore[arg-type]
        total.update(f"{path}\0{one.digest}\n".encode(errors="surrogateescape"))
    return f"sha256:{total.hexdigest()}"


def copy(files: Files, paths: Sequence[str], wish: Wish, root: Root) -> None:
    """Copy all of it. root: of the tree into which it goes. Raises OSError, EngineError."""
    for path in paths:
        with contextlib.closing(_source(files, path)) as source:
            archive = archive_in(source) if wish.extracts else None
            if archive is not None:
                with open(archive, "rb", 0) as file:
                    _extract(file, wish.target, root, wish.owner)
            else:
                _copy_one(source, files, wish, root)


def _source(files: Files, path: str) -> Source:
    """Of a directory that which is in it: what COPY takes."""
    source = Source(files.root, path or "/", follow=True)
    if not source.is_directory or source.contents:
        return source
    source.close()
    return Source(files.root, f"{path}/.", follow=True)


def _copy_one(source: Source, files: Files, wish: Wish, root: Root) -> None:
    is_below = source.is_directory or wish.target.endswith("/")
    os.close(make_directory(root, wish.target if is_below else posixpath.dirname(wish.target), wish.owner))
    target = Target(root, wish.target)
    try:
        transfer(source, target, Bounds(), lambda sink: _Packing(sink, files, wish))
    finally:
        os.close(target.directory)


def _extract(file: IO[bytes], target: str, root: Root, owner: Owner | None) -> None:
    directory = make_directory(root, target, owner)
    try:
        extract(open_plain(file, None, Bounds().total), directory, Bounds())
    finally:
        os.close(directory)


def make_directory(root: Root, path: str, owner: Owner | None) -> int:
    """A descriptor of a directory; what is missing of its path is made, for this owner. Raises SyscallError."""
    path = path.rstrip("/") or "/"
    try:
        return root.open(path)
    except SyscallError as error:
        if error.errno != errno.ENOENT:
            raise
    os.close(make_directory(root, posixpath.dirname(path), owner))
    directory = root.make_directory(path)
    if owner is not None:
        os.fchown(directory, *owner)
    return directory


class _Packing(Copying):
    """Files on their way into an archive, without what is left out. timeless: with no times, for a digest."""

    def __init__(self, sink: IO[bytes], files: Files, wish: Wish, timeless: bool = False) -> None:
        super().__init__(sink, wish.owner)
        self._files = files
        self._mode = wish.mode
        self._timeless = timeless
        self._top = ""  # where what is packed really is in its tree
        self._name = b""  # as it is called in the archive

    def add_source(self, source: Source, name: bytes) -> None:
        self._top = self._files.place_of(source)
        self._name = name if name != b"." else b""
        super().add_source(source, name)

    def add(self, name: bytes, directory: int, path: bytes) -> bool:
        below = os.fsdecode(path[len(self._name) :]).lstrip("/")
        place = posixpath.join(self._top, below) if below else self._top
        if place in self._files.ignored:
            is_directory = stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode)
            return is_directory and self._files.ignored.has_exceptions
        return super().add(name, directory, path)

    def _header(self, entry: Entry, records: Records | None = None) -> None:
        if self._mode is not None and entry.kind != tar.SYMLINK:
            entry.mode = self._mode
        if self._timeless:
            entry.mtime_ns = 0
        super()._header(entry, records)
