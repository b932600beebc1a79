"""What `inspect` says of a container, in the shape of `docker inspect`, so that scripts find their fields."""

from __future__ import annotations

from ch02_namespaces.cgroups import default_parent
from ch02_namespaces.errors import EngineError
from ch04_images import images, state
from ch05_lifecycle import store
from ch05_lifecycle.init import INIT_INSIDE
from ch06_network import endpoints, network, wishes
from ch06_network.ports import PublishedPort
from final.engine import defaults, health, mounts, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ch05_lifecycle.store import Stored
    from ch06_network.endpoints import Endpoint

DRIVERS = {"overlay": "overlay2", "aufs": "aufs"}


def container(stored: Stored, with_size: bool = False) -> dict[str, Any]:
    """One container."""
    known, settings, options = stored.state(), stored.settings, stored.settings.get("options") or {}
    command = words.command_of(settings) or [""]
    sizes = {}
    if with_size:
        from final.engine.usage import layer_bytes, root_bytes

        sizes = {"SizeRw": layer_bytes(stored), "SizeRootFs": root_bytes(stored)}
    return {
        "Id": stored.id,
        "Created": words.moment(stored.record.created),
        "Path": command[0],
        "Args": command[1:],
        "State": _state(stored, known),
        "Image": image_id(stored),
        "ResolvConfPath": stored.record.path("resolv.conf"),
        "HostnamePath": stored.record.path("hostname"),
        "HostsPath": stored.record.path("hosts"),
        "LogPath": stored.record.path("log"),
        "Name": f"/{stored.name}",
        "RestartCount": known["restarts"],
        "Driver": DRIVERS[stored.record.driver],
        "Platform": "linux",
        "AppArmorProfile": "",
        "HostConfig": _host_config(stored, options),
        "GraphDriver": {"Name": DRIVERS[stored.record.driver], "Data": _directories(stored)},
        **sizes,
        "Mounts": [_mount(mount) for mount in words.mounts_of(settings)],
        "Config": _config(stored, options),
        "NetworkSettings": _network_settings(stored, known["status"] == store.RUNNING),
    }


def image_id(stored: Stored) -> str:
    """The id of its image; empty if there is none of the name any more."""
    from final.images import store as image_store

    try:
        return image_store.id_of(image_store.identified(images.find(stored.record.image)))
    except EngineError:
        return ""


def _state(stored: Stored, known: dict[str, Any]) -> dict[str, Any]:
    status, well = words.state_of(stored, known), health.known_of(stored, known)
    return {
        "Status": status,
        "Running": known["status"] in (store.RUNNING, store.RESTARTING),
        "Paused": status == words.PAUSED,
        "Restarting": status == store.RESTARTING,
        "OOMKilled": known["out_of_memory"],
        "Dead": False,
        "Pid": known["pid"],
        "ExitCode": known["exit_code"],
        "Error": known["error"],
        "StartedAt": words.moment(known["started"]),
        "FinishedAt": words.moment(known["finished"]),
        **({"Health": well} if well else {}),
    }


def _directories(stored: Stored) -> dict[str, str]:
    lower = [images.layer_directory(layer) for layer in reversed(stored.record.layers)]
    return {
        "LowerDir": ":".join(lower),
        "MergedDir": stored.record.path("rootfs"),
        "UpperDir": stored.record.path("upper"),
        "WorkDir": stored.record.path("work"),
    }


def _mount(mount: dict[str, Any]) -> dict[str, Any]:
    named = {"Name": mount["name"], "Driver": "local"} if mount.get("name") else {}
    usual = "rprivate" if mount["type"] == "bind" else ""
    return {
        "Type": mount["type"],
        **named,
        "Source": mount["source"],
        "Destination": mount["target"],
        "Mode": "ro" if mount["read_only"] else "",
        "RW": not mount["read_only"],
        "Propagation": next((word for word in mount["options"] if word in mounts.PROPAGATIONS), usual),
    }


