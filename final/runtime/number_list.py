"""Lists of numbers such as 0-3,7: processors, memory nodes. Book section 7.3; cpuset(7), "List format"."""

from __future__ import annotations

from ch07_practice.oci.document import Node


def numbers_of(node: Node, most: int, what: str) -> set[int]:
    """The numbers of a list. Empty if it is missing or empty.

    most: how many there can be; what: of what. Raises EngineError.
    """
    found: set[int] = set()
    for item in node.text("").split(",") if node.text("") else []:
        first, dash, last = item.partition("-")
        ends = [first, last] if dash else [first, first]
        if not all(end.isascii() and end.isdecimal() and len(end) < 6 for end in ends):
            raise node.wrong(f"{item!r} is no {what}, nor a range", "such as 0-3,7")
        low, high = map(int, ends)
        if not low <= high < most:
            raise node.wrong(f"{item!r} is no range of {what}s", f"0 to {most - 1}")
        found.update(range(low, high + 1))
    return found
