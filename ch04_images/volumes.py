"""Volumes: directories and files of the host that a container sees, and that outlive it. Book section 4.3."""

from __future__ import annotations

import os
import stat

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError
from ch03_run.container import Container, Part
from ch04_images import inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SYNTAX = "-v SOURCE:TARGET[:ro], such as -v /srv/data:/data:ro"


class Volume:
    """source: absolute path on the host; target: absolute path in the container; read_only: for the container."""

    def __init__(self, source: str, target: str, read_only: bool) -> None:
        self.source = source
        self.target = target
        self.read_only = read_only


def parse_volume(text: str) -> Volume:
    """Read SOURCE:TARGET[:ro|rw]. A source that is relative must begin with a dot. Raises EngineError."""
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not source or not target:
        raise EngineError(repr(text), "it is no volume", SYNTAX)
    if mode not in ("", "ro", "rw"):
        raise EngineError(repr(text), f"{mode!r} is neither ro nor rw", SYNTAX)
    if not source.startswith(("/", "./", "../")) and source not in (".", ".."):
        raise EngineError(repr(text), "the source is no path", f"a directory here is ./{source}")
    if not target.startswith("/"):
        raise EngineError(repr(text), "the target is not absolute", SYNTAX)
    target = "/" + os.path.normpath(target).lstrip("/")
    if target == "/":
        raise EngineError(repr(text), "the target may not be the root itself", SYNTAX)
    return Volume(os.path.abspath(source), target, mode == "ro")


class Sources(Part):
    """What is to be bound is there: a directory of the host that is missing is made, as with Docker."""

    section = "4.3"

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = list(paths)
        self._made: list[str] = []

    def prepare(self, container: Container) -> None:
        for path in self._paths:
            self._make(path)

    def _make(self, path: str) -> None:
        missing = []
        while not os.path.lexists(path):
            missing.append(path)
            path = os.path.dirname(path)
        for directory in reversed(missing):
            syscalls.mkdir(directory)
            self._made.append(directory)

    def cleanup(self, container: Container) -> None:
        while self._made:
            directory = self._made.pop()
            if not container.started and not os.listdir(directory):
                syscalls.rmdir(directory)


class Volumes(Sources):
    """Directories and files of the host, bound into the container.

    While the host's files can be seen, open_tree(2) takes a copy of each source's mount, attached nowhere. After
    PivotRoot these are given their places, by paths that mean the container's own files and no others. Nothing that is
    mounted later passes between host and container.
    """

    section = "4.3"

    def __init__(self, volumes: Iterable[Volume]) -> None:
        self.volumes = sorted(volumes, key=lambda volume: volume.target.count("/"))  # /data before /data/logs
        super().__init__(volume.source for volume in self.volumes)
        self._trees: list[int] = []
        targets = [volume.target for volume in self.volumes]
        for target in targets:
            if targets.count(target) > 1:
                raise EngineError(f"-v {target}", "two volumes have this target")

    def prepare(self, container: Container) -> None:
        """Take a copy of each source's mount into self._trees, in the order of self.volumes; what is missing of the
        sources is made first (Sources). Read-only is an attribute of the copy, and so is that it is private.

        Raises EngineError, SyscallError; what is in self._trees then, cleanup() closes. Source: open_tree(2).
        Example: for `-v /srv:/data:ro` a descriptor of a private, read-only mount of /srv that is nowhere yet.
        """
        super().prepare(container)
        for volume in self.volumes:
            tree = syscalls.open_tree(volume.source)
            self._trees.append(tree)
            read_only = syscalls.MOUNT_ATTR_RDONLY if volume.read_only else 0
            syscalls.mount_setattr(tree, read_only, syscalls.MS_PRIVATE)

    def enter(self, container: Container) -> None:
        """Attach each copy at its target, which is made where it is missing: a directory for a directory, an empty file
        for a file. / is the container's root here. All descriptors are closed. Raises EngineError. move_mount(2).

        Example: for `-v /srv:/data:ro`, what /srv is on the host is seen at /data."""
        for volume, tree in zip(self.volumes, self._trees, strict=True):
            make = inside.make_directory if stat.S_ISDIR(os.fstat(tree).st_mode) else inside.make_file
            target = make(volume.target)
            syscalls.move_mount(tree, target)
            os.close(target)
            os.close(tree)

    def cleanup(self, container: Container) -> None:
        for tree in self._trees:
            os.close(tree)
        self._trees.clear()
        super().cleanup(container)
