"""The kernel calls of the whole engine, one thin function each, and one hook to watch them.

Every function names its man page. A refused call raises SyscallError with the call, the errno and, where we
know the usual cause, a hint. Set `observer` to see every call as it is made: --explain does.

Python 3.11 lacks setns, unshare and clone3, so those go through ctypes to the C library.
"""

from __future__ import annotations

import ctypes
import errno as errnos
import fcntl
import os

from ch02_namespaces.errors import SyscallError

TYPE_CHECKING = False  # for the type checker alone: each import that `run` does without makes it faster
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

# asm-generic/signal.h. Python's signal module would bring enum, re and 4 ms with it.
SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGUSR1, SIGUSR2, SIGTERM = 1, 2, 3, 9, 10, 12, 15
SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH = 17, 18, 19, 20, 21, 22, 28
SIGNALS = range(1, 65)
SIG_SETMASK = 2

# linux/sched.h
CLONE_NEWTIME = 0x00000080
CLONE_PIDFD = 0x00001000
CLONE_PARENT = 0x00008000
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_INTO_CGROUP = 0x200000000

# linux/mount.h
MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_SYNCHRONOUS = 0x10
MS_REMOUNT = 0x20
MS_MANDLOCK = 0x40
MS_DIRSYNC = 0x80
MS_NOSYMFOLLOW = 0x100
MS_NOATIME = 0x400
MS_NODIRATIME = 0x800
MS_BIND = 0x1000
MS_REC = 0x4000
MS_SILENT = 0x8000
MS_UNBINDABLE = 0x20000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MS_SHARED = 0x100000
MS_RELATIME = 0x200000
MS_I_VERSION = 0x800000
MS_STRICTATIME = 0x1000000
MS_LAZYTIME = 0x2000000
MNT_DETACH = 0x2
OPEN_TREE_CLONE = 0x1
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR__ATIME = 0x70  # the field that the two above belong to
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_IDMAP = 0x100000
MOUNT_ATTR_NOSYMFOLLOW = 0x200000
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6

# linux/magic.h
PROC_SUPER_MAGIC = 0x9FA0
DEVPTS_SUPER_MAGIC = 0x1CD1
SYSFS_MAGIC = 0x62656572

# linux/fcntl.h
AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

# linux/openat2.h
RESOLVE_NO_XDEV = 0x1
RESOLVE_NO_MAGICLINKS = 0x2
RESOLVE_NO_SYMLINKS = 0x4
RESOLVE_BENEATH = 0x8
RESOLVE_IN_ROOT = 0x10

LAST_DESCRIPTOR = 0xFFFFFFFF

# sys/signalfd.h
SFD_NONBLOCK, SFD_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC

# linux/nsfs.h
NS_GET_NSTYPE = 0xB703
FIRST_USER_NAMESPACE = 0xEFFFFFFD  # inode number of the machine's own: linux/nsfs.h, USER_NS_INIT_INO

# linux/prctl.h, asm-generic/ioctls.h
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
TIOCSCTTY = 0x540E

# asm/unistd.h: newer calls have one number everywhere, old ones do not.
SYS_CLONE3 = 435
SYS_PIDFD_SEND_SIGNAL = 424
SYS_CLOSE_RANGE = 436
SYS_OPENAT2 = 437
SYS_OPEN_TREE = 428
SYS_MOVE_MOUNT = 429
SYS_FSOPEN = 430
SYS_FSCONFIG = 431
SYS_FSMOUNT = 432
SYS_MOUNT_SETATTR = 442
SYS_CLONE = {"x86_64": 56, "aarch64": 220}
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
SYS_RT_SIGACTION = {"x86_64": 13, "aarch64": 134}

LONGEST_SHOWN = 200

observer: Callable[[str, int], None] | None = None
"""Called after each call with its text, such as `sethostname("box")`, and its result (-errno if refused)."""

lacks_clone3 = False
"""Whether clone3() had to do without the call of that name, and so without cgroups to be born in."""

