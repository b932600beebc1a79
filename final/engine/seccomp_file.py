"""A seccomp profile of the user, in Docker's format: that of the runtime-spec, with conditions on machine and rights.

Source: Docker's documentation, "Seccomp security profiles for Docker"; `includes` and `excludes` have arches, caps and
minKernel; archMap names the architectures that belong together.
"""

from __future__ import annotations

import json
import os

from ch02_namespaces.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64", "s390x": "s390x", "ppc64le": "ppc64le"}
ARCHITECTURE = {"amd64": "SCMP_ARCH_X86_64", "arm64": "SCMP_ARCH_AARCH64"}


def linux_seccomp(text: str, capabilities: list[str]) -> dict[str, Any]:
    """linux.seccomp of config.json, for this machine and a container with these capabilities. Raises EngineError."""
    profile = json.loads(text)
    if not isinstance(profile, dict) or not isinstance(profile.get("syscalls") or [], list):
        raise EngineError("seccomp profile", "it is no object with a list of syscalls")
    machine = MACHINES.get(os.uname().machine, os.uname().machine)
    found = {key: profile[key] for key in ("defaultAction", "defaultErrnoRet", "flags") if profile.get(key) is not None}
    found["architectures"] = _architectures(profile, machine)
    found["syscalls"] = [_rule(rule) for rule in profile.get("syscalls") or [] if _applies(rule, machine, capabilities)]
    return found


def _architectures(profile: dict[str, Any], machine: str) -> list[str]:
    if profile.get("architectures"):
        return list(profile["architectures"])
    for entry in profile.get("archMap") or []:
        if entry.get("architecture") == ARCHITECTURE.get(machine):
            return [entry["architecture"], *(entry.get("subArchitectures") or [])]
    return []


def _applies(rule: object, machine: str, capabilities: list[str]) -> bool:
    if not isinstance(rule, dict):
        raise EngineError("seccomp profile", "a rule is no object")
    included, excluded = rule.get("includes") or {}, rule.get("excludes") or {}
    if included.get("arches") and machine not in included["arches"]:
        return False
    if machine in (excluded.get("arches") or []):
        return False
    if not set(included.get("caps") or []) <= set(capabilities):
        return False
    if set(excluded.get("caps") or []) & set(capabilities):
        return False
    return not included.get("minKernel") or _version(included["minKernel"]) <= _version(os.uname().release)


def _version(text: str) -> tuple[int, int]:
    """Its first two numbers. Raises EngineError."""
    numbers = text.split("-")[0].split(".")[:2]
    if len(numbers) < 2 or not all(number.isascii() and number.isdecimal() for number in numbers):
        raise EngineError("seccomp profile", f"minKernel {text!r} is no version")
    return int(numbers[0]), int(numbers[1])


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    names = rule.get("names") or [rule.get("name")]
    kept = {key: rule[key] for key in ("action", "errnoRet", "args") if rule.get(key) is not None}
    return {"names": names, **kept}
