"""`cp`: files between a container, running or not, and this host, or an archive on standard input and output.

What is copied is packed into an archive at one end of a pipe and unpacked from the other, by chapter 4's code: each
name is opened beside its directory's descriptor, and no link is followed. So a container that puts links in the way of
a copy leads nowhere (CVE-2018-15664); and nothing of its files is run or loaded.
"""

from __future__ import annotations

import os
import stat
import sys

from ch02_namespaces.command_line import CliCommand, Flag, Options
from ch02_namespaces.errors import EngineError, SyscallError
from ch04_images import state
from ch04_images import tar_header as tar
from ch04_images.beneath import Tree, why
from ch04_images.compression import open_plain
from ch04_images.image_commands import clean_up_when_interrupted, opened
from ch04_images.pack import Packing
from ch04_images.tar import Archive, Bounds
from ch04_images.unpack import RefusalError, Unpacking
from ch05_lifecycle import store
from final.engine import container_root
from final.engine.container_root import Root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    from ch04_images.tar_header import Entry, Records

    Owners = Callable[[int, int], tuple[int, int]]

PRIVILEGES = 0o6000  # setuid, setgid
CAPABILITY = b"security.capability"


def copy(options: Options) -> int:
    """`cp`: CONTAINER:PATH to PATH, or the other way round."""
    state.require_root()
    clean_up_when_interrupted()
    source, target = map(split, options.operands)
    if bool(source[0]) == bool(target[0]):
        raise EngineError("cp", "one of the two is in a container, and only one", "cp CONTAINER:PATH PATH")
    try:
        size = _copy_out(*source, target[1], options) if source[0] else _copy_in(source[1], *target, options)
    except BrokenPipeError:  # who reads has had enough, as `head` has
        raise
    except OSError as error:
        raise EngineError(f"cp {' '.join(options.operands)}", why(error)) from None
    if sys.stderr.isatty() and not options.quiet and options.operands[1] != "-":
        from final.images.listing import decimal_size

        print(f"Copied {decimal_size(size)} to {options.operands[1]}", file=sys.stderr)
    return 0


def split(text: str) -> tuple[str, str]:
    """The container, empty for this host, and the path. A local name with a colon begins with ./ or /."""
    container, colon, path = text.partition(":")
    if not colon or text.startswith((".", "/")):
        return "", text
    return container, path if path.startswith("/") else f"/{path}"


def _copy_out(container: str, path: str, target: str, options: Options) -> int:
    with container_root.of_container(store.find(container)) as root:
        source = Source(root, path, options.follow_link)
        if target == "-":
            if os.isatty(1):
                raise EngineError("standard output", "it is a terminal", "a pipe, or a file")
            with os.fdopen(os.dup(1), "wb") as sink:
                Copying(sink, seen_as=root.inside).add_source(source, source.name)
            return 0
        bounds = Bounds(devices=False, setuid=options.archive)
        owner, seen_as = (None, root.inside) if options.archive else ((os.geteuid(), os.getegid()), as_it_is)
        with container_root.of_host() as host:
            place = Target(host, os.path.abspath(target) + _ending(target))
            return transfer(source, place, bounds, lambda sink: Copying(sink, owner, True, seen_as))


def _copy_in(path: str, container: str, target: str, options: Options) -> int:
    stored = store.find(container)
    if (stored.settings.get("options") or {}).get("read_only") and not stored.is_watched():
        raise EngineError(f"container {container!r}", "its files cannot be changed (--read-only)")
    with container_root.of_container(stored) as root:
        root.own_new_files()
        if path == "-":
            directory = root.open(target)
            with opened("-") as archive:
                return extract(open_plain(archive, None, Bounds().total), directory, Bounds(), root.outside)
        with container_root.of_host() as host:
            source = Source(host, os.path.abspath(path) + _ending(path), options.follow_link)
            owner = None if options.archive else (0, 0)
            return transfer(
                source, Target(root, target), Bounds(), lambda sink: Copying(sink, owner, seen_as=root.outside)
            )


def _ending(path: str) -> str:
    """What abspath() drops of a path, and has a meaning here."""
    return "/." if os.path.basename(path) == "." else "/" if path.endswith("/") else ""


class Source:
    """What is to be copied. directory: the descriptor of the one it is in; name: its name there; contents: what is in
    it, and not the directory itself. Raises SyscallError, OSError."""

    def __init__(self, root: Root, path: str, follow: bool) -> None:
        self.directory, found = root.locate(path, follow)
        self.status = os.lstat(found, dir_fd=self.directory)
        if path.endswith("/") and not self.is_directory:
            raise EngineError(path, "it is no directory")
        self.found = os.fsencode(found)
        self.name = os.fsencode(os.path.basename(path.rstrip("/")) or ".")
        self.contents = self.is_directory and self.name in (b".", b"..")

    @property
    def is_directory(self) -> bool:
        """Whether it is one; a link to one is none."""
        return stat.S_ISDIR(self.status.st_mode)

    def close(self) -> None:
        """Let go of its directory."""
        os.close(self.directory)


