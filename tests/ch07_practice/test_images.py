"""Root file systems of packages: made once, the same each time, and nothing stays of one that failed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support.hosts import REPOSITORY
from tests.support.images import SECONDS, UNREACHABLE, archive, skip_without_mirror

SCRIPT = "ch07_practice/nginx/build.sh"
WITHOUT_NETWORK = ["unshare", "--net"]


def copy_of_scripts(directory: Path) -> Path:
    """The script in a tree whose cache is empty."""
    for name in ("ch07_practice/debian.sh", SCRIPT):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, directory / name)
    return directory / SCRIPT


def build(script: Path, *before: str, temporary: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"TMPDIR": str(temporary)}
    return subprocess.run([*before, script], env=environment, capture_output=True, text=True, timeout=SECONDS)


def test_what_was_made_needs_no_network() -> None:
    made = archive("nginx/build.sh")
    again = subprocess.run([*WITHOUT_NETWORK, REPOSITORY / SCRIPT], capture_output=True, text=True, timeout=SECONDS)
    assert (again.stdout.strip(), again.stderr) == (made, "")


def test_nothing_of_this_machine_is_inside() -> None:
    with tarfile.open(archive("nginx/build.sh")) as tar:
        files = {member.name: member for member in tar}
    assert all(files[f"./etc/{name}"].size == 0 for name in ("hosts", "hostname", "resolv.conf"))
    assert not any(name.startswith(("./etc/apt", "./var/lib/apt", "./var/lib/dpkg")) for name in files)
    assert {member.uid for member in files.values()} == {0}


def test_without_a_network_nothing_stays(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    failed = build(copy_of_scripts(tmp_path), *WITHOUT_NETWORK, temporary=temporary)
    assert failed.returncode != 0 and failed.stdout == ""
    assert any(words in failed.stderr for words in UNREACHABLE)
    assert os.listdir(temporary) == [] and os.listdir(tmp_path / ".cache/images") == ["lock"]


@pytest.mark.slow
def test_the_same_packages_make_the_same_archive(tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        (tmp_path / name / "temporary").mkdir(parents=True)
        made = build(copy_of_scripts(tmp_path / name), temporary=tmp_path / name / "temporary")
        skip_without_mirror(made)
        contents.append(Path(made.stdout.strip()).read_bytes())
    assert contents[0] == contents[1]
