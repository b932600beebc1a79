"""The command nft(8), which writes the kernel's packet filter. Book section 6.1.3; the book uses iptables.

A script is one transaction: all of it holds, or nothing. libnftables would save the 2 ms that the command takes, for a
foreign function interface of its own; so it is the command.
"""

from __future__ import annotations

import os

from ch02_namespaces.errors import EngineError

PLACES = ("/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft", "/usr/local/sbin/nft")
HINT = "Debian has it in the package nftables; a kernel with iptables alone is not enough"


def run(script: str, *flags: str) -> str:
    """Give nft a script; what it prints. Raises EngineError with what it says."""
    program = next(filter(os.path.exists, PLACES), "")
    if not program:
        raise EngineError("nft", "there is no such command on this machine", HINT)
    stdin = os.memfd_create("nft", os.MFD_CLOEXEC)
    output, errors = os.memfd_create("out", os.MFD_CLOEXEC), os.memfd_create("err", os.MFD_CLOEXEC)
    try:
        os.write(stdin, script.encode())
        os.lseek(stdin, 0, os.SEEK_SET)
        streams = [
            (os.POSIX_SPAWN_DUP2, descriptor, number) for number, descriptor in enumerate((stdin, output, errors))
        ]
        pid = os.posix_spawn(program, [program, *flags, "-f", "-"], {"LC_ALL": "C"}, file_actions=streams)
        _, status = os.waitpid(pid, 0)
        if status:
            raise EngineError("nft", _first_line(_all_of(errors)), HINT if "not supported" in _all_of(errors) else "")
        return _all_of(output)
    finally:
        for descriptor in (stdin, output, errors):
            os.close(descriptor)


def _all_of(descriptor: int) -> str:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")


def _first_line(text: str) -> str:
    """What it complains of, without the name of its input: `/dev/stdin:1:1-9: Error: ...`."""
    line = text.strip().partition("\n")[0]
    return line.partition("Error: ")[2] or line or "it failed and does not say why"