class Target:
    """Where it is to go. Raises EngineError if the directory above is not there."""

    def __init__(self, root: Root, path: str) -> None:
        self.path = path
        try:
            self.directory, self.found = root.locate(path, follow=True)
        except SyscallError as error:
            raise EngineError(os.path.dirname(path.rstrip("/")), error.why) from None
        try:
            self.status: os.stat_result | None = os.lstat(self.found, dir_fd=self.directory)
        except FileNotFoundError:
            self.status = None

    def place_for(self, source: Source) -> tuple[int, bytes]:
        """The directory into which it goes, as a descriptor, and the name that it gets; without one, its contents go
        there. Docker's rules ("docker container cp"). Raises EngineError."""
        if self.status is not None and stat.S_ISDIR(self.status.st_mode):
            flags = container_root.DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            return os.open(self.found, flags, dir_fd=self.directory), b"" if source.contents else source.name
        if self.status is not None and (source.is_directory or self.path.endswith("/")):
            raise EngineError(self.path, "it is no directory")
        if self.path.endswith("/") and not source.is_directory:
            raise EngineError(self.path, "there is no such directory")
        return self.directory, os.fsencode(self.found)


def transfer(source: Source, target: Target, bounds: Bounds, packing: Callable[[IO[bytes]], Copying]) -> int:
    """Copy; the number of bytes. packing: makes what packs the source into a pipe. Raises EngineError, OSError."""
    import threading

    directory, name = target.place_for(source)
    reader, writer = (os.fdopen(end, mode) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True))
    failure: list[BaseException] = []

    def write() -> None:
        try:
            with writer:
                packing(writer).add_source(source, name)
        except BrokenPipeError:
            return  # the other side has failed, and says why
        except BaseException as error:
            failure.append(error)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        with reader:
            return extract(reader.read, directory, bounds)
    except EngineError:
        if not failure:
            raise
        return 0
    finally:
        writing.join()
        if directory != target.directory:
            os.close(directory)
        if failure:
            raise failure[0]


def as_it_is(uid: int, gid: int) -> tuple[int, int]:
    """Owners that are the same on both sides."""
    return uid, gid


def extract(read: Callable[[int], bytes], directory: int, bounds: Bounds, seen_as: Owners = as_it_is) -> int:
    """Unpack an archive into a directory; the number of bytes. seen_as: who owners are there. Raises EngineError."""
    tree = Tree(f"/proc/self/fd/{directory}")
    try:
        return Placing(Archive(read, bounds), tree, bounds, seen_as).run()
    finally:
        tree.close()


class Copying(Packing):
    """What is copied, on its way into an archive.

    owner: of all files, None for their own; harmless: nothing in it may give rights to whoever runs it: it comes from a
    container, and goes to this host; seen_as: who owners are on the other side.
    """

    def __init__(
        self,
        sink: IO[bytes],
        owner: tuple[int, int] | None = None,
        harmless: bool = False,
        seen_as: Owners = as_it_is,
    ) -> None:
        super().__init__(sink, layer=False)
        self._owner = owner
        self._harmless = harmless
        self._seen_as = seen_as

    def add_source(self, source: Source, name: bytes) -> None:
        """All of it, under another name; none for the contents of a directory. Raises OSError."""
        contents = name in (b"", b".")
        if contents or self.add(source.found, source.directory, name):
            flags = container_root.DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            directory = os.open(source.found, flags, dir_fd=source.directory)
            try:
                self.add_all(b"" if contents else name, directory)
            finally:
                os.close(directory)
        self.end()

    def _header(self, entry: Entry, records: Records | None = None) -> None:
        if self._owner is not None:
            entry.uid, entry.gid = self._owner
            if self._harmless:
                entry.mode &= ~PRIVILEGES
                entry.xattrs = {key: value for key, value in entry.xattrs.items() if key != CAPABILITY}
        entry.uid, entry.gid = self._seen_as(entry.uid, entry.gid)
        super()._header(entry, records)


class Placing(Unpacking):
    """What comes out of it again, on its way into a directory in which something is already."""

    def __init__(self, archive: Archive, tree: Tree, bounds: Bounds, seen_as: Owners) -> None:
        super().__init__(archive, tree, layer=False, bounds=bounds)
        self._seen_as = seen_as

    def _add(self, entry: Entry) -> None:
        entry.uid, entry.gid = self._seen_as(entry.uid, entry.gid)
        super()._add(entry)

    def _replace(self, parent: int, name: bytes, entry: Entry) -> None:
        """A file does not take the place of a directory, nor the other way round."""
        try:
            is_directory = stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode)
        except FileNotFoundError:
            return super()._replace(parent, name, entry)
        if is_directory != (entry.kind == tar.DIRECTORY):
            raise RefusalError("a directory and a file cannot take each other's place")
        return super()._replace(parent, name, entry)


COMMANDS = {
    "cp": CliCommand(
        "Copy files between a container and this host.",
        [
            Flag("-a", "--archive", help="with their owners"),
            Flag("-L", "--follow-link", help="what a symbolic link leads to, in place of the link"),
            Flag("-q", "--quiet", help="say nothing"),
        ],
        "SOURCE TARGET",
        copy,
    )
}
