"""An ordinary user of this machine, with ids of his own in /etc/subuid, and the engine as he has it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ch02_namespaces.cgroups import hierarchies
from tests.support.delegation import delegated_to
from tests.support.hosts import Host, Result, Word
from tests.support.ordinary_user import PYTHON, become, mounted, readable_engine
from tests.support.terminals import Terminal

NAME, UID = "mydocker-user", 54321
FIRST, COUNT = 5_000_000, 65536  # of his other ids
FILES = {
    "passwd": f"{NAME}:x:{UID}:{UID}::/nonexistent:/bin/sh\n",
    "group": f"{NAME}:x:{UID}:\n",
    "subuid": f"{NAME}:{FIRST}:{COUNT}\n",
    "subgid": f"{NAME}:{FIRST}:{COUNT}\n",
}
TUN = "/dev/net/tun"
BECOME = become(UID)


class User:
    """Somebody without rights at a host. home: his home directory."""

    def __init__(self, host: Host, home: Path, program: str) -> None:
        self.host = host
        self.home = home
        self.path = ""
        """Where the engine looks for programs, if not everywhere."""
        self.environment = {"PYTHONPATH": program, "HOME": str(home), "XDG_DATA_HOME": "", "MYDOCKER_ROOT": ""}

    def words(self, *arguments: Word) -> list[Word]:
        """A command line of the engine's."""
        path = ["env", f"PATH={self.path}"] if self.path else []
        return [*BECOME, *path, PYTHON, "-m", "final", *arguments]

    def __call__(self, *arguments: Word, **options: Any) -> Result:
        return self.plain(self.words(*arguments), **options)

    def plain(self, words: Sequence[Word], **options: Any) -> Result:
        """Any command."""
        return self.host.run(words, **{"env": self.environment, "cwd": "/", **options})

    def run(self, *arguments: Word, **options: Any) -> Result:
        """Run a container that goes when it has ended."""
        return self("run", "--rm", *arguments, **options)

    def spawn(self, *arguments: Word, **options: Any) -> subprocess.Popen[bytes]:
        return self.host.spawn(self.words(*arguments), env=self.environment, cwd="/", **options)

    def pty(self, *arguments: Word) -> Terminal:
        return Terminal(self.host, self.words(*arguments), env=self.environment, cwd="/")


@pytest.fixture(scope="package")
def account() -> Iterator[None]:
    """The user in the machine's files, as far as the tests see them."""
    for program in ("newuidmap", "newgidmap"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program}: Debian has it in the package uidmap")
    missing = [name for name in FILES if not Path("/etc", name).exists()]
    if missing:
        pytest.skip(f"no /etc/{missing[0]}, for which another could be put")
    with tempfile.TemporaryDirectory() as directory:
        for name, line in FILES.items():
            changed = Path(directory, name)
            changed.write_text(Path("/etc", name).read_text() + line)
            changed.chmod(0o644)
        with mounted({f"/etc/{name}": f"{directory}/{name}" for name in FILES}):
            yield


@pytest.fixture(scope="package")
def program() -> Iterator[str]:
    """PYTHONPATH for the engine."""
    with readable_engine() as path:
        yield path


@pytest.fixture
def user(host: Host, account: None, program: str) -> Iterator[User]:
    """The user, with the image busybox."""
    if host.run([*BECOME, "unshare", "--user", "true"]).code:
        pytest.skip("this kernel gives ordinary users no user namespace")
    with tempfile.TemporaryDirectory() as directory:
        os.chown(directory, UID, UID)
        user = User(host, Path(directory), program)
        assert user("busybox").code == 0
        yield user


@pytest.fixture(scope="package")
def tap() -> Iterator[None]:
    """Network devices of a process, for everybody: udev gives /dev/net/tun this mode, not every machine has it."""
    if shutil.which("pasta") is None:
        pytest.skip("no pasta: Debian has it in the package passt")
    if not os.path.exists(TUN):
        pytest.skip(f"no {TUN}")
    with tempfile.TemporaryDirectory() as directory:
        node = f"{directory}/tun"
        os.mknod(node, stat.S_IFCHR | 0o600, os.stat(TUN).st_rdev)
        os.chmod(node, 0o666)
        with mounted({TUN: node}):
            yield


@pytest.fixture
def uplink(host: Host, tap: None) -> None:
    """A way to everywhere else, which leads nowhere: pasta gives containers what the host has."""
    for words in (
        "link add uplink type veth peer name beyond",
        "link set beyond up",
        "address add 192.0.2.1/24 dev uplink",
        "link set uplink up",
        "route add default via 192.0.2.2",
    ):
        assert host.run(["ip", *words.split()]).code == 0


@pytest.fixture
def delegated() -> Iterator[str]:
    """A group that is the user's, as for `systemd-run --user --scope`; its directory."""
    with delegated_to(UID) as top:
        yield top


@pytest.fixture
def controllers() -> None:
    """Limits of version 2: its hierarchy may be there without any, where version 1 has them."""
    if not {"memory", "pids", "cpu", "cpuset"} <= hierarchies()[0].controllers:
        pytest.skip("cgroup version 2 has no controllers here")
