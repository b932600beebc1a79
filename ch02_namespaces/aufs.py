"""Our own AUFS: mount a union of directories, in user space, with AUFS' own options.

    python3 -m ch02_namespaces.aufs -o br:upper=rw:middle=ro:lower=ro MOUNTPOINT

aufs_branches reads the options; aufs_union, aufs_copyup and aufs_changes are the union itself; aufs_fuse with
aufs_files answers the kernel. This module is about processes:

    guardian    waits for the file system; when it is gone, by whatever death, takes away a mount that is left
    its child   the file system; serves the mount, ends on umount(8), SIGTERM, SIGINT or SIGHUP

Killing either ends both; only if both are killed at once a dead mount stays behind (`umount -l`). fusermount3's
auto_unmount would do the guardian's job, but older libfuse 3 (3.14 for one) then drops the options suid and dev,
which a container needs (libfuse issue 148).

An ordinary user can do this too, through fusermount3, as far as the kernel lets that user: a file of somebody else
in a lower branch cannot be copied up (EPERM), and nobody else can look into the mount unless /etc/fuse.conf says
user_allow_other.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import select
import signal
import sys

from ch02_namespaces import explain, syscalls
from ch02_namespaces.aufs_branches import Branch, check_layout, parse_branches
from ch02_namespaces.errors import EngineError, report
from ch02_namespaces.mountinfo import mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

READY = b"\0ready"
SOURCE = "aufs:"
"""In /proc/mounts our mounts have the source `aufs:PID`, PID being the guardian's."""

ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
SECONDS_TO_END = 5


def mount(options: str, target: str) -> int:
    """Mount a union at target, served in the background; return as soon as it can be used.

    options: AUFS' option string, see aufs_branches.parse_branches; target: an existing directory.
    Returns the pid of the guardian: SIGTERM to it unmounts. The processes have no descriptor of the caller's, are
    in a session of their own and in directory /. Call it from a single-threaded process only, as it forks.
    Raises EngineError.
    """
    branches, target = _checked(options, target)
    read_end, write_end = os.pipe()
    middle = os.fork()
    if middle == 0:
        _become(lambda: _background(branches, target, write_end), write_end)
    os.close(write_end)
    with contextlib.suppress(ChildProcessError):  # a caller who ignores SIGCHLD has no children to wait for
        os.waitpid(middle, 0)
    with os.fdopen(read_end, "rb") as messages:
        return _guardian_pid(messages.read(), target)


def serve_in_foreground(options: str, target: str) -> int:
    """Mount a union at target and wait until it is unmounted; this process is the guardian. Raises EngineError."""
    branches, target = _checked(options, target)
    read_end, write_end = os.pipe()
    system = _start_file_system(branches, target, write_end, quiet=False)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as messages:
        text = messages.read()
    _guard(system)
    _guardian_pid(text, target)
    return 0


def unmount(target: str) -> None:
    """Unmount a union and wait until its processes have ended (5 seconds at most).

    Raises EngineError if no union is mounted at target, or while somebody uses it (EBUSY).
    """
    target = os.path.realpath(target)
    sources = [source for source, place in mounts() if place == target]
    if not sources or not sources[-1].startswith(SOURCE):
        raise EngineError(f"cannot unmount {target}", "no union is mounted there", "see /proc/mounts")
    guardian = _pidfd(int(sources[-1].removeprefix(SOURCE)))
    try:
        _unmount_one(target, lazily=False)
        if guardian is not None:
            select.select([guardian], [], [], SECONDS_TO_END)
    finally:
        if guardian is not None:
            os.close(guardian)


def main(arguments: list[str] | None = None) -> int:
    """The command `python3 -m ch02_namespaces.aufs`; returns the exit code."""
    parser = argparse.ArgumentParser(prog="aufs", description="Mount a union of directories.")
    parser.add_argument("-o", dest="options", action="append", required=True, metavar="OPTIONS",
                        help="br:UPPER=rw:LOWER=ro, topmost branch first")  # fmt: skip
    parser.add_argument("-f", dest="foreground", action="store_true", help="stay in the foreground")
    parser.add_argument("mountpoint")
    given = parser.parse_args(arguments)
    options = ",".join(given.options)
    try:
        if given.foreground:
            return serve_in_foreground(options, given.mountpoint)
        mount(options, given.mountpoint)
    except (EngineError, OSError) as error:
        return report(error)
    return 0


def _checked(options: str, target: str) -> tuple[list[Branch], str]:
    """Read options and mount point; everything that can be refused before a process is started."""
    what = f"cannot mount a union at {target}"
    branches = parse_branches(options)
    try:
        os.stat(target)
    except OSError as error:
        hint = "create it first: mkdir -p"
        if not isinstance(error, FileNotFoundError):
            hint = "if a file system died there, take its mount away: umount -l"
        raise EngineError(what, str(error.strerror), hint) from None
    if not os.path.isdir(target):
        raise EngineError(what, "it is not a directory")
    target = os.path.realpath(target)
    check_layout(branches, target)
    return branches, target


