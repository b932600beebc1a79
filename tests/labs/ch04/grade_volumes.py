"""Task volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

APART = ["unshare", "--mount", "--propagation", "private"]
SCRIPT = """
import os, subprocess
from types import SimpleNamespace
from ch04_images.volumes import Volume, Volumes

host = os.open("/", os.O_RDONLY)
for source in given["shared"]:
    subprocess.run(["mount", "--bind", source, source], check=True)
    subprocess.run(["mount", "--make-shared", source], check=True)
part = Volumes([Volume(*volume) for volume in given["volumes"]])
container = SimpleNamespace(started=False)
part.prepare(container)
os.chroot(given["top"])
os.chdir("/")
part.enter(container)
found = {}
for path in given["read"]:
    found[path] = open(path).read()
for path in given["write"]:
    try:
        with open(path, "w") as file:
            found[path] = file.write("inside")
    except OSError as error:
        found[path] = error.strerror
os.fchdir(host)
os.chroot(".")
for source in given["shared"]:
    subprocess.run(["mount", "-t", "tmpfs", given["mark"], f"{source}/below"], check=True)
lines = [line.split(" - ") for line in open("/proc/self/mountinfo")]
found["marked"] = [left.split()[4] for left, right in lines if right.split()[1] == given["mark"]]
answer(found)
"""


def bind(sandbox: Sandbox, *volumes: tuple[Path, str, bool], **options: Any) -> dict[str, Any]:
    """What the container reads and writes, by path."""
    (sandbox.directory / "top").mkdir()
    given = {"shared": [], "read": [], "write": [], "mark": "none"} | options
    listed = [[str(source), target, read_only] for source, target, read_only in volumes]
    top = str(sandbox.directory / "top")
    found: dict[str, Any] = sandbox.ask(SCRIPT, APART, volumes=listed, top=top, **given)
    return found


def source(sandbox: Sandbox, name: str, content: str) -> Path:
    """A directory of the host with a file."""
    path = sandbox.directory / name
    path.mkdir()
    (path / "file").write_text(content)
    return path


def test_directory_and_file(sandbox: Sandbox, draw: Draw) -> None:
    """A directory and a file of the host are seen at their targets, which are made; what is written is the host's."""
    names, content, text = draw.names(2), draw.name(), draw.name()
    directory, file = source(sandbox, names[0], content), source(sandbox, names[1], text) / "file"
    targets = f"/{draw.name()}/deep", f"/{draw.name()}"
    found = bind(
        sandbox,
        (directory, targets[0], False),
        (file, targets[1], False),
        read=[f"{targets[0]}/file", targets[1]],
        write=[f"{targets[0]}/new"],
    )
    equal([found[f"{targets[0]}/file"], found[targets[1]]], [content, text], "what is read inside")
    equal((directory / "new").read_text(), "inside", "what the host finds afterwards")


def test_read_only(sandbox: Sandbox, draw: Draw) -> None:
    """A read-only volume can be read, and refuses writing; the one beside it does not."""
    one, other = (source(sandbox, name, "host") for name in draw.names(2))
    found = bind(sandbox, (one, "/one", True), (other, "/other", False), write=["/one/file", "/other/file"])
    equal([found["/one/file"], (one / "file").read_text()], ["Read-only file system", "host"], "the read-only one")
    equal((other / "file").read_text(), "inside", "the file in the other volume")


def test_inner_volume(sandbox: Sandbox, draw: Draw) -> None:
    """A volume inside of another is seen, in whatever order they are given."""
    outer, inner = (source(sandbox, name, name) for name in draw.names(2))
    (outer / "inner").mkdir()
    found = bind(
        sandbox, (inner, "/data/inner", False), (outer, "/data", False), read=["/data/inner/file", "/data/file"]
    )
    equal(
        [found["/data/inner/file"], found["/data/file"]], [inner.name, outer.name], "the files of inner and outer one"
    )


def test_no_propagation(sandbox: Sandbox, draw: Draw) -> None:
    """What the host mounts later below a source is not seen in the container, even if the source is shared."""
    path, mark = source(sandbox, draw.name(), ""), draw.name()
    (path / "below").mkdir()
    found = bind(sandbox, (path, "/data", False), shared=[str(path)], mark=mark)
    holds(found["marked"] == [f"{path}/below"], "that later mounts stay on the host", f"they are at {found['marked']}")
