"""The root of a container as the host can reach it, without ever being led out of it: openat2(2), RESOLVE_IN_ROOT.

Of one that runs it is that of its PID 1, with all that is mounted there. Of one that does not, the union of its layers
and its volumes are mounted for the moment, in a mount namespace of this process' own: nobody sees them, and they go
with us. Paths of the host are walked in the same way, from its /.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import time

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError, SyscallError
from ch02_namespaces.unionfs import mount_overlay
from ch04_images import images, state
from ch04_images.rootfs import SECONDS_TO_END, aufs_options
from ch05_lifecycle import process
from final.engine import mounts, user_ranges

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ch05_lifecycle.store import Stored
    from final.engine.user_ranges import Users

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
WITHIN = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS
MOST_LINKS = 40  # as many as the kernel follows: path_resolution(7)
MOST_RACES = 100  # renames beside us make the kernel give up: EAGAIN
PATIENCE = 10.0  # seconds for one that is on its way up or down


class Root:
    """A directory that is the root for all paths, `..` and links that are walked from it. descriptor: of it; users: in
    whose ids the owners of its files are told, None for those of this host."""

    def __init__(self, descriptor: int, users: Users | None = None) -> None:
        self.descriptor = descriptor
        self.users = users

    def inside(self, uid: int, gid: int) -> tuple[int, int]:
        """The owner of a file as the container sees it."""
        return self.users.inside(uid, gid) if self.users else (uid, gid)

    def outside(self, uid: int, gid: int) -> tuple[int, int]:
        """The other way round. Raises EngineError for an owner that the container cannot have."""
        return self.users.outside(uid, gid) if self.users else (uid, gid)

    def own_new_files(self) -> None:
        """Make files from now on that belong to the container's root: those of anybody else cannot be there."""
        if self.users:
            from final.engine.mapped_users import become_owner

            become_owner(self.users)

    def open(self, path: str, flags: int = DIRECTORY) -> int:
        """A descriptor of a file. Raises SyscallError."""
        for _ in range(MOST_RACES):
            try:
                return syscalls.openat2(self.descriptor, path, flags, WITHIN)
            except SyscallError as error:
                if error.errno != errno.EAGAIN:
                    raise
        raise EngineError(path, "it is renamed again and again while it is looked up")

    def locate(self, path: str, follow: bool) -> tuple[int, str]:
        """The directory that a path leads to, as a descriptor, and the name in it, of which nothing needs to be there;
        `.` for the directory itself. follow: if that is a symbolic link, where it leads to. Raises SyscallError."""
        for _ in range(MOST_LINKS):
            directory, name = os.path.split(path.rstrip("/"))
            if name in ("", ".", ".."):
                return self.open(path or "/"), "."
            parent = self.open(directory or "/")
            target = _link(parent, name) if follow or path.endswith("/") else ""
            if not target:
                return parent, name
            os.close(parent)
            path = os.path.join(directory, target)
        raise SyscallError(f"open({path!r})", errno.ELOOP)

    def make_directory(self, path: str) -> int:
        """A descriptor of a directory; what is missing of its path is made, 0755. Raises SyscallError."""
        try:
            return self.open(path)
        except SyscallError as error:
            if error.errno != errno.ENOENT:
                raise
        parent, name = self.make_directory(os.path.dirname(path)), os.path.basename(path)
        try:
            os.mkdir(name, 0o755, dir_fd=parent)
            return os.open(name, DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        except OSError as error:
            raise SyscallError(f"mkdir({path!r})", error.errno or errno.EIO) from None
        finally:
            os.close(parent)

    def __enter__(self) -> Root:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)


def _link(directory: int, name: str) -> str:
    """Where a symbolic link leads; empty for what is none, or not there."""
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError:
        return ""


def of_host() -> Root:
    """This host's own."""
    return Root(os.open("/", DIRECTORY | os.O_CLOEXEC))


def of_container(stored: Stored) -> Root:
    """That of a container, whether it runs or not, for `with`. Raises EngineError."""
    end = time.monotonic() + PATIENCE
    while True:
        held = stored.try_lock()
        if held is not None:
            return _Mounted(stored, held)
        try:
            return _of_process(stored)
        except EngineError:  # it is on its way up or down
            if time.monotonic() > end:
                raise
        time.sleep(process.MOMENT)


def _of_process(stored: Stored) -> Root:
    pidfd = process.open_process(stored)
    try:
        root = os.open(f"/proc/{stored.state()['pid']}/root", DIRECTORY | os.O_CLOEXEC)
        os.close(process.open_process(stored))  # it runs still: so the number has meant it all the time
        return Root(root, user_ranges.of(stored))
    except FileNotFoundError:
        raise EngineError(f"container {state.short(stored.id)}", "it has just ended") from None
    finally:
        os.close(pidfd)


class _Mounted(Root):
    """That of a container that does not run. held: the descriptor of its lock, so that nobody starts it meanwhile."""

    def __init__(self, stored: Stored, held: int) -> None:
        self._held = held
        self._guardian = -1  # a pidfd: what serves the file system, if it is not the kernel
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
        target = stored.record.path("rootfs")
        if stored.record.driver == "aufs":
            from ch02_namespaces import aufs

            self._guardian = syscalls.pidfd_open(aufs.mount(aufs_options(stored.record), target))
        else:
            layers = [images.layer_directory(id) for id in reversed(stored.record.layers)]
            mount_overlay(layers, target, stored.record.path("upper"), stored.record.path("work"))
        super().__init__(os.open(target, DIRECTORY | os.O_CLOEXEC))
        for mount in sorted(stored.settings.get("mounts") or [], key=lambda one: str(one["target"]).count("/")):
            self._bind(mount, stored.record.path())
        self._target = target

    def _bind(self, mount: dict[str, Any], directory: str) -> None:
        """Put a volume at its place. directory: what a source that is no absolute path lies in."""
        source = os.path.join(directory, mount["source"])
        if mount["type"] == mounts.TMPFS or not os.path.exists(source):
            return
        if "subpath" in mount:
            from final.engine import sub_paths

            tree = sub_paths.tree_of(mount)
        else:
            tree = syscalls.open_tree(source)
        if tree < 0:
            return
        try:
            if mount["read_only"]:
                syscalls.mount_setattr(tree, syscalls.MOUNT_ATTR_RDONLY, syscalls.MS_PRIVATE)
            place = self._place_for(tree, mount["target"])
            if place >= 0:
                syscalls.move_mount(tree, place)
                os.close(place)
        finally:
            os.close(tree)

    def _place_for(self, tree: int, target: str) -> int:
        if stat.S_ISDIR(os.fstat(tree).st_mode):
            return self.make_directory(target)
        try:
            return self.open(target, os.O_PATH)
        except SyscallError as error:
            if error.errno != errno.ENOENT:
                raise
            return -1  # it has never been started: no place has been made for this file

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        syscalls.umount(self._target, syscalls.MNT_DETACH)
        if self._guardian >= 0:
            select.select([self._guardian], [], [], SECONDS_TO_END)  # until all is written to the container's layer
            os.close(self._guardian)
        os.close(self._held)
