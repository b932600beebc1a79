"""config.json of a container: image, flags and defaults become the document that an OCI runtime takes.

OCI runtime-spec, config.md and config-linux.md. It says all about the container but three things that only the host can
do for it: the union of its layers, its network devices, and the names of its users, which are those of its own files.
"""

from __future__ import annotations

import os
import stat

from ch02_namespaces import syscalls
from ch02_namespaces.cgroups import default_parent
from ch02_namespaces.errors import EngineError
from ch04_images import state
from ch05_lifecycle import process, store
from ch06_network import hosts_file, wishes
from ch07_practice.oci.document import SPEC
from final.engine import defaults, limits, mounts, seccomp_profile
from final.engine.options import ALL
from final.runtime.capabilities import every_capability
from final.runtime.devices import TYPES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ch02_namespaces.command_line import Options
    from ch05_lifecycle.store import Stored


def document_of(stored: Stored, options: Options) -> dict[str, Any]:
    """The document of a container of the store. options: its flags. Raises EngineError for what cannot be."""
    capabilities = capabilities_of(options)
    return {
        "ociVersion": SPEC,
        "process": process_of(stored, options, capabilities),
        "root": {"path": "rootfs", "readonly": options.read_only},
        "hostname": "" if options.uts == "host" else hostname_of(stored, options),
        "domainname": options.domainname or "",
        "mounts": mounts_of(stored, options),
        "annotations": {},
        "linux": {
            "namespaces": namespaces_of(stored, options),
            "cgroupsPath": f"/{group_path(stored.id, options.cgroup_parent)}",
            "resources": {**limits.resources_of(options), "devices": device_rules_of(options)},
            "devices": devices_of(options),
            "sysctl": sysctls_of(stored, options),
            "seccomp": seccomp_of(options, capabilities),
            **({} if options.privileged else _paths()),
        },
    }


def hostname_of(stored: Stored, options: Options) -> str:
    """As the user says, or the short id; on this host's network, or with its names, this host's."""
    shares = options.uts == "host" or wishes.mode_of(stored)[0] == "host"
    return options.hostname or (os.uname().nodename if shares else state.short(stored.id))


def group_path(id: str, parent: str | None) -> str:
    """The path of a container's cgroup."""
    return f"{(parent or default_parent()).strip('/')}/{id}"


def process_of(stored: Stored, options: Options, capabilities: list[str]) -> dict[str, Any]:
    """The container's first process. `exec` begins with the same."""
    environment = stored.settings["environment"]
    return {
        "terminal": False,  # the streams are parts of chapters 3 to 5
        "args": stored.settings["command"],
        "env": [f"{name}={value}" for name, value in environment.items()],
        "cwd": stored.settings["directory"] or "/",
        "user": {"uid": 0, "gid": 0},
        "capabilities": dict.fromkeys(("bounding", "permitted", "effective"), capabilities),
        "noNewPrivileges": security_of(options).get("no-new-privileges") == "true",
        "rlimits": [{"type": name, "soft": soft, "hard": hard} for name, soft, hard in options.ulimit],
        **({"oomScoreAdj": options.oom_score_adj} if options.oom_score_adj is not None else {}),
        **_label(security_of(options).get("apparmor", "")),
    }


def security_of(options: Options) -> dict[str, str]:
    """What --security-opt says; the last word counts."""
    return dict(options.security_opt)


def _label(profile: str) -> dict[str, str]:
    return {"apparmorProfile": profile} if profile and profile != "unconfined" else {}


def capabilities_of(options: Options) -> list[str]:
    """The rights of root that the container has, in the order of their numbers: --cap-add, --cap-drop, --privileged."""
    every = every_capability()
    wanted = set(every if options.privileged or ALL in options.cap_add else defaults.CAPABILITIES)
    wanted -= wanted if ALL in options.cap_drop else set(options.cap_drop)
    wanted |= {name for name in options.cap_add if name != ALL}
    return [name for name in every if name in wanted and name not in set(options.cap_drop)]


def seccomp_of(options: Options, capabilities: list[str]) -> dict[str, Any] | None:
    """The filter: Docker's default, the user's, or none."""
    wish = security_of(options).get("seccomp", "unconfined" if options.privileged else "builtin")
    if wish == "unconfined":
        return None
    if wish == "builtin":
        return seccomp_profile.default_profile(capabilities)
    from final.engine.seccomp_file import linux_seccomp

    return linux_seccomp(wish, capabilities)


