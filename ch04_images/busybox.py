"""The image `busybox`, made from this machine's own busybox: one program, four hundred names. Book section 4.1.1."""

from __future__ import annotations

import os
import subprocess

from ch02_namespaces.errors import EngineError
from ch04_images import images

PROGRAM = "/bin/busybox"
HINT = "Debian has it in the package busybox-static"
DIRECTORIES = {
    **dict.fromkeys(("bin", "sbin", "usr", "usr/bin", "usr/sbin", "dev", "etc", "home", "proc", "sys", "var"), 0o755),
    "root": 0o700,
    "tmp": 0o1777,
}
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n",
    "etc/group": "root:x:0:\nnobody:x:65534:\n",
    **dict.fromkeys(("etc/hosts", "etc/hostname", "etc/resolv.conf"), ""),  # from chapter 6 on, others are put there
}
CONFIG = {"Cmd": ["sh"], "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}


def make_image(name: str = "busybox", program: str = PROGRAM) -> images.Image:
    """Make the image in the store; one that had the name before is replaced. Raises EngineError."""
    return images.create(name, lambda directory: fill(directory, program), config=CONFIG)


def fill(directory: str, program: str = PROGRAM) -> int:
    """Put a root file system of busybox into a directory; the bytes that its files have.

    All names of the program are hard links to one file. It must be linked statically: there are no libraries inside.
    """
    _check_static(program)
    for name, mode in DIRECTORIES.items():
        os.mkdir(f"{directory}/{name}")
        os.chmod(f"{directory}/{name}", mode)
    inside = f"{directory}/bin/busybox"
    with open(program, "rb") as source, open(inside, "wb") as target:
        while os.sendfile(target.fileno(), source.fileno(), None, 1 << 30):
            pass
    os.chmod(inside, 0o755)
    for path in _applets(program):
        if not os.path.lexists(f"{directory}/{path}") and os.path.dirname(path) in DIRECTORIES:
            os.link(inside, f"{directory}/{path}")
    for name, text in FILES.items():
        with open(f"{directory}/{name}", "w") as file:
            file.write(text)
        os.chmod(f"{directory}/{name}", 0o644)
    return os.path.getsize(inside) + sum(map(len, FILES.values()))


def _applets(program: str) -> list[str]:
    """The names that it answers to, such as bin/sh."""
    listed = subprocess.run([program, "--list-full"], capture_output=True, text=True)
    if listed.returncode or "bin/sh" not in listed.stdout.split():
        raise EngineError(program, "it does not list its applets", HINT)
    return listed.stdout.split()


def _check_static(program: str) -> None:
    """Raise EngineError unless it is an ELF program that names no loader: elf(5), PT_INTERP."""
    try:
        with open(program, "rb") as file:
            head = file.read(1 << 16)
    except OSError as error:
        raise EngineError(program, str(error.strerror), HINT) from None
    if not head.startswith(b"\x7fELF") or b"/ld-" in head[:4096]:
        raise EngineError(program, "it is no statically linked program", HINT)
