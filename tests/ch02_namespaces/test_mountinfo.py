"""What is mounted, read from the kernel's table, whatever somebody calls his mount points."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.hosts import REPOSITORY

pytestmark = pytest.mark.kernel
SHOW = """
import os, sys
from ch02_namespaces import cgroups, mountinfo
assert cgroups.hierarchies()
print(("tmpfs", sys.argv[1]) in mountinfo.mounts())
"""


@pytest.mark.parametrize(
    "name",
    [
        b"plain",
        b"a b\tc\nd",
        b"back\\slash\\040",
        "Größe".encode(),
        b"\xe9",
        b"a\rb",
        b"a\x0bb\x85c",
        "\u2028".encode(),
    ],
)
def test_every_name_is_found(tmp_path: Path, name: bytes) -> None:
    place = os.fsdecode(os.path.join(os.fsencode(tmp_path), name))
    os.mkdir(place)
    script = 'mount -t tmpfs tmpfs "$0" && exec "$@"'
    words = ["unshare", "--mount", "sh", "-c", script, place, sys.executable, "-c", SHOW, place]
    shown = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True)
    assert (shown.stdout, shown.stderr) == ("True\n", "")