def mounts_of(stored: Stored, options: Options) -> list[dict[str, Any]]:
    """The kernel's file systems, the files of the network, and the user's volumes; /data before /data/logs."""
    size = options.shm_size if options.shm_size is not None else defaults.SHM_SIZE
    wanted: list[dict[str, Any]] = stored.settings["mounts"]
    targets = [mount["target"] for mount in wanted]
    for target in targets:
        if targets.count(target) > 1:
            raise EngineError(f"-v {target}", "two volumes have this target")
    found = defaults.kernel_file_systems(size, options.privileged)
    if wishes.mode_of(stored)[0] == "host" and syscalls.in_user_namespace():
        found = [defaults.SYS_OF_HOST if mount["destination"] == "/sys" else mount for mount in found]
    found = [mount for mount in found if mount["destination"] not in targets]
    files = hosts_file.volumes_of(wishes.files_owner(stored).id, targets)
    wanted = [*(mounts.entry(mounts.BIND, file.source, file.target, []) for file in files), *wanted]
    ordered = sorted(wanted, key=lambda mount: str(mount["target"]).count("/"))
    return [*found, *(mounts.described(mount, stored.record.path()) for mount in ordered)]


def namespaces_of(stored: Stored, options: Options) -> list[dict[str, str]]:
    """New ones, but for those that the user wants to share. Who joins a network is told by a part of chapter 6."""
    found = [{"type": "mount"}]
    if options.cgroupns != "host":
        found.append({"type": "cgroup"})
    if wishes.mode_of(stored)[0] not in ("host", "container"):
        found.append({"type": "network"})
    if options.uts != "host":
        found.append({"type": "uts"})
    for kind, mode in (("pid", options.pid), ("ipc", options.ipc)):
        if mode and mode.startswith("container:"):
            found.append({"type": kind, "path": _namespace_of(mode.partition(":")[2], kind)})
        elif mode != "host":
            found.append({"type": kind})
    return found


def _namespace_of(container: str, kind: str) -> str:
    other = store.find(container)
    os.close(process.open_process(other))  # it runs
    return f"/proc/{other.state()['pid']}/ns/{kind}"


def sysctls_of(stored: Stored, options: Options) -> dict[str, str]:
    """Kernel parameters of the container's own namespaces."""
    own_network = wishes.mode_of(stored)[0] not in ("host", "container")
    rights = defaults.SYSCTLS_OF_ROOTLESS if syscalls.in_user_namespace() else defaults.SYSCTLS_OF_NETWORK
    usual = rights if own_network else {}
    return {**usual, **dict(options.sysctl)}


def device_rules_of(options: Options) -> list[dict[str, Any]]:
    """Nothing may be used but what every container has, and what the user gives; every node may be made."""
    if options.privileged:
        return [{"allow": True, "access": "rwm"}]
    rules: list[dict[str, Any]] = [
        {"allow": False, "access": "rwm"},
        *({"allow": True, "type": kind, "access": "m"} for kind in "cb"),
    ]
    for host, inside, access in options.device:
        node = _device(host, inside, access)
        rules.append({key: node[key] for key in ("type", "major", "minor")} | {"allow": True, "access": access})
    return [*rules, *options.device_cgroup_rule]


def devices_of(options: Options) -> list[dict[str, Any]]:
    """Device files besides those that every container has; with --privileged all of this host."""
    if not options.privileged:
        return [_device(*words) for words in options.device]
    found = []
    for directory, names, files in os.walk("/dev"):
        names[:] = [name for name in names if name not in ("pts", "shm", "mqueue", "fd")]
        for name in files:
            path = os.path.join(directory, name)
            if path != "/dev/console" and stat.S_IFMT(os.lstat(path).st_mode) in (stat.S_IFCHR, stat.S_IFBLK):
                found.append(_device(path, path))
    return found


def _device(host: str, inside: str, access: str = "rwm") -> dict[str, Any]:
    """One of the host's devices, for config.json. Raises EngineError."""
    try:
        status = os.stat(host)
    except OSError as error:
        raise EngineError(f"--device {host}", str(error.strerror)) from None
    kinds = [letter for letter, kind in TYPES.items() if stat.S_IFMT(status.st_mode) == kind and letter in "cb"]
    if not kinds:
        raise EngineError(f"--device {host}", "it is no device", "-v is for files and directories")
    return {
        "path": inside,
        "type": kinds[0],
        "major": os.major(status.st_rdev),
        "minor": os.minor(status.st_rdev),
        "fileMode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
    }


def _paths() -> dict[str, list[str]]:
    return {"maskedPaths": defaults.MASKED_PATHS, "readonlyPaths": defaults.READONLY_PATHS}
