"""`doctor`: what this machine offers to containers, found out by trying, and what to do about the rest."""

from __future__ import annotations

import ctypes.util
import functools
import os
import shutil
import sys
import tempfile

from ch02_namespaces import cgroups, namespaces, syscalls, unionfs
from ch02_namespaces.errors import EngineError, SyscallError
from ch02_namespaces.output import print_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OLDEST_KERNEL = (5, 15)
MACHINES = ("x86_64", "aarch64")
CONTROLLERS = ("memory", "cpu", "cpuset", "pids", "io")
OK, MISSING, LIMITED = "ok", "MISSING", "limited"
COLOURS = {OK: "green", MISSING: "red", LIMITED: "yellow"}

# Settings by which distributions keep ordinary users from user namespaces, and the value that lets them.
USER_NAMESPACE_SETTINGS = {
    "/proc/sys/kernel/unprivileged_userns_clone": "1",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "0",
}


class Finding:
    """One line of the table: what was looked for, in which chapter it is needed, how it stands, what to do."""

    def __init__(self, what: str, chapter: str, state: str, found: str, fix: str = "") -> None:
        self.what = what
        self.chapter = chapter
        self.state = state
        self.found = found
        self.fix = "" if state == OK else fix

    def row(self) -> dict[str, object]:
        """The finding as a row of the table."""
        return {"what": self.what, "for": self.chapter, "state": self.state, "found": self.found, "fix": self.fix}


def run(format: str | None = None) -> int:
    """Print the table; the exit code is 1 if something is missing."""
    findings = list(examine())
    print_table([finding.row() for finding in findings], format, colours={"state": COLOURS}, prose=True)
    return int(any(finding.state == MISSING for finding in findings))


def examine() -> Iterator[Finding]:
    """All that the chapters need, looked at one by one."""
    yield kernel()
    yield machine()
    yield privileges()
    yield from namespace_kinds()
    yield user_namespaces_for_all()
    yield from cgroup_controllers()
    yield overlay()
    yield fuse()
    yield from network_devices()
    yield nftables()
    yield forwarding()
    yield seccomp()


def kernel() -> Finding:
    """Whether the kernel is new enough for clone3, cgroup.kill, mount_setattr and overlays in user namespaces."""
    release = os.uname().release
    version = tuple(int("".join(filter(str.isdigit, part)) or 0) for part in release.split(".")[:2])
    state = OK if version >= OLDEST_KERNEL else MISSING
    return Finding("kernel 5.15 or later", "all", state, release, "a current distribution, or `vagrant up`")


def machine() -> Finding:
    """Whether we know the numbers of this machine's system calls."""
    name = os.uname().machine
    return Finding("x86-64 or arm64", "all", OK if name in MACHINES else MISSING, name, "another machine")


def privileges() -> Finding:
    """Who we are."""
    if os.geteuid() == 0:
        return Finding("privileges", "all", OK, "root")
    return Finding("privileges", "all", LIMITED, "an ordinary user", "sudo, or go without limits and bridges")


def namespace_kinds() -> Iterator[Finding]:
    """Which kinds of namespaces the kernel has."""
    for kind in namespaces.KINDS:
        there = os.path.exists(f"/proc/self/ns/{kind}")
        found = f"/proc/self/ns/{kind}" if there else "not in this kernel"
        yield Finding(f"{kind} namespace", "ch02", OK if there else MISSING, found, "a kernel built with it")


def user_namespaces_for_all() -> Finding:
    """Whether an ordinary user may make a user namespace and is root in it. Needed for rootless containers."""
    what = "user namespaces without root"
    if syscalls.read_file("/proc/sys/user/max_user_namespaces") == "0":
        return Finding(what, "ch02", LIMITED, "max is 0", "sysctl user.max_user_namespaces=10000")
    for path, wanted in USER_NAMESPACE_SETTINGS.items():
        if os.path.exists(path) and syscalls.read_file(path) != wanted:
            name = path.removeprefix("/proc/sys/").replace("/", ".")
            return Finding(what, "ch02", LIMITED, f"{name} forbids them", f"sysctl -w {name}={wanted}")
    return Finding(what, "ch02", OK, "allowed")


def cgroup_controllers() -> Iterator[Finding]:
    """Which cgroup versions are mounted, and where each controller is that we use."""
    found = cgroups.hierarchies()
    fix = "mount -t cgroup2 none /sys/fs/cgroup"
    yield Finding("cgroups", "ch02", OK if found else MISSING, layout(found), fix)
    for controller in CONTROLLERS:
        places = [hierarchy for hierarchy in found if controller in hierarchy.controllers]
        where = f"version {places[0].number()}, {places[0].mountpoint}" if places else "no hierarchy has it"
        fix = "boot with cgroup_enable=memory" if controller == "memory" else "a kernel built with it"
        yield Finding(f"{controller} controller", "ch03", OK if places else MISSING, where, fix)