def _guardian_pid(message: bytes, target: str) -> int:
    """Read what the starting file system reported: its guardian's pid after READY, or why it could not mount."""
    _, ready, pid = message.partition(READY)
    if ready:
        return int(pid)
    lines = [line for line in os.fsdecode(message).splitlines() if line.strip()]
    why = lines[-1].removeprefix("fuse: ") if lines else "the file system process ended"
    hint = "FUSE needs /dev/fuse (modprobe fuse) and libfuse 3 with fusermount3 (package fuse3)"
    raise EngineError(f"cannot mount a union at {target}", why, hint)


def _become(work: Callable[[], None], messages: int) -> NoReturn:
    """Do the work of a forked child and end; nothing of the parent's program may run on in it."""
    status = 1
    try:
        work()
        status = 0
    except BaseException as error:
        os.write(messages, f"{error}\n".encode(errors="surrogateescape"))
    finally:
        os._exit(status)


def _background(branches: list[Branch], target: str, messages: int) -> None:
    """Become the guardian, with nothing of the caller's left but the pipe for messages."""
    os.setsid()
    explain.end()
    if os.fork():
        return
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    # Objects of the caller's that own descriptors must not be collected here: they would close ours.
    gc.freeze()
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != messages:
            _close(int(name))
    system = _start_file_system(branches, target, messages, quiet=True)
    os.close(messages)
    _guard(system)


def _close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        return  # the one that listed them


def _start_file_system(branches: list[Branch], target: str, messages: int, quiet: bool) -> int:
    guardian = os.getpid()
    system = os.fork()
    if system == 0:
        _become(lambda: _serve(branches, target, messages, guardian, quiet), 2)
    return system


def _guard(system: int) -> None:
    """Wait for the file system process; pass on the signals that end it; unmount what it left behind."""
    for number in ENDING:
        signal.signal(number, lambda number, frame: os.kill(system, number))
    os.waitpid(system, 0)
    for source, place in reversed(mounts()):
        if source == f"{SOURCE}{os.getpid()}":
            _unmount_one(place, lazily=True)


def _serve(branches: list[Branch], target: str, messages: int, guardian: int, quiet: bool) -> None:
    """Be the file system: mount, say so, answer requests until the end."""
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)  # libfuse sets its own handlers, if it finds the default ones
    syscalls.die_with_parent(signal.SIGTERM)
    if os.getppid() != guardian:
        return
    os.chdir("/")
    errors = os.open(os.devnull, os.O_WRONLY) if quiet else os.dup(2)
    os.dup2(messages, 2)  # what libfuse writes is the reason if it cannot mount
    os.close(messages)

    def ready() -> None:
        os.write(2, READY + str(guardian).encode())
        os.dup2(errors, 2)

    _allow_many_files()
    _prefer_libfuse3()
    from ch02_namespaces.aufs_fuse import serve  # 60 ms, and only this process needs it
    from ch02_namespaces.aufs_union import Union

    with contextlib.suppress(RuntimeError):  # libfuse has written why
        serve(Union(branches), target, ready, _fuse_options(branches, guardian))


def _fuse_options(branches: list[Branch], guardian: int) -> dict[str, str | bool]:
    as_root = os.geteuid() == 0
    return {
        "fsname": f"{SOURCE}{guardian}",
        "ro": not any(branch.writable for branch in branches),
        "allow_other": as_root or _users_may_allow_others(),
        # A container's programs and devices shall work; for ordinary users the kernel would refuse both.
        "suid": as_root,
        "dev": as_root,
    }


def _users_may_allow_others() -> bool:
    try:
        with open("/etc/fuse.conf") as file:
            return any(line.strip() == "user_allow_other" for line in file)
    except OSError:
        return False


def _allow_many_files() -> None:
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _prefer_libfuse3() -> None:
    """Tell mfusepy which library to load: left alone it takes libfuse 2 where both are installed."""
    import ctypes

    for name in ("libfuse3.so.4", "libfuse3.so.3"):  # since 3.17, and before
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        os.environ.setdefault("FUSE_LIBRARY_PATH", name)
        return


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _unmount_one(place: str, lazily: bool) -> None:
    if os.geteuid() != 0:  # the set-user-ID helper may unmount what belongs to its caller
        import subprocess

        command = ["fusermount3", "-u", *(["-z"] if lazily else []), "--", place]
        result = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if result.returncode and not lazily:
            raise EngineError(f"cannot unmount {place}", result.stderr.strip(), "is it in use?")
        return
    syscalls.umount(place, syscalls.MNT_DETACH if lazily else 0)


if __name__ == "__main__":
    sys.exit(main())
