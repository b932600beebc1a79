"""Task cgroup-part."""

from __future__ import annotations

from typing import Any

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

SCRIPT = """
import os
from ch02_namespaces import cgroups, namespaces
from ch02_namespaces.limits import Limits
from ch03_run.container import Container
from ch03_run.resources import Resources

usable = cgroups.usable_hierarchies(cgroups.PARENT)
container = Container(given["id"], None, [])
part = Resources(Limits(pids=given["pids"]))
part.prepare(container)
reader, writer = os.pipe()
def child():
    part.enter(container)
    os.write(writer, open("/proc/self/cgroup", "rb").read())
    return 0
process = namespaces.spawn(0, child, cgroup=container.birth_cgroup)
process.wait()
os.close(writer)
inside = os.read(reader, 65536).decode()
own = cgroups.Cgroup(f"{cgroups.PARENT}/{given['id']}", usable)
answer({
    "directories": [os.path.isdir(path) for path in own.directories()],
    "pids": open(f"{own.directory('pids')}/pids.max").read().strip(),
    "inside": [line for line in inside.splitlines() if line.endswith("/" + given["id"])],
    "hierarchies": len(usable),
    "known": part.cgroup is not None and part.cgroup.path,
})
part.cleanup(container)
"""


def prepare(sandbox: Sandbox, id: str, pids: int) -> dict[str, Any]:
    found: dict[str, Any] = sandbox.ask(SCRIPT, id=id, pids=pids)
    return found


def test_a_group_with_its_limit(sandbox: Sandbox, draw: Draw) -> None:
    """There is a cgroup named after the container in each hierarchy, and it has the limit."""
    id, pids = draw.name(), draw.randint(20, 5000)
    found = prepare(sandbox, id, pids)
    equal(found["directories"], [True] * found["hierarchies"], "whether the directories are there")
    equal([found["pids"], found["known"]], [str(pids), f"mydocker/{id}"], "pids.max, and the path of part.cgroup")


def test_the_process_is_in_it(sandbox: Sandbox, draw: Draw) -> None:
    """A process that is born with container.birth_cgroup and enters is in the group, in every hierarchy."""
    found = prepare(sandbox, draw.name(), 100)
    holds(
        len(found["inside"]) == found["hierarchies"],
        f"the group in {found['hierarchies']} lines of /proc/self/cgroup",
        f"it is in {len(found['inside'])}",
    )


def test_sweeps(sandbox: Sandbox, draw: Draw) -> None:
    """What engines left that were killed is removed on the way."""
    left = draw.name()
    script = """
import os
from ch02_namespaces import cgroups

group = cgroups.Cgroup(f"{cgroups.PARENT}/{given['name']}", cgroups.usable_hierarchies(cgroups.PARENT))
group.create()
answer(group.directories())
"""
    directories = sandbox.ask(script, name=left)
    prepare(sandbox, draw.name(), 100)
    still = sandbox.shell('for path; do [ ! -e "$path" ] || echo "$path"; done', *directories)
    equal(still, "", "groups of a killed engine that are still there")
