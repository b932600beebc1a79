"""--chown: users and groups by the names of the image's own files. passwd(5), group(5)."""

from __future__ import annotations

from final.build.context import read_small
from final.build.dockerfile import Instruction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from final.engine.container_root import Root

LARGEST = 2**32 - 2  # 2**32 - 1 means "no change" to chown(2)


def numbers_of(text: str) -> tuple[int, int] | None:
    """The numbers of USER[:GROUP] if both are numbers: then nothing needs to be looked up."""
    user, colon, group = text.partition(":")
    if not is_id(user) or (colon and not is_id(group)):
        return None
    return int(user), int(group if colon else user)


def owner_of(instruction: Instruction, text: str, root: Root) -> tuple[int, int]:
    """The numbers of USER[:GROUP]. Without a group: that of the user, or for a number the same number. Raises
    DockerfileError for a name that the image does not know."""
    user, colon, group = text.partition(":")
    known = _row(root, "/etc/passwd", user)
    if not is_id(user) and (len(known) < 4 or not is_id(known[2]) or not is_id(known[3])):
        raise instruction.error(f"the image knows no user {user!r}", "a number can be given, too")
    uid = int(user if is_id(user) else known[2])
    if not colon:
        return uid, uid if is_id(user) else int(known[3])
    row = _row(root, "/etc/group", group)
    if not is_id(group) and (len(row) < 3 or not is_id(row[2])):
        raise instruction.error(f"the image knows no group {group!r}", "a number can be given, too")
    return uid, int(group if is_id(group) else row[2])


def _row(root: Root, path: str, name: str) -> list[str]:
    lines = (read_small(root, path) or b"").decode(errors="surrogateescape").split("\n")
    return next((row for line in lines if (row := line.split(":"))[0] == name), [])


def is_id(text: str) -> bool:
    """Whether it is a number that a user or a group can have."""
    return text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= LARGEST
