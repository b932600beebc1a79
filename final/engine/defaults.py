"""What every container gets if nobody says otherwise: the defaults of Docker, as facts in one place.

Sources: Docker's documentation ("Runtime privilege and Linux capabilities"), and what `docker run` passes to its
runtime; OCI runtime-spec, config-linux.md.
"""

from __future__ import annotations

CAPABILITIES = [
    f"CAP_{name}"
    for name in (
        *("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP"),
        *("NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"),
    )
]
MASKED_PATHS = [
    *("/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats"),
    *("/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats"),
    *("/sys/devices/virtual/powercap", "/sys/firmware"),
]
READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
SYSCTLS_OF_NETWORK = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
"""Whoever has a network of his own may bind its low ports, and ping."""
SYSCTLS_OF_ROOTLESS = {**SYSCTLS_OF_NETWORK, "net.ipv4.ping_group_range": "0 0"}
"""The kernel takes no range with groups that a user namespace does not have."""

RUNTIME = "runtime"  # below the state directory: what the runtime's parts keep
SHM_SIZE = 64 << 20  # bytes
INERT = ["nosuid", "noexec", "nodev"]
DEV = ["nosuid", "strictatime", "mode=755", "size=65536k"]
DEVPTS = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]


SYS_OF_HOST: dict[str, object] = {
    "destination": "/sys",
    "type": "bind",
    "source": "/sys",
    "options": ["rbind", "rro", *INERT],
}
"""For a user namespace with the host's network: a new sysfs would be of that network, so only its owner may have it."""


def kernel_file_systems(shm_size: int, privileged: bool) -> list[dict[str, object]]:
    """The mounts below /proc, /sys and /dev, for config.json. shm_size: bytes; privileged: they can be written to."""
    written = [] if privileged else ["ro"]
    return [
        _mount("proc", "/proc", INERT),
        _mount("tmpfs", "/dev", DEV),
        _mount("devpts", "/dev/pts", DEVPTS),
        _mount("sysfs", "/sys", [*INERT, *written]),
        _mount("cgroup", "/sys/fs/cgroup", [*INERT, *written]),
        _mount("mqueue", "/dev/mqueue", INERT),
        _mount("tmpfs", "/dev/shm", [*INERT, "mode=1777", f"size={shm_size}"]),
    ]


def _mount(kind: str, target: str, options: list[str]) -> dict[str, object]:
    return {"destination": target, "type": kind, "source": kind, "options": list(options)}
