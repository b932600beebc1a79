"""Our AUFS against the kernel's overlayfs: the same operations on the same branches give the same tree.

Two things are compared after each operation: its outcome (result or errno) and, at the end, everything that a user
can see of the merged tree. The lower branches must not have changed at all.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import random
import shutil
import signal
import socket
import stat
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ch02_namespaces import aufs
from tests.support.polling import PATIENCE

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

LONG_AGO = 1_500_000_000_123_456_789
A_WHILE = 10**10
"""Nanoseconds. The kernel takes a file's time from a clock that is behind on a busy machine; other times of files here
are far older."""
USER = 65534

Tree = dict[str, tuple[object, ...]]
Operation = Callable[[Path], object]


# ---------------------------------------------------------------- branches and mounts


def below(root: Path) -> list[Path]:
    """All paths below a directory. Early 3.11 has rglob follow symbolic links."""
    return sorted(Path(top, name) for top, names, files in os.walk(root) for name in names + files)


def acl(*entries: tuple[int, int, int]) -> bytes:
    """A POSIX ACL as its extended attribute holds it: entries of tag, permissions, id."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY_ID = 0xFFFFFFFF
SHARED_ACL = acl((1, 7, NOBODY_ID), (2, 7, 1234), (4, 5, NOBODY_ID), (16, 7, NOBODY_ID), (32, 0, NOBODY_ID))


