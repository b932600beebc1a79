"""`version` and `info`: the engine and the machine it is on, in Docker's words."""

from __future__ import annotations

import os
import sys

from ch02_namespaces import cgroups
from ch02_namespaces.command_line import CliCommand, Options
from ch02_namespaces.syscalls import in_user_namespace
from ch04_images import images, state
from ch05_lifecycle import store
from final.engine import words
from final.engine.container_list import LIVE, looked_at
from final.images.store import is_step
from final.output import FORMAT, print_one
from final.shapes import OF_INFO, OF_VERSION, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

API = "1.43"
"""The version of Docker's API whose shapes the lists and documents here have."""
WIDEST = 20  # columns up to a version
NETWORKS = ["bridge", "host", "none", "vxlan", "host-routes"]
LOGS = ["json-file", "local"]
LIMITS = {
    "MemoryLimit": ("memory", "memory limit"),
    "CpuCfsQuota": ("cpu", "cpu cfs quota"),
    "CPUSet": ("cpuset", "cpuset"),
    "PidsLimit": ("pids", "pids limit"),
}
"""Fields of `info`: the controller that each limit takes, and its name in a warning."""
WITHOUT_CGROUPS = (
    "WARNING: Running in rootless-mode without cgroups: no limits, unless below `systemd-run --user --scope`"
)


# ---------------------------------------------------------------- version


def show_version(options: Options) -> int:
    """`version`: there is no daemon, so client and server are the same program."""
    found = version()
    if options.format:
        return print_one(found, options.format)
    print(*version_lines(found), sep="\n")
    return 0


def version() -> dict[str, Any]:
    """All versions."""
    import platform

    from ch07_practice.oci.document import SPEC
    from final.images.platform import of_machine
    from final.runtime.cli import VERSION

    common = {"Version": VERSION, "ApiVersion": API, "Os": "linux", "Arch": of_machine().architecture}
    kernel = os.uname().release
    parts = [
        {"Name": "Engine", "Version": VERSION, "Details": {"ApiVersion": API, "KernelVersion": kernel}},
        {"Name": "mydocker-runtime", "Version": VERSION, "Details": {"SpecVersion": SPEC}},
    ]
    python = platform.python_version()
    server = {**common, "MinAPIVersion": API, "KernelVersion": kernel, "PythonVersion": python, "Components": parts}
    client = {**common, "PythonVersion": python, "Context": "default"}
    of_templates = {**OF_VERSION, "APIVersion": API}  # as templates spell what JSON calls ApiVersion
    return {"Client": Record(client, of_templates), "Server": Record(server, of_templates)}


def version_lines(found: dict[str, Any]) -> list[str]:
    """The same as lines for people."""
    client, server = found["Client"], found["Server"]
    lines = ["Client:", *_aligned(1, {**_common(client), "Context": client["Context"]}), "", "Server:", " Engine:"]
    api = f"{server['ApiVersion']} (minimum version {server['MinAPIVersion']})"
    lines += _aligned(2, {**_common(server), "API version": api, "Kernel": server["KernelVersion"]})
    for part in server["Components"][1:]:
        known = {"Version": part["Version"], "OCI version": part["Details"]["SpecVersion"]}
        lines += [f" {part['Name']}:", *_aligned(2, known)]
    return lines


def _common(known: dict[str, Any]) -> dict[str, str]:
    return {
        "Version": known["Version"],
        "API version": known["ApiVersion"],
        "Python version": known["PythonVersion"],
        "OS/Arch": f"{known['Os']}/{known['Arch']}",
    }


def _aligned(indent: int, values: dict[str, str]) -> list[str]:
    return [" " * indent + f"{name}:".ljust(WIDEST - indent) + value for name, value in values.items()]


# ---------------------------------------------------------------- info


def show_info(options: Options) -> int:
    """`info`: what there is on this machine."""
    state.require_root()
    found = info()
    if options.format:
        return print_one(found, options.format)
    print(*info_lines(found), sep="\n")
    print("".join(f"{line}\n" for line in found["Warnings"]), end="", file=sys.stderr)
    return 0


