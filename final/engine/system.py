"""`info`, `version`, and `system df | info | prune | events`: the engine as a whole, in Docker's words."""

from __future__ import annotations

import os

from ch02_namespaces import cgroups
from ch02_namespaces.command_line import CliCommand, Flag, Options, dispatch
from ch02_namespaces.syscalls import in_user_namespace
from ch04_images import images, state
from ch05_lifecycle import store
from final.agreed import agreed
from final.engine import disk_usage, ending, event_commands, volume_commands, words
from final.engine.container_list import LIVE, looked_at
from final.engine.pruning import FORCE, filter_of
from final.engine.usage import tree_bytes
from final.images.store import is_step
from final.output import FORMAT, print_one

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

API = "1.43"
"""The version of Docker's API whose shapes the lists and documents here have."""


# ---------------------------------------------------------------- version and info


def show_version(options: Options) -> int:
    """`version`: there is no daemon, so client and server are the same program."""
    found = version()
    if options.format:
        return print_one(found, options.format)
    for part, known in (("Client", found["Client"]), ("Server", found["Server"])):
        print(f"{part}:")
        for name, value in known.items():
            if isinstance(value, str):
                print(f" {name + ':':<18}{value}")
    return 0


def version() -> dict[str, Any]:
    """All versions."""
    import platform

    from ch07_practice.oci.document import SPEC
    from final.runtime.cli import VERSION

    machine = _machine()
    common = {"Version": VERSION, "ApiVersion": API, "Os": "linux", "Arch": machine}
    kernel = os.uname().release
    parts = [
        {"Name": "Engine", "Version": VERSION, "Details": {"ApiVersion": API, "KernelVersion": kernel}},
        {"Name": "mydocker-runtime", "Version": VERSION, "Details": {"SpecVersion": SPEC}},
    ]
    python = platform.python_version()
    server = {**common, "MinAPIVersion": API, "KernelVersion": kernel, "PythonVersion": python, "Components": parts}
    return {"Client": {**common, "PythonVersion": python, "Context": "default"}, "Server": server}


def _machine() -> str:
    from final.images.platform import of_machine

    return of_machine().architecture


def show_info(options: Options) -> int:
    """`info`: what there is on this machine."""
    state.require_root()
    found = info()
    if options.format:
        return print_one(found, options.format)
    for name, value in found.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list | dict) else value
        print(f"{name}: {shown}")
    return 0


def info() -> dict[str, Any]:
    """The fields of `docker info` that mean something here."""
    containers = [one.state for one in looked_at()]
    mounted = cgroups.hierarchies()
    return {
        "ID": _machine_id(),
        "Containers": len(containers),
        "ContainersRunning": sum(one in (store.RUNNING, store.RESTARTING) for one in containers),
        "ContainersPaused": containers.count(words.PAUSED),
        "ContainersStopped": sum(one not in LIVE for one in containers),
        "Images": len({tuple(image.layers) for image in images.every() if not is_step(image)}),
        "Driver": "overlay2",
        "Plugins": {"Volume": ["local"], "Network": ["bridge", "host", "none", "vxlan", "host-routes"]},
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": str(min((one.number() for one in mounted), default=1)),
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
        "Warnings": [],
    }


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


# ---------------------------------------------------------------- prune


def prune_everything(options: Options) -> int:
    """`system prune`: containers that do not run, networks and images that nobody needs, and volumes if asked for."""
    from final.build import cache
    from final.engine import network_commands
    from final.images.removal import prune as prune_images

    state.require_root()
    what = ["all stopped containers", "all networks not used by at least one container"]
    what += ["all anonymous volumes not used by at least one container"] if options.volumes else []
    what += ["all images without a container" if options.all else "all images without a name", "all build cache"]
    if not options.force and not agreed(f"This will remove: {', '.join(what)}."):
        return 0
    removed, size = ending.prune(options.filter)
    _print_deleted("Containers", removed)
    _print_deleted("Networks", [] if in_user_namespace() else network_commands.prune(options.filter))
    if options.volumes:
        names, more = volume_commands.prune(False, options.filter)
        size += more
        _print_deleted("Volumes", names)
    before = _layers_bytes()
    _print_deleted("Images", prune_images(options.all, [], filter_of(options.filter)))
    _print_deleted("build cache objects", cache.prune())
    words.print_reclaimed(size + before - _layers_bytes())
    return 0


def _print_deleted(what: str, lines: list[str]) -> None:
    if lines:
        print(f"Deleted {what}:", *lines, "", sep="\n")


def _layers_bytes() -> int:
    directory = state.place("layers")
    return tree_bytes(directory) if os.path.isdir(directory) else 0


VERSION_COMMAND = CliCommand("Show the versions of the engine and its parts.", [FORMAT], "", show_version)
INFO = CliCommand("Show what there is on this machine.", [FORMAT], "", show_info)
SYSTEM_COMMANDS = {
    "df": disk_usage.COMMAND,
    "info": INFO,
    "events": event_commands.COMMANDS["events"],
    "prune": CliCommand(
        "Remove what nobody needs.",
        [
            Flag("-a", "--all", help="also images with a name on which no container stands"),
            FORCE,
            Flag("--volumes", help="also volumes that nobody has named"),
            Flag("--filter", value="KEY=VALUE", many=True, help="only those: until, label, label!"),
        ],
        "",
        prune_everything,
    ),
}


def run_system_command(options: Options) -> int:
    """`system`, with commands of its own."""
    return dispatch(SYSTEM_COMMANDS, options.operands, "mydocker system")


COMMANDS = {
    "version": VERSION_COMMAND,
    "info": INFO,
    "system": CliCommand("The engine: df, info, events, prune.", [], "COMMAND ...", run_system_command),
}
