"""What COPY takes files from: the build context, another stage, an image. No link in it leads out of it.

A context is a directory, used where it is, or an archive on standard input, unpacked by chapter 4's reader. What its
.dockerignore leaves out is as good as not there. Source: Docker's "Build context".
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import stat

from ch02_namespaces.errors import EngineError, SyscallError
from ch04_images import tar_header as tar
from ch04_images.compression import open_plain
from ch04_images.image_commands import opened
from ch04_images.tar import Bounds
from ch04_images.unpack import unpack_plain
from final.build.dockerfile import BUILD_FAILED, LARGEST
from final.build.patterns import Ignored, expression, is_pattern
from final.engine.container_root import Root
from final.engine.copying import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Read = Callable[[int], bytes]

STANDARD_INPUT = "-"
USUAL = "Dockerfile"
BOUNDS = Bounds(devices=False)
READ = os.O_RDONLY | os.O_NONBLOCK  # a FIFO would let us wait for ever


class Files:
    """A tree of files. root: its own; ignored: what of it is left out; top: its path on this host."""

    def __init__(self, root: Root, ignored: Ignored | None = None) -> None:
        self.root = root
        self.ignored = ignored or Ignored()
        self.top = _path_of(root.descriptor)

    def find(self, text: str, begin: str = "", deep: bool = False) -> list[str]:
        """The paths that a source of COPY means, a pattern or a name: sorted, without what is left out. begin: a
        directory in which it is looked for; deep: `**` is all directories there, itself too. Raises PatternError,
        EngineError for one that leads upwards."""
        parts = [part for part in text.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise EngineError(text, "it leads out of the context", "COPY takes what is in it", BUILD_FAILED)
        found = [begin]
        for part in parts:
            if deep and part == "**":
                found = [path for above in found for path in self._directories(above)]
            else:
                found = [posixpath.join(above, name) for above in found for name in self._names(above, part)]
        return [path for path in dict.fromkeys(found) if self.is_there(path)]

    def _directories(self, above: str) -> list[str]:
        """A directory and all below it, without links to some."""
        below = [posixpath.join(above, name) for name in self._names(above, "*")]
        directories = [path for path in below if self.is_directory(path, follow=False)]
        return [above, *(found for path in directories for found in self._directories(path))]

    def _names(self, above: str, part: str) -> list[str]:
        if not is_pattern(part):
            return [part]
        fits = expression(part).fullmatch
        try:
            directory = self.root.open(above or "/")
        except SyscallError:  # it is no directory
            return []
        try:
            return sorted(name for name in os.listdir(directory) if fits(name))
        finally:
            os.close(directory)

    def is_there(self, path: str) -> bool:
        """Whether there is something, and it is not left out."""
        try:
            with contextlib.closing(Source(self.root, path or "/", follow=True)) as source:
                place = self.place_of(source)
                return not place or place not in self.ignored or (source.is_directory and self.ignored.has_exceptions)
        except (SyscallError, FileNotFoundError):
            return False

    def is_directory(self, path: str, follow: bool = True) -> bool:
        """Whether something is a directory. follow: or a link to one."""
        try:
            with contextlib.closing(Source(self.root, path or "/", follow)) as source:
                return source.is_directory
        except (SyscallError, FileNotFoundError):
            return False

    def real(self, path: str) -> str:
        """The path below the root of what a path leads to, with no links in it. Raises SyscallError, OSError."""
        with contextlib.closing(Source(self.root, path or "/", follow=True)) as source:
            return self.place_of(source)

    def place_of(self, source: Source) -> str:
        """Where something really is, links followed: its path below the root; empty for the root itself."""
        found = posixpath.join(_path_of(source.directory), os.fsdecode(source.found))
        below = posixpath.relpath(posixpath.normpath(found), self.top)
        return "" if below == "." else below


def _path_of(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")


def read_small(root: Root, path: str) -> bytes | None:
    """A small file; None if there is none. Raises EngineError for what is no regular file, or too large."""
    try:
        descriptor = root.open(path, READ)
    except SyscallError:
        return None
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise EngineError(path, "it is no regular file", exit_code=BUILD_FAILED)
        return file.read(LARGEST + 1)


# ---------------------------------------------------------------- the user's words


class Context:
    """files: to copy from; dockerfile: what it says; name: what it is called in messages."""

    def __init__(self, files: Files, dockerfile: bytes, name: str) -> None:
        self.files = files
        self.dockerfile = dockerfile
        self.name = name


@contextlib.contextmanager
def context_of(path: str, dockerfile: str | None, scratch: str) -> Iterator[Context]:
    """What PATH and -f mean. scratch: an empty directory, for what comes as an archive. Raises EngineError."""
    directory, given = path, b""
    if path == STANDARD_INPUT:
        if dockerfile == STANDARD_INPUT:
            raise EngineError("-f -", "standard input is the context already", "-f FILE, or a directory")
        directory = scratch
        given = _take_input(scratch)
    if "://" in path or path.startswith("git@"):
        raise EngineError(f"context {path}", "it is a URL, and none is fetched", "`git clone`, or - for standard input")
    try:
        root = Root(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError as error:
        raise EngineError(f"context {path}", str(error.strerror), "a directory, or - for standard input") from None
    with root:
        if given:
            yield Context(Files(root), given, USUAL)
        elif dockerfile is None or path == STANDARD_INPUT:
            yield _with_its_own(root, dockerfile or USUAL)
        else:
            yield _with_another(root, dockerfile)


def _with_its_own(root: Root, name: str) -> Context:
    """A Dockerfile in the context."""
    data = read_small(root, name)
    if data is None:
        raise EngineError(name, "there is none in the context", "-f FILE", BUILD_FAILED)
    own = f"{name}.dockerignore"
    return Context(
        Files(root, _ignored(root, own if read_small(root, own) is not None else ".dockerignore")), data, name
    )


def _with_another(root: Root, path: str) -> Context:
    """A Dockerfile of this host, wherever it is."""
    with opened(path) as file:
        data = _read_all(file.read, LARGEST + 1)
    with Root(os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as host:
        own = f"{os.path.abspath(path)}.dockerignore"
        has_own = path != STANDARD_INPUT and read_small(host, own) is not None
        ignored = _ignored(host, own) if has_own else _ignored(root, ".dockerignore")
    return Context(Files(root, ignored), data, USUAL if path == STANDARD_INPUT else os.path.basename(path))


def _ignored(root: Root, name: str) -> Ignored:
    data = read_small(root, name) or b""
    if len(data) > LARGEST:
        raise EngineError(name, f"it has more than {LARGEST >> 20} MiB", exit_code=BUILD_FAILED)
    return Ignored(data.decode("utf-8-sig", "surrogateescape").splitlines(), os.path.basename(name))


def _take_input(directory: str) -> bytes:
    """Standard input: an archive goes into the directory; anything else is a Dockerfile, which is returned."""
    with opened(STANDARD_INPUT) as file:
        read = open_plain(file, None, BOUNDS.total)
        head = _read_all(read, tar.BLOCK)
        if begins_archive(head):
            unpack_plain(_after(head, read), directory, bounds=BOUNDS)
            return b""
        data = head + _read_all(read, LARGEST + 1)
    if not data.strip():
        raise EngineError("standard input", "it is empty", "a Dockerfile, or a tar archive", BUILD_FAILED)
    return data


def _after(head: bytes, read: Read) -> Read:
    """A function that reads what has been read already, and then the rest."""
    left = [head]

    def again(size: int) -> bytes:
        if not left[0]:
            return read(size)
        piece, left[0] = left[0][:size], left[0][size:]
        return piece

    return again


def _read_all(read: Read, most: int) -> bytes:
    found = b""
    while len(found) < most and (piece := read(most - len(found))):
        found += piece
    return found


def begins_archive(head: bytes) -> bool:
    """Whether plain bytes begin a tar archive: its first header sums up, or it is empty."""
    return len(head) >= tar.BLOCK and (head == tar.ZEROS or tar.sums_up(head))


def archive_in(source: Source) -> int | None:
    """A descriptor of a file that holds a tar archive, compressed or not; None for any other file."""
    if not stat.S_ISREG(source.status.st_mode):
        return None
    descriptor = os.open(source.found, READ | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source.directory)
    with open(os.dup(descriptor), "rb", 0) as file, contextlib.suppress(EngineError):  # damaged: it is copied as it is
        if begins_archive(_read_all(open_plain(file), tar.BLOCK)):
            os.lseek(descriptor, 0, os.SEEK_SET)
            return descriptor
    os.close(descriptor)
    return None
