"""System calls that are newer than the profile: there is no such call, a container is told. Book section 7.3.

A profile forbids what it does not name, mostly by EPERM. To a C library that tries a new call first, EPERM is the
answer; at ENOSYS it would go on in the old way. So each call beyond the last that the profile names gets ENOSYS, for
numbers are given out in the order in which calls are invented. runc has it so, too.

The program stands before the filter proper, which comes next if it has no answer: linux/filter.h; seccomp(2).
"""

from __future__ import annotations

import errno
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# linux/bpf_common.h: load a word of struct seccomp_data, compare it, jump, end
LOAD, JUMP_IF_EQUAL, JUMP_IF_MORE, JUMP_IF_NOT_LESS, RETURN = 0x20, 0x15, 0x25, 0x35, 0x06
NUMBER, ARCHITECTURE = 0, 4  # where they are in struct seccomp_data
NO_SUCH_CALL = 0x00050000 | errno.ENOSYS  # SECCOMP_RET_ERRNO

# linux/audit.h, and seccomp.h of libseccomp, which knows x32 by a number of its own
X86_64, X32 = 0xC000003E, 0x4000003E
X32_CALLS = 1 << 30
"""Where the numbers of x32 begin: to the kernel it is the same architecture."""
NO_END = 0xFFFFFFFF


def program(last_calls: Mapping[int, int]) -> bytes:
    """The instructions. last_calls: by architecture, as libseccomp has it, the largest number that is named for it."""
    return b"".join(block(architecture, last) for architecture, last in last_calls.items())


def block(architecture: int, last: int) -> bytes:
    """Those for one architecture. Whatever it does not answer is left to what follows."""
    end = X32_CALLS if architecture == X86_64 else NO_END
    return b"".join(
        (
            instruction(LOAD, ARCHITECTURE),
            instruction(JUMP_IF_EQUAL, X86_64 if architecture == X32 else architecture, otherwise=4),
            instruction(LOAD, NUMBER),
            instruction(JUMP_IF_NOT_LESS, end, then=2),
            instruction(JUMP_IF_MORE, last, otherwise=1),
            instruction(RETURN, NO_SUCH_CALL),
        )
    )


def instruction(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    """struct sock_filter. then, otherwise: how many instructions to jump over."""
    return struct.pack("=HBBI", code, then, otherwise, value)
