"""A cgroup that belongs to an ordinary user, as systemd makes one for who logs in. cgroups(7), "Cgroup delegation"."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ch02_namespaces import cgroup_v2
from ch02_namespaces.cgroups import hierarchies
from tests.support.polling import eventually

THEIRS = ("", "cgroup.procs", "cgroup.subtree_control", "session", "session/cgroup.procs")


@contextlib.contextmanager
def delegated_to(uid: int, *controllers: str) -> Iterator[str]:
    """A group of version 2 that is a user's, and a group `session` in it; its directory. controllers: which it must
    have, or the test is skipped."""
    tree = hierarchies()[0]
    if tree.number() != 2 or not set(controllers) <= tree.controllers:
        pytest.skip(" ".join(["no cgroup version 2; controllers wanted:", *controllers]))
    top = f"{tree.mountpoint}/mydocker-test-user"
    cgroup_v2.ensure_parent(tree.mountpoint, top, tree.controllers)
    os.mkdir(f"{top}/session")
    for name in THEIRS:
        os.chown(f"{top}/{name}", uid, uid)
    yield top
    for path in (f"{top}/session", f"{top}/mydocker", top):
        eventually(partial(_is_removed, path), f"the end of all processes in {path}")


def _is_removed(path: str) -> bool:
    """Whether a group could be removed: not as long as somebody in it is just ending."""
    try:
        Path(path).rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True
