"""The leak check: what a test leaves behind on the machine.

A snapshot before, one after; what is new is a leak. Teardown may be asynchronous (a killed process takes a moment to
go, and its cgroup with it), so an apparent leak is looked at again for some seconds before it counts.
"""

from __future__ import annotations

import contextlib
import ctypes
import glob
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.support import processes
from tests.support.polling import PATIENCE, becomes

PR_SET_CHILD_SUBREAPER = 36
ASYNCHRONOUS = PATIENCE / 6  # seconds for teardown that goes on after the test
VIEWS = "/run/mydocker/views"  # ch03_run/launcher.py; but the lab of chapter 2 goes without that
STATE_DIRECTORIES = ("/var/lib/mydocker", "/run/mydocker")

Snapshot = dict[str, set[str]]


def adopt_orphans(adopt: bool = True) -> None:
    """Make the orphans of our descendants our children, whatever they did to hide: PR_SET_CHILD_SUBREAPER(2const)."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0)


def reap_orphans() -> None:
    """Fetch the exit codes of ended orphans: we are their parent now."""
    reap_orphans_but([])


def reap_orphans_but(others: list[int]) -> None:
    """The same, but for children that somebody else waits for."""
    for pid in set(processes.zombies(os.getpid())).difference(others):
        os.waitpid(pid, 0)


def snapshot_of_process() -> Snapshot:
    """What a test that needs nothing of the machine could leave behind: others may be at work there meanwhile."""
    ours = set(map(str, processes.descendants(os.getpid())))
    return {"mount": _mounts(), "process": ours, "descriptor": _descriptors()}


def snapshot() -> Snapshot:
    """All that could be left behind, by kind."""
    return {
        "mount": _mounts(),
        "process": _processes(),
        "cgroup": set(cgroups()),
        "network link": _entries("/sys/class/net"),
        "network namespace": _entries("/run/netns"),
        "nft rule": _nft_rules(),
        "descriptor": _descriptors(),
        "file": {path for directory in STATE_DIRECTORIES for path in _files(directory)},
    }


def new_since(before: Snapshot, look: Callable[[], Snapshot] = snapshot) -> list[str]:
    """The leaks, one text each: what is new and stays, after a bounded wait for what is just going away. look: makes
    snapshots of the same kind."""
    found = _difference(before, look)

    def nothing_stays() -> bool:
        found.intersection_update(_difference(before, look))
        return not found

    becomes(nothing_stays, ASYNCHRONOUS)
    return sorted(map(_told, found))


def _told(item: str) -> str:
    """With the command line of a process, which may have been another one when it was seen first."""
    kind, _, what = item.partition(": ")
    return f"{kind}: {processes.described(int(what))}" if kind == "process" else item


def _difference(before: Snapshot, look: Callable[[], Snapshot]) -> set[str]:
    reap_orphans()
    now = look()
    return {f"{kind}: {item}" for kind, items in now.items() for item in items - before[kind]}


def clean_up(before: Snapshot) -> None:
    """Kill the processes and remove the cgroups that a failed test left: the next test starts on a quiet machine."""
    ours = set(processes.descendants(os.getpid()))
    for pid in map(int, _processes() - before["process"]):
        if pid in ours:
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(pid, signal.SIGKILL)
    becomes(lambda: not processes.descendants(os.getpid()), ASYNCHRONOUS)
    reap_orphans()
    for group in sorted(set(cgroups()) - before["cgroup"], reverse=True):
        with contextlib.suppress(OSError):  # somebody else's, who is in it
            os.rmdir(group)


def cgroup_roots() -> list[str]:
    """Where cgroup hierarchies of any version are mounted."""
    lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    kinds = [(line.split()[4], line.partition(" - ")[2].split()[0]) for line in lines]
    return [mountpoint for mountpoint, kind in kinds if kind in ("cgroup", "cgroup2")]


def cgroups() -> list[str]:
    """The groups below `mydocker*` in every hierarchy, without those of other users of this machine.

    An engine holds a lock on its group (see Cgroup.create); who holds it and is no descendant of ours is a stranger.
    """
    found = []
    for root in cgroup_roots():
        for parent in glob.glob(f"{root}/mydocker*"):
            found += [f"{path}/{name}" for path, names, _ in os.walk(parent) for name in names]
    locks = _strangers_locks()
    theirs = {os.path.basename(group) for group in found if _is_locked(group, locks)}
    return [group for group in found if not theirs & set(group.split("/"))]


def _strangers_locks() -> set[tuple[int, int, int]]:
    """What processes that we did not start hold by flock(2), as (major, minor, inode): proc_locks(5)."""
    ours = {os.getpid(), *processes.descendants(os.getpid())}
    found = set()
    for line in Path("/proc/locks").read_text().splitlines():
        _, kind, _, _, pid, place = line.replace("-> ", "").split()[:6]
        if kind == "FLOCK" and int(pid) not in ours and processes.is_alive(int(pid)):
            major, minor, inode = place.split(":")
            found.add((int(major, 16), int(minor, 16), int(inode)))
    return found


def _is_locked(directory: str, locks: set[tuple[int, int, int]]) -> bool:
    try:
        found = os.stat(directory)
    except FileNotFoundError:
        return False
    return (os.major(found.st_dev), os.minor(found.st_dev), found.st_ino) in locks


def _mounts() -> set[str]:
    lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    return {" ".join(line.split()[3:]) for line in lines if not line.split()[4].startswith(f"{VIEWS}/")}


def _files(directory: str) -> set[str]:
    """All that is below, but for what programs keep until the next boot (ch04_images/kept_view.py)."""
    found = {f"{above}/{name}" for above, names, files in os.walk(directory) for name in (*names, *files)}
    return {path for path in found if not f"{path}/".startswith(f"{VIEWS}/")}


def _processes() -> set[str]:
    return {str(pid) for pid in (*processes.descendants(os.getpid()), *_cgroup_members())}


def _cgroup_members() -> set[int]:
    members: set[int] = set()
    for group in cgroups():
        try:
            members.update(map(int, Path(group, "cgroup.procs").read_text().split()))
        except OSError:  # the group went meanwhile
            continue
    return {pid for pid in members if processes.is_alive(pid)}


def _entries(directory: str) -> set[str]:
    return set(os.listdir(directory)) if os.path.isdir(directory) else set()


def _nft_rules() -> set[str]:
    nft = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if nft is None:
        return set()
    listed = subprocess.run([nft, "list", "tables"], capture_output=True, text=True, timeout=60, check=False)
    return set(listed.stdout.splitlines())


def _descriptors() -> set[str]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{name} -> {os.readlink(f'/proc/self/fd/{name}')}")
        except FileNotFoundError:  # the one that listed the directory
            continue
    return found