HINTS = {
    (
        "clone3",
        errnos.EPERM,
    ): "new namespaces need root, or a user namespace; `doctor` says what this kernel allows",
    ("clone3", errnos.ENOSPC): "too many namespaces: see /proc/sys/user/max_*_namespaces",
    (
        "unshare",
        errnos.EPERM,
    ): "new namespaces need root, or a user namespace; `doctor` says what this kernel allows",
    ("unshare", errnos.EINVAL): "this kernel lacks that namespace, or the process has more than one thread",
    ("ioctl", errnos.ENOTTY): "to join takes a descriptor of a namespace; a terminal's calls take a terminal",
    ("setns", errnos.EINVAL): "mount and user namespaces can only be joined by a process with one thread",
    (
        "mount",
        errnos.EPERM,
    ): "mounting needs CAP_SYS_ADMIN in the user namespace that owns the mount namespace",
    ("mount", errnos.ENODEV): "this kernel does not know that file system; `doctor` says what is missing",
    ("mount", errnos.EINVAL): "is the target a mount point? The / of a chroot is none",
    ("pivot_root", errnos.EINVAL): "the new root must be a mount point, and neither it nor / may be shared",
    ("openat2", errnos.ELOOP): "a symbolic link leads in circles or into /proc, where none is followed",
    ("umount2", errnos.EBUSY): "a process still uses it: `fuser -vm` names it",
    ("sethostname", errnos.EINVAL): "a host name has at most 64 bytes",
    ("prlimit", errnos.EPERM): "raising a hard limit takes CAP_SYS_RESOURCE",
    ("capset", errnos.EPERM): "nobody can give more capabilities than he has",
    ("seccomp", errnos.EACCES): "a filter takes CAP_SYS_ADMIN, or no_new_privs",
    ("seccomp", errnos.EINVAL): "this kernel does not know one of the flags or actions",
    ("sched_setattr", errnos.EPERM): "it takes CAP_SYS_NICE, and real time a cgroup that may have some",
    ("sched_setattr", errnos.EINVAL): "this kernel does not have that policy, or not with these values",
    ("sched_setaffinity", errnos.EINVAL): "none of these CPUs may be used: see its cpuset",
    ("ioprio_set", errnos.EPERM): "real time takes CAP_SYS_ADMIN or CAP_SYS_NICE",
    ("write", errnos.EPERM): "the kernel refuses that value; user namespaces: setgroups must be denied first",
}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.unshare.argtypes = (ctypes.c_int,)
_libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)
_libc.sethostname.argtypes = (ctypes.c_char_p, ctypes.c_size_t)
_libc.setdomainname.argtypes = (ctypes.c_char_p, ctypes.c_size_t)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.mount.argtypes = (
    *(ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p),
    *(ctypes.c_ulong, ctypes.c_char_p),
)
_libc.sigprocmask.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_libc.signalfd.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_libc.fstatfs.argtypes = (ctypes.c_int, ctypes.c_void_p)
_libc.prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)

# PyDLL keeps the interpreter lock during the call: the child must come back as its holder.
_syscall = ctypes.PyDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long


class _CloneArgs(ctypes.Structure):
    """struct clone_args, linux/sched.h."""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            *("flags", "pidfd", "child_tid", "parent_tid", "exit_signal"),
            *("stack", "stack_size", "tls", "set_tid", "set_tid_size", "cgroup"),
        )
    ]


class _OpenHow(ctypes.Structure):
    """struct open_how, linux/openat2.h."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("flags", "mode", "resolve")]


class _MountAttributes(ctypes.Structure):
    """struct mount_attr, linux/mount.h."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


def flag_names(prefix: str, flags: int) -> str:
    """The symbolic form of a bit mask: flag_names("MS_", 0x4000 | 0x40000) is "MS_REC|MS_PRIVATE"."""
    known = ((name, value) for name, value in globals().items() if name.startswith(prefix))
    return "|".join(name for name, value in known if flags & value) or "0"


def _shown(argument: object) -> str:
    if isinstance(argument, tuple):
        return flag_names(*argument)
    if argument == AT_FDCWD:
        return "AT_FDCWD"
    if isinstance(argument, str | bytes):
        text = os.fsdecode(argument)
        return ascii(text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "...")
    return "NULL" if argument is None else str(argument)


def _checked(call: str, result: int, *arguments: object) -> int:
    """Show a call to the observer, then raise if the result says that the kernel refused it."""
    error = ctypes.get_errno() if result == -1 else 0
    return _outcome(call, error, result, arguments)


