"""Cgroups on whichever versions are mounted, together and each alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ch02_namespaces import cgroup_v1, cgroup_v2
from ch02_namespaces.cgroups import Cgroup, Hierarchy, hierarchies, sweep, usable_hierarchies
from ch02_namespaces.errors import EngineError, SyscallError
from ch02_namespaces.limits import Limits
from tests.support import processes
from tests.support.hosts import REPOSITORY
from tests.support.ordinary_user import PYTHON, become, readable_engine
from tests.support.polling import eventually

pytestmark = [pytest.mark.kernel, pytest.mark.vm]

MOUNTED = hierarchies()
SUBSETS: dict[str, list[Hierarchy]] = {
    "all": MOUNTED,
    "version 1": [hierarchy for hierarchy in MOUNTED if hierarchy.version is cgroup_v1],
    "version 2": [hierarchy for hierarchy in MOUNTED if hierarchy.version is cgroup_v2],
    **{"+".join(sorted(h.controllers)): [h] for h in MOUNTED if h.version is cgroup_v1},
}
DIFFERENT = [name for name, subset in SUBSETS.items() if subset and (name == "all" or subset != MOUNTED)]
PARENT = f"mydocker-test-{os.getpid()}"


@pytest.fixture(params=DIFFERENT)
def mounted(request: pytest.FixtureRequest) -> Iterator[list[Hierarchy]]:
    """The hierarchies of this machine: all, those of one version, and each of version 1 alone."""
    subset = SUBSETS[request.param]
    yield subset
    for hierarchy in subset:
        if os.path.isdir(f"{hierarchy.mountpoint}/{PARENT}"):
            os.rmdir(f"{hierarchy.mountpoint}/{PARENT}")


@pytest.fixture
def group(mounted: list[Hierarchy]) -> Iterator[Cgroup]:
    made = Cgroup(f"{PARENT}/one", mounted)
    made.create()
    yield made
    made.remove()


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "1000"])
    yield process
    process.kill()
    process.wait(60)


def needs(mounted: list[Hierarchy], controller: str) -> None:
    if not any(controller in hierarchy.controllers for hierarchy in mounted):
        pytest.skip(f"no {controller} controller here")


def needs_freezer(mounted: list[Hierarchy]) -> None:
    if not any(h.version is cgroup_v2 or "freezer" in h.controllers for h in mounted):
        pytest.skip("nothing that freezes here")


def test_create_makes_it_everywhere_and_remove_takes_it_away(mounted: list[Hierarchy]) -> None:
    made = Cgroup(f"{PARENT}/one", mounted)
    made.create()
    assert all(map(os.path.isdir, made.directories()))
    made.remove()
    assert not any(map(os.path.exists, made.directories()))
    made.remove()


def test_create_twice_is_refused_and_the_first_stays(group: Cgroup) -> None:
    with pytest.raises(SyscallError, match="EEXIST"):
        Cgroup(group.path, group.hierarchies).create()
    assert all(map(os.path.isdir, group.directories()))


def test_half_made_one_is_undone(mounted: list[Hierarchy]) -> None:
    """It exists already in the last hierarchy alone."""
    if len(mounted) < 2:
        pytest.skip("one hierarchy only")
    blocker = Cgroup(f"{PARENT}/one", mounted[-1:])
    blocker.create()
    half = Cgroup(f"{PARENT}/one", mounted)
    with pytest.raises(SyscallError, match="EEXIST"):
        half.create()
    assert [path for path in half.directories() if os.path.exists(path)] == blocker.directories()
    blocker.remove()


def test_process_is_moved_in(group: Cgroup, sleeper: subprocess.Popen[bytes]) -> None:
    group.add(sleeper.pid)
    assert group.processes() == [sleeper.pid]
    for directory in group.directories():
        assert Path(directory, "cgroup.procs").read_text().split() == [str(sleeper.pid)]


def test_new_cpuset_takes_processes(mounted: list[Hierarchy], sleeper: subprocess.Popen[bytes]) -> None:
    """On version 1 it is born empty and answers "no space left on device", also when made below a new parent."""
    needs(mounted, "cpuset")
    deep = Cgroup(f"{PARENT}/one/two/three", mounted)
    deep.create()
    deep.add(sleeper.pid)
    assert deep.processes() == [sleeper.pid]
    Cgroup("", mounted).add(sleeper.pid)
    deep.remove()
    for path in ("one/two", "one"):
        Cgroup(f"{PARENT}/{path}", mounted).remove()


def test_limits_are_written(group: Cgroup, mounted: list[Hierarchy]) -> None:
    needs(mounted, "pids")
    group.set(Limits(pids=7))
    assert Path(group.directory("pids"), "pids.max").read_text() == "7\n"
    group.set(Limits(pids=-1))
    assert Path(group.directory("pids"), "pids.max").read_text() == "max\n"


def test_memory_can_grow_and_shrink(group: Cgroup, mounted: list[Hierarchy]) -> None:
    """Version 1 never lets memory exceed memory and swap together, not even between two writes."""
    needs(mounted, "memory")
    for megabytes in (64, 256, 32, 512):
        group.set(Limits(memory=megabytes << 20))
        file = "memory.max" if os.path.exists(f"{group.directory('memory')}/memory.max") else "memory.limit_in_bytes"
        assert int(Path(group.directory("memory"), file).read_text()) == megabytes << 20


@pytest.mark.parametrize(
    ("limits", "controller"),
    [
        (Limits(memory=64 << 20), "memory"),
        (Limits(cpus=0.5), "cpu"),
        (Limits(cpuset_cpus="0"), "cpuset"),
        (Limits(pids=5), "pids"),
        (Limits(io_weight=5), "io"),
    ],
)
def test_missing_controller_is_named_and_nothing_is_written(limits: Limits, controller: str) -> None:
    without = [hierarchy for hierarchy in MOUNTED if controller not in hierarchy.controllers]
    if not without:
        pytest.skip("the only hierarchy has it")
    group = Cgroup(f"{PARENT}/one", without)
    group.create()
    with pytest.raises(EngineError, match=f"{controller} limit: no cgroup controller '{controller}'"):
        group.set(limits)
    group.remove()
    for hierarchy in without:
        os.rmdir(f"{hierarchy.mountpoint}/{PARENT}")


def test_no_hierarchy_at_all_says_so() -> None:
    with pytest.raises(EngineError, match="no cgroup file system is mounted"):
        Cgroup(f"{PARENT}/one", []).create()


def test_statistics(group: Cgroup, sleeper: subprocess.Popen[bytes]) -> None:
    group.add(sleeper.pid)
    found = group.statistics()
    controllers = {name for hierarchy in group.hierarchies for name in hierarchy.controllers}
    assert ("memory" in found) == ("memory" in controllers)
    assert all(value >= 0 for value in found.values())
    if "pids" in controllers:
        assert found["pids"] == 1
    assert group.oom_kills() == 0


def test_freeze_and_thaw(group: Cgroup, mounted: list[Hierarchy]) -> None:
    needs_freezer(mounted)
    busy = subprocess.Popen(["sh", "-c", "while :; do :; done"])
    group.add(busy.pid)
    group.freeze()
    before = ticks(busy.pid)
    eventually(lambda: ticks(sys_busy()) >= 0, "a moment")
    assert ticks(busy.pid) == before
    group.freeze(False)
    eventually(lambda: ticks(busy.pid) > before, "it goes on")
    busy.kill()
    busy.wait(60)


def sys_busy() -> int:
    """Use some processor time ourselves; our pid."""
    sum(range(2_000_000))
    return os.getpid()


def ticks(pid: int) -> int:
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))


@pytest.mark.parametrize("frozen", [False, True])
def test_kill_wins_against_forks(group: Cgroup, mounted: list[Hierarchy], frozen: bool) -> None:
    needs_freezer(mounted)
    script = "f() { while :; do sleep 0.01 & wait; done; }; f & f & f & f & f"
    forker = subprocess.Popen(["sh", "-c", f"read go; {script}"], stdin=subprocess.PIPE)
    group.add(forker.pid)
    assert forker.stdin is not None
    forker.stdin.close()  # read ends at end of file
    eventually(lambda: len(group.processes()) > 4, "a family")
    if frozen:
        group.freeze()
    group.kill()
    forker.wait(60)
    eventually(lambda: not group.processes(), "nobody is left")


def test_kill_reaches_groups_below(group: Cgroup, mounted: list[Hierarchy], sleeper: subprocess.Popen[bytes]) -> None:
    needs_freezer(mounted)
    group.close()  # its lock: else a group below could not be made
    below = Cgroup(f"{group.path}/below", mounted)
    below.create()
    below.add(sleeper.pid)
    group.kill()
    assert sleeper.wait(60) == -signal.SIGKILL
    below.remove()


def test_remove_takes_groups_below_along(mounted: list[Hierarchy]) -> None:
    made = Cgroup(f"{PARENT}/one", mounted)
    made.create()
    made.close()
    below = Cgroup(f"{PARENT}/one/a/b/c", mounted)
    below.create()
    below.close()
    made.remove()
    assert not any(map(os.path.exists, made.directories()))


def test_remove_waits_for_a_process_that_is_ending(mounted: list[Hierarchy], sleeper: subprocess.Popen[bytes]) -> None:
    made = Cgroup(f"{PARENT}/one", mounted)
    made.create()
    made.add(sleeper.pid)
    sleeper.kill()
    made.remove()
    assert not any(map(os.path.exists, made.directories()))


# ---------------------------------------------------------------- sweeping


LOCKER = "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)"


def test_no_other_user_can_lock_what_all_groups_are_made_in(group: Cgroup) -> None:
    """Or whoever makes the next group would wait for him."""
    become = ["setpriv", "--reuid=65534", "--clear-groups", os.path.realpath(sys.executable), "-IS"]
    for directory in group.directories():
        locking = subprocess.run([*become, "-c", LOCKER, os.path.dirname(directory)], capture_output=True, text=True)
        assert "PermissionError" in locking.stderr
        assert subprocess.run([*become, "-c", "import os, sys; os.stat(sys.argv[1])", directory]).returncode == 0


def test_sweep_of_what_belongs_to_somebody_else(group: Cgroup) -> None:
    """He sweeps it himself."""
    show = f"from ch02_namespaces.cgroups import sweep; sweep({PARENT!r})"
    with readable_engine() as path:
        words = [*become(65534), "env", f"PYTHONPATH={path}", PYTHON, "-c", show]
        assert subprocess.run(words, cwd="/", capture_output=True, text=True).stderr == ""


ABANDON = """
import os, sys
from ch02_namespaces.cgroups import Cgroup, hierarchies
names = sys.argv[2].split()
chosen = [hierarchy for hierarchy in hierarchies() if hierarchy.mountpoint in names]
Cgroup(sys.argv[1], chosen).create()
os._exit(0)  # as if killed
"""


def abandon(path: str, mounted: list[Hierarchy]) -> Cgroup:
    """A group whose maker is gone."""
    places = " ".join(hierarchy.mountpoint for hierarchy in mounted)
    subprocess.run([sys.executable, "-c", ABANDON, path, places], cwd=REPOSITORY, check=True, timeout=60)
    return Cgroup(path, mounted)


def test_abandoned_one_is_swept(mounted: list[Hierarchy]) -> None:
    left = abandon(f"{PARENT}/left", mounted)
    assert all(map(os.path.isdir, left.directories()))
    sweep(PARENT, mounted)
    assert not any(map(os.path.exists, left.directories()))


def test_half_removed_one_is_swept(mounted: list[Hierarchy]) -> None:
    left = abandon(f"{PARENT}/left", mounted)
    os.rmdir(left.directories()[-1])
    sweep(PARENT, mounted)
    assert not any(map(os.path.exists, left.directories()))


def test_one_with_groups_below_is_swept(mounted: list[Hierarchy]) -> None:
    left = abandon(f"{PARENT}/left", mounted)
    abandon(f"{PARENT}/left/below", mounted)
    sweep(PARENT, mounted)
    assert not any(map(os.path.exists, left.directories()))


def test_one_with_a_living_maker_is_not_swept(group: Cgroup) -> None:
    sweep(PARENT, group.hierarchies)
    assert all(map(os.path.isdir, group.directories()))


@pytest.mark.parametrize("where", ["", "/below"])
def test_processes_that_lost_their_engine_are_ended(
    mounted: list[Hierarchy], sleeper: subprocess.Popen[bytes], where: str
) -> None:
    needs_freezer(mounted)
    left = abandon(f"{PARENT}/left", mounted)
    (abandon(left.path + where, mounted) if where else left).add(sleeper.pid)
    sweep(PARENT, mounted)
    assert sleeper.wait(60) == -signal.SIGKILL
    sweep(PARENT, mounted)
    assert not any(map(os.path.exists, left.directories()))


def test_processes_with_an_engine_are_not_ended(group: Cgroup, sleeper: subprocess.Popen[bytes]) -> None:
    group.add(sleeper.pid)
    sweep(PARENT, group.hierarchies)
    assert processes.is_alive(sleeper.pid)
    assert group.processes() == [sleeper.pid]
    sleeper.kill()


def test_sweep_of_nothing() -> None:
    sweep(f"{PARENT}/nosuch", MOUNTED)


CREATOR = """
import os, sys
from ch02_namespaces.cgroups import Cgroup, hierarchies, sweep
parent, places, times = sys.argv[1], sys.argv[2].split(), int(sys.argv[3])
chosen = [hierarchy for hierarchy in hierarchies() if hierarchy.mountpoint in places]
for _ in range(times):
    sweep(parent, chosen)
    group = Cgroup(f"{parent}/{os.urandom(6).hex()}", chosen)
    group.create()
    for directory in group.directories():
        assert os.path.isdir(directory), directory
    group.open_doors()
    group.remove()