def info() -> dict[str, Any]:
    """The fields of `docker info` that mean something here."""
    containers = [one.state for one in looked_at()]
    mounted = cgroups.hierarchies()
    usable = cgroups.usable_hierarchies(cgroups.default_parent())
    known = {name for hierarchy in usable for name in hierarchy.controllers}
    found = {
        "ID": _machine_id(),
        "Containers": len(containers),
        "ContainersRunning": sum(one in (store.RUNNING, store.RESTARTING) for one in containers),
        "ContainersPaused": containers.count(words.PAUSED),
        "ContainersStopped": sum(one not in LIVE for one in containers),
        "Images": len({tuple(image.layers) for image in images.every() if not is_step(image)}),
        "Driver": "overlay2",
        "LoggingDriver": LOGS[0],
        "Plugins": {"Volume": ["local"], "Network": NETWORKS, "Log": LOGS},
        "CgroupDriver": "cgroupfs" if usable else "none",
        "CgroupVersion": str(min((one.number() for one in mounted), default=1)),
        **{field: controller in known for field, (controller, _) in LIMITS.items()},
        "Runtimes": {"mydocker-runtime": {"path": "mydocker-runtime"}},
        "DefaultRuntime": "mydocker-runtime",
        "SecurityOptions": ["name=seccomp,profile=builtin", *(["name=rootless"] if in_user_namespace() else [])],
        "KernelVersion": os.uname().release,
        "OperatingSystem": _system(),
        "OSType": "linux",
        "Architecture": os.uname().machine,
        "NCPU": os.cpu_count(),
        "MemTotal": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "Name": os.uname().nodename,
        "DockerRootDir": state.place(),
        "ServerVersion": version()["Server"]["Version"],
        "Warnings": _warnings(known) if usable else [WITHOUT_CGROUPS],
    }
    return Record(found, {**OF_INFO, "ClientInfo": version()["Client"]})


def _warnings(known: set[str]) -> list[str]:
    """Of limits that this user's containers cannot have here."""
    return [f"WARNING: No {limit} support" for controller, limit in LIMITS.values() if controller not in known]


def _machine_id() -> str:
    """machine-id(5); empty where there is none."""
    try:
        with open("/etc/machine-id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def _system() -> str:
    """os-release(5)."""
    import platform

    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def info_lines(found: dict[str, Any]) -> list[str]:
    """The same as lines for people."""
    from final.engine.consumption import binary_size

    return [
        "Client:",
        f" Version:    {found['ServerVersion']}",
        " Context:    default",
        "",
        "Server:",
        f" Containers: {found['Containers']}",
        *(f"  {state}: {found[f'Containers{state}']}" for state in ("Running", "Paused", "Stopped")),
        f" Images: {found['Images']}",
        f" Server Version: {found['ServerVersion']}",
        f" Storage Driver: {found['Driver']}",
        f" Logging Driver: {found['LoggingDriver']}",
        f" Cgroup Driver: {found['CgroupDriver']}",
        f" Cgroup Version: {found['CgroupVersion']}",
        " Plugins:",
        *(f"  {kind}: {' '.join(names)}" for kind, names in found["Plugins"].items()),
        f" Runtimes: {' '.join(found['Runtimes'])}",
        f" Default Runtime: {found['DefaultRuntime']}",
        " Security Options:",
        *(line for option in found["SecurityOptions"] for line in _option_lines(option)),
        f" Kernel Version: {found['KernelVersion']}",
        f" Operating System: {found['OperatingSystem']}",
        f" OSType: {found['OSType']}",
        f" Architecture: {found['Architecture']}",
        f" CPUs: {found['NCPU']}",
        f" Total Memory: {binary_size(found['MemTotal'])}",
        f" Name: {found['Name']}",
        f" ID: {found['ID']}",
        f" Docker Root Dir: {found['DockerRootDir']}",
    ]


def _option_lines(option: str) -> list[str]:
    """Of name=NAME,KEY=VALUE: the name, and below it the rest."""
    name, *rest = [word.partition("=") for word in option.split(",")]
    return [f"  {name[2]}", *(f"   {key.capitalize()}: {value}" for key, _, value in rest)]


COMMANDS = {
    "version": CliCommand("Show the versions of the engine and its parts.", [FORMAT], "", show_version),
    "info": CliCommand("Show what there is on this machine.", [FORMAT], "", show_info),
}
