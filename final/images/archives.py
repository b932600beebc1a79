"""save and load: images as one file, in Docker's form or as an OCI layout; an archive itself tells which it is."""

from __future__ import annotations

import os
import stat

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError, SyscallError
from ch04_images.compression import open_plain
from ch04_images.tar import Bounds
from ch04_images.unpack import DEFAULTS, unpack_plain
from final.images import docker_archive, oci_archive, reference, store
from final.images.addition import Addition
from final.images.documents import LARGEST_MANIFEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    from ch04_images.images import Image

FORMATS = {"docker-archive": docker_archive.save, "oci-archive": oci_archive.save}
BOUNDS = Bounds(entries=100_000, depth=8, devices=False, setuid=False)


def save(texts: list[str], sink: IO[bytes], format: str = "docker-archive") -> None:
    """Write images into one archive. texts: names, which go along, or ids. Raises EngineError."""
    found: dict[str, tuple[Image, list[str]]] = {}
    for text in texts:
        image = store.find(text)
        id = store.id_of(image) or store.id_of(store.identified(image))
        _, names = found.setdefault(id, (image, []))
        by_name = store.named(text)
        if by_name is not None and "@" not in by_name.name and by_name.name not in names:
            names.append(by_name.name)
    FORMATS[format](found, sink)


def load(source: IO[bytes], progress: Callable[[int], None] | None = None) -> list[str]:
    """Bring the images of an archive into the store; their names there, or ids. Raises EngineError; then the names of
    those before the one that failed are there."""
    store.settle()  # a killed one may have left a full disk
    with Addition() as addition:
        top = f"{addition.directory}/archive.part"
        os.mkdir(top)
        unpack_plain(open_plain(source, progress, DEFAULTS.total), top, bounds=BOUNDS)
        with ArchiveTree(top) as tree:
            if tree.has(oci_archive.INDEX) and tree.has(oci_archive.MARK):
                names = oci_archive.load(addition, tree)
            elif tree.has(docker_archive.MANIFEST):
                names = docker_archive.load(addition, tree)
            else:
                hint = "`import` takes a root file system"
                raise EngineError("archive", "it holds no image: neither manifest.json nor index.json", hint)
    store.settle()
    return names


class ArchiveTree:
    """The unpacked files of an archive, for `with`. Its links lead nowhere outside: openat2(2), RESOLVE_IN_ROOT."""

    def __init__(self, top: str) -> None:
        self._top = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> ArchiveTree:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._top)

    def has(self, name: str) -> bool:
        """Whether there is something of this name at the top."""
        return name in os.listdir(self._top)

    def open(self, name: object) -> IO[bytes]:
        """A regular file. Raises EngineError."""
        if not isinstance(name, str) or "\0" in name or not name.isprintable():
            raise EngineError("archive", f"{str(name)[:80]!r} is no name of a file")
        try:
            descriptor = syscalls.openat2(
                self._top, name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK, syscalls.RESOLVE_IN_ROOT
            )
        except SyscallError as error:
            raise EngineError(f"archive: {name[:80]}", os.strerror(error.errno)) from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise EngineError(f"archive: {name[:80]}", "it is no regular file")
        return os.fdopen(descriptor, "rb")

    def read(self, name: object, most: int = LARGEST_MANIFEST) -> bytes:
        """A small file. Raises EngineError."""
        with self.open(name) as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise EngineError(f"archive: {name}", f"it has more than {most} bytes")
        return data


def shown(name: str) -> str:
    """What `load` says of an image."""
    return f"Loaded image ID: {name}" if reference.is_nameless(name) else f"Loaded image: {name}"
