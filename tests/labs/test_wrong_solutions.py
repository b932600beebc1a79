"""Typical wrong solutions, and what the grader says to each; README.md tells of them. And hostile ones: each costs its
own points, and nothing else."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.labs.sandbox import groups
from tests.labs.starter import copy_chapters
from tests.labs.tasks import Task, places, read_tasks
from tests.labs.test_labs import graded

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("alone")]


class Wrong(NamedTuple):
    """task; body of its first function; what the grader's explanation must contain."""

    task: str
    body: str
    told: tuple[str, ...]


WRONG = {
    "02": [
        Wrong(
            "private-mounts",  # the book's readers lost their /proc so
            """
            flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
            syscalls.mount("proc", "/proc", "proc", flags)
            """,
            ("Neither the new /proc nor anything that is mounted later is seen outside", "mount_namespaces(7)"),
        ),
        Wrong(
            "uid-map",  # setgroups(2) is not denied
            """
            syscalls.write_file(f"/proc/{pid}/uid_map", uid_map)
            syscalls.write_file(f"/proc/{pid}/gid_map", gid_map)
            """,
            ("An ordinary user maps his own ids", "gid_map", "EPERM"),
        ),
        Wrong(
            "whiteout-lookup",  # the whiteout is looked at before the name
            """
            for layer in directory.layers:
                branch, parent = layer
                if has_whiteout(parent, name):
                    return None, branch
                status = lstat_at(parent, name)
                if status is not None:
                    return Entry(directory, layer, name, status), branch
            return None, directory.bottom
            """,
            ("a whiteout hides what is below", "happened: [[None, 0]]"),
        ),
        Wrong(
            "limits-v2",  # an answer that somebody has seen once
            'yield "memory", "memory.max", "67108864"',
            ("expected: settings for", "happened: {'memory.max': ('memory', '67108864')}"),
        ),
    ],
    "03": [
        Wrong(
            "path-lookup",  # whatever has the name, also if it cannot be executed
            """
            candidates = [name] if b"/" in name else [os.path.join(entry, name) for entry in path.split(b":")]
            for candidate in candidates:
                if os.path.exists(candidate):
                    return candidate
            raise EngineError(_shown(name), "command not found", _shown(path), NOT_FOUND)
            """,
            ("what cannot be executed there is passed over", "126"),
        ),
        Wrong(
            "delete",  # forwards; and the first failure ends it
            """
            if container.process is not None:
                container.process.kill()
            container._go.close()
            container._report.close()
            while container._prepared:
                _run_stage("cleanup", container._prepared.pop(0), container)
            """,
            ("in reverse order", "Each part has its turn"),
        ),
        Wrong(
            "child",  # the engine's ends stay open: its death does not end the file, and the child waits for ever
            """
            _await(container, ATTACHED)
            for part in container.parts:
                _run_stage("enter", part, container)
            os.write(container._report.writer, READY)
            _await(container, START)
            container.command.execute(container._report.writer)
            return 1
            """,
            ("An engine that dies before its word", "it still runs", "A part that fails is reported"),
        ),
        Wrong(
            "terminal",  # no session of its own: the terminal cannot become that of one
            """
            for stream in (0, 1, 2):
                os.dup2(self._slave, stream)
            """,
            ("leads a session of its own",),
        ),
    ],
    "04": [
        Wrong(
            "pivot-root",  # chroot(2): root climbs out of it
            """
            os.chroot(self.directory.record.path("rootfs"))
            os.chdir("/")
            sys.meta_path.clear()
            """,
            ("No mount of the host is left", "pivot_root(2)"),
        ),
        Wrong(
            "atomic-record",  # written in place: who reads meanwhile finds half of it
            """
            with open(path, "w", encoding="utf-8") as file:
                file.write(json_of(record) + "\\n")
            """,
            ("goes on reading that, whole", "['fsync', 'rename']"),
        ),
    ],
    "05": [
        Wrong(
            "process-identity",  # the number alone: it may have gone to somebody else
            """
            try:
                return syscalls.pidfd_open(known["pid"]) if known["status"] == store.RUNNING else None
            except SyscallError:
                return None
            """,
            ("started at another time is a stranger",),
        ),
        Wrong(
            "stop",  # killed at once
            """
            pidfd = _pidfd_of(stored.state())
            if pidfd is not None:
                _signal_if_alive(pidfd, syscalls.SIGKILL)
                os.close(pidfd)
                wait_for_end(stored)
            """,
            ("It gets its stop signal and ends by itself", "-9"),
        ),
    ],
    "06": [
        Wrong(
            "ipam-allocate",  # always the lowest: at once again what was just given back
            """
            if wanted is not None:
                self._check(wanted)
                return wanted if self._take(wanted, owner) else None
            with self._open_bitmap() as bitmap:
                for number in _clear_bits(bitmap, 0, min(self.subnet.size, MOST)):
                    address = self.subnet.at(number)
                    if not self._is_reserved(address) and self._take(address, owner):
                        return address
            return None
            """,
            ("is the last to be given again",),
        ),
        Wrong(
            "masquerade",  # everything, also what stays inside or goes to other hosts of the network
            'return [f"        ip saddr {subnet} masquerade" for subnet, _ in one.subnets]',
            ("A network that is internal", "happened: '192.0.2.1'", "nft(8)"),
        ),
    ],
    "07": [
        Wrong(
            "oci-namespaces",  # in the order of the document
            """
            self.join = [os.open(node.path(), os.O_RDONLY | os.O_CLOEXEC) for _, node in self._paths]
            """,
            ("The user namespace is the first", "A namespace of another kind"),
        ),
        Wrong(
            "capabilities",  # without KEEPCAPS, nothing is left to be set after the change of the user
            """
            User.enter(self, container)
            kernel.capset(*(_mask(names) for names in (self._effective, self._permitted, self._inheritable)))
            """,
            ("Each of the five sets",),
        ),
    ],
}


