"""The library that makes programs of rules about system calls, by ctypes. Book section 7.3.

seccomp_init(3), seccomp_arch_add(3), seccomp_rule_add(3), seccomp_export_bpf(3).
"""

from __future__ import annotations

import ctypes

from ch02_namespaces.errors import EngineError

LIBRARY = "libseccomp.so.2"
HINT = "Debian has it in the package libseccomp2"


class Condition(ctypes.Structure):
    """struct scmp_arg_cmp, seccomp.h."""

    _fields_ = (
        *(("argument", ctypes.c_uint), ("operator", ctypes.c_int)),
        *(("first", ctypes.c_uint64), ("second", ctypes.c_uint64)),
    )


class _Version(ctypes.Structure):
    """struct scmp_version, seccomp.h."""

    _fields_ = tuple((name, ctypes.c_uint) for name in ("major", "minor", "micro"))


def load_library() -> ctypes.CDLL:
    """libseccomp. Raises EngineError if it is missing."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        raise EngineError(f"config.json: linux.seccomp: {LIBRARY}", "it is not installed", HINT) from None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_release.argtypes = (ctypes.c_void_p,)
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    library.seccomp_arch_add.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    library.seccomp_version.restype = ctypes.POINTER(_Version)
    library.seccomp_arch_native.restype = ctypes.c_uint32
    library.seccomp_syscall_resolve_name_arch.argtypes = (ctypes.c_uint32, ctypes.c_char_p)
    library.seccomp_attr_set.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32)
    library.seccomp_rule_add_array.argtypes = (
        *(ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int),
        *(ctypes.c_uint, ctypes.c_void_p),
    )
    library.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)
    return library


def version(library: ctypes.CDLL) -> tuple[int, ...]:
    """The library's version, and what it has found that this kernel can do: seccomp_version(3), seccomp_api_get(3)."""
    found = library.seccomp_version().contents
    return found.major, found.minor, found.micro, library.seccomp_api_get()
