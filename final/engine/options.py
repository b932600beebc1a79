"""What the flags of the full engine mean: each value read and checked, and kept as plain JSON. Docker's syntax."""

from __future__ import annotations

import os

from ch02_namespaces.command_line import Flag, whole_number
from ch02_namespaces.errors import EngineError
from ch02_namespaces.limits import parse_size
from ch05_lifecycle.environment_file import environment_file
from ch05_lifecycle.flags import signal_name
from ch05_lifecycle.lifecycle_commands import grace
from ch06_network.lifecycle import CREATE_FLAGS as NETWORK_FLAGS
from final.engine import health_check, limits, mounts, name_files, refused
from final.runtime.capabilities import NUMBERS as CAPABILITIES
from final.runtime.rlimits import NAMES as RLIMITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ALL = "ALL"
LONGEST_NAME = 64  # bytes: uname(2)
SIZES = ("RLIMIT_CORE", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_MEMLOCK", "RLIMIT_RSS", "RLIMIT_STACK")


def capability(text: str) -> str:
    """For Flag.convert: a capability by its name, with or without CAP_, or ALL. Raises EngineError."""
    name = text.upper().removeprefix("CAP_")
    if name != ALL and f"CAP_{name}" not in CAPABILITIES:
        raise EngineError(repr(text), "it is no capability", "such as NET_ADMIN, or ALL: capabilities(7)")
    return name if name == ALL else f"CAP_{name}"


def key_value(text: str) -> list[str]:
    """For Flag.convert: NAME=VALUE. Raises EngineError."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise EngineError(repr(text), "it is no NAME=VALUE")
    return [name, value]


def label(text: str) -> list[str]:
    """For Flag.convert: NAME[=VALUE]. Raises EngineError."""
    name, _, value = text.partition("=")
    if not name:
        raise EngineError(repr(text), "it has no name", "NAME[=VALUE]")
    return [name, value]


def label_file(path: str) -> list[list[str]]:
    """For Flag.convert: a label a line; empty ones and comments (#) are left out. Raises EngineError."""
    return [label(line) for line in environment_file(path)]


def resource_limit(text: str) -> list[object]:
    """For Flag.convert: NAME=SOFT[:HARD], as [RLIMIT_NAME, soft, hard]; -1 is unlimited. Raises EngineError."""
    name, equals, values = text.partition("=")
    resource = f"RLIMIT_{name.upper()}"
    if not equals or resource not in RLIMITS:
        raise EngineError(repr(text), "it is no limit", "such as nofile=1024:4096: getrlimit(2)")
    soft, colon, hard = values.partition(":")
    limits = [_limit(soft), _limit(hard if colon else soft)]
    if limits[0] > limits[1]:
        raise EngineError(repr(text), "the soft limit is higher than the hard one")
    return [resource, *limits]


def _limit(text: str) -> int:
    value = whole_number(text)
    if value < -1:
        raise EngineError(repr(text), "it is negative", "-1 is unlimited")
    return value if value >= 0 else (1 << 64) - 1


def device(text: str) -> list[str]:
    """For Flag.convert: HOST[:CONTAINER][:rwm], as its three parts. Raises EngineError."""
    host, _, rest = text.partition(":")
    inside, _, access = rest.partition(":")
    if inside and not inside.startswith("/"):
        inside, access = "", inside
    access = access or "rwm"
    if not set(access) <= set("rwm") or not host.startswith("/"):
        raise EngineError(repr(text), "it is no device", "HOST[:CONTAINER[:rwm]], such as /dev/fuse")
    return [host, inside or host, access]


def security(text: str) -> list[str]:
    """For Flag.convert: seccomp=…, apparmor=…, no-new-privileges[=true], label=disable; Docker also takes a colon.
    Raises EngineError."""
    name, _, value = text.replace(":", "=", 1).partition("=") if "=" not in text else text.partition("=")
    if name == "no-new-privileges" and value in ("", "true", "false"):
        return [name, value or "true"]
    if name == "seccomp" and value:
        return [name, value if value in ("unconfined", "builtin") else profile(value)]
    if (name == "apparmor" and value) or (name, value) == ("label", "disable"):  # SELinux's are never given
        return [name, value]
    raise EngineError(repr(text), "it is not known", "seccomp=FILE|unconfined, apparmor=PROFILE, no-new-privileges")


def profile(path: str) -> str:
    """The text of a seccomp profile: it goes with the container, whatever becomes of the file. Raises EngineError."""
    import json

    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(1 << 20)
        json.loads(text)
    except (OSError, ValueError) as error:
        raise EngineError(f"seccomp profile {path}", str(error), "a file in Docker's format") from None
    return text


def mode_of(*known: str) -> Callable[[str], str]:
    """A Flag.convert for namespaces: one of these words, or container:NAME if it ends so."""

    def convert(text: str) -> str:
        kind, colon, other = text.partition(":")
        if f"{kind}{colon}" in known and bool(colon) == bool(other):
            return text
        raise EngineError(repr(text), "it is not known", ", ".join(known).replace("container:", "container:NAME"))

    return convert


def score(text: str) -> int:
    """For Flag.convert: -1000 to 1000, proc(5). Raises EngineError."""
    value = whole_number(text)
    if not -1000 <= value <= 1000:
        raise EngineError(repr(text), "it is not from -1000 to 1000")
    return value


def domain_name(text: str) -> str:
    """For Flag.convert: at most 64 bytes without spaces, setdomainname(2). Raises EngineError."""
    if not text or not text.isprintable() or " " in text or len(os.fsencode(text)) > LONGEST_NAME:
        raise EngineError(repr(text), "it is no domain name", f"at most {LONGEST_NAME} bytes: setdomainname(2)")
    return text


def new_file(path: str) -> str:
    """For Flag.convert: the path of a file that does not exist yet. Raises EngineError."""
    if os.path.lexists(path):
        raise EngineError(path, "it is there already", "remove it, or name another")
    return os.path.abspath(path)


def volumes_from(text: str) -> list[str]:
    """For Flag.convert: CONTAINER[:ro|rw], as the two. Raises EngineError."""
    container, _, mode = text.partition(":")
    if not container or mode not in ("", "ro", "rw"):
        raise EngineError(repr(text), "it is no container whose volumes are meant", "CONTAINER or CONTAINER:ro")
    return [container, mode]


def cgroup_path(text: str) -> str:
    """For Flag.convert: a path below the roots of the cgroup hierarchies. Raises EngineError for one that leads out."""
    names = text.strip("/").split("/")
    if not all(names) or {".", ".."} & set(names):
        raise EngineError(repr(text), "it is no path of a cgroup", "such as /web")
    return "/".join(names)


def device_rule(text: str) -> dict[str, object]:
    """For Flag.convert: TYPE MAJOR:MINOR ACCESS, as config.json has it. Raises EngineError."""
    kind, _, rest = text.partition(" ")
    numbers, _, access = rest.partition(" ")
    major, colon, minor = numbers.partition(":")
    is_right = kind in ("a", "b", "c") and colon and access and set(access) <= set("rwm")
    if not is_right or not all(number == "*" or _is_device_number(number) for number in (major, minor)):
        raise EngineError(repr(text), "it is no rule for devices", "such as 'c 1:3 rw' or 'b 8:* rwm'")
    known = {name: int(number) for name, number in (("major", major), ("minor", minor)) if number != "*"}
    return {"allow": True, "type": kind, **known, "access": access}


def _is_device_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= len(str(1 << 32))


def one_of(*words: str) -> Callable[[str], str]:
    """A Flag.convert: one of these words."""

    def convert(text: str) -> str:
        if text not in words:
            raise EngineError(repr(text), "it is not known", ", ".join(words))
        return text

    return convert


def log_option(text: str) -> list[object]:
    """For Flag.convert: max-size=SIZE, max-file=NUMBER, labels=NAMES or env=NAMES, as the setting's name and its value.
    Raises EngineError."""
    name, _, value = text.partition("=")
    if name in ("labels", "env"):
        return [f"log_{name}", value.split(",")]
    if name == "max-size":
        return ["log_bytes", parse_size(value)]
    if name == "max-file" and whole_number(value) > 0:
        return ["log_files", whole_number(value)]
    raise EngineError(repr(text), "it is not known", "max-size=10m, max-file=3, labels=NAME,…, env=NAME,…")


SIGNAL = Flag("-s", "--signal", value="SIGNAL", convert=signal_name, help="what asks it (default: its stop signal)")
"""Of `stop` and `restart`."""
CREATE_FLAGS = [
    *[flag for flag in NETWORK_FLAGS if flag.option not in ("volume", "add_host")],
    *name_files.FLAGS,
    Flag(
        "-v", "--volume", value="SOURCE:TARGET[:ro]", convert=mounts.volume, many=True, help="a directory, or a volume"
    ),
    Flag(
        "--mount", value="KEY=VALUE,…", convert=mounts.mount, many=True, help="type=bind|volume|tmpfs,source=,target="
    ),
    Flag("--volumes-from", value="CONTAINER[:ro]", convert=volumes_from, many=True, help="those of another container"),
    Flag("--tmpfs", value="PATH[:OPTIONS]", convert=mounts.tmpfs, many=True, help="a file system in memory"),
    Flag("--shm-size", value="SIZE", convert=parse_size, help="of /dev/shm (default: 64m)"),
    Flag("--entrypoint", value="COMMAND", help="in place of the image's"),
    Flag("-l", "--label", value="NAME[=VALUE]", convert=label, many=True, help="a remark that can be filtered by"),
    Flag("--label-file", value="FILE", convert=label_file, many=True, help="labels from a file, a line each"),
    Flag("--cidfile", value="FILE", convert=new_file, help="write the id there"),
    Flag("--cap-add", value="CAPABILITY", convert=capability, many=True, help="one more right of root, or ALL"),
    Flag("--cap-drop", value="CAPABILITY", convert=capability, many=True, help="one right less, or ALL"),
    Flag("--privileged", help="all rights and devices: as root on this machine"),
    Flag("--security-opt", value="OPTION", convert=security, many=True, help="seccomp=, apparmor=, no-new-privileges"),
    Flag("--device", value="HOST[:PATH[:rwm]]", convert=device, many=True, help="a device of this host"),
    Flag(
        "--device-cgroup-rule", value="RULE", convert=device_rule, many=True, help="such as 'c 1:3 rw': devices to use"
    ),
    Flag("--group-add", value="GROUP", many=True, help="one more group of its user"),
    Flag("--ulimit", value="NAME=SOFT[:HARD]", convert=resource_limit, many=True, help="such as nofile=1024:4096"),
    Flag("--sysctl", value="NAME=VALUE", convert=key_value, many=True, help="a kernel parameter of its namespaces"),
    *limits.FLAGS,
    Flag("--oom-score-adj", value="N", convert=score, help="how soon it is killed when memory is short"),
    Flag("--cgroup-parent", value="PATH", convert=cgroup_path, help="the cgroup in which its own is made"),
    Flag("--userns", value="MODE", convert=one_of("auto", "host"), help="auto: users that no other container has"),
    Flag("--pid", value="MODE", convert=mode_of("host", "container:"), help="whose processes it sees"),
    Flag(
        "--ipc", value="MODE", convert=mode_of("private", "shareable", "host", "container:"), help="whose shared memory"
    ),
    Flag("--uts", value="MODE", convert=mode_of("host"), help="whose host name"),
    Flag("--cgroupns", value="MODE", convert=one_of("private", "host"), help="host: it sees where its cgroup is"),
    Flag("--domainname", value="NAME", convert=domain_name, help="its NIS domain name: domainname(1)"),
    *health_check.FLAGS,
    Flag(
        "-a",
        "--attach",
        value="STREAM",
        convert=one_of("stdin", "stdout", "stderr"),
        many=True,
        help="both that it prints to are shown in any case",
    ),
    Flag("--pull", value="POLICY", convert=one_of("missing", "always", "never"), help="whether to pull the image"),
    Flag("--platform", value="OS/ARCHITECTURE", help="what the image must be for (default: this machine)"),
    Flag("-q", "--quiet", help="say nothing of a pull"),
    Flag("--log-driver", value="DRIVER", convert=one_of("json-file", "local"), help="there is one kind of log"),
    Flag("--log-opt", value="NAME=VALUE", convert=log_option, many=True, help="max-size=10m, max-file=3"),
    Flag("--stop-timeout", value="SECONDS", convert=grace, help="grace that `stop` gives (default: 10)"),
    Flag("--runtime", value="NAME", convert=one_of("mydocker-runtime"), help="there is this one alone"),
    Flag("--volume-driver", value="NAME", convert=one_of("local"), help="there is this one alone"),
    Flag("--isolation", value="NAME", convert=one_of("default"), help="there is this one alone"),
    *refused.OF_CREATE,
]