def checked(call: str, result: int, *arguments: object) -> int:
    """The same for modules that make calls of their own, by ctypes with use_errno. Raises SyscallError."""
    return _checked(call, result, *arguments)


def _outcome(call: str, error: int, result: int, arguments: tuple[object, ...]) -> int:
    if observer is None and not error:
        return result
    text = f"{call}({', '.join(map(_shown, arguments))})"
    if observer is not None:
        observer(text, -error if error else result)
    if error:
        raise SyscallError(text, error, HINTS.get((call, error), ""))
    return result


def _python(call: str, function: Callable[[], int | None], *arguments: object) -> int:
    """The same for a call that Python's standard library makes for us."""
    try:
        result = function() or 0
    except OSError as refused:
        return _outcome(call, refused.errno or errnos.EIO, -1, arguments)
    return _outcome(call, 0, result, arguments)


# ---------------------------------------------------------------- processes and namespaces


def clone3(flags: int, cgroup: int | None = None) -> tuple[int, int]:
    """Fork into new namespaces, all made at once: clone(2).

    flags: CLONE_NEW* and CLONE_PARENT; cgroup: descriptor of a version 2 cgroup in which the child starts, where
    the kernel can.
    Returns (pid, pidfd) in the parent and (0, -1) in the child. As after os.fork(), the child is a copy with
    a single thread; it should end in execve() or os._exit(). Raises SyscallError.
    """
    global lacks_clone3
    pidfd = ctypes.c_int(-1)
    arguments = _CloneArgs(flags=flags | CLONE_PIDFD, pidfd=ctypes.addressof(pidfd))
    if not flags & CLONE_PARENT:  # a child given to our own parent tells it by the signal that we are known by
        arguments.exit_signal = SIGCHLD
    if cgroup is not None:
        arguments.flags |= CLONE_INTO_CGROUP
        arguments.cgroup = cgroup
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = _syscall(SYS_CLONE3, ctypes.byref(arguments), ctypes.c_size_t(ctypes.sizeof(arguments)))
    if pid == -1 and ctypes.get_errno() == errnos.ENOSYS:
        lacks_clone3 = True
        pid = _clone(flags, pidfd)
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0, -1
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    shown = flags | (CLONE_INTO_CGROUP if cgroup is not None else 0)
    return _checked("clone3", pid, ("CLONE_", shown)), pidfd.value


def _clone(flags: int, pidfd: ctypes.c_int) -> int:
    """The older call, for sandboxes whose seccomp filter answers ENOSYS to clone3. It has no CLONE_NEWTIME
    and no birth cgroup: the child must join by itself."""
    if flags & CLONE_NEWTIME:
        ctypes.set_errno(errnos.ENOSYS)
        return -1
    exit_signal = 0 if flags & CLONE_PARENT else SIGCHLD
    number = SYS_CLONE[os.uname().machine]
    first = ctypes.c_ulong(flags | CLONE_PIDFD | exit_signal)
    pid: int = _syscall(number, first, None, ctypes.byref(pidfd), None, None)
    return pid


def unshare(flags: int) -> None:
    """Leave the given namespaces for new ones: unshare(2). CLONE_NEWPID and CLONE_NEWTIME act on children."""
    _checked("unshare", _libc.unshare(flags), ("CLONE_", flags))


def setns(descriptor: int, kind: int = 0) -> None:
    """Join a namespace by descriptor: setns(2). The descriptor is of /proc/PID/ns/*, or a pidfd with `kind` flags."""
    _checked("setns", _libc.setns(descriptor, kind), descriptor, ("CLONE_", kind))


def namespace_kind(descriptor: int) -> int:
    """The CLONE_NEW* flag of a namespace's kind: ioctl_nsfs(2), NS_GET_NSTYPE. ENOTTY for what is no namespace."""
    return _python("ioctl", lambda: fcntl.ioctl(descriptor, NS_GET_NSTYPE), descriptor, ("NS_GET_", NS_GET_NSTYPE))


def in_user_namespace() -> bool:
    """Whether we are in a user namespace that somebody made: its root has rights over what belongs to it alone."""
    try:
        return os.stat("/proc/self/ns/user").st_ino != FIRST_USER_NAMESPACE
    except FileNotFoundError:  # this kernel was built without them
        return False


