"""The initramfs: the little that the kernel needs before it can mount its root file system.

One program, busybox; those modules of Debian's kernel by which it finds its disk, shares and console; and `init`.
`python3 -m tests.vm.initramfs ROOT FILE` makes FILE of the root file system below ROOT. The format is cpio's "newc":
initramfs buffer format, in the kernel's documentation.
"""

from __future__ import annotations

import gzip
import lzma
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "9pnet_virtio", "9p", "crc32c_generic", "ext4")
DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {".ko": bytes, ".xz": lzma.decompress, ".gz": gzip.decompress}
INIT = Path(__file__).with_name("init.sh")


def build(root: Path, target: Path) -> None:
    """Write the archive."""
    entries = [entry(name, stat.S_IFDIR | 0o755) for name in ("bin", "modules", "proc", "dev", "new")]
    entries.append(entry("bin/busybox", stat.S_IFREG | 0o755, (root / "bin/busybox").read_bytes()))
    entries.append(entry("init", stat.S_IFREG | 0o755, INIT.read_bytes()))
    for number, module in enumerate(modules(root)):
        content = DECOMPRESS[module.suffix](module.read_bytes())
        entries.append(entry(f"modules/{number:02}-{module.stem}", stat.S_IFREG | 0o644, content))
    target.write_bytes(b"".join(entries) + entry("TRAILER!!!", 0))


def modules(root: Path) -> Iterator[Path]:
    """The files of MODULES, each after those that it needs. What is built into the kernel has none."""
    (top,) = (root / "lib/modules").iterdir()
    needs = {}
    for line in (top / "modules.dep").read_text().splitlines():
        file, _, others = line.partition(":")
        needs[Path(file).name.partition(".")[0].replace("-", "_")] = [*reversed(others.split()), file]
    files = [file for module in MODULES for file in needs.get(module, [])]
    return (top / file for file in dict.fromkeys(files))


def entry(name: str, mode: int, content: bytes = b"") -> bytes:
    """One file of the archive: magic number, thirteen fields of eight hexadecimal digits, name, content."""
    fields = [0] * 13
    fields[1], fields[4], fields[6], fields[11] = mode, 1, len(content), len(name) + 1
    header = "070701" + "".join(f"{field:08x}" for field in fields) + name + "\0"
    return padded(header.encode()) + padded(content)


def padded(data: bytes) -> bytes:
    """Everything begins at a multiple of four."""
    return data + bytes(-len(data) % 4)


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]))