def write(path: Path, text: str, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
    path.write_text(text)
    os.chown(path, uid, gid)
    path.chmod(mode)


def build_low(low: Path) -> None:
    for name in ("plain", "deep/er/est", "mixed", "onlylow", "empty", "gone", "replaced", "shared", "sgid", "sticky"):
        (low / name).mkdir(parents=True)
    (low / "plain").chmod(0o750)
    os.chown(low / "plain", 12, 34)
    write(low / "file", "from low\n", 0o640, 1, 2)
    write(low / "suid", "#!/bin/sh\n", 0o6755, 5, 6)
    write(low / "deep/er/est/file", "deep\n")
    write(low / "mixed/low", "low\n")
    write(low / "mixed/both", "low both\n")
    write(low / "onlylow/a", "a\n")
    write(low / "onlylow/b", "b\n")
    write(low / "gone/inside", "gone\n")
    write(low / "replaced/old", "old\n")
    write(low / "hidden", "hidden by a whiteout\n")
    write(low / "filedir", "a file here, a directory above\n")
    (low / "dirfile").mkdir()
    write(low / "dirfile/x", "below a file\n")
    (low / "dirlink").mkdir()
    write(low / "dirlink/secret", "below a link\n")
    os.setxattr(low / "file", "user.colour", b"blue\0green")
    os.setxattr(low / "file", "trusted.deep", b"secret")
    os.setxattr(low / "suid", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    os.setxattr(low / "shared", "system.posix_acl_default", SHARED_ACL)
    write(low / "acl", "acl\n")
    os.setxattr(low / "acl", "system.posix_acl_access", SHARED_ACL)
    (low / "link").symlink_to("file")
    (low / "dangling").symlink_to("/nowhere/at/all")
    os.chown(low / "link", 7, 8, follow_symlinks=False)
    os.mkfifo(low / "fifo", 0o622)
    os.mknod(low / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(low / "disk", stat.S_IFBLK | 0o600, os.makedev(7, 99))
    (low / "sgid").chmod(0o2775)
    os.chown(low / "sgid", 0, 4321)
    (low / "sticky").chmod(0o1777)
    write(low / "sticky/rootfile", "r\n", 0o666)
    with (low / "sparse").open("wb") as file:
        file.seek(3 << 20)
        file.write(b"end")
        file.truncate(5 << 20)
    for i in range(30):
        (low / "plain" / f"n{i}").write_text(str(i))
    age(low)


def build_mid(mid: Path, whiteout: Callable[[Path], None], opaque: Callable[[Path], None]) -> None:
    for name in ("mixed", "replaced", "deep/er", "filedir"):
        (mid / name).mkdir(parents=True)
    write(mid / "mixed/mid", "mid\n")
    write(mid / "mixed/both", "mid both\n", 0o600, 3, 4)
    write(mid / "filedir/inner", "inner\n")
    write(mid / "dirfile", "a file over a directory\n")
    (mid / "dirlink").symlink_to("/etc")
    write(mid / "replaced/new", "new\n")
    opaque(mid / "replaced")
    whiteout(mid / "hidden")
    whiteout(mid / "gone")
    whiteout(mid / "onlylow_never_there")
    age(mid)


def age(root: Path) -> None:
    for path in [root, *below(root)]:
        os.utime(path, ns=(LONG_AGO, LONG_AGO), follow_symlinks=False)


class Pair:
    """The two file systems on branches of the same content, and what their users see."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.started_ns = time.time_ns() - A_WHILE
        self.roots = {kind: base / kind / "merged" for kind in ("overlay", "aufs")}
        for kind in self.roots:
            for name in ("low", "mid", "up", "work", "merged"):
                (base / kind / name).mkdir(parents=True)
            build_low(base / kind / "low")
        build_mid(
            base / "overlay" / "mid",
            lambda path: os.mknod(path, stat.S_IFCHR | 0o600, 0),
            lambda path: os.setxattr(path, "trusted.overlay.opaque", b"y"),
        )
        build_mid(
            base / "aufs" / "mid",
            lambda path: path.with_name(f".wh.{path.name}").touch(),
            lambda path: (path / ".wh..wh..opq").touch(),
        )

    def mount(self) -> None:
        place = self.base / "overlay"
        options = f"lowerdir={place}/mid:{place}/low,upperdir={place}/up,workdir={place}/work"
        command = ["mount", "-t", "overlay", "overlay", "-o", options, str(self.roots["overlay"])]
        subprocess.run(command, check=True, timeout=PATIENCE)
        place = self.base / "aufs"
        aufs.mount(f"br:{place}/up=rw:{place}/mid=ro+wh:{place}/low=ro", str(self.roots["aufs"]))

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.roots["overlay"])], check=False, timeout=PATIENCE)
        aufs.unmount(str(self.roots["aufs"]))

    def remount_aufs(self) -> None:
        """Forget all caches, the kernel's and our own: what is on the disk must say the same."""
        place = self.base / "aufs"
        aufs.unmount(str(self.roots["aufs"]))
        aufs.mount(f"br:{place}/up=rw:{place}/mid=ro+wh:{place}/low=ro", str(self.roots["aufs"]))

    def both(self, operation: Operation, what: str = "") -> None:
        """Do it on both and compare the outcomes."""
        outcomes = {kind: outcome(operation, root) for kind, root in self.roots.items()}
        assert outcomes["aufs"] == outcomes["overlay"], what

    def compare(self, what: str = "") -> None:
        """Compare everything that can be seen."""
        trees = {kind: snapshot(root, self.started_ns) for kind, root in self.roots.items()}
        differences = {
            path: (trees["overlay"].get(path), trees["aufs"].get(path))
            for path in trees["overlay"].keys() | trees["aufs"].keys()
            if trees["overlay"].get(path) != trees["aufs"].get(path)
        }
        assert not differences, "\n".join([f"{what}: path, overlayfs, aufs", *map(str, differences.items())])


def outcome(operation: Operation, root: Path) -> object:
    try:
        return operation(root)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, error.errno)
    except subprocess.CalledProcessError as error:
        return error.returncode


def snapshot(root: Path, started_ns: int) -> Tree:
    """What a user sees of each file; times only if they come from before the test."""
    tree: Tree = {}
    for path in [root, *below(root)]:
        status = path.lstat()
        kind = stat.S_IFMT(status.st_mode)
        content: object = None
        if kind == stat.S_IFREG:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        elif kind == stat.S_IFLNK:
            content = os.readlink(path)
        elif kind == stat.S_IFDIR:
            content = sorted(os.listdir(path))
        tree[str(path.relative_to(root))] = (
            stat.filemode(status.st_mode),
            status.st_uid,
            status.st_gid,
            None if kind == stat.S_IFDIR else (status.st_size, status.st_nlink),
            status.st_rdev if kind in (stat.S_IFCHR, stat.S_IFBLK) else None,
            content,
            {
                name: os.getxattr(path, name, follow_symlinks=False)
                for name in os.listxattr(path, follow_symlinks=False)
            },
            status.st_mtime_ns if status.st_mtime_ns < started_ns else "new",
        )
    return tree


def fingerprint(root: Path) -> dict[str, object]:
    """All that must not change in a lower branch."""
    return {
        str(path): (*path.lstat()[:7], path.lstat().st_mtime_ns, path.lstat().st_ctime_ns)
        + ((path.read_bytes(),) if path.is_file() and not path.is_symlink() else ())
        for path in below(root)
    }


@pytest.fixture(autouse=True)
def time_limit() -> Iterator[None]:
    """A file system that hangs shall fail a test, not the run."""

    def give_up(number: int, frame: object) -> None:
        raise TimeoutError("the test took too long")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(int(4 * PATIENCE))
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    lower = {name: fingerprint(tmp_path / "aufs" / name) for name in ("low", "mid")}
    try:
        pair.mount()
        yield pair
        for name, before in lower.items():
            assert fingerprint(tmp_path / "aufs" / name) == before, f"branch {name} was changed"
    finally:
        pair.unmount()


# ---------------------------------------------------------------- operations, one table


def sh(script: str) -> Operation:
    def run(root: Path) -> object:
        result = subprocess.run(["/bin/sh", "-c", script], cwd=root, capture_output=True, text=True, timeout=PATIENCE)
        return result.returncode, result.stdout.replace(str(root), ""), result.stderr.replace(str(root), "")

    run.__name__ = script
    return run


def as_user(uid: int, operation: Operation, umask: int = 0o022, groups: tuple[int, ...] = ()) -> Operation:
    """Do an operation in a process of another user; the outcome is an errno name or "ok"."""

    def run(root: Path) -> object:
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.chdir(root)  # as root: the way to it may be closed to the user
                os.setgroups(groups)
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
                os.umask(umask)
                os.write(write_end, str(outcome(operation, Path())).encode())
            finally:
                os._exit(0)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as result:
            text = result.read()
        os.waitpid(child, 0)
        assert text, "the user's process came to no result"
        return text.decode()

    return run


def opened(path: str, flags: int, data: bytes = b"", mode: int = 0o666) -> Operation:
    def run(root: Path) -> object:
        descriptor = os.open(root / path, flags, mode)
        try:
            if data:
                os.write(descriptor, data)
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)

    return run


def renameat2(old: str, new: str, flags: int) -> Operation:
    def run(root: Path) -> object:
        libc = ctypes.CDLL(None, use_errno=True)
        names = [os.fsencode(root / name) for name in (old, new)]
        if libc.renameat2(-100, names[0], -100, names[1], flags):
            raise OSError(ctypes.get_errno(), "renameat2")
        return 0

    return run


def with_socket(root: Path) -> object:
    here = os.open(root, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"/proc/self/fd/{here}/sock")
    finally:
        os.close(here)
    return None


WRITE, READ = os.O_WRONLY, os.O_RDONLY
NOREPLACE = 1

OPERATIONS: dict[str, list[Operation]] = {
    "nothing": [],
    "write in place": [opened("file", WRITE, b"X")],
    "append": [opened("file", WRITE | os.O_APPEND, b"more"), opened("mixed/both", WRITE | os.O_APPEND, b"more")],
    "truncating open": [opened("file", WRITE | os.O_TRUNC, b"new")],
    "truncate": [lambda r: os.truncate(r / "file", 4), lambda r: os.truncate(r / "mixed/low", 0)],
    "truncate to grow": [lambda r: os.truncate(r / "file", 100_000)],
    "exclusive create": [opened("file", WRITE | os.O_CREAT | os.O_EXCL), opened("n", WRITE | os.O_CREAT | os.O_EXCL)],
    "create in lower directory": [opened("onlylow/c", WRITE | os.O_CREAT, b"c"), opened("deep/er/est/n", 65 | 512)],
    "create in no directory": [opened("no/n", WRITE | os.O_CREAT), opened("file/n", WRITE | os.O_CREAT)],
    "sparse": [opened("sparse", WRITE, b"start")],
    "chmod": [
        lambda r: os.chmod(r / "file", 0o4711),
        lambda r: os.chmod(r / "plain", 0o711),
        lambda r: os.chmod(r, 0o711),
    ],
    "chown": [lambda r: os.chown(r / "suid", 99, 98), lambda r: os.chown(r / "plain", 9, -1)],
    "chown a link": [lambda r: os.chown(r / "dangling", 3, 4, follow_symlinks=False)],
    "times": [
        lambda r: os.utime(r / "file", ns=(5, 1_073_741_823)),
        lambda r: os.utime(r / "dangling", ns=(7, 8_000_000_001), follow_symlinks=False),
        lambda r: os.utime(r / "plain", ns=(1, 2)),
        sh(
            "touch -a -d @77 mixed/low; touch -m -d @88 mixed/mid; stat -c %Y mixed/low mixed/mid; stat -c %X mixed/low"
        ),
    ],
    "xattrs": [
        lambda r: os.setxattr(r / "file", "user.new", b"1"),
        lambda r: os.removexattr(r / "file", "user.colour"),
        lambda r: os.removexattr(r / "file", "user.none"),
        lambda r: os.getxattr(r / "mixed/both", "user.none"),
        lambda r: os.setxattr(r / "plain", "trusted.x", b"dir"),
        lambda r: os.setxattr(r / "dangling", "trusted.l", b"link", follow_symlinks=False),
        lambda r: os.setxattr(r / "file", "user.new", b"2", os.XATTR_CREATE),
        lambda r: os.setxattr(r / "file", "user.other", b"2", os.XATTR_REPLACE),
        lambda r: os.setxattr(r / "file", "bad.name", b"2"),
    ],
    "capabilities die by writing": [opened("suid", WRITE, b"!")],
    "capabilities die by truncating": [opened("suid", WRITE | os.O_TRUNC)],
    "suid dies by a user's write": [
        lambda r: os.chmod(r / "suid", 0o6777),
        as_user(USER, opened("suid", WRITE, b"!")),
        lambda r: os.chmod(r / "suid", 0o6777),
        as_user(USER, lambda r: os.truncate(r / "suid", 1)),
        lambda r: (r / "suid").lstat().st_mode,
        lambda r: os.chmod(r / "suid", 0o6777),
        as_user(USER, opened("suid", WRITE | os.O_TRUNC)),
        lambda r: (r / "suid").lstat().st_mode,
        lambda r: os.chmod(r / "suid", 0o6777),
        lambda r: os.chown(r / "suid", 9, 9),
    ],
    "unlink": [lambda r: os.unlink(r / "file"), lambda r: os.unlink(r / "file"), lambda r: os.unlink(r / "plain")],
    "unlink upper and lower": [
        opened("file", WRITE, b"X"),
        lambda r: os.unlink(r / "file"),
        lambda r: (r / "file").exists(),
    ],
    "unlink specials": [sh("rm fifo null disk link dangling; ls")],
    "recreate": [
        lambda r: os.unlink(r / "file"),
        opened("file", WRITE | os.O_CREAT, b"again"),
        lambda r: os.unlink(r / "file"),
        lambda r: os.mkdir(r / "file"),
        opened("hidden", WRITE | os.O_CREAT, b"visible again"),
    ],
    "rmdir": [
        lambda r: os.rmdir(r / "plain"),
        lambda r: os.rmdir(r / "empty"),
        lambda r: os.rmdir(r / "file"),
        lambda r: os.rmdir(r / "no"),
        lambda r: os.rmdir(r / "empty"),
    ],
    "rmdir what whiteouts have emptied": [sh("rm onlylow/a onlylow/b && rmdir onlylow && ls onlylow")],
    "a new directory over a removed one": [
        sh("rm -r onlylow && mkdir onlylow && ls -A onlylow && touch onlylow/a && rm onlylow/a && ls -A onlylow"),
        sh("mkdir gone && ls -A gone && rmdir gone && mkdir gone && touch gone/inside"),
    ],
    "mkdir": [
        lambda r: os.mkdir(r / "new", 0o1777),
        lambda r: os.mkdir(r / "plain"),
        lambda r: os.mkdir(r / "file"),
        lambda r: os.mkdir(r / "no/no"),
        lambda r: os.mkdir(r / "deep/er/est/n"),
    ],
    "rm -rf": [sh("rm -rf mixed plain deep replaced; ls -A"), sh("mkdir -p deep/er/est mixed plain; find . | sort")],
    "rename a lower file": [
        lambda r: os.rename(r / "file", r / "moved"),
        lambda r: os.rename(r / "file", r / "again"),
        lambda r: os.rename(r / "mixed/both", r / "onlylow/both"),
        lambda r: os.rename(r / "dangling", r / "plain/dangling"),
    ],
    "rename over": [
        lambda r: os.rename(r / "file", r / "mixed/both"),
        lambda r: os.rename(r / "mixed/mid", r / "hidden"),
        lambda r: os.rename(r / "mixed/low", r / "plain"),
        lambda r: os.rename(r / "empty", r / "mixed"),
        lambda r: os.rename(r / "empty", r / "suid"),
    ],
    "rename lower directories": [
        lambda r: os.rename(r / "plain", r / "moved"),
        lambda r: os.rename(r / "mixed", r / "moved"),
        lambda r: os.rename(r / "filedir", r / "moved"),
        sh("mv mixed moved && find moved | sort"),
    ],
    "rename new directories": [
        sh("mkdir a && touch a/1 a/2 && mv a b && ls a b; mv -T b empty && ls empty"),
        sh("rm -r onlylow && mkdir x && touch x/y && mv -T x onlylow && ls -A onlylow"),
        sh("mkdir z && mv -T z replaced; ls replaced"),
        sh("mkdir deep/n && touch deep/n/f && mv deep/n mixed/n && ls -R mixed"),
    ],
    "rename with flags": [
        renameat2("file", "mixed/both", NOREPLACE),
        renameat2("file", "fresh", NOREPLACE),
        renameat2("fresh", "hidden", NOREPLACE),
        renameat2("nothing", "n", NOREPLACE),
        renameat2("file", "n", 64),
    ],
    "hard links": [
        lambda r: os.link(r / "file", r / "second"),
        opened("second", WRITE, b"through the second name"),
        lambda r: os.link(r / "second", r / "mixed/third"),
        lambda r: [(r / n).stat().st_nlink for n in ("file", "second", "mixed/third")],
        lambda r: len({(r / n).stat().st_ino for n in ("file", "second", "mixed/third")}),
        lambda r: os.unlink(r / "file"),
        lambda r: [(r / n).stat().st_nlink for n in ("second", "mixed/third")],
        opened("mixed/third", WRITE | os.O_APPEND, b"and appended through the third"),
        lambda r: (r / "second").read_text(),
        lambda r: os.rename(r / "second", r / "mixed/third"),
        lambda r: os.link(r / "plain", r / "dirlink2"),
        lambda r: os.link(r / "suid", r / "mixed/both"),
        lambda r: os.link(r / "suid", r / "hidden"),
        lambda r: os.link(r / "dangling", r / "dangling2", follow_symlinks=False),
    ],
    "links": [
        lambda r: os.symlink("x" * 4000, r / "long"),
        lambda r: os.symlink("to", r / "file"),
        lambda r: os.readlink(r / "dirlink"),
        lambda r: (r / "dirlink" / "secret").exists(),
        sh("cd dirfile"),
        opened("dangling", WRITE, b"no"),
        lambda r: os.symlink("file", r / "hidden"),
        lambda r: (r / "hidden").read_text(),
    ],
    "nodes": [
        lambda r: os.mkfifo(r / "n", 0o640),
        lambda r: os.mknod(r / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5)),
        lambda r: os.mknod(r / "reg", stat.S_IFREG | 0o4755),
        lambda r: (r / "zero").open("rb").read(4),
        with_socket,
        sh("echo hello > n & cat n"),
        lambda r: (r / "null").read_bytes(),
        lambda r: os.chmod(r / "fifo", 0o600),
        lambda r: os.chown(r / "null", 1, 1),
    ],
    "umask and modes": [
        sh("umask 077; touch u; mkdir v; mkfifo w; umask 0; touch x; mkdir y"),
        as_user(USER, lambda r: os.mkdir(r / "sticky/d"), umask=0o027),
        as_user(USER, opened("sticky/f", WRITE | os.O_CREAT, b"mine"), umask=0o007),
        as_user(USER, lambda r: os.symlink("x", r / "sticky/l")),
        as_user(USER, lambda r: os.mkfifo(r / "sticky/p")),
    ],
    "setgid directories": [
        sh("cd sgid && umask 022 && mkdir d && touch f && mkdir d/e && ln -s x l && mkfifo p && chmod 2755 f"),
        lambda r: os.chmod(r / "sgid", 0o2777),
        as_user(USER, opened("sgid/u", WRITE | os.O_CREAT, b"", 0o2775)),
        as_user(USER, lambda r: os.mkdir(r / "sgid/ud")),
        as_user(USER, opened("sgid/g", WRITE | os.O_CREAT, b"", 0o2775), groups=(4321,)),
    ],
    "sticky directories": [
        as_user(USER, lambda r: os.unlink(r / "sticky/rootfile")),
        as_user(USER, lambda r: os.rename(r / "sticky/rootfile", r / "sticky/mine")),
        as_user(USER, opened("sticky/f", WRITE | os.O_CREAT)),
        as_user(USER, lambda r: os.unlink(r / "sticky/f")),
    ],
    "permissions": [
        as_user(USER, opened("file", READ)),
        as_user(USER, opened("suid", READ)),
        as_user(USER, opened("suid", WRITE)),
        as_user(USER, opened("new", WRITE | os.O_CREAT)),
        as_user(USER, lambda r: os.listdir(r / "plain")),
        as_user(USER, lambda r: os.chmod(r / "suid", 0o777)),
        as_user(USER, lambda r: os.setxattr(r / "suid", "user.x", b"")),
        as_user(USER, lambda r: os.getxattr(r / "file", "trusted.deep")),
        as_user(5, lambda r: os.chmod(r / "suid", 0o711)),
        as_user(1, opened("file", os.O_RDWR, b"owner")),
        as_user(2, opened("file", READ)),
        as_user(34, lambda r: len(os.listdir(r / "plain"))),
    ],
    "ACLs": [
        as_user(1234, opened("acl", os.O_RDWR, b"by ACL")),
        as_user(1235, opened("acl", READ)),
        sh("umask 077; cd shared && touch f && mkdir d && mkfifo p && touch d/f"),
        lambda r: os.setxattr(r / "file", "system.posix_acl_access", SHARED_ACL),
        as_user(1234, opened("file", os.O_RDWR, b"by ACL")),
        lambda r: os.chmod(r / "acl", 0o600),
        as_user(1234, opened("acl", READ)),
        lambda r: os.removexattr(r / "shared", "system.posix_acl_default"),
        lambda r: os.link(r / "suid", r / "shared/suid"),
    ],
    "archives": [
        sh("tar cf x.tar mixed deep && rm -r mixed && tar xf x.tar && rm x.tar"),
        sh("tar c . | tar t | sort"),
    ],
    "cp -a": [sh("cp -a mixed copy && cp -a plain deep/plain && diff -r mixed copy && diff -r plain deep/plain")],
    "fallocate": [
        sh("fallocate -l 10000 new && fallocate -p -o 4096 -l 4096 new && stat -c %s new && cmp -n 10000 new /dev/zero")
    ],
    "odd names": [
        sh("mkdir 'a b' && touch 'a b/new\nline' && mv 'a b/new\nline' '-n' && ls -A"),
        lambda r: (r / os.fsdecode(b"\xff\xfe")).write_text("not UTF-8"),
        lambda r: (r / ("l" * 251)).write_text("long"),
        lambda r: os.unlink(r / ("l" * 251)),
        lambda r: (r / ("l" * 256)).write_text("too long"),
        lambda r: (r / "..." / "x").mkdir(parents=True),
    ],
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_same_as_overlayfs(pair: Pair, name: str) -> None:
    for i, operation in enumerate(OPERATIONS[name]):
        pair.both(operation, f"{name}, operation {i}")
    pair.compare(name)
    pair.remount_aufs()
    pair.compare(f"{name}, after a new mount")


# ---------------------------------------------------------------- random operations


NAMES = ("a", "b", "c", "mixed", "plain", "file", "onlylow", "gone", "hidden")


def random_operation(dice: random.Random) -> tuple[str, Operation]:
    """A call by name and arguments, so that it can be printed and done on both file systems."""

    def path() -> str:
        return "/".join(dice.choice(NAMES) for _ in range(dice.choice((1, 1, 1, 2, 2, 3))))

    first, second, number = path(), path(), dice.randrange(1, 5000)
    table: dict[str, Operation] = {
        f"mkdir {first}": lambda r: os.mkdir(r / first, 0o755),
        f"rmdir {first}": lambda r: os.rmdir(r / first),
        f"unlink {first}": lambda r: os.unlink(r / first),
        f"write {first} {number}": lambda r: (r / first).write_bytes(b"w" * number) and None,
        f"append {first} {number}": opened(first, WRITE | os.O_APPEND | os.O_CREAT, b"a" * number),
        f"truncate {first} {number}": lambda r: os.truncate(r / first, number),
        f"rename {first} {second}": lambda r: os.rename(r / first, r / second),
        f"rename! {first} {second}": renameat2(first, second, NOREPLACE),
        f"link {first} {second}": lambda r: os.link(r / first, r / second, follow_symlinks=False),
        f"symlink {first} {second}": lambda r: os.symlink(first, r / second),
        f"chmod {first} {number:o}": lambda r: os.chmod(r / first, number & 0o777),
        f"chown {first} {number}": lambda r: os.chown(r / first, number, number, follow_symlinks=False),
        f"setxattr {first} {number}": lambda r: os.setxattr(r / first, "user.x", str(number).encode()),
        f"utime {first} {number}": lambda r: os.utime(r / first, ns=(number, number), follow_symlinks=False),
        f"list {first}": lambda r: sorted(os.listdir(r / first)),
        f"read {first}": lambda r: (r / first).read_bytes(),
        f"stat {first}": lambda r: (r / first).lstat()[0:1],
        f"mkfifo {first}": lambda r: os.mkfifo(r / first) if "fifo" in first else None,
        f"rmtree {first}": lambda r: shutil.rmtree(r / first),
    }
    name = dice.choice(list(table))
    return name, table[name]


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_random_operations(pair: Pair, seed: int) -> None:
    dice = random.Random(seed)
    done: list[str] = []
    for i in range(300):
        name, operation = random_operation(dice)
        done.append(name)
        story = f"seed {seed}, operation {i}: {'; '.join(done[-12:])}"
        pair.both(operation, story)
        if i % 50 == 49:
            pair.compare(story)
    pair.remount_aufs()
    pair.compare(f"seed {seed}, after a new mount")


def test_the_comparison_can_fail(pair: Pair) -> None:
    for root in pair.roots.values():  # another user gets as far as the file
        assert as_user(USER, lambda r: (r / "suid").stat().st_size)(root) == "10"
    with pytest.raises(AssertionError):
        pair.both(lambda root: str(root))
    (pair.roots["aufs"] / "file").chmod(0o600)
    with contextlib.suppress(AssertionError):
        pair.compare()
        raise RuntimeError("a difference of mode went unseen")