def pidfd_open(pid: int) -> int:
    """A descriptor that means this process and no other, also when its number is used again: pidfd_open(2)."""
    return _python("pidfd_open", lambda: os.pidfd_open(pid), pid)


def pidfd_send_signal(pidfd: int, number: int) -> None:
    """Send a signal to the process of a pidfd: pidfd_send_signal(2). ESRCH when it is gone."""
    result = _syscall(SYS_PIDFD_SEND_SIGNAL, pidfd, number, None, 0)
    _checked("pidfd_send_signal", result, pidfd, number)


def die_with_parent(number: int = SIGKILL) -> None:
    """Have the kernel send us this signal when our parent ends: PR_SET_PDEATHSIG(2const)."""
    _checked("prctl", _libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0), ("PR_SET_", PR_SET_PDEATHSIG), number)


def set_dumpable(dumpable: bool) -> None:
    """Whether others of our user may look into us and trace us: PR_SET_DUMPABLE(2const), ptrace(2).

    If not, it takes CAP_SYS_PTRACE in our user namespace, and /proc/PID belongs to root. execve(2) sets it again.
    """
    _checked("prctl", _libc.prctl(PR_SET_DUMPABLE, int(dumpable), 0, 0, 0), ("PR_SET_", PR_SET_DUMPABLE), int(dumpable))


def setsid() -> None:
    """Become leader of a new session without a controlling terminal: setsid(2)."""
    _python("setsid", os.setsid)


def set_controlling_terminal(descriptor: int) -> None:
    """Make this terminal the one of our session, so that Ctrl-C reaches us: TIOCSCTTY(2const)."""
    _python("ioctl", lambda: fcntl.ioctl(descriptor, TIOCSCTTY, 0), descriptor, ("TIOCSCTTY", TIOCSCTTY))


def close_range(first: int, last: int = LAST_DESCRIPTOR) -> None:
    """Close all descriptors from `first` to `last`, open or not: close_range(2)."""
    numbers = (ctypes.c_uint(first), ctypes.c_uint(last), ctypes.c_uint(0))
    _checked("close_range", _syscall(SYS_CLOSE_RANGE, *numbers), first, "~0" if last == LAST_DESCRIPTOR else last, 0)


def execve(path: str, argv: list[bytes], environment: Mapping[bytes, bytes]) -> None:
    """Replace this process by a program: execve(2). Returns only by raising SyscallError."""
    if observer is not None:  # a call that succeeds never comes back to be shown
        observer(f"execve({_shown(path)}, [{', '.join(map(_shown, argv))}], {len(environment)} variables)", 0)
    try:
        os.execve(path, argv, environment)
    except OSError as refused:
        raise SyscallError(f"execve({_shown(path)})", refused.errno or errnos.EIO) from None


def become_user(uid: int, gid: int, groups: list[int] | None) -> None:
    """Change the user, the group and the supplementary groups of this process, for good: setresuid(2), setgroups(2).

    groups: None leaves them, for those who may not change them: an ordinary user in a namespace that he has made.
    """
    if groups is not None:
        _python("setgroups", lambda: os.setgroups(groups), *groups)
    _python("setresgid", lambda: os.setresgid(gid, gid, gid), gid, gid, gid)
    _python("setresuid", lambda: os.setresuid(uid, uid, uid), uid, uid, uid)


# ---------------------------------------------------------------- signals


def _signal_set(numbers: Iterable[int]) -> ctypes.Array[ctypes.c_ulong]:
    """A sigset_t of the C library: 1024 bits, signal n is bit n-1."""
    words = (ctypes.c_ulong * 16)()
    for number in numbers:
        words[0] |= 1 << (number - 1)
    return words


def block_signals(numbers: Iterable[int]) -> list[int]:
    """Let these signals wait, and no others; returns those that waited before: sigprocmask(2)."""
    before = (ctypes.c_ulong * 16)()
    result = _libc.sigprocmask(SIG_SETMASK, _signal_set(numbers), before)
    if result:
        raise SyscallError("sigprocmask", ctypes.get_errno())
    return [number for number in SIGNALS if before[0] >> (number - 1) & 1]


