"""Records as Docker's templates see them: a field of which JSON says nothing can still be asked for.

Docker's records are structs of Go. JSON leaves out many a field that is empty, and this engine those of which it has
nothing to say; a template finds them nevertheless: {{range .Mounts}}{{.Name}}{{end}}, {{if .State.Health}}.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

ABSENT = object()
"""A part of a record that is not there: untrue, and without fields of its own."""


class Record(dict[str, "Any"]):
    """What is said; unsaid: what a template is told of the fields that are left out."""

    def __init__(self, said: Mapping[str, Any], unsaid: Mapping[str, Any]) -> None:
        super().__init__(said)
        self._unsaid = unsaid

    def __missing__(self, name: str) -> Any:
        return self._unsaid[name]


class Words(dict[str, "Any"]):
    """Labels and their like: their names are the user's, and there is no wrong one."""

    def __missing__(self, name: str) -> None:
        return None


OF_CONTAINER = {"SizeRw": None, "SizeRootFs": None, "ExecIDs": None, "MountLabel": "", "ProcessLabel": ""}
OF_STATE = {"Health": ABSENT}
OF_MOUNT = {"Name": "", "Driver": ""}
OF_CONFIG = {
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Cmd": [],
    "Domainname": "",
    "Entrypoint": [],
    "Env": [],
    "ExposedPorts": {},
    "Healthcheck": ABSENT,
    "Hostname": "",
    "Image": "",
    "Labels": Words(),
    "MacAddress": "",
    "OnBuild": [],
    "OpenStdin": False,
    "Shell": [],
    "StdinOnce": False,
    "StopSignal": "",
    "StopTimeout": None,
    "Tty": False,
    "User": "",
    "Volumes": {},
    "WorkingDir": "",
}
OF_HOST_CONFIG = {
    "Cgroup": "",
    "ConsoleSize": [0, 0],
    "DeviceRequests": [],
    "Isolation": "",
    "KernelMemory": 0,
    "Links": [],
    "Mounts": [],
    "StorageOpt": {},
    "VolumeDriver": "",
    "VolumesFrom": [],
}
OF_NETWORKS = {
    "DNSNames": [],
    "DriverOpts": {},
    "GlobalIPv6PrefixLen": 0,
    "IPAMConfig": ABSENT,
    "IPv6Gateway": "",
    "Links": [],
}
OF_VERSION = {"GoVersion": "", "GitCommit": "", "BuildTime": "", "Experimental": False}
OF_INFO = {
    "ExperimentalBuild": False,
    "HTTPProxy": "",
    "HTTPSProxy": "",
    "IndexServerAddress": "https://index.docker.io/v1/",
    "Labels": [],
    "LiveRestoreEnabled": False,
    "NoProxy": "",
    "RegistryConfig": {},
    "Swarm": {"LocalNodeState": "inactive", "NodeID": "", "ControlAvailable": False},
}
OF_NETWORK_SETTINGS = {"Bridge": "", "EndpointID": "", "GlobalIPv6PrefixLen": 0, "IPv6Gateway": "", "SandboxID": ""}
