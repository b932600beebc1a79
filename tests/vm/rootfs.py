"""The root file system of the virtual machine: Debian's packages in an ext4 image, built once and kept in .cache.

A build has the hash of all that it is made from as its name: a change makes another, and the one before goes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.vm.architecture import Architecture

REPOSITORY = Path(__file__).parents[2]
CACHE = REPOSITORY / ".cache/vm"
SUITE, PYTHON = "bookworm", (3, 11)
"""A release of Debian, and the Python that it has."""
PACKAGES = ("ca-certificates", "e2fsprogs", "kmod", "python3", "uidmap")
"""What is needed inside on top of what tests/setup.sh installs for the tests."""
NOT_NEEDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
SIZE = "8G"  # of the file system; the file takes the room of what is in it
BUILD_SECONDS = 1200
SOURCES = ("rootfs.py", "initramfs.py", "init.sh")


class BuildError(Exception):
    """There is no root file system to boot from."""


class RootFileSystem(NamedTuple):
    """What a virtual machine boots from."""

    image: Path
    kernel: Path
    initramfs: Path


def build(architecture: Architecture) -> RootFileSystem:
    """The files for this architecture; they are made if nobody has made them from the same packages and scripts yet.

    Raises BuildError, or TimeoutExpired.
    """
    packages = [architecture.kernel_package, *PACKAGES, *packages_of_setup()]
    texts = [Path(__file__).with_name(name).read_text() for name in SOURCES]
    target = CACHE / hashlib.sha256("\0".join([*packages, *requirements(), *texts]).encode()).hexdigest()[:16]
    with locked(CACHE):
        if not target.exists():
            unfinished = target.with_suffix(".new")
            for old in (*CACHE.glob("?" * 16), *CACHE.glob("*.new")):
                shutil.rmtree(old)
            unfinished.mkdir()
            print("test-vm: making the root file system; this takes a few minutes, once", flush=True)
            debootstrap(packages, unfinished)
            unfinished.rename(target)
    return RootFileSystem(target / "root.ext4", target / "vmlinuz", target / "initramfs")


def python() -> str:
    """The interpreter of the tests inside: that of .venv, or where that would not run, one that the image has."""
    return "/opt/venv/bin/python3" if requirements() else str(REPOSITORY / ".venv/bin/python3")


def requirements() -> list[str]:
    """The Python packages to be installed in the image: none if inside is the Python that .venv is made of."""
    if sys.version_info[:2] == PYTHON and sys.base_prefix == "/usr":
        return []
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["dev"]]


def packages_of_setup() -> list[str]:
    """The Debian packages that the tests need: tests/setup.sh has the list."""
    found = re.search(r'^PACKAGES="(.*)"$', (REPOSITORY / "tests/setup.sh").read_text(), re.MULTILINE)
    assert found is not None, "tests/setup.sh has no PACKAGES"
    return found[1].split()


def debootstrap(packages: list[str], directory: Path) -> None:
    """Install the packages below a temporary root, and leave image, kernel and initramfs in `directory`.

    Raises BuildError, or TimeoutExpired.
    """
    command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=essential", "--format=null"]
    command += ["--aptopt=Acquire::Languages none", *(f"--dpkgopt=path-exclude={path}" for path in NOT_NEEDED)]
    command += [f"--include={','.join(packages)}"]
    command += [f"--customize-hook={line}" for line in customization(directory)]
    command += [SUITE, "-"]
    as_root = [] if os.geteuid() == 0 else ["sudo"]
    environment = ["env", "INITRD=No"]  # the kernel's package need not make an initramfs: we do
    done = subprocess.run([*as_root, *environment, *command], timeout=BUILD_SECONDS, cwd="/")
    if done.returncode:
        raise BuildError(f"mmdebstrap failed with code {done.returncode}: what it said is above")


def customization(directory: Path) -> Iterator[str]:
    """Shell commands that finish the root file system at $1 and take from it what we need."""
    to = shlex.quote(str(directory))
    if wanted := requirements():
        yield 'chroot "$1" python3 -m venv /opt/venv'
        yield 'cp /etc/ssl/certs/ca-certificates.crt "$1"/etc/ssl/certs/'  # whom this machine trusts, pip does
        yield f'chroot "$1" /opt/venv/bin/pip install --quiet {shlex.join(wanted)}'
    yield f'cp "$1"/boot/vmlinuz-* {to}/vmlinuz'
    yield f'cd {shlex.quote(str(REPOSITORY))} && python3 -m tests.vm.initramfs "$1" {to}/initramfs'
    image = 'mount --bind "$1" /mnt && mke2fs -q -t ext4 -m 0 -O ^has_journal -d /mnt "$2" ' + SIZE
    yield f'unshare --mount sh -c {shlex.quote(image)} sh "$1" {to}/root.ext4'  # without what is mounted in it
    yield f"chown --reference={to} {to}/*"


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """One at a time."""
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
