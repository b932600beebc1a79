"""The leak check itself: it catches what is left, and nothing else."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import leaks
from tests.support.hosts import Host

pytestmark = pytest.mark.kernel

MNT_DETACH = 2
ORPHAN = "import os\nif os.fork() == 0:\n    os.setsid()\n    os.execvp('sleep', ['sleep', '1000'])\n"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is left on purpose need not be waited for."""
    monkeypatch.setattr(leaks, "ASYNCHRONOUS", 0.3)
    yield


def kinds(found: list[str]) -> set[str]:
    return {item.split(":")[0] for item in found}


def test_nothing_left_is_no_leak() -> None:
    assert leaks.new_since(leaks.snapshot()) == []


@pytest.mark.usefixtures("impatient")
def test_mount_is_caught(tmp_path: Path) -> None:
    before = leaks.snapshot()
    subprocess.run(["mount", "-t", "tmpfs", "leaked", tmp_path], check=True, timeout=60)
    try:
        found = leaks.new_since(before)
    finally:
        assert ctypes.CDLL(None).umount2(os.fsencode(tmp_path), MNT_DETACH) == 0
    assert kinds(found) == {"mount"}
    assert str(tmp_path) in found[0]
    assert leaks.new_since(before) == []


@pytest.mark.usefixtures("impatient")
def test_process_is_caught() -> None:
    before = leaks.snapshot()
    process = subprocess.Popen(["sleep", "1000"])
    found = leaks.new_since(before)
    process.kill()
    process.wait(60)
    assert found == [f"process: {process.pid} (sleep 1000)"]
    assert leaks.new_since(before) == []


@pytest.mark.usefixtures("impatient")
def test_orphan_in_a_session_of_its_own_is_caught_and_ended(host: Host) -> None:
    before = leaks.snapshot()
    words = [sys.executable, "-c", ORPHAN]
    assert host.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).code == 0
    found = leaks.new_since(before)
    assert kinds(found) == {"process"}
    assert "sleep 1000" in found[0]
    leaks.clean_up(before)
    assert leaks.new_since(before) == []


@pytest.mark.usefixtures("impatient")
def test_cgroup_is_caught_and_removed() -> None:
    before = leaks.snapshot()
    group = Path(leaks.cgroup_roots()[0], "mydocker-leak-check", "left-by-a-test")
    group.mkdir(parents=True)
    assert leaks.new_since(before) == [f"cgroup: {group}"]
    leaks.clean_up(before)
    assert not group.exists()
    group.parent.rmdir()


@pytest.mark.usefixtures("impatient")
def test_descriptor_is_caught() -> None:
    before = leaks.snapshot()
    descriptor = os.open("/dev/null", os.O_RDONLY)
    found = leaks.new_since(before)
    os.close(descriptor)
    assert found == [f"descriptor: {descriptor} -> /dev/null"]


@pytest.mark.usefixtures("impatient")
def test_link_is_caught() -> None:
    before = leaks.snapshot()
    added = subprocess.run(
        ["ip", "link", "add", "leak0", "type", "dummy"], capture_output=True, timeout=60, check=False
    )
    if added.returncode:
        pytest.skip("no dummy links here")
    found = leaks.new_since(before)
    subprocess.run(["ip", "link", "delete", "leak0"], check=True, timeout=60)
    assert found == ["network link: leak0"]


@pytest.mark.usefixtures("impatient")
def test_network_namespace_is_caught() -> None:
    before = leaks.snapshot()
    subprocess.run(["ip", "netns", "add", "leaked"], check=True, timeout=60)
    found = leaks.new_since(before)
    subprocess.run(["ip", "netns", "delete", "leaked"], check=True, timeout=60)
    for _ in range(2):  # `ip netns add` mounts its directory onto itself
        subprocess.run(["umount", "/run/netns"], stderr=subprocess.DEVNULL, timeout=60, check=False)
    assert "network namespace: leaked" in found


def test_file_in_a_hosts_state_directory_is_reported(host: Host) -> None:
    (host.root / "left").touch()
    (host.root / "images").mkdir()
    (host.root / "images" / "kept").touch()
    host.may_stay.add("images")
    assert host.leftovers() == [str(host.root / "left")]
    (host.root / "left").unlink()


def test_hosts_have_networks_of_their_own(host: Host) -> None:
    assert os.stat(host.network).st_ino != os.stat("/proc/self/ns/net").st_ino
    assert host.run(["ip", "-brief", "link"]).text.split()[0] == "lo"
    assert host.run(["ip", "route"]).text == ""
