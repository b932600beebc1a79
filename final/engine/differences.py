"""`diff`: what a container has added (A), changed (C) and deleted (D). Book section 2.3.3.

Its own layer says so, beside those below: a name in it hides theirs, a whiteout deletes, an opaque directory replaces.
Both drivers' forms are read: overlayfs' devices 0/0 and attribute, and AUFS' files `.wh.NAME`. No link is followed, and
nothing is mounted: each directory is looked at beside those of the same name in the layers below.
"""

from __future__ import annotations

import os
import stat

from ch02_namespaces.command_line import CliCommand, Options
from ch02_namespaces.unionfs import is_opaque
from ch04_images import images, state
from ch04_images.beneath import ENTER
from ch04_images.unpack import OPAQUE_MARK, WHITEOUT
from ch05_lifecycle import store
from ch05_lifecycle.listings import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ch05_lifecycle.store import Stored

    Change = tuple[str, bytes]

ADDED, CHANGED, DELETED = "A", "C", "D"
OF_ENGINE = (b"/dev", b"/etc/hostname", b"/etc/hosts", b"/etc/resolv.conf", b"/proc", b"/sys")
"""Places for what the engine mounts: they are not the container's doing."""


def show_differences(options: Options) -> int:
    """`diff`: a line for each."""
    state.require_root()
    for kind, path in differences(store.find(options.operands[0])):
        write_all(1, kind.encode() + b" " + (shown(path) if os.isatty(1) else path) + b"\n")
    return 0


def shown(path: bytes) -> bytes:
    """A path without characters that a terminal would obey."""
    return "".join(one if one.isprintable() else "?" for one in path.decode(errors="replace")).encode()


def differences(stored: Stored) -> Iterator[Change]:
    """(kind, path), by path; of what was added all that is in it, of what was deleted its top."""
    record = stored.record
    layers = [images.layer_directory(id) for id in reversed(record.layers)]
    opened = [os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) for path in (record.path("upper"), *layers)]
    try:
        yield from _Layer(record.driver == "aufs").changes(b"", opened[0], opened[1:])
    finally:
        for descriptor in opened:
            os.close(descriptor)


class _Layer:
    """A container's own layer, in the form of its driver."""

    def __init__(self, is_aufs: bool) -> None:
        self._is_aufs = is_aufs

    def changes(self, path: bytes, own: int, below: Sequence[int], is_new: bool = False) -> Iterator[Change]:
        """Those in a directory. own, below: its descriptors in the container's layer, and in those below; is_new: it
        was made in the place of the one below."""
        names = set(map(os.fsencode, os.listdir(own)))
        is_new = is_new or self._replaces(own, names)
        gone = {name for each in below for name in map(os.fsencode, os.listdir(each))} - names if is_new else set()
        for name in sorted(names | gone):
            if name in names:
                yield from self._change(path, name, own, below, is_new)
            elif find(name, below) is not None:
                yield DELETED, path + b"/" + name

    def _change(self, path: bytes, name: bytes, own: int, below: Sequence[int], is_new: bool) -> Iterator[Change]:
        try:
            status = os.lstat(name, dir_fd=own)
        except FileNotFoundError:  # the container goes on meanwhile
            return
        if self._is_aufs and name.startswith(WHITEOUT):
            if not name.startswith(WHITEOUT * 2):
                yield DELETED, path + b"/" + name.removeprefix(WHITEOUT)
            return
        place = path + b"/" + name
        before = find(name, below)
        if is_whiteout(status):
            if before is not None:
                yield DELETED, place
            return
        inside = []
        if stat.S_ISDIR(status.st_mode):
            inside = list(self._inside(place, name, own, below, is_new))
        if before is None:
            if not (place in OF_ENGINE and not inside):
                yield ADDED, place
        elif inside or is_different(before, status):
            yield CHANGED, place
        yield from inside

    def _inside(self, place: bytes, name: bytes, own: int, below: Sequence[int], is_new: bool) -> Iterator[Change]:
        here = os.open(name, ENTER, dir_fd=own)
        there = directories(name, below)
        try:
            yield from self.changes(place, here, there, is_new)
        finally:
            for descriptor in (here, *there):
                os.close(descriptor)

    def _replaces(self, directory: int, names: set[bytes]) -> bool:
        """Whether nothing of the layers below is seen in it."""
        return OPAQUE_MARK in names if self._is_aufs else is_opaque(f"/proc/self/fd/{directory}/.")


def find(name: bytes, layers: Sequence[int]) -> os.stat_result | None:
    """What the union of some directories has under a name; none if the topmost that knows it has deleted it."""
    for directory in layers:
        try:
            status = os.lstat(name, dir_fd=directory)
        except FileNotFoundError:
            continue
        return None if is_whiteout(status) else status
    return None


def directories(name: bytes, layers: Sequence[int]) -> list[int]:
    """Descriptors of the directories of which the union's one of this name consists, from the top."""
    found: list[int] = []
    for directory in layers:
        try:
            found.append(os.open(name, ENTER, dir_fd=directory))
        except FileNotFoundError:
            continue
        except OSError:  # a file, a link or a whiteout hides what is below
            break
        if is_opaque(f"/proc/self/fd/{found[-1]}/."):
            break
    return found


def is_whiteout(status: os.stat_result) -> bool:
    """Whether an entry hides one of the layers below: a character device 0/0, overlayfs.rst."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_different(before: os.stat_result, now: os.stat_result) -> bool:
    """Whether a file was changed, and not only copied up. Size and time of a directory say nothing."""
    if any(getattr(before, field) != getattr(now, field) for field in ("st_mode", "st_uid", "st_gid", "st_rdev")):
        return True
    is_directory = stat.S_ISDIR(now.st_mode)
    return not is_directory and (before.st_size, before.st_mtime_ns) != (now.st_size, now.st_mtime_ns)


COMMANDS = {
    "diff": CliCommand("Show what a container has changed of its files.", [], "CONTAINER", show_differences),
}
