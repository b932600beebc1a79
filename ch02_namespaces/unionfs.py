"""overlayfs: several directories seen as one; changes go to the uppermost. Book sections 2.3.1 and 2.3.3.

Source: overlayfs.rst in the kernel's documentation. `lowers` are always given uppermost first.
"""

from __future__ import annotations

import errno
import os
import stat

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError, SyscallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PAGE = 4096  # mount(2) takes one page of options
MOST_LAYERS = 500  # OVL_MAX_STACK
SPECIAL = frozenset(":,\\")
PLAIN = ("redirect_dir=off", "metacopy=off", "index=off")
"""Whatever its defaults: no entry of an upper layer points elsewhere, so it can become a lower one."""
OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")  # the second in user namespaces (mount option userxattr)


def mount_overlay(lowers: Sequence[str], target: str, upper: str | None = None, work: str | None = None) -> None:
    """Show `lowers`, and `upper` on top of them, as one tree at `target`; without `upper` it is read-only.

    upper takes all changes; work is an empty directory that the kernel needs, on the same file system as upper.
    Relative names start at the current directory. What does not fit into a PAGE of options, or has characters in it
    that mean something there (SPECIAL), is mounted by short names.
    Example: mount_overlay(["/b", "/a"], "/mnt", upper="/c", work="/w"); where both have a file, that of /b shows.
    Raises EngineError for none or more than 500 lower layers and for one that is no directory, SyscallError (mount) for
    all that the kernel refuses.
    """
    if not lowers or len(lowers) > MOST_LAYERS:
        raise EngineError("overlay", f"{len(lowers)} lower layers", f"the kernel takes 1 to {MOST_LAYERS}")
    for directory in (*lowers, upper, work):
        if directory is not None and not os.path.isdir(directory):
            raise EngineError("overlay", f"{directory} is not a directory")
    ends = [end for end in (upper, work) if end is not None]
    options = _options(lowers, ends)
    if len(options) < PAGE and not any(SPECIAL & set(path) for path in (*lowers, *ends)):
        syscalls.mount("overlay", target, "overlay", 0, options)
    else:
        _mount_by_short_names(_absolute(lowers), _absolute(ends), os.path.abspath(target))


def _absolute(paths: Sequence[str]) -> list[str]:
    return [os.path.abspath(path) for path in paths]


def _options(lowers: Sequence[str], ends: Sequence[str]) -> str:
    named = [f"{name}={path}" for name, path in zip(("upperdir", "workdir"), ends, strict=False)]
    plain = PLAIN if ends else ()
    if syscalls.in_user_namespace():
        plain = ("userxattr", *plain[1:])  # which no redirections go with
    return ",".join([f"lowerdir={':'.join(lowers)}", *named, *plain])


def _mount_by_short_names(lowers: Sequence[str], ends: Sequence[str], target: str) -> None:
    """The same through symbolic links 0, 1, 2, …: more layers than their names' lengths would allow in one page, and
    names with any character. The kernel resolves them once, from our working directory, when it mounts."""
    import tempfile

    before = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with tempfile.TemporaryDirectory(prefix="mydocker-overlay-") as links:
        names = [str(number) for number in range(len(lowers) + len(ends))]
        for name, path in zip(names, [*lowers, *ends], strict=True):
            os.symlink(path, f"{links}/{name}")
        try:
            os.chdir(links)
            options = _options(names[: len(lowers)], names[len(lowers) :])
            syscalls.mount("overlay", target, "overlay", 0, options)
        finally:
            os.fchdir(before)
            os.close(before)


def opaque_attribute() -> str:
    """That of OPAQUE which we may set, and by which mount_overlay() goes."""
    return OPAQUE[1] if syscalls.in_user_namespace() else OPAQUE[0]


def make_whiteout(path: str) -> None:
    """Hide a name of the layers below, as overlayfs does when it is deleted: a character device 0/0."""
    try:
        os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
    except OSError as error:
        raise SyscallError(f"mknod({path!r})", error.errno or errno.EIO) from None


def is_whiteout(path: str) -> bool:
    """Whether this entry of a layer hides a name of the layers below."""
    status = os.lstat(path)
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(0, 0)


def make_opaque(directory: str) -> None:
    """Hide all that the layers below have in this directory, as for one that was deleted and made again."""
    name = opaque_attribute()
    try:
        os.setxattr(directory, name, b"y")
    except OSError as error:
        hint = "trusted.* attributes need root"
        raise SyscallError(f"setxattr({directory!r}, {name!r})", error.errno or errno.EIO, hint) from None


def is_opaque(directory: str) -> bool:
    """Whether a directory of a layer hides those of the same name below."""
    for name in OPAQUE:
        try:
            return os.getxattr(directory, name, follow_symlinks=False) == b"y"
        except OSError:  # ENODATA, or EPERM for trusted.* without root
            continue
    return False


def show_layer(layer: str) -> Iterator[tuple[str, str]]:
    """What a layer does to those below, by name: (path, what), what being "adds or changes", "deletes", "replaces".

    A directory that is not opaque only leads to its entries, and is not named. Symbolic links are not followed.
    """
    for directory, names, files in os.walk(layer):
        for name in sorted(names + files):
            path = os.path.join(directory, name)
            shown = os.path.relpath(path, layer)
            if os.path.isdir(path) and not os.path.islink(path):
                if is_opaque(path):
                    yield shown, "replaces"
            elif is_whiteout(path):
                yield shown, "deletes"
            else:
                yield shown, "adds or changes"
