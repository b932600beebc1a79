"""Fixtures of all tests: isolated hosts, the engine of each increment, and the leak check around every test."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ch02_namespaces import syscalls
from tests.support import leaks
from tests.support.alone import alone as one_suite
from tests.support.engines import Engine, increments, increments_from
from tests.support.hosts import Host


def pytest_sessionstart() -> None:
    """Mounts of our own: the machine never sees those of the tests, nor we those that others make meanwhile. Nor do we
    share what programs keep in /run with them: who finds somebody else at it goes without (ch04_images/kept_view.py).

    And no signal is ignored because our caller did so, as a shell does for what it starts with `&`: the engine would
    take that for its user's wish.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    if os.geteuid() == 0:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
        kept = os.path.dirname(leaks.VIEWS)
        os.makedirs(kept, exist_ok=True)
        syscalls.mount("tmpfs", kept, "tmpfs", 0, "mode=755")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whoever needs the machine alone is `kernel`, whether its file says so or not; what is slow runs on the newest
    increment."""
    for item in items:
        if "alone" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kernel)
    elsewhere = [item for item in items if item.get_closest_marker("slow") and not _is_on_newest(item)]
    config.hook.pytest_deselected(items=elsewhere)
    items[:] = [item for item in items if item not in elsewhere]


def _is_on_newest(item: pytest.Item) -> bool:
    increment = item.callspec.params.get("increment") if hasattr(item, "callspec") else None
    return increment in (None, increments()[-1])


class LeakCheck:
    """What the test is allowed to leave: nothing. Fixtures report what only they can see."""

    def __init__(self, of_machine: bool) -> None:
        self._of_machine = of_machine
        self._look = leaks.snapshot if of_machine else leaks.snapshot_of_process
        self.before = self._look()
        self.reported: list[str] = []

    def finish(self) -> None:
        """Fail if anything is left, and say what."""
        found = [*self.reported, *leaks.new_since(self.before, self._look)]
        if found:
            if self._of_machine:
                leaks.clean_up(self.before)
            pytest.fail("left behind:\n  " + "\n  ".join(found), pytrace=False)


@pytest.fixture(autouse=True)
def leak_check(request: pytest.FixtureRequest) -> Iterator[LeakCheck]:
    """Around every test: mounts, processes, cgroups, network, descriptors, files; before = after."""
    of_machine = request.node.get_closest_marker("kernel") is not None
    if of_machine:
        request.getfixturevalue("alone")
    check = LeakCheck(of_machine)
    yield check
    check.finish()
    leaks.adopt_orphans(False)


@pytest.fixture(scope="session")
def alone() -> Iterator[None]:
    """No other suite at the same time."""
    with one_suite():
        yield


@pytest.fixture
def new_host(alone: None, leak_check: LeakCheck, tmp_path: Path) -> Iterator[Callable[[], Host]]:
    """Makes isolated hosts; what they left in their state directories is a leak, and orphans can't hide from us."""
    hosts: list[Host] = []
    leaks.adopt_orphans()

    def make() -> Host:
        hosts.append(Host(tmp_path / f"host{len(hosts)}"))
        return hosts[-1]

    yield make
    for host in hosts:
        leak_check.reported += [f"file: {path}" for path in host.leftovers()]
        host.close()


@pytest.fixture
def host(new_host: Callable[[], Host]) -> Host:
    """One isolated host."""
    return new_host()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Black-box tests of chapter N run on increments from N on: the fixture `engine`, by the test's folder."""
    if "engine" in metafunc.fixturenames:
        found = increments_from(metafunc.definition.path.parent.name, metafunc.definition.name)
        metafunc.parametrize("increment", found)


@pytest.fixture
def engine(increment: str, host: Host, tmp_path: Path) -> Engine:
    """The engine of one increment, on a host of its own."""
    files = tmp_path / "files"
    files.mkdir()
    return Engine(increment, host, files)
