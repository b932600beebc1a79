"""-v, --mount and --tmpfs: what is mounted into a container besides its root. Docker's syntax; plain JSON comes out.

{"type": "bind" | "volume" | "tmpfs", "source": path or name, "target": path, "read_only": bool, "options": [...],
"subpath": path in a volume, if not all of it}
"""

from __future__ import annotations

import os

from ch02_namespaces.errors import EngineError
from ch02_namespaces.limits import parse_size
from final.engine.volumes import check_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BIND, VOLUME, TMPFS = "bind", "volume", "tmpfs"
SYNTAX = "-v SOURCE:TARGET[:ro], such as -v /srv/data:/data:ro or -v data:/data"
PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
IGNORED = ("z", "Z", "cached", "delegated", "consistent")  # SELinux labels, and what Docker Desktop does with files
TMPFS_OPTIONS = (
    *("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "ro", "rw", "exec", "noexec", "suid", "nosuid"),
    *("dev", "nodev", "atime", "noatime", "relatime", "norelatime", "strictatime", "diratime", "nodiratime", "sync"),
    *("async", "dirsync", "mpol", "huge"),
)
"""tmpfs(5), mount(8)."""
ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}


def volume(text: str) -> dict[str, Any]:
    """For Flag.convert: [SOURCE:]TARGET[:OPTIONS]. A source that is no path is a volume's name; one with none is a
    volume without a name. Raises EngineError."""
    words = text.split(":")
    if not text:
        raise EngineError(repr(text), "it is no volume", SYNTAX)
    if len(words) == 1:
        return entry(VOLUME, "", text, [])
    if len(words) > 3 or not words[0] or not words[1]:
        raise EngineError(repr(text), "it is no volume", SYNTAX)
    source, target, options = words[0], words[1], words[2].split(",") if len(words) == 3 else []
    for option in options:
        if option not in ("ro", "rw", "nocopy", *PROPAGATIONS, *IGNORED):
            raise EngineError(repr(text), f"{option!r} is neither ro nor rw", SYNTAX)
    if "ro" in options and "rw" in options:
        raise EngineError(repr(text), "it is either ro or rw", SYNTAX)
    if source.startswith(("/", "./", "../")) or source in (".", ".."):
        return entry(BIND, os.path.abspath(source), target, options)
    return entry(VOLUME, check_name(source), target, options)


def entry(kind: str, source: str, target: str, options: list[str]) -> dict[str, Any]:
    """One mount. options: those of -v. Raises EngineError for a target that cannot be."""
    if not target.startswith("/"):
        raise EngineError(repr(target), "the target is not absolute", SYNTAX)
    target = "/" + os.path.normpath(target).lstrip("/")
    if target == "/":
        raise EngineError(repr(target), "the target may not be the root itself", SYNTAX)
    kept = [option for option in options if option in (*PROPAGATIONS, "nocopy")]
    return {"type": kind, "source": source, "target": target, "read_only": "ro" in options, "options": kept}


def mount(text: str) -> dict[str, Any]:
    """For Flag.convert: type=…,source=…,target=…[,readonly][,…]. Raises EngineError."""
    said: dict[str, str] = {}
    for word in text.split(","):
        key, _, value = word.partition("=")
        said[ALIASES.get(key, key)] = value
    kind = said.pop("type", VOLUME)
    source, target = said.pop("source", ""), said.pop("target", "")
    options = ["ro"] if _is_on(said, "readonly") else []
    if kind == TMPFS:
        if source:
            raise EngineError(f"--mount {text}", "type tmpfs has no source")
        sizes = [f"size={parse_size(said.pop('tmpfs-size'))}"] if "tmpfs-size" in said else []
        modes = [f"mode={_mode(said.pop('tmpfs-mode'))}"] if "tmpfs-mode" in said else []
        made = {**entry(TMPFS, "", target, options), "options": [*sizes, *modes]}
    elif kind == BIND:
        if "bind-propagation" in said:
            options.append(_propagation(said.pop("bind-propagation")))
        if not os.path.exists(source):
            raise EngineError(f"--mount {text}", f"there is no {source or 'source'}", "-v would make a directory")
        made = entry(BIND, os.path.abspath(source), target, options)
    elif kind == VOLUME:
        subpath = _subpath(said.pop("volume-subpath", ""), source)
        options += ["nocopy"] if _is_on(said, "volume-nocopy") or subpath else []
        made = entry(VOLUME, check_name(source) if source else "", target, options)
        made |= {"subpath": subpath} if subpath else {}
    else:
        raise EngineError(f"--mount {text}", f"type {kind!r} is not known", "bind, volume or tmpfs")
    for key in said:
        raise EngineError(f"--mount {text}", f"{key!r} is not known for type {kind}")
    return made


def _subpath(text: str, volume: str) -> str:
    """A path in a volume; sub_paths.py looks whether it leads out by links."""
    path = os.path.normpath(text) if text else ""
    if path.startswith("/") or path.split("/")[0] == "..":
        raise EngineError(f"volume-subpath={text}", "it is no path within the volume", "such as data/logs")
    if path and not volume:
        raise EngineError(f"volume-subpath={text}", "the volume has no name", "source=NAME")
    return path


def _is_on(said: dict[str, str], key: str) -> bool:
    """Whether a switch is on: it stands alone, or has a value. It is taken away."""
    value = said.pop(key, "false")
    if value not in ("", "true", "1", "false", "0"):
        raise EngineError(f"{key}={value}", "it is neither true nor false")
    return value in ("", "true", "1")


def _mode(text: str) -> str:
    if not text or not set(text) <= set("01234567"):
        raise EngineError(f"tmpfs-mode={text}", "it is no octal number", "1777")
    return text


def _propagation(text: str) -> str:
    if text not in PROPAGATIONS:
        raise EngineError(repr(text), "it is no propagation", ", ".join(PROPAGATIONS))
    return text


def tmpfs(text: str) -> dict[str, Any]:
    """For Flag.convert: PATH[:OPTIONS], such as /run:size=64m,mode=1777. Raises EngineError."""
    path, _, options = text.partition(":")
    kept = options.split(",") if options else []
    for option in kept:
        if option.partition("=")[0] not in TMPFS_OPTIONS:
            raise EngineError(repr(text), f"{option!r} is no option of it", ", ".join(TMPFS_OPTIONS))
    return {**entry(TMPFS, "", path, []), "options": kept}


def described(mount: dict[str, Any], directory: str) -> dict[str, Any]:
    """The same for config.json. directory: what a source that is no absolute path lies in."""
    if mount["type"] == TMPFS:
        options = ["noexec", "nosuid", "nodev", *(["ro"] if mount["read_only"] else []), *mount["options"]]
        return {"destination": mount["target"], "type": "tmpfs", "source": "tmpfs", "options": options}
    passes = [option for option in mount["options"] if option in PROPAGATIONS] or ["rprivate"]
    options = ["rbind", *passes, "rro" if mount["read_only"] else "rw"]
    source = os.path.join(directory, mount["source"], *([mount["subpath"]] if "subpath" in mount else []))
    return {"destination": mount["target"], "type": "bind", "source": source, "options": options}