def _config(stored: Stored, options: dict[str, Any]) -> dict[str, Any]:
    settings = stored.settings
    image: dict[str, Any] = settings.get("image_config") or {}
    entrypoint, arguments = words.entrypoint_of(settings)
    return {
        "Hostname": options.get("hostname") or state.short(stored.id),
        "Domainname": "",
        "User": settings.get("user", ""),
        "AttachStdin": bool(settings.get("interactive")),
        "Tty": bool(settings.get("tty")),
        "OpenStdin": bool(settings.get("interactive")),
        "Env": [f"{name}={value}" for name, value in (settings.get("environment") or {}).items()],
        "Cmd": arguments or None,
        "Image": stored.record.image.removesuffix(":latest"),
        "ExposedPorts": {port: {} for port in _exposed(stored, options)},
        "Volumes": image.get("Volumes"),
        "WorkingDir": settings.get("directory", ""),
        "Entrypoint": entrypoint or None,
        "Labels": settings.get("labels") or {},
        **({"Healthcheck": settings["healthcheck"]} if settings.get("healthcheck") else {}),
        "StopSignal": settings["stop_signal"],
        "StopTimeout": None if (grace := settings.get("stop_timeout")) is None else int(grace),
    }


def _exposed(stored: Stored, options: dict[str, Any]) -> list[str]:
    """Its ports, as 80/tcp: those of the image, of --expose and of -p."""
    image: dict[str, Any] = stored.settings.get("image_config") or {}
    said = [port if "/" in port else f"{port}/tcp" for port in options.get("expose") or []]
    return list(dict.fromkeys([*(image.get("ExposedPorts") or {}), *said, *_bindings(options)]))


def _host_config(stored: Stored, options: dict[str, Any]) -> dict[str, Any]:
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
        "PortBindings": _bindings(options),
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
        "CgroupnsMode": "private",
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
        "PidsLimit": options.get("pids_limit"),
        "Ulimits": [
            {"Name": name.removeprefix("RLIMIT_").lower(), "Soft": soft, "Hard": hard}
            for name, soft, hard in options.get("ulimit") or []
        ],
        "Init": bool(options.get("init")),
    }


def _log_options(stored: Stored) -> dict[str, str]:
    settings = stored.settings
    known = {"max-size": settings.get("log_bytes"), "max-file": settings.get("log_files")}
    known |= {name: ",".join(settings.get(f"log_{name}") or []) or None for name in ("labels", "env")}
    return {name: str(value) for name, value in known.items() if value is not None}


def _bindings(options: dict[str, Any]) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for several in options.get("publish") or []:
        for fields in several:
            port = PublishedPort(*fields)
            binding = {"HostIp": port.address, "HostPort": str(port.host or "")}
            found.setdefault(f"{port.container}/{port.protocol}", []).append(binding)
    return found


def _network_settings(stored: Stored, runs: bool) -> dict[str, Any]:
    plugged = {one.network: one for one in endpoints.of_container(stored.id)} if runs else {}
    exposed = _exposed(stored, stored.settings.get("options") or {}) if runs else []
    ports: dict[str, list[dict[str, str]] | None] = dict.fromkeys(exposed)  # those that are not published: null
    for one in plugged.values():
        for port in one.ports:
            binding = {"HostIp": port.address, "HostPort": str(port.host)}
            name = f"{port.container}/{port.protocol}"
            ports[name] = [*(ports.get(name) or []), binding]
    wanted = [wish.network for wish in wishes.of(stored)]
    known = {name: _endpoint(name, plugged.get(name)) for name in wanted}
    first: dict[str, Any] = next(iter(known.values()), {})
    usual = {name: first.get(name, "") for name in ("Gateway", "IPAddress", "MacAddress", "GlobalIPv6Address")}
    return {**usual, "IPPrefixLen": first.get("IPPrefixLen", 0), "Ports": ports, "Networks": known}


def _endpoint(name: str, one: Endpoint | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "MacAddress": "",
        "GlobalIPv6Address": "",
    }
    found |= {"NetworkID": "", "EndpointID": "", "Aliases": one.names if one else []}
    if one is None:
        return found
    found |= {"NetworkID": network.read(name).id, "EndpointID": one.container}
    address, address6 = one.address_of(4), one.address_of(6)
    found["MacAddress"] = one.mac.hex(":")
    found["GlobalIPv6Address"] = str(address6 or "")
    for subnet, gateway in network.read(name).subnets:
        if subnet.version == 4 and address is not None:
            found |= {"Gateway": str(gateway), "IPAddress": str(address), "IPPrefixLen": subnet.length}
    return found
