"""What this runtime can do, for engines that ask: OCI runtime-spec, features.md."""

from __future__ import annotations

from typing import Any

from ch07_practice.oci import hooks, mounts, namespaces
from ch07_practice.oci.document import SPEC
from final.runtime import memory_policy, seccomp, seccomp_filter
from final.runtime.capabilities import NUMBERS


def features() -> dict[str, Any]:
    """The document, as far as it concerns us."""
    plain = [*mounts.FLAGS, *filter(None, mounts.CLEARED)]
    recursive = [f"r{word}" for word in (*mounts.ATTRIBUTES, *(word for word in mounts.CLEARED if word != "defaults"))]
    propagation = [prefix + word for word in mounts.PROPAGATION for prefix in ("", "r")]
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPEC,
        "hooks": list(hooks.MOMENTS),
        "mountOptions": sorted({*plain, *recursive, *propagation, *mounts.BINDS}),
        "linux": {
            "namespaces": sorted(namespaces.KINDS),
            "capabilities": sorted(NUMBERS),
            "cgroup": {"v1": True, "v2": True, "systemd": False, "systemdUser": False, "rdma": True},
            "seccomp": {
                "enabled": True,
                "actions": sorted(seccomp_filter.ACTIONS),
                "operators": sorted(seccomp_filter.OPERATORS),
                "archs": sorted(seccomp_filter.ARCHITECTURES),
                "knownFlags": sorted(seccomp.FLAGS),
                "supportedFlags": sorted(seccomp.FLAGS),
            },
            "apparmor": {"enabled": True},
            "selinux": {"enabled": True},
            "intelRdt": {"enabled": False},
            "mountExtensions": {"idmap": {"enabled": True}},
            "netDevices": {"enabled": True},
            "memoryPolicy": {"modes": list(memory_policy.MODES), "flags": sorted(memory_policy.FLAGS)},
        },
    }