def put(task: Task, body: str, top: Path) -> None:
    """Write a body into the first function of a task."""
    place = next(places(task, top))
    path = top / place.file
    lines = path.read_text().splitlines(keepends=True)
    before = lines[place.line - 1]
    indentation = before[: -len(before.lstrip())] + "    "
    lines[place.first - 1 : place.last] = [textwrap.indent(textwrap.dedent(body).strip(), indentation) + "\n"]
    path.write_text("".join(lines))


def tree_with(chapter: str, bodies: dict[str, str], top: Path) -> None:
    """The chapters as they are, but for these bodies."""
    copy_chapters(chapter, top)
    for task in read_tasks(chapter):
        if task.name in bodies:
            put(task, bodies[task.name], top)


@pytest.mark.parametrize("chapter", WRONG)
def test_wrong_solutions_are_told_why(chapter: str, tmp_path: Path) -> None:
    wrong = {one.task: one for one in WRONG[chapter]}
    tree_with(chapter, {name: one.body for name, one in wrong.items()}, tmp_path / "tree")
    found = graded(chapter, *wrong, "--tree", str(tmp_path / "tree"))
    for name, one in wrong.items():
        assert found[name]["score"] < found[name]["max_score"], name
        assert [words for words in one.told if words not in found[name]["output"]] == [], found[name]["output"]


HANGS = """
while True:
    pass
"""
FORKS = """
import time
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(1)
"""
EATS = """
eaten = []
while True:
    eaten.append(bytes(64 << 20))
"""
BREAKS_MOUNTS = """
import subprocess
for command in ("umount -l /proc", "mount -t tmpfs none /sys", f"mount -t tmpfs none {target}"):
    subprocess.run(command.split())
open(__file__, "a").close()
"""


def test_hostile_solutions_cost_their_own_points(tmp_path: Path) -> None:
    """One that hangs, one that forks without end, one that takes all memory, one that breaks its mounts and writes into
    the tree."""
    hostile = {"limits-v2": HANGS, "uid-map": FORKS, "merged-listing": EATS, "overlay": BREAKS_MOUNTS}
    tree_with("02", hostile, tmp_path / "tree")
    found = graded("02", *hostile, "whiteout-lookup", "limits-v1", "--tree", str(tmp_path / "tree"), "--seconds", "6")
    lost = {name for name, test in found.items() if test["status"] != "passed"}
    assert lost == set(hostile), found
    assert "still running after 6 seconds" in found["limits-v2"]["output"]
    assert "MemoryError" in found["merged-listing"]["output"]
    assert "Read-only file system" in found["overlay"]["output"]
    assert [group for group in groups() if group.name.startswith("mydocker-lab-")] == []
