"""Which system calls a container may make if nobody says otherwise: Docker's default profile, as a table of ours.

Everything is forbidden but what is listed: what most programs need, and with a capability the calls that it is for.
What is left out acts on the whole kernel, or has been a way out of containers. Source of the facts: Docker's
documentation, "Seccomp security profiles for Docker", and its default profile.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

FOR_ALL = """
    access chdir chmod chown chown32 close close_range creat faccessat faccessat2 fallocate fchdir fchmod fchmodat
    fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat
    fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr
    getxattrat ioctl lchown lchown32 lgetxattr link linkat listxattr listxattrat llistxattr lremovexattr lsetxattr lstat
    lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 readlink readlinkat removexattr
    removexattrat rename renameat renameat2 rmdir setxattr setxattrat stat stat64 statfs statfs64 statx symlink
    symlinkat sync sync_file_range syncfs truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64
    utimes

    cachestat copy_file_range dup dup2 dup3 fadvise64 fadvise64_64 _llseek lseek pipe pipe2 pread64 preadv preadv2
    pwrite64 pwritev pwritev2 read readahead readv sendfile sendfile64 splice tee vmsplice write writev

    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd
    eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy
    io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit _newselect poll ppoll ppoll_time64 pselect6
    pselect6_time64 select signalfd signalfd4

    accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg
    send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair

    brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect
    mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages

    ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64
    mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget

    execve execveat exit exit_group fork getcpu getpgid getpgrp getpid getppid getpriority getrlimit getrusage getsid
    gettid get_robust_list get_thread_area ioprio_get ioprio_set kill pause pidfd_open pidfd_send_signal prctl prlimit64
    restart_syscall rseq setpgid setpriority setrlimit setsid set_robust_list set_thread_area set_tid_address tgkill
    tkill ugetrlimit vfork wait4 waitid waitpid

    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn

    sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler
    sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
    sched_setscheduler sched_yield

    capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32
    getresuid getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32
    setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32

    adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
    timerfd_gettime64 timerfd_settime timerfd_settime64 times

    futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake getrandom landlock_add_rule
    landlock_create_ruleset landlock_restrict_self process_vm_readv process_vm_writev ptrace seccomp sysinfo uname
"""
WITH_CAPABILITY = {
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount
        open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare
    """,
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module init_module finit_module",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "CAP_SYS_RAWIO": "iopl ioperm",
    "CAP_SYS_TIME": "settimeofday stime clock_settime clock_settime64",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYSLOG": "syslog",
    "CAP_BPF": "bpf",
    "CAP_PERFMON": "perf_event_open",
}
ON_MACHINE = {
    "x86_64": "arch_prctl modify_ldt",
    "aarch64": "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
}
ARCHITECTURES = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
}
AF_VSOCK = 40  # socket(2): to the hypervisor's host, past every network namespace
PERSONALITIES = (
    0x0,
    0x8,
    0x20000,
    0x20008,
    0xFFFFFFFF,
)  # personality(2): Linux, 32 bits, uname 2.6, both; and a question
NEW_NAMESPACES = 0x7E020000  # CLONE_NEW* of clone(2)
ENOSYS = 38  # makes C libraries try clone(2), whose flags a filter can see


def default_profile(capabilities: Iterable[str]) -> dict[str, Any]:
    """linux.seccomp of the runtime-spec, for a container with these capabilities."""
    machine, held = os.uname().machine, set(capabilities)
    names = FOR_ALL.split() + ON_MACHINE.get(machine, "").split()
    for capability, more in WITH_CAPABILITY.items():
        names += more.split() if capability in held else []
    rules = [
        _allow(sorted(set(names))),
        _allow(["socket"], 0, AF_VSOCK, "SCMP_CMP_NE"),
        *(_allow(["personality"], 0, value, "SCMP_CMP_EQ") for value in PERSONALITIES),
    ]
    if "CAP_SYS_ADMIN" not in held:
        rules.append(_allow(["clone"], 0, NEW_NAMESPACES, "SCMP_CMP_MASKED_EQ"))
        rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": ARCHITECTURES.get(machine, []),
        "syscalls": rules,
    }


def _allow(names: list[str], index: int = 0, value: int = 0, operator: str = "") -> dict[str, Any]:
    rule: dict[str, Any] = {"names": names, "action": "SCMP_ACT_ALLOW"}
    if operator:
        rule["args"] = [{"index": index, "value": value, "op": operator}]
    return rule