def signalfd(numbers: Iterable[int]) -> int:
    """A descriptor from which blocked signals are read, 128 bytes each, the number in the first four: signalfd(2)."""
    flags = SFD_CLOEXEC | SFD_NONBLOCK
    return _checked("signalfd", _libc.signalfd(-1, _signal_set(numbers), flags), -1, "set", ("SFD_", flags))


def default_signals() -> None:
    """Give every signal its default action, as signal(7) lists them: rt_sigaction(2).

    Python ignores SIGPIPE and SIGXFSZ, and what is ignored stays so across execve(2). The C library's function would
    refuse signals 32 and 33, which it keeps to itself; but whoever started us may have ignored them.
    """
    number_of_call = SYS_RT_SIGACTION[os.uname().machine]
    default = (ctypes.c_ulong * 4)()  # struct sigaction of the kernel: SIG_DFL, no flags, no restorer, an empty mask
    for number in SIGNALS:
        if number not in (SIGKILL, SIGSTOP):
            _syscall(number_of_call, number, default, None, ctypes.c_size_t(8))


# ---------------------------------------------------------------- mounts and names


def mount(source: str | None, target: str, kind: str | None, flags: int = 0, data: str | None = None) -> None:
    """Attach a file system, or change how one is attached: mount(2)."""
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    result = _libc.mount(*encoded[:3], flags, encoded[3])
    _checked("mount", result, source, target, kind, ("MS_", flags), data)


def umount(target: str, flags: int = 0) -> None:
    """Detach a file system: umount2(2). MNT_DETACH lets go of one that is still in use."""
    _checked("umount2", _libc.umount2(os.fsencode(target), flags), target, ("MNT_", flags))


def pivot_root(new: str, old: str) -> None:
    """Make the mount at `new` the root of this mount namespace and put the one before at `old`: pivot_root(2)."""
    number = SYS_PIVOT_ROOT[os.uname().machine]
    _checked("pivot_root", _syscall(number, os.fsencode(new), os.fsencode(old)), new, old)


def chroot(path: str) -> None:
    """Make a directory our root: chroot(2). Mounts, and the directory that we are in, stay as they are."""
    _checked("chroot", _libc.chroot(os.fsencode(path)), path)


def open_tree(path: str, recursive: bool = True, directory: int = AT_FDCWD) -> int:
    """A copy of what is mounted at a file or directory, with all mounts below, that has no place yet: open_tree(2).

    recursive: whether with all mounts below it; directory: where a relative path begins; with the path "", a descriptor
    of the file or directory itself.
    Returns a descriptor; move_mount() gives it a place; if that never happens, the copy vanishes with the descriptor.
    """
    flags = OPEN_TREE_CLONE | (AT_RECURSIVE if recursive else 0) | os.O_CLOEXEC | (0 if path else AT_EMPTY_PATH)
    result = _syscall(SYS_OPEN_TREE, directory, os.fsencode(path), flags)
    return _checked("open_tree", result, path or directory, ("OPEN_TREE_", OPEN_TREE_CLONE))


def new_tree(kind: str, options: Iterable[str], attributes: int = 0) -> int:
    """A file system without a disk behind it, mounted nowhere yet: fsopen(2), fsconfig(2), fsmount(2).

    options: its own, such as "hidepid=2"; attributes: MOUNT_ATTR_*. Returns a descriptor for move_mount().
    """
    context = _checked("fsopen", _syscall(SYS_FSOPEN, os.fsencode(kind), 1), kind, 1)  # 1: close on exec
    try:
        for option in options:
            name, equals, value = option.partition("=")
            command = FSCONFIG_SET_STRING if equals else FSCONFIG_SET_FLAG
            text = os.fsencode(value) if equals else None
            result = _syscall(SYS_FSCONFIG, context, command, os.fsencode(name), text, 0)
            _checked("fsconfig", result, context, command, name, value)
        result = _syscall(SYS_FSCONFIG, context, FSCONFIG_CMD_CREATE, None, None, 0)
        _checked("fsconfig", result, context, FSCONFIG_CMD_CREATE)
        return _checked("fsmount", _syscall(SYS_FSMOUNT, context, 1, attributes), context, ("MOUNT_ATTR_", attributes))
    finally:
        os.close(context)


