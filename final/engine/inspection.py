"""`inspect`: all that is known of containers, in the shape of `docker inspect`, so that scripts find their fields."""

from __future__ import annotations

import json

from ch02_namespaces.cgroups import default_parent
from ch02_namespaces.command_line import CliCommand, Flag, Options
from ch02_namespaces.errors import EngineError
from ch04_images import images, state
from ch05_lifecycle import store
from ch06_network import endpoints, network, wishes
from ch06_network.ports import PublishedPort
from final.engine import defaults, words
from final.output import FORMAT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ch05_lifecycle.store import Stored
    from ch06_network.endpoints import Endpoint

DRIVERS = {"overlay": "overlay2", "aufs": "aufs"}


def inspect(options: Options) -> int:
    """`inspect`: containers and images by name or id. What is found is shown, also if something else is not."""
    state.require_root()
    found, missing = [], []
    for text in options.operands:
        try:
            found.append(described(text, options.type, options.size))
        except EngineError as error:
            missing.append(error)
    if options.format:
        from final.template import compile_template

        write = compile_template(options.format)
        for one in found:
            print(write(one))
    else:
        print(json.dumps(found, indent=4))
    if missing:
        raise missing[0]
    return 0


def described(text: str, kind: str | None, with_size: bool = False) -> dict[str, Any]:
    """A container, or an image if there is no container of this name. Raises EngineError."""
    if kind == "image":
        return _image(text)
    try:
        return container(store.find(text), with_size)
    except EngineError as error:
        if kind == "container" or "there is none" not in error.why:
            raise
    try:
        return _image(text)
    except EngineError:
        raise EngineError(f"container {text!r}", "there is none with this name or id", "nor an image") from None


def _image(text: str) -> dict[str, Any]:
    from final.images import listing
    from final.images import store as image_store

    return listing.inspected(image_store.find(text))


def container(stored: Stored, with_size: bool = False) -> dict[str, Any]:
    """One container."""
    known, settings, options = stored.state(), stored.settings, stored.settings.get("options") or {}
    command = settings["command"] or [""]
    sizes = {}
    if with_size:
        from final.engine.usage import layer_bytes

        sizes = {"SizeRw": layer_bytes(stored)}
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
        "Mounts": [_mount(mount, stored) for mount in settings.get("mounts") or []],
        "Config": _config(stored, options),
        "NetworkSettings": _network_settings(stored, known["status"] == store.RUNNING),
    }


def image_id(stored: Stored) -> str:
    """The id of its image; empty if there is none of the name any more."""
    from final.images import store as image_store

    try:
        return image_store.id_of(images.find(stored.record.image))
    except EngineError:
        return ""


def _state(stored: Stored, known: dict[str, Any]) -> dict[str, Any]:
    status = words.state_of(stored, known)
    return {
        "Status": status,
        "Running": known["status"] == store.RUNNING,
        "Paused": status == words.PAUSED,
        "Restarting": status == store.RESTARTING,
        "OOMKilled": known["out_of_memory"],
        "Dead": False,
        "Pid": known["pid"],
        "ExitCode": known["exit_code"],
        "Error": known["error"],
        "StartedAt": words.moment(known["started"]),
        "FinishedAt": words.moment(known["finished"]),
    }


def _directories(stored: Stored) -> dict[str, str]:
    lower = [images.layer_directory(layer) for layer in reversed(stored.record.layers)]
    return {
        "LowerDir": ":".join(lower),
        "MergedDir": stored.record.path("rootfs"),
        "UpperDir": stored.record.path("upper"),
        "WorkDir": stored.record.path("work"),
    }


def _mount(mount: dict[str, Any], stored: Stored) -> dict[str, Any]:
    named = {"Name": mount["name"], "Driver": "local"} if mount.get("name") else {}
    return {
        "Type": mount["type"],
        **named,
        "Source": mount["source"],
        "Destination": mount["target"],
        "Mode": "ro" if mount["read_only"] else "",
        "RW": not mount["read_only"],
        "Propagation": next((word for word in mount["options"] if word in ("shared", "rshared", "slave")), ""),
    }


def _config(stored: Stored, options: dict[str, Any]) -> dict[str, Any]:
    settings = stored.settings
    image: dict[str, Any] = settings.get("image_config") or {}
    exposed = [
        *(image.get("ExposedPorts") or {}),
        *(port if "/" in port else f"{port}/tcp" for port in options.get("expose") or []),
    ]
    return {
        "Hostname": options.get("hostname") or state.short(stored.id),
        "Domainname": "",
        "User": settings.get("user", ""),
        "AttachStdin": bool(settings.get("interactive")),
        "Tty": bool(settings.get("tty")),
        "OpenStdin": bool(settings.get("interactive")),
        "Env": [f"{name}={value}" for name, value in (settings.get("environment") or {}).items()],
        "Cmd": settings["command"],
        "Image": stored.record.image.removesuffix(":latest"),
        "ExposedPorts": {port: {} for port in exposed},
        "Volumes": image.get("Volumes"),
        "WorkingDir": settings.get("directory", ""),
        "Entrypoint": image.get("Entrypoint"),
        "Labels": settings.get("labels") or {},
        "StopSignal": settings["stop_signal"],
        "StopTimeout": settings.get("stop_timeout"),
    }


def _host_config(stored: Stored, options: dict[str, Any]) -> dict[str, Any]:
    policy, _, most = str(stored.settings["restart"]).partition(":")
    mode = (options.get("net") or ["default"])[0]
    return {
        "Binds": [
            f"{mount['source']}:{mount['target']}{':ro' if mount['read_only'] else ''}"
            for mount in stored.settings.get("mounts") or []
            if mount["type"] != "tmpfs"
        ],
        "NetworkMode": mode,
        "PortBindings": _bindings(options),
        "RestartPolicy": {"Name": policy, "MaximumRetryCount": int(most or 0)},
        "AutoRemove": bool(stored.settings["remove"]),
        "CapAdd": options.get("cap_add") or None,
        "CapDrop": options.get("cap_drop") or None,
        "Dns": options.get("dns") or [],
        "ExtraHosts": options.get("add_host") or None,
        "GroupAdd": options.get("group_add") or None,
        "IpcMode": options.get("ipc") or "private",
        "PidMode": options.get("pid") or "",
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
    ports: dict[str, list[dict[str, str]]] = {}
    for one in plugged.values():
        for port in one.ports:
            binding = {"HostIp": port.address, "HostPort": str(port.host)}
            ports.setdefault(f"{port.container}/{port.protocol}", []).append(binding)
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
    found |= {"NetworkID": name, "Aliases": one.names if one else []}
    if one is None:
        return found
    address, address6 = one.address_of(4), one.address_of(6)
    found["MacAddress"] = one.mac.hex(":")
    found["GlobalIPv6Address"] = str(address6 or "")
    for subnet, gateway in network.read(name).subnets:
        if subnet.version == 4 and address is not None:
            found |= {"Gateway": str(gateway), "IPAddress": str(address), "IPPrefixLen": subnet.length}
    return found


TYPE = Flag("--type", value="container|image", help="of which kind it is")
SIZE = Flag("-s", "--size", help="with what containers have written")
COMMANDS = {
    "inspect": CliCommand("Show all that is known of containers and images.", [FORMAT, TYPE, SIZE], "NAME ...", inspect)
}
