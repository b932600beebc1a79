"""What `inspect` says of a container, in the shape of `docker inspect`, so that scripts find their fields."""

from __future__ import annotations

from ch02_namespaces.errors import EngineError
from ch04_images import images, state
from ch05_lifecycle import store
from ch06_network import endpoints, network, wishes
from final.engine import health, mounts, published, words
from final.engine.host_config import bindings, host_config
from final.shapes import (
    OF_CONFIG,
    OF_CONTAINER,
    OF_HOST_CONFIG,
    OF_MOUNT,
    OF_NETWORK_SETTINGS,
    OF_NETWORKS,
    OF_STATE,
    Record,
    Words,
)

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
    found = {
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
        "HostConfig": Record(host_config(stored, options), OF_HOST_CONFIG),
        "GraphDriver": {"Name": DRIVERS[stored.record.driver], "Data": _directories(stored)},
        **sizes,
        "Mounts": [_mount(mount) for mount in words.mounts_of(settings)],
        "Config": _config(stored, options),
        "NetworkSettings": _network_settings(stored, known["status"] == store.RUNNING),
    }
    return Record(found, OF_CONTAINER)


def image_id(stored: Stored) -> str:
    """The id of its image; empty if there is none of the name any more."""
    from final.images import store as image_store

    try:
        return image_store.id_of(image_store.identified(images.find(stored.record.image)))
    except EngineError:
        return ""


def _state(stored: Stored, known: dict[str, Any]) -> dict[str, Any]:
    status, well = words.state_of(stored, known), health.known_of(stored, known)
    found = {
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
    return Record(found, OF_STATE)


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
    found = {
        "Type": mount["type"],
        **named,
        "Source": mount["source"],
        "Destination": mount["target"],
        "Mode": "ro" if mount["read_only"] else "",
        "RW": not mount["read_only"],
        "Propagation": next((word for word in mount["options"] if word in mounts.PROPAGATIONS), usual),
    }
    return Record(found, OF_MOUNT)


def _config(stored: Stored, options: dict[str, Any]) -> dict[str, Any]:
    settings = stored.settings
    image: dict[str, Any] = settings.get("image_config") or {}
    entrypoint, arguments = words.entrypoint_of(settings)
    found = {
        "Hostname": options.get("hostname") or state.short(stored.id),
        "Domainname": options.get("domainname") or "",
        "User": settings.get("user", ""),
        "AttachStdin": bool(settings.get("interactive")),
        "Tty": bool(settings.get("tty")),
        "OpenStdin": bool(settings.get("interactive")),
        "Env": [f"{name}={value}" for name, value in (settings.get("environment") or {}).items()],
        "Cmd": arguments or None,
        "Image": stored.record.image.removesuffix(":latest"),
        "ExposedPorts": {port: {} for port in exposed_ports(stored, options)},
        "Volumes": image.get("Volumes"),
        "WorkingDir": settings.get("directory", ""),
        "Entrypoint": entrypoint or None,
        "Labels": Words(settings.get("labels") or {}),
        **({"Healthcheck": settings["healthcheck"]} if settings.get("healthcheck") else {}),
        "StopSignal": settings["stop_signal"],
        "StopTimeout": None if (grace := settings.get("stop_timeout")) is None else int(grace),
    }
    return Record(found, OF_CONFIG)


def exposed_ports(stored: Stored, options: dict[str, Any]) -> list[str]:
    """Its ports, as 80/tcp: those of the image, of --expose and of -p."""
    image: dict[str, Any] = stored.settings.get("image_config") or {}
    said = [port if "/" in port else f"{port}/tcp" for port in options.get("expose") or []]
    return list(dict.fromkeys([*(image.get("ExposedPorts") or {}), *said, *bindings(options)]))


def _network_settings(stored: Stored, runs: bool) -> dict[str, Any]:
    plugged = {one.network: one for one in endpoints.of_container(stored.id)} if runs else {}
    exposed = exposed_ports(stored, stored.settings.get("options") or {}) if runs else []
    ports: dict[str, list[dict[str, str]] | None] = dict.fromkeys(exposed)  # those that are not published: null
    for port in published.ports_of(stored) if runs else []:
        binding = {"HostIp": port.address, "HostPort": str(port.host)}
        name = f"{port.container}/{port.protocol}"
        ports[name] = [*(ports.get(name) or []), binding]
    wanted = [wish.network for wish in wishes.of(stored)]
    known = {name: _endpoint(name, plugged.get(name)) for name in wanted}
    first: dict[str, Any] = next(iter(known.values()), {})
    usual = {name: first.get(name, "") for name in ("Gateway", "IPAddress", "MacAddress", "GlobalIPv6Address")}
    found = {**usual, "IPPrefixLen": first.get("IPPrefixLen", 0), "Ports": Words(ports), "Networks": Words(known)}
    found["SandboxKey"] = f"/proc/{stored.state()['pid']}/ns/net" if runs else ""
    return Record(found, OF_NETWORK_SETTINGS)


def _endpoint(name: str, one: Endpoint | None) -> dict[str, Any]:
    found = Record(
        {"Gateway": "", "IPAddress": "", "IPPrefixLen": 0, "MacAddress": "", "GlobalIPv6Address": ""}, OF_NETWORKS
    )
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
