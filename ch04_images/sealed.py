"""The interpreter that enters a container cannot be changed from there. Book section 4.1.2.

Up to execve(2), the process in a container is the host's Python, and /proc/PID/exe leads to its file, past pivot_root:
an image whose command begins with `#!/proc/self/exe`, or a process that waits for the next `exec`, could open it and
write to it, and whoever runs Python on the host would run what was written (CVE-2019-5736). So a command that enters a
container starts Python once more, through a view of its file that is read-only: a mount in no container's mount
namespace, so that nobody inside can change it. It costs 7 ms, and the program `mydocker` pays once: its view stays
(kept_view.py). A copy in memory, as runc had it, takes 11 ms and 7 MB for each container.

Sources: open_tree(2), mount_setattr(2), execveat(2), memfd_create(2), proc_pid_exe(5).
"""

from __future__ import annotations

import posix  # the part of `os` that needs no import: here, each is paid for twice
import sys

EXE = "/proc/self/exe"

# asm-generic/unistd.h, linux/mount.h, linux/fcntl.h: chapter 2's syscalls.py would take 4 ms more
SYS_OPEN_TREE, SYS_MOUNT_SETATTR = 428, 442
OPEN_TREE_CLONE, MOUNT_ATTR_RDONLY = 0x1, 0x1
AT_FDCWD, AT_EMPTY_PATH = -100, 0x1000
READ_ONLY = MOUNT_ATTR_RDONLY.to_bytes(8, sys.byteorder) + bytes(24)  # struct mount_attr


def seal(*commands: str) -> None:
    """If the command line has one of these commands, go on with an interpreter that nobody can write to.

    Call it before anything else is imported: it begins again. Where we could not write to it ourselves, nobody in a
    container can: an ordinary user's container has his rights.
    """
    if not posix.access(EXE, posix.W_OK) or not set(commands).intersection(sys.argv):
        return
    interpreter = _read_only_view()
    if interpreter >= 0 and sys.flags.isolated:  # as the program `mydocker` is started
        from ch04_images.kept_view import keep

        keep(interpreter)
    if interpreter < 0 and not _is_sealed():
        interpreter = _sealed_copy()
    if interpreter >= 0:
        posix.execve(interpreter, sys.orig_argv, posix.environ)


def _read_only_view() -> int:
    """A descriptor of the interpreter by a mount that is attached nowhere and read-only; -1 if we may not mount."""
    import _ctypes  # the part of `ctypes` that costs little to import

    program = _ctypes.dlopen(None, posix.RTLD_NOW)  # type: ignore[arg-type]  # dlopen(3): null is the program itself
    function = _ctypes.dlsym(program, "syscall")

    def syscall(*arguments: int | bytes) -> int:
        return int(_ctypes.call_function(function, arguments))

    view = syscall(SYS_OPEN_TREE, AT_FDCWD, EXE.encode(), OPEN_TREE_CLONE | posix.O_CLOEXEC)
    if view >= 0 and syscall(SYS_MOUNT_SETATTR, view, b"", AT_EMPTY_PATH, READ_ONLY, len(READ_ONLY)):
        raise OSError(f"{EXE}: it cannot be made read-only")
    return view


def _sealed_copy() -> int:
    """A descriptor of a copy of the interpreter in memory that can't be changed any more: for an ordinary user, who
    has an interpreter of his own. Raises OSError."""
    import fcntl

    copy = posix.memfd_create("python", posix.MFD_CLOEXEC | posix.MFD_ALLOW_SEALING)
    with open(EXE, "rb") as original:
        while posix.sendfile(copy, original.fileno(), None, 1 << 30):
            pass
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    fcntl.fcntl(copy, fcntl.F_ADD_SEALS, seals)
    return copy


def _is_sealed() -> bool:
    """Whether we are such a copy already."""
    import fcntl

    with open(EXE, "rb") as interpreter:
        try:
            return bool(fcntl.fcntl(interpreter, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE)
        except OSError:  # a file that is not in memory
            return False
