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
from final.build.modes import Mode
from final.build.patterns import Ignored, PatternError
from final.engine.container_root import Root
from final.engine.copying import Copying, Source, Target, extract, transfer
from final.images.gzip_writer import Sum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import IO

    from ch04_images.tar_header import Entry, Records

    Owner = tuple[int, int]


class Wish:
    """How files are copied. extracts: archives become what is in them; owner, mode: of what is made, None for their
    own; excluded: what of a directory is left out."""

    def __init__(self, extracts: bool, owner: Owner | None = None, mode: Mode | None = None) -> None:
        self.extracts = extracts
        self.owner = owner
        self.mode = mode
        self.excluded = Ignored()


class Piece:
    """Something that is copied. path: of a file or a directory, below the root of its tree; target: where to, absolute,
    ending with / if it must be a directory."""

    def __init__(self, path: str, target: str) -> None:
        self.path = path
        self.target = target


def target_of(text: str, directory: str) -> str:
    """Where files go. directory: what a path is relative to."""
    is_directory = text.endswith("/") or posixpath.basename(text) in (".", "..")
    path = "/" + posixpath.normpath(posixpath.join("/", directory, text)).lstrip("/")
    return f"{path.rstrip('/')}/" if is_directory else path


def mode_of(instruction: Instruction, variables: Mapping[str, str]) -> Mode | None:
    """--chmod. Raises DockerfileError."""
    text = configuration.expanded(instruction, instruction.flag("chmod"), variables)
    try:
        return Mode(text) if text else None
    except EngineError as error:
        raise instruction.error(f"--chmod={text}: {error.why}", error.hint) from None


def found(instruction: Instruction, files: Files, pattern: str, target: str) -> list[Piece]:
    """All that a source means. With --parents it keeps the directories above it, or those behind `/./`. Raises
    DockerfileError if there is none."""
    keeps = instruction.is_on("parents")
    above, below = pattern.split("/./", 1) if keeps and "/./" in pattern else ("", pattern)
    try:
        places = files.find(above, deep=keeps)
        paths = [(place, path) for place in places for path in files.find(below, place, deep=keeps)]
    except PatternError as error:
        raise instruction.error(str(error)) from None
    if not paths:
        raise instruction.error(
            f"{pattern} is not there", "nor is what .dockerignore leaves out, or a link leads out to"
        )
    if not keeps:
        return [Piece(path, target) for _, path in paths]
    return [
        Piece(path, _below(target, files, path, posixpath.relpath(path or ".", place or "."))) for place, path in paths
    ]


def _below(target: str, files: Files, path: str, kept: str) -> str:
    """Where something goes with the directories that it keeps: a directory takes its own name along."""
    kept = kept if files.is_directory(path) else posixpath.dirname(kept)
    return posixpath.join(target, "" if kept == "." else kept, "")


def digest_of(files: Files, pieces: Sequence[Piece], wish: Wish) -> str:
    """What the cache knows files by: names, modes, owners and contents, but no times. Raises OSError, EngineError."""
    total = hashlib.sha256()
    for piece in pieces:
        with contextlib.closing(_source(files, piece.path)) as source:
            one = Sum()
            _Packing(one, files, wish, timeless=True).add_source(source, source.name)  # type: ignore[arg-type]
        total.update(f"{piece.path}\0{piece.target}\0{one.digest}\n".encode(errors="surrogateescape"))
    return f"sha256:{total.hexdigest()}"


def copy(files: Files, pieces: Sequence[Piece], wish: Wish, root: Root) -> None:
    """Copy all of it. root: of the tree into which it goes. Raises OSError, EngineError."""
    for piece in pieces:
        with contextlib.closing(_source(files, piece.path)) as source:
            archive = archive_in(source) if wish.extracts else None
            if archive is not None:
                with open(archive, "rb", 0) as file:
                    _extract(file, piece.target, root, wish.owner)
            else:
                _copy_one(source, piece.target, files, wish, root)


def _source(files: Files, path: str) -> Source:
    """Of a directory that which is in it: what COPY takes."""
    source = Source(files.root, path or "/", follow=True)
    if not source.is_directory or source.contents:
        return source
    source.close()
    return Source(files.root, f"{path}/.", follow=True)


def _copy_one(source: Source, path: str, files: Files, wish: Wish, root: Root) -> None:
    is_below = source.is_directory or path.endswith("/")
    os.close(make_directory(root, path if is_below else posixpath.dirname(path), wish.owner))
    target = Target(root, path)
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
        self._excluded = wish.excluded
        self._timeless = timeless
        self._top = ""  # where what is packed really is in its tree
        self._name = b""  # as it is called in the archive
        self._alone = ""  # the name of a single file

    def add_source(self, source: Source, name: bytes) -> None:
        self._top = self._files.place_of(source)
        self._name = name if name != b"." else b""
        self._alone = "" if source.is_directory else os.fsdecode(source.name)
        super().add_source(source, name)

    def add(self, name: bytes, directory: int, path: bytes) -> bool:
        below = os.fsdecode(path[len(self._name) :]).lstrip("/")
        place = posixpath.join(self._top, below) if below else self._top
        leaving = [
            one for one, what in ((self._files.ignored, place), (self._excluded, below or self._alone)) if what in one
        ]
        if leaving:
            is_directory = stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode)
            return is_directory and all(one.has_exceptions for one in leaving)
        return super().add(name, directory, path)

    def _header(self, entry: Entry, records: Records | None = None) -> None:
        if self._mode is not None and entry.kind != tar.SYMLINK:
            entry.mode = self._mode.of(entry.mode, entry.kind == tar.DIRECTORY)
        if self._timeless:
            entry.mtime_ns = 0
        super()._header(entry, records)