def move_mount(tree: int, target: int) -> None:
    """Attach what open_tree() gave at a file or directory, by descriptors: move_mount(2)."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    _checked("move_mount", _syscall(SYS_MOVE_MOUNT, tree, b"", target, b"", flags), tree, target)


def mount_setattr(
    tree: int,
    attributes: int,
    propagation: int = 0,
    *,
    cleared: int = 0,
    recursive: bool = True,
    user_namespace: int = 0,
) -> None:
    """Change a mount and all below it, given by a descriptor of it or of open_tree(): mount_setattr(2).

    attributes: MOUNT_ATTR_* to set; propagation: MS_PRIVATE or the like, 0 leaves it as it is; cleared: MOUNT_ATTR_* to
    clear; recursive: whether all below it, too; user_namespace: the descriptor of one, for MOUNT_ATTR_IDMAP.
    """
    wanted = _MountAttributes(attr_set=attributes, attr_clr=cleared, propagation=propagation, userns_fd=user_namespace)
    size = ctypes.c_size_t(ctypes.sizeof(wanted))
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    result = _syscall(SYS_MOUNT_SETATTR, tree, b"", flags, ctypes.byref(wanted), size)
    _checked("mount_setattr", result, tree, ("MOUNT_ATTR_", attributes), ("MS_", propagation))


def openat2(directory: int, path: str, flags: int, resolve: int) -> int:
    """Open a file with rules for how its path is walked: openat2(2).

    directory: a descriptor, or AT_FDCWD; flags: as of open(2); resolve: RESOLVE_* flags, such as RESOLVE_IN_ROOT, which
    makes `directory` the root for `..`, absolute paths and symbolic links alike.
    Returns a descriptor. Raises SyscallError.
    """
    how = _OpenHow(flags=flags | os.O_CLOEXEC, resolve=resolve)
    size = ctypes.c_size_t(ctypes.sizeof(how))
    result = _syscall(SYS_OPENAT2, directory, os.fsencode(path), ctypes.byref(how), size)
    return _checked("openat2", result, directory, path, ("RESOLVE_", resolve))


def filesystem_kind(descriptor: int) -> int:
    """The number by which a file's file system is known, such as PROC_SUPER_MAGIC: fstatfs(2), f_type."""
    buffer = (ctypes.c_long * 32)()
    _checked("fstatfs", _libc.fstatfs(descriptor, buffer), descriptor)
    return buffer[0]


def sethostname(name: str) -> None:
    """Name the machine, or the container, if the UTS namespace is its own: sethostname(2). At most 64 bytes."""
    encoded = os.fsencode(name)
    _checked("sethostname", _libc.sethostname(encoded, len(encoded)), name)


def setdomainname(name: str) -> None:
    """The NIS domain name of the UTS namespace: setdomainname(2). At most 64 bytes."""
    encoded = os.fsencode(name)
    _checked("setdomainname", _libc.setdomainname(encoded, len(encoded)), name)


# ---------------------------------------------------------------- files of /proc and /sys


def write_file(path: str, text: str) -> None:
    """Write a control file, such as /proc/PID/uid_map or memory.max, in the one write(2) that the kernel expects."""

    def once() -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_TRUNC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)

    _python("write", once, path, text)


def write(descriptor: int, path: str, text: str) -> None:
    """Write to a control file that is open already; `path` is its name for the observer and for errors."""
    _python("write", lambda: os.write(descriptor, text.encode()), path, text)


def read_file(path: str) -> str:
    """The text of a control file, without the newline at its end. Reading is not shown to the observer."""
    try:
        with open(path, errors="surrogateescape", newline="\n") as file:  # a carriage return ends no line
            return file.read().rstrip("\n")
    except OSError as refused:
        raise SyscallError(f'read("{path}")', refused.errno or errnos.EIO) from None


def mkdir(path: str, mode: int = 0o755) -> None:
    """Make a directory: mkdir(2). In a cgroup file system this makes a cgroup."""
    _python("mkdir", lambda: os.mkdir(path, mode), path)


def rmdir(path: str) -> None:
    """Remove an empty directory: rmdir(2). In a cgroup file system: a cgroup without processes."""
    _python("rmdir", lambda: os.rmdir(path), path)
