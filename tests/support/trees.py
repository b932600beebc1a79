"""A directory tree as a value: two trees are the same if and only if all that a user can see of them is."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

Tree = dict[bytes, dict[str, object]]


def tree(top: Path, holes: bool = False) -> Tree:
    """All files below `top`, and `top` itself as b"", by path: type, mode, owner, time, content, attributes, links.

    holes: also where a file has holes.
    """
    found: Tree = {}
    inodes: dict[bytes, tuple[int, int]] = {}
    first: dict[tuple[int, int], bytes] = {}
    start = os.fsencode(top)
    for directory, names, files in os.walk(start):
        for name in [b"", *names, *files] if directory == start else names + files:
            path = os.path.join(directory, name).rstrip(b"/")
            found[path[len(start) + 1 :]] = _file(path, holes)
            inodes[path[len(start) + 1 :]] = (os.lstat(path).st_dev, os.lstat(path).st_ino)
    for path in sorted(found):
        found[path]["same file as"] = first.setdefault(inodes[path], path)
    return dict(sorted(found.items()))


def differences(one: Tree, other: Tree) -> list[str]:
    """What differs, one line each, for a readable failure: `assert not differences(a, b)`."""
    lines = []
    for path in sorted(one.keys() | other.keys()):
        left, right = one.get(path), other.get(path)
        if left is None or right is None:
            lines.append(f"{path!r}: only in the {'second' if left is None else 'first'}")
        else:
            lines += [f"{path!r}: {key}: {left[key]!r} != {right[key]!r}" for key in left if left[key] != right[key]]
    return lines


def _file(path: bytes, holes: bool) -> dict[str, object]:
    status = os.lstat(path)
    kind = stat.S_IFMT(status.st_mode)
    content: object = None
    if kind == stat.S_IFREG:
        content = hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).hexdigest()
    elif kind == stat.S_IFLNK:
        content = os.readlink(path)
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        content = (os.major(status.st_rdev), os.minor(status.st_rdev))
    return {
        "mode": stat.filemode(status.st_mode),
        "owner": (status.st_uid, status.st_gid),
        "mtime_ns": status.st_mtime_ns,
        "size": status.st_size if kind == stat.S_IFREG else None,
        "content": content,
        "xattrs": {
            name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)
        },
        "holes": _data(path) if holes and kind == stat.S_IFREG else None,
    }


def _data(path: bytes) -> list[tuple[int, int]]:
    """The regions that are stored: (start, end)."""
    descriptor = os.open(path, os.O_RDONLY)
    found, end, size = [], 0, os.fstat(descriptor).st_size
    try:
        while end < size:
            try:
                start = os.lseek(descriptor, end, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(descriptor, start, os.SEEK_HOLE)
            found.append((start, end))
    finally:
        os.close(descriptor)
    return found
