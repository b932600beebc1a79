"""Task uid-map."""

from __future__ import annotations

import pytest

from tests.labs.checks import Draw, equal
from tests.labs.sandbox import Sandbox

SCRIPT = """
import ctypes, os, time
from ch02_namespaces import namespaces, syscalls

user, times = given["user"], given["times"]
os.setgroups([])
os.setresgid(user, user, user)
os.setresuid(user, user, user)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: the user may look at his own processes again
reader, writer = os.pipe()
def child():
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    os.write(writer, b"1")
    time.sleep(100)
pid = fork(child)
os.close(writer)
if not os.read(reader, 1):
    answer(None)
    raise SystemExit
try:
    for _ in range(times):
        namespaces.write_id_maps(pid, given["uid_map"], given["gid_map"])
    read = lambda name: open(f"/proc/{pid}/{name}").read().split()
    answer([read("uid_map"), read("gid_map"), read("setgroups")])
finally:
    os.kill(pid, 9)
"""


def maps(sandbox: Sandbox, user: int, uid_map: str, gid_map: str) -> list[list[str]]:
    """uid_map, gid_map and setgroups of a user namespace afterwards, each as words."""
    found: list[list[str]] | None = sandbox.ask(SCRIPT, user=user, times=1, uid_map=uid_map, gid_map=gid_map)
    if found is None:
        pytest.skip("this kernel allows users no user namespace")
    return found


def test_root_maps_anybody(sandbox: Sandbox, draw: Draw) -> None:
    """Root writes the maps as they are given, and leaves setgroups allowed."""
    uid_map = f"0 {draw.randint(1000, 9999)} 1\n1 {draw.randint(100000, 200000)} {draw.randint(2, 60000)}"
    gid_map = f"0 {draw.randint(1000, 9999)} {draw.randint(2, 500)}"
    found = maps(sandbox, 0, uid_map, gid_map)
    equal(found, [uid_map.split(), gid_map.split(), ["allow"]], "uid_map, gid_map, setgroups")


def test_user_maps_himself(sandbox: Sandbox, draw: Draw) -> None:
    """An ordinary user maps his own ids, and has setgroups denied before: else the kernel refuses the gid_map."""
    user = draw.randint(2000, 60000)
    found = maps(sandbox, user, f"0 {user} 1", f"0 {user} 1")
    wanted = ["0", str(user), "1"]
    equal(found, [wanted, wanted, ["deny"]], "uid_map, gid_map, setgroups")


def test_once_only(sandbox: Sandbox, draw: Draw) -> None:
    """A second map is refused by the kernel, and the caller is told so: EPERM."""
    uid_map = f"0 {draw.randint(1000, 9999)} 1"
    message = sandbox.refusal(SCRIPT, "SyscallError", user=0, times=2, uid_map=uid_map, gid_map=uid_map)
    equal("EPERM" in message, True, "EPERM in the message")
