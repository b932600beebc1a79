"""--chmod: modes in octal digits, or as changes of what a file has: u+x, go=rX, g=u. Source: chmod(1)."""

from __future__ import annotations

import re

from ch02_namespaces.errors import EngineError

CHANGE = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
CLAUSE = re.compile(rf"([ugoa]*)((?:{CHANGE.pattern})+)")
SHIFT = {"u": 6, "g": 3, "o": 0}
BITS = {"r": 0o4, "w": 0o2, "x": 0o1}
SPECIAL = {"u": {"s": 0o4000}, "g": {"s": 0o2000}, "o": {"t": 0o1000}}
UMASK = 0o022  # what a change without a u, g, o or a leaves alone, as with Docker


def octal(text: str) -> int:
    """A mode in octal digits. Raises EngineError."""
    if not (set(text) <= set("01234567") and len(text) in (3, 4)):
        raise EngineError(f"mode {text!r}", "it is no octal mode", "such as 755")
    return int(text, 8)


class Mode:
    """What --chmod says. Raises EngineError."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._whole = octal(text) if text[:1].isdigit() else None
        clauses = [CLAUSE.fullmatch(clause) for clause in text.split(",")] if self._whole is None else []
        if not all(clauses):
            raise EngineError(f"mode {text!r}", "it is no mode", "such as 755, or u+x,go=rX")
        self._changes = [(clause[1], CHANGE.findall(clause[2])) for clause in clauses if clause]

    def of(self, mode: int, is_directory: bool) -> int:
        """The mode of a file that has had another one."""
        if self._whole is not None:
            return self._whole
        for who, changes in self._changes:
            for sign, letters in changes:
                mode = _changed(mode, who, sign, letters, is_directory)
        return mode


def _changed(mode: int, who: str, sign: str, letters: str, is_directory: bool) -> int:
    classes = SHIFT if "a" in who or not who else who
    wanted, touched = 0, 0
    for one in classes:
        wanted |= _bits(mode, one, letters, is_directory)
        touched |= (0o7 << SHIFT[one]) | sum(SPECIAL[one].values())
    if not who:
        wanted &= ~UMASK
    if sign == "=":
        return (mode & ~touched) | wanted
    return mode | wanted if sign == "+" else mode & ~wanted


def _bits(mode: int, one: str, letters: str, is_directory: bool) -> int:
    """The bits that letters mean for the owner (u), the group (g) or the others (o)."""
    if letters in SHIFT:
        return ((mode >> SHIFT[letters]) & 0o7) << SHIFT[one]
    may_run = is_directory or bool(mode & 0o111)
    found = sum(SPECIAL[one].get(letter, 0) for letter in set(letters))
    for letter in letters.replace("X", "x" if may_run else ""):
        found |= BITS.get(letter, 0) << SHIFT[one]
    return found
