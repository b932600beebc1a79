"""Tar archives made by hand, byte by byte, so that they can break any rule; and a target with something beside it."""

from __future__ import annotations

import io
from pathlib import Path

from ch04_images.tar import Bounds
from ch04_images.unpack import unpack
from tests.support.trees import Tree, tree

END = bytes(1024)


def header(name: bytes, kind: bytes = b"0", link: bytes = b"", size: int | bytes = 0, **fields: bytes) -> bytes:
    """One block, with its checksum. Fields by name: mode, uid, gid, mtime, magic, major, minor, prefix, tail."""
    sized = size if isinstance(size, bytes) else b"%011o\0" % size
    block = bytearray(512)

    def put(at: int, value: bytes) -> None:
        block[at : at + len(value)] = value

    put(0, name)
    put(100, fields.get("mode", b"0000644\0"))
    put(108, fields.get("uid", b"0000000\0"))
    put(116, fields.get("gid", b"0000000\0"))
    put(124, sized)
    put(136, fields.get("mtime", b"%011o\0" % 1_000_000_000))
    put(156, kind)
    put(157, link)
    put(257, fields.get("magic", b"ustar\00000"))
    put(329, fields.get("major", b""))
    put(337, fields.get("minor", b""))
    put(345, fields.get("prefix", b""))
    put(386, fields.get("sparse", b""))
    return checksummed(bytes(block))


def checksummed(block: bytes) -> bytes:
    total = sum(block[:148]) + sum(block[156:]) + 8 * 32
    return block[:148] + b"%06o\0 " % total + block[156:]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def file(name: bytes, data: bytes = b"", **fields: bytes) -> bytes:
    return header(name, b"0", size=len(data), **fields) + padded(data)


def directory(name: bytes, mode: bytes = b"0000755\0") -> bytes:
    return header(name, b"5", mode=mode)


def symlink(name: bytes, target: bytes) -> bytes:
    return header(name, b"2", target)


def hard_link(name: bytes, target: bytes) -> bytes:
    return header(name, b"1", target)


def device(name: bytes, major: int, minor: int) -> bytes:
    return header(name, b"3", major=b"%07o\0" % major, minor=b"%07o\0" % minor)


def record(key: bytes, value: bytes) -> bytes:
    body = b" %s=%s\n" % (key, value)
    length = len(body)
    while length != len(body) + len(b"%d" % length):
        length = len(body) + len(b"%d" % length)
    return b"%d%s" % (length, body)


def extended(data: bytes, kind: bytes = b"x") -> bytes:
    return header(b"././@Ext", kind, size=len(data)) + padded(data)


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    return extended(b"".join(record(key, value) for key, value in records), kind)


class Target:
    """A directory to unpack into, with files beside it that nobody may touch."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.path = top / "target"
        self.path.mkdir()
        (top / "beside").mkdir()
        (top / "beside/secret").write_text("secret")
        (top / "file").write_text("file")
        self._before = self._beside()

    def unpack(self, archive: bytes, layer: bool = False, bounds: Bounds | None = None) -> Tree:
        """Unpack; nothing beside the target may change, whatever happens."""
        try:
            unpack(io.BytesIO(archive), str(self.path), layer=layer, bounds=bounds or Bounds())
        finally:
            self.check()
        return tree(self.path)

    def check(self) -> None:
        assert self._beside() == self._before, "something outside the target has changed"

    def _beside(self) -> Tree:
        return {
            path: seen for path, seen in tree(self.top).items() if path and not path.startswith((b"target/", b"target"))
        }
