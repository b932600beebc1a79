"""What `inspect` says of what a container was asked for: HostConfig, in the shape of `docker inspect`."""

from __future__ import annotations

from ch02_namespaces.cgroups import default_parent
from ch05_lifecycle.init import INIT_INSIDE
from ch06_network import network
from ch06_network.ports import PublishedPort
from final.engine import defaults

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ch05_lifecycle.store import Stored


def host_config(stored: Stored, options: dict[str, Any]) -> dict[str, Any]:
    """HostConfig. options: the flags with which it was created."""
    policy, _, most = str(stored.settings["restart"]).partition(":")
    mode = (options.get("net") or [network.DEFAULT])[0]
    return {
        "Binds": [
            f"{mount['source']}:{mount['target']}{':ro' if mount['read_only'] else ''}"
            for mount in options.get("volume") or []
            if mount["source"] and mount["target"] != INIT_INSIDE
        ],
        "Tmpfs": {mount["target"]: ",".join(mount["options"]) for mount in options.get("tmpfs") or []},
        "ContainerIDFile": options.get("cidfile") or "",
        "LogConfig": {"Type": options.get("log_driver") or "json-file", "Config": _log_options(stored)},
        "NetworkMode": mode,
        "PortBindings": bindings(options),
        "RestartPolicy": {"Name": policy, "MaximumRetryCount": int(most or 0)},
        "AutoRemove": bool(stored.settings["remove"]),
        "CapAdd": options.get("cap_add") or None,
        "CapDrop": options.get("cap_drop") or None,
        "Dns": options.get("dns") or [],
        "DnsSearch": options.get("dns_search") or [],
        "DnsOptions": options.get("dns_option") or [],
        "ExtraHosts": options.get("add_host") or None,
        "Devices": [
            {"PathOnHost": host, "PathInContainer": inside, "CgroupPermissions": access}
            for host, inside, access in options.get("device") or []
        ],
        "GroupAdd": options.get("group_add") or None,
        "CgroupnsMode": options.get("cgroupns") or "private",
        "IpcMode": options.get("ipc") or "private",
        "PidMode": options.get("pid") or "",
        "UsernsMode": options.get("userns") or "",
        "UTSMode": options.get("uts") or "",
        "OomScoreAdj": options.get("oom_score_adj") or 0,
        "Privileged": bool(options.get("privileged")),
        "PublishAllPorts": bool(options.get("publish_all")),
        "ReadonlyRootfs": bool(options.get("read_only")),
        "SecurityOpt": ["=".join(pair) for pair in options.get("security_opt") or []] or None,
        "ShmSize": options.get("shm_size") or defaults.SHM_SIZE,
        "Sysctls": dict(options.get("sysctl") or []),
        "Runtime": "mydocker-runtime",
        "CgroupParent": stored.settings.get("cgroup_parent") or f"/{default_parent()}",
        "Memory": options.get("memory") or 0,
        "MemorySwap": options.get("memory_swap") or 2 * (options.get("memory") or 0),
        "MemoryReservation": options.get("memory_reservation") or 0,
        "NanoCpus": int((options.get("cpus") or 0) * 1e9),
        "CpuShares": options.get("cpu_shares") or 0,
        "CpuPeriod": options.get("cpu_period") or 0,
        "CpuQuota": options.get("cpu_quota") or 0,
        "CpusetCpus": options.get("cpuset_cpus") or "",
        "CpusetMems": options.get("cpuset_mems") or "",
        "CpuRealtimePeriod": options.get("cpu_rt_period") or 0,
        "CpuRealtimeRuntime": options.get("cpu_rt_runtime") or 0,
        "MemorySwappiness": options.get("memory_swappiness"),
        "OomKillDisable": bool(options.get("oom_kill_disable")),
        "BlkioWeight": options.get("blkio_weight") or 0,
        "BlkioWeightDevice": _of_disks(options, "blkio_weight_device", "Weight"),
        "BlkioDeviceReadBps": _of_disks(options, "device_read_bps", "Rate"),
        "BlkioDeviceWriteBps": _of_disks(options, "device_write_bps", "Rate"),
        "BlkioDeviceReadIOps": _of_disks(options, "device_read_iops", "Rate"),
        "BlkioDeviceWriteIOps": _of_disks(options, "device_write_iops", "Rate"),
        "DeviceCgroupRules": [_rule(rule) for rule in options.get("device_cgroup_rule") or []] or None,
        "PidsLimit": options.get("pids_limit"),
        "Ulimits": [
            {"Name": name.removeprefix("RLIMIT_").lower(), "Soft": soft, "Hard": hard}
            for name, soft, hard in options.get("ulimit") or []
        ],
        "Init": bool(options.get("init")),
    }


def _of_disks(options: dict[str, Any], option: str, what: str) -> list[dict[str, Any]]:
    return [{"Path": path, what: number} for path, number in options.get(option) or []]


def _rule(rule: dict[str, Any]) -> str:
    return f"{rule['type']} {rule.get('major', '*')}:{rule.get('minor', '*')} {rule['access']}"


def _log_options(stored: Stored) -> dict[str, str]:
    settings = stored.settings
    known = {"max-size": settings.get("log_bytes"), "max-file": settings.get("log_files")}
    known |= {name: ",".join(settings.get(f"log_{name}") or []) or None for name in ("labels", "env")}
    return {name: str(value) for name, value in known.items() if value is not None}


def bindings(options: dict[str, Any]) -> dict[str, list[dict[str, str]]]:
    """Where on this host its ports are to be, by port and protocol."""
    found: dict[str, list[dict[str, str]]] = {}
    for several in options.get("publish") or []:
        for fields in several:
            port = PublishedPort(*fields)
            binding = {"HostIp": port.address, "HostPort": str(port.host or "")}
            found.setdefault(f"{port.container}/{port.protocol}", []).append(binding)
    return found
