"""A config.json to begin with: `spec`. Book section 7.3."""

from __future__ import annotations

import json
import os
from typing import Any

from ch02_namespaces.errors import EngineError
from ch07_practice.oci.bundle import CONFIG
from ch07_practice.oci.document import SPEC

INERT = ["nosuid", "noexec", "nodev"]


def example() -> dict[str, Any]:
    """A shell on a root file system in `rootfs`, with namespaces of its own."""
    return {
        "ociVersion": SPEC,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "box",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": INERT},
            {
                "destination": "/dev",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
            },
            {
                "destination": "/dev/pts",
                "type": "devpts",
                "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
            },
            {
                "destination": "/dev/shm",
                "type": "tmpfs",
                "source": "shm",
                "options": [*INERT, "mode=1777", "size=65536k"],
            },
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": INERT},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*INERT, "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": [*INERT, "ro"]},
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
        },
    }


def write_example(directory: str, config: dict[str, Any]) -> None:
    """Write one into a directory. Raises EngineError if there is one already."""
    path = os.path.join(directory, CONFIG)
    try:
        with open(path, "x") as file:
            json.dump(config, file, indent="\t")
            file.write("\n")
    except OSError as error:
        raise EngineError(path, str(error.strerror)) from None