"""


@pytest.mark.parametrize("subset", [name for name in ("all", "version 1", "version 2") if name in DIFFERENT])
def test_twenty_that_create_and_sweep_at_once(subset: str) -> None:
    mounted = SUBSETS[subset]
    places = " ".join(hierarchy.mountpoint for hierarchy in mounted)
    words = [sys.executable, "-c", CREATOR, PARENT, places, "15"]
    all_of_them = [subprocess.Popen(words, cwd=REPOSITORY, stderr=subprocess.PIPE) for _ in range(20)]
    errors = [process.communicate(timeout=300)[1].decode() for process in all_of_them]
    sweep(PARENT, mounted)
    for hierarchy in mounted:
        os.rmdir(f"{hierarchy.mountpoint}/{PARENT}")
    assert [error.splitlines()[-1] for error in errors if error] == []


# ---------------------------------------------------------------- what is mounted


def test_every_controller_lives_in_one_hierarchy() -> None:
    names = [name for hierarchy in MOUNTED for name in hierarchy.controllers]
    assert len(names) == len(set(names))


def test_version_2_comes_first() -> None:
    numbers = [hierarchy.number() for hierarchy in MOUNTED]
    assert numbers == sorted(numbers, reverse=True)


def test_root_may_use_all() -> None:
    assert len(usable_hierarchies("mydocker")) == len(MOUNTED)


def test_own_cgroup_is_where_we_are() -> None:
    for hierarchy in MOUNTED:
        members = Path(f"{hierarchy.mountpoint}/{hierarchy.own}", "cgroup.procs").read_text().split()
        assert str(os.getpid()) in members
