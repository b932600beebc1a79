"""--change: how an image is run, in the words of a Dockerfile. Source: Docker's "Dockerfile reference"."""

from __future__ import annotations

import json
import shlex

from ch02_namespaces.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

SHELL = ["/bin/sh", "-c"]
HINT = "CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME or WORKDIR, and what it says"
LISTS = {"CMD": "Cmd", "ENTRYPOINT": "Entrypoint"}
TEXTS = {"STOPSIGNAL": "StopSignal", "USER": "User", "WORKDIR": "WorkingDir"}
SETS = {"EXPOSE": "ExposedPorts", "VOLUME": "Volumes"}


def applied(config: Mapping[str, Any], instructions: Sequence[str]) -> dict[str, Any]:
    """A configuration (the `config` of OCI image-spec, config.md) after some instructions. Raises EngineError."""
    changed = dict(config)
    words = [text.split()[0].upper() for text in instructions if text.strip()]
    if "ENTRYPOINT" in words and "CMD" not in words:
        changed.pop("Cmd", None)  # it was meant for the entrypoint before
    for text in instructions:
        word, _, rest = text.strip().partition(" ")
        try:
            _apply(changed, word.upper(), rest.strip())
        except ValueError as error:
            raise EngineError(f"--change {text!r}", str(error), HINT) from None
    return changed


def _apply(config: dict[str, Any], word: str, rest: str) -> None:
    if not rest:
        raise ValueError("it says nothing")
    if word in LISTS:
        config[LISTS[word]] = _words(rest) or [*SHELL, rest]
    elif word in TEXTS:
        config[TEXTS[word]] = rest
    elif word in SETS:
        ports = [name if "/" in name or word != "EXPOSE" else f"{name}/tcp" for name in _words(rest) or rest.split()]
        config[SETS[word]] = {**(config.get(SETS[word]) or {}), **{name: {} for name in ports}}
    elif word == "ENV":
        names = dict(item.partition("=")[::2] for item in config.get("Env") or [])
        config["Env"] = [f"{name}={value}" for name, value in {**names, **_pairs(rest)}.items()]
    elif word == "LABEL":
        config["Labels"] = {**(config.get("Labels") or {}), **_pairs(rest)}
    elif word == "ONBUILD":
        config["OnBuild"] = [*(config.get("OnBuild") or []), rest]
    else:
        raise ValueError("there is no such instruction here")


def _words(text: str) -> list[str]:
    """A list in JSON; empty if it is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return []
    return found if isinstance(found, list) and all(isinstance(word, str) for word in found) else []


def _pairs(text: str) -> dict[str, str]:
    """NAME=VALUE ..., with quotes as in a shell; or the old form NAME VALUE."""
    name, space, value = text.partition(" ")
    if "=" not in name and space:
        return {name: value.strip()}
    pairs = [word.partition("=") for word in shlex.split(text)]
    if not all(name and equals for name, equals, _ in pairs):
        raise ValueError("it has no NAME=VALUE")
    return {name: value for name, _, value in pairs}
