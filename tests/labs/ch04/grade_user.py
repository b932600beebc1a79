"""Task user."""

from __future__ import annotations

from typing import Any

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

SCRIPT = """
import os
from ch02_namespaces.errors import EngineError
from ch04_images.user import identity_of

os.chroot(given["top"])
os.chdir("/")
found = {}
for text in given["texts"]:
    try:
        identity = identity_of(text)
        found[text] = [identity.uid, identity.gid, sorted(identity.groups), identity.home]
    except EngineError as error:
        found[text] = f"error: {error}"
answer(found)
"""


class Image:
    """A root file system with a user and two groups, one of which lists him."""

    def __init__(self, sandbox: Sandbox, draw: Draw) -> None:
        self.name, self.group, self.member_of = draw.names(3)
        self.uid, self.gid, self.group_id, self.other_id = draw.sample(range(100, 60000), 4)
        self.home = f"/home/{draw.name()}"
        etc = sandbox.directory / "top/etc"
        etc.mkdir(parents=True)
        (etc / "passwd").write_text(
            f"root:x:0:0::/root:/bin/sh\n{self.name}:x:{self.uid}:{self.gid}::{self.home}:/bin/sh\n"
        )
        groups = f"root:x:0:\n{self.group}:x:{self.group_id}:\n{self.member_of}:x:{self.other_id}:root,{self.name}\n"
        (etc / "group").write_text(groups)
        self._sandbox = sandbox

    def identities(self, *texts: str) -> list[Any]:
        """uid, gid, supplementary groups and home of each, or the error."""
        top = str(self._sandbox.directory / "top")
        found: dict[str, Any] = self._sandbox.ask(SCRIPT, top=top, texts=texts)
        return [found[text] for text in texts]


def test_a_known_user(sandbox: Sandbox, draw: Draw) -> None:
    """By name and by number: what /etc/passwd says of him, and the groups that list him."""
    image = Image(sandbox, draw)
    wanted = [image.uid, image.gid, [image.other_id], image.home]
    equal(image.identities(image.name, str(image.uid)), [wanted, wanted], "uid, gid, groups and home")


def test_with_a_group(sandbox: Sandbox, draw: Draw) -> None:
    """A group that is given, by name or number, takes the place of his, and there are no supplementary ones."""
    image, number = Image(sandbox, draw), draw.randint(60000, 65000)
    found = image.identities(f"{image.name}:{image.group}", f"{image.name}:{number}")
    wanted = [[image.uid, gid, [], image.home] for gid in (image.group_id, number)]
    equal(found, wanted, "uid, gid, groups and home")


def test_a_number_that_nobody_has(sandbox: Sandbox, draw: Draw) -> None:
    """It is taken as it is, with group 0 and home /."""
    image, number = Image(sandbox, draw), draw.randint(60000, 65000)
    equal(image.identities(str(number)), [[number, 0, [], "/"]], "uid, gid, groups and home")


def test_unknown_names(sandbox: Sandbox, draw: Draw) -> None:
    """A name that is in no file is an EngineError, for user and group; it is the image's files that count."""
    image, name = Image(sandbox, draw), draw.name()
    found = image.identities(name, f"{image.name}:{name}", "daemon")
    for text in found:
        holds(str(text).startswith("error: "), "an EngineError", str(text))
