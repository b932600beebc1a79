"""The branches of a union mount: AUFS' own option syntax, read and checked.

    br:/upper=rw:/middle=ro:/lower=ro

The first branch is the topmost one. This is the grammar of aufs(5), sections "MOUNT OPTIONS" and "Branch
Syntax", without the options that tune the kernel module (xino, udba, create, ...).
"""

from __future__ import annotations

import os

from ch02_namespaces.errors import EngineError

WHAT = "cannot read the union's options"
PERMISSIONS = ("rw", "ro", "rr")
SYNTAX_HINT = r"the syntax is br:/upper=rw:/lower=ro; write \: \= \, or \\ for these characters in a path"


class Branch:
    """One directory of the union and what may be done to it.

    path: absolute, without symbolic links; permission: "rw" read and write; "ro" read only; "rr" really read
    only, that is, nobody else writes to it either (a CD, a squashfs). To us ro and rr are the same.
    """

    __slots__ = ("path", "permission")

    def __init__(self, path: str, permission: str) -> None:
        self.path = path
        self.permission = permission

    @property
    def writable(self) -> bool:
        """Whether the union may change this branch."""
        return self.permission == "rw"

    def __repr__(self) -> str:
        return f"Branch({self.path!r}, {self.permission!r})"


def parse_branches(options: str) -> list[Branch]:
    r"""Read a mount option string into branches, topmost first.

    options: comma-separated as for mount(8): one of `br:LIST`, `br=LIST`, `dirs:LIST`, `dirs=LIST`, and
    perhaps `ro`, which takes away every branch's write permission. LIST is BRANCH[:BRANCH ...] and BRANCH is
    DIRECTORY[=PERMISSION], where PERMISSION is rw, ro, rr, ro+wh or rr+wh. Without a permission the first
    branch is rw and the others are ro (aufs(5)). A relative directory starts at the current one. A backslash
    takes the meaning from `:`, `=`, `,` and itself.

    `+wh` ("this read-only branch holds whiteouts") is accepted and adds nothing: AUFS saves itself the look-up
    of whiteouts on a plain ro branch, we honour them on every branch, as image layers need it.

    Raises EngineError if an option or permission is unknown, if there is no branch, or if one is no directory.
    """
    branches: list[Branch] = []
    read_only = False
    for option in _split(options, ","):
        if option in ("ro", "rw"):
            read_only = option == "ro"
            continue
        keyword, separator, text = _partition(option)
        if keyword not in ("br", "dirs") or not separator:
            raise EngineError(WHAT, f"unknown option {option!r}", SYNTAX_HINT)
        if branches:
            raise EngineError(WHAT, "the branches are given twice", SYNTAX_HINT)
        branches = [_branch(part, first=i == 0) for i, part in enumerate(_split(text, ":"))]
    if not branches:
        raise EngineError(WHAT, "no branch is given", SYNTAX_HINT)
    if read_only:
        branches = [Branch(branch.path, "ro") for branch in branches]
    return branches


def check_layout(branches: list[Branch], target: str) -> None:
    """Refuse branches that overlap one another or the mount point.

    One directory seen through two branches could be changed behind the union's back, and a branch that contains
    its own mount point would make the file system wait for itself (aufs(5) rejects both as "overlapped").
    target: the mount point. Raises EngineError.
    """
    for i, branch in enumerate(branches):
        for other in branches[i + 1 :]:
            _refuse_overlap(f"branch {other.path}", other.path, f"branch {branch.path}", branch.path)
    for branch in branches:
        _refuse_overlap("the mount point", target, f"branch {branch.path}", branch.path)
    for branch in branches:
        if branch.writable and os.statvfs(branch.path).f_flag & os.ST_RDONLY:
            hint = "make it ro, or choose another directory for the top branch"
            raise EngineError("cannot build the union", f"{branch.path} is on a read-only file system", hint)


def _branch(text: str, first: bool) -> Branch:
    path_text, separator, permission = _rpartition(text)
    if not separator:
        permission = "rw" if first else "ro"
    base = permission.removesuffix("+wh")
    if base not in PERMISSIONS or permission == "rw+wh":
        raise EngineError(WHAT, f"unknown branch permission {permission!r}", f"use rw, ro or rr; {SYNTAX_HINT}")
    if not path_text:
        raise EngineError(WHAT, "a branch without a directory", SYNTAX_HINT)
    given = _unescape(path_text)
    if "\0" in given:
        raise EngineError(WHAT, "a branch's path contains a NUL character")
    path = os.path.realpath(given)
    if not os.path.isdir(path):
        why = "is not a directory" if os.path.lexists(path) else "does not exist"
        raise EngineError(WHAT, f"branch {given} {why}", "create it first: mkdir -p")
    return Branch(path, base)


def _refuse_overlap(name: str, path: str, other_name: str, other: str) -> None:
    hint = "give every branch and the mount point a directory of its own, side by side"
    if os.path.samefile(path, other):
        raise EngineError("cannot build the union", f"{name} is the same directory as {other_name}", hint)
    if _is_inside(path, other) or _is_inside(other, path):
        raise EngineError("cannot build the union", f"{name} overlaps {other_name}", hint)


def _is_inside(path: str, outer: str) -> bool:
    outer_stat = os.stat(outer)
    parent = os.path.realpath(path)
    while parent != "/":
        parent = os.path.dirname(parent)
        # Compared by inode, not by name: a bind mount gives one directory two names.
        if os.path.samestat(os.stat(parent), outer_stat):
            return True
    return False


def _pieces(text: str) -> list[str]:
    """Cut text into characters; a backslash and what it escapes stay one piece."""
    pieces: list[str] = []
    i = 0
    while i < len(text):
        length = 2 if text[i] == "\\" and i + 1 < len(text) else 1
        pieces.append(text[i : i + length])
        i += length
    return pieces


def _split(text: str, separator: str) -> list[str]:
    """Split at unescaped separators; empty parts are dropped."""
    parts = [""]
    for piece in _pieces(text):
        if piece == separator:
            parts.append("")
        else:
            parts[-1] += piece
    return [part for part in parts if part]


def _partition(option: str) -> tuple[str, str, str]:
    """Split `br:LIST` or `br=LIST` at whichever separator comes first."""
    at = min((i for i in (option.find(":"), option.find("=")) if i >= 0), default=len(option))
    return option[:at], option[at : at + 1], option[at + 1 :]


def _rpartition(text: str) -> tuple[str, str, str]:
    """Split `DIRECTORY=PERMISSION` at the last unescaped equals sign."""
    pieces = _pieces(text)
    if "=" not in pieces:
        return text, "", ""
    at = len(pieces) - 1 - pieces[::-1].index("=")
    return "".join(pieces[:at]), "=", "".join(pieces[at + 1 :])


def _unescape(text: str) -> str:
    return "".join(piece[-1] for piece in _pieces(text))