def layout(found: list[cgroups.Hierarchy]) -> str:
    """Which versions are mounted; where both are, which of them has the controllers of our limits."""
    mounted = sorted({hierarchy.number() for hierarchy in found})
    if len(mounted) < 2:
        return f"version {mounted[0]}" if mounted else "not mounted"
    limits = sorted({hierarchy.number() for hierarchy in found if hierarchy.controllers & set(CONTROLLERS)})
    return f"hybrid: version 1 and version 2, limits on {' and '.join(map(str, limits)) or 'neither'}"


def overlay() -> Finding:
    """Whether overlayfs can be mounted."""

    def try_it() -> None:
        syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
        with tempfile.TemporaryDirectory() as top:
            for name in ("lower", "target"):
                os.mkdir(f"{top}/{name}")
            os.mkdir(f"{top}/lower2")
            unionfs.mount_overlay([f"{top}/lower", f"{top}/lower2"], f"{top}/target")
            syscalls.umount(f"{top}/target")

    return _tried("overlayfs", "ch04", syscalls.CLONE_NEWNS, try_it, "modprobe overlay")


def fuse() -> Finding:
    """Whether a file system of our own can be served."""
    what, fix = "FUSE", "apt install fuse3; modprobe fuse"
    if not os.path.exists("/dev/fuse"):
        return Finding(what, "ch02", MISSING, "no /dev/fuse", fix)
    if not ctypes.util.find_library("fuse3"):
        return Finding(what, "ch02", MISSING, "no libfuse3", fix)
    return Finding(what, "ch02", OK, "/dev/fuse, libfuse3")


def network_devices() -> Iterator[Finding]:
    """Whether bridges, veth pairs and VXLAN devices can be made."""
    devices: dict[str, dict[str, object]] = {"bridge": {}, "veth": {"peer": "probe1"}, "vxlan": {"vxlan_id": 7}}
    for kind, attributes in devices.items():
        add = functools.partial(_add_link, kind, attributes)
        yield _tried(kind, "ch06", syscalls.CLONE_NEWNET, add, f"modprobe {kind}")


def _add_link(kind: str, attributes: dict[str, object]) -> None:
    from pyroute2 import IPRoute

    with IPRoute() as netlink:
        netlink.link("add", ifname="probe0", kind=kind, **attributes)


def nftables() -> Finding:
    """Whether a table with a nat chain can be made."""
    program = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        return Finding("nftables", "ch06", MISSING, "no nft command", "apt install nftables")

    def try_it() -> None:
        if os.spawnv(
            os.P_WAIT, program, ["nft", "add table ip probe { chain c { type nat hook output priority 0; }; }"]
        ):
            raise EngineError("nft", "it can't make a table with a nat chain")

    return _tried("nftables", "ch06", syscalls.CLONE_NEWNET, try_it, "modprobe nf_tables nft_chain_nat")


def forwarding() -> Finding:
    """Whether this host passes on packets between its networks."""
    on = syscalls.read_file("/proc/sys/net/ipv4/ip_forward") == "1"
    fix = "sysctl -w net.ipv4.ip_forward=1 (chapter 6 does it when it makes a network)"
    return Finding("ip_forward", "ch06", OK if on else LIMITED, "on" if on else "off", fix)


def seccomp() -> Finding:
    """Whether system calls can be filtered."""
    path = "/proc/sys/kernel/seccomp/actions_avail"
    there = os.path.exists(path)
    found = "filters" if there else "not in this kernel"
    return Finding("seccomp", "ch07", OK if there else MISSING, found, "a kernel built with it")


def _tried(what: str, chapter: str, flags: int, attempt: Callable[[], None], fix: str) -> Finding:
    """Do it in a child with namespaces of its own, so that nothing of it stays."""
    reader, writer = os.pipe()
    user, group = os.geteuid(), os.getegid()
    if user != 0:
        flags |= syscalls.CLONE_NEWUSER

    def child() -> int:
        try:
            if user != 0:
                namespaces.write_id_maps("self", f"0 {user} 1", f"0 {group} 1")
            attempt()
        except Exception as error:
            os.write(writer, str(error).encode())
            return 1
        return 0

    sys.stdout.flush()
    try:
        process = namespaces.spawn(flags, child)
    except SyscallError as error:
        os.close(writer)
        os.close(reader)
        return Finding(what, chapter, MISSING, str(error), fix)
    os.close(writer)
    with os.fdopen(reader) as complaint:
        why = complaint.read()
    ok = process.wait() == 0
    return Finding(what, chapter, OK if ok else MISSING, "works" if ok else why, fix)
