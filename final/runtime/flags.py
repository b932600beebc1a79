"""The flags of `mydocker-runtime`, as runc spells them."""

from __future__ import annotations

from ch02_namespaces.command_line import Flag, whole_number
from ch07_practice.oci.cli import BUNDLE


def size(text: str) -> int:
    """Bytes, also as 64m; -1 is unlimited. For Flag.convert. Raises EngineError."""
    if text.removeprefix("-").isdecimal():
        return int(text)
    from ch02_namespaces.limits import parse_size

    return parse_size(text)


GLOBAL_FLAGS = [
    Flag("--debug", help="for those who ask for more; we always say all"),
    Flag("--systemd-cgroup", help="found out by itself: cgroupsPath is slice:prefix:name then"),
    Flag("--rootless", value="true|false|auto", help="found out by itself"),
    Flag("-v", "--version", help="print the version"),
]
EXEC_FLAGS = [
    Flag("-p", "--process", value="FILE", help="the process, as config.json has one"),
    Flag("-t", "--tty", help="with a terminal of its own"),
    Flag("-d", "--detach", help="do not wait for it"),
    Flag("--console-socket", value="SOCKET", help="who takes the terminal"),
    Flag("--pid-file", value="FILE", help="where the pid is written to"),
    Flag("--cwd", value="DIRECTORY", help="where it starts"),
    Flag("-e", "--env", value="NAME=VALUE", many=True, help="set an environment variable"),
    Flag("-u", "--user", value="UID[:GID]", help="who it is"),
    Flag("-g", "--additional-gids", value="GID", convert=whole_number, many=True, help="one more group"),
    Flag("-c", "--cap", value="CAPABILITY", many=True, help="one more capability"),
    Flag("--no-new-privs", help="it cannot gain privileges"),
    Flag("--process-label", value="CONTEXT", help="its context for SELinux"),
    Flag("--apparmor", value="PROFILE", help="its profile for AppArmor"),
    Flag("--preserve-fds", value="N", convert=whole_number, help="pass on so many descriptors behind the three"),
    Flag("--ignore-paused", help="also in a container that is paused: it begins when that goes on"),
]
SPEC_FLAGS = [BUNDLE, Flag("--rootless", help="for an ordinary user, in a user namespace of his own")]
UPDATE_FLAGS = [
    Flag("-r", "--resources", value="FILE", help="linux.resources as JSON; - is standard input"),
    Flag("--memory", value="BYTES", convert=size, help="memory limit"),
    Flag("--memory-swap", value="BYTES", convert=size, help="memory and swap together"),
    Flag("--memory-reservation", value="BYTES", convert=size, help="what it may keep when memory is short"),
    Flag("--cpu-share", "--cpu-shares", value="N", convert=whole_number, help="weight against others"),
    Flag("--cpu-quota", value="MICROSECONDS", convert=whole_number, help="time in each period"),
    Flag("--cpu-period", value="MICROSECONDS", convert=whole_number, help="length of a period"),
    Flag("--cpu-burst", value="MICROSECONDS", convert=whole_number, help="time saved up from earlier periods"),
    Flag("--cpu-rt-period", value="MICROSECONDS", convert=whole_number, help="the same for real-time processes"),
    Flag("--cpu-rt-runtime", value="MICROSECONDS", convert=whole_number, help="time of these in each period"),
    Flag("--cpu-idle", value="0|1", convert=whole_number, help="run it only when nobody else wants to"),
    Flag("--blkio-weight", value="N", convert=whole_number, help="weight of reads and writes, 10 to 1000"),
    Flag("--cpuset-cpus", value="LIST", help="processors it may run on"),
    Flag("--cpuset-mems", value="LIST", help="memory nodes it may use"),
    Flag("--pids-limit", value="N", convert=whole_number, help="most processes at one time"),
]
GIVEN = {
    "memory": ("memory", "limit"),
    "memory_swap": ("memory", "swap"),
    "memory_reservation": ("memory", "reservation"),
    "cpu_shares": ("cpu", "shares"),
    "cpu_quota": ("cpu", "quota"),
    "cpu_period": ("cpu", "period"),
    "cpu_burst": ("cpu", "burst"),
    "cpu_rt_period": ("cpu", "realtimePeriod"),
    "cpu_rt_runtime": ("cpu", "realtimeRuntime"),
    "cpu_idle": ("cpu", "idle"),
    "blkio_weight": ("blockIO", "weight"),
    "cpuset_cpus": ("cpu", "cpus"),
    "cpuset_mems": ("cpu", "mems"),
    "pids_limit": ("pids", "limit"),
}
"""What of linux.resources an option of `update` sets: (subject, field)."""
