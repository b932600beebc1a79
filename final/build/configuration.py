"""Instructions that change no file, but how the image is run: CMD, ENV, LABEL, USER, HEALTHCHECK, …

What comes out is the `config` of OCI image-spec, config.md, and what Docker adds to it (Shell, Healthcheck, OnBuild).
"""

from __future__ import annotations

import json
import re

from ch02_namespaces.command_line import whole_number
from ch02_namespaces.errors import EngineError
from ch05_lifecycle.signals import parse_signal
from ch06_network.ports import parse_exposed
from final.build.dockerfile import KNOWN, Instruction
from final.build.words import WordError, expand, expand_words, raw_words
from final.engine.durations import nanoseconds
from final.images.changes import SETS, SHELL, TEXTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Config = dict[str, Any]

DURATIONS = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}
SHORTEST = 1_000_000  # nanoseconds, of what is not 0
REAL_TIME = re.compile(r"(SIG)?RT(MIN(\+\d+)?|MAX(-\d+)?)")  # systemd's images name such a signal: signal(7)
NEVER_LATER = ("ONBUILD", "FROM", "MAINTAINER")


def shell_of(config: Mapping[str, Any]) -> list[str]:
    """What runs a command that is no list."""
    return list(config.get("Shell") or SHELL)


def words_of(text: str) -> list[str] | None:
    """A list of strings in JSON; None for anything else, which is a text."""
    if not text.startswith("["):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) and all(isinstance(word, str) for word in found) else None


def command_of(text: str, config: Mapping[str, Any]) -> list[str]:
    """A command in either form: a list, or a text for the shell."""
    words = words_of(text)
    return words if words is not None else [*shell_of(config), text]


def expanded(instruction: Instruction, text: str, variables: Mapping[str, str]) -> str:
    """A text of an instruction with its variables replaced. Raises DockerfileError."""
    try:
        return expand(text, variables, instruction.escape)
    except WordError as error:
        raise instruction.error(str(error)) from None


def pairs_of(instruction: Instruction, variables: Mapping[str, str]) -> dict[str, str]:
    """NAME=VALUE …, or the old form NAME VALUE. Raises DockerfileError."""
    words = raw_words(instruction.text, instruction.escape)
    if "=" not in words[0]:
        name, *rest = instruction.text.split(maxsplit=1)
        if not rest:
            raise instruction.error("it has no NAME=VALUE")
        words = [f"{name}={rest[0]}"]
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        name = expanded(instruction, name, variables)
        if not equals or not name:
            raise instruction.error(f"{word!r} is no NAME=VALUE")
        found[name] = expanded(instruction, value, variables)
    return found


def with_environment(config: Mapping[str, Any], pairs: Mapping[str, str]) -> list[str]:
    """The variables of a configuration, and more."""
    return [f"{name}={value}" for name, value in {**environment_of(config), **pairs}.items()]


def environment_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Its variables."""
    return dict(item.partition("=")[::2] for item in config.get("Env") or [])


# ---------------------------------------------------------------- instructions


def applied(config: Mapping[str, Any], instruction: Instruction, variables: Mapping[str, str]) -> tuple[Config, str]:
    """A configuration after an instruction, and its history's text. variables: ENV and ARG. Raises DockerfileError."""
    changed = dict(config)
    try:
        said = CHANGES[instruction.word](changed, instruction, variables)
    except EngineError as error:
        if error.exit_code == 1:
            raise
        raise instruction.error(f"{error.what}: {error.why}", error.hint) from None
    return changed, f"{instruction.word} {said}"


def _command(config: Config, instruction: Instruction, variables: Mapping[str, str]) -> str:
    config["Cmd"] = command_of(instruction.text, config)
    return json.dumps(config["Cmd"], ensure_ascii=False)


def _entrypoint(config: Config, instruction: Instruction, variables: Mapping[str, str]) -> str:
    config["Entrypoint"] = command_of(instruction.text, config)
    return json.dumps(config["Entrypoint"], ensure_ascii=False)


def _environment(config: Config, instruction: Instruction, variables: Mapping[str, str]) -> str:
    pairs = pairs_of(instruction, variables)
    config["Env"] = with_environment(config, pairs)
    return " ".join(f"{name}={value}" for name, value in pairs.items())


def _labels(config: Config, instruction: Instruction, variables: Mapping[str, str]) -> str:
    pairs = pairs_of(instruction, variables)
    config["Labels"] = {**(config.get("Labels") or {}), **pairs}
    return " ".join(f"{name}={value}" for name, value in pairs.items())


def _text(config: Config, instruction: Instruction, variables: Mapping[str, str]) -> str:
    value = expanded(instruction, instruction.text, variables)
    if not value:
        raise instruction.error(f"{instruction.text} is empty")
    if instruction.word == "STOPSIGNAL" and not REAL_TIME.fullmatch(value):
        parse_signal(value)
    config[TEXTS[instruction.word]] = value
    return value


def _set(config: Config, instruction: Instruction, variables: Mapping[str, str]) -> str:
    words = words_of(instruction.text)
    try:
        found = (
            [expand(word, variables, instruction.escape) for word in words]
            if words is not None
            else expand_words(instruction.text, variables, instruction.escape)
        )
    except WordError as error:
        raise instruction.error(str(error)) from None
    if not found or not all(found):
        raise instruction.error("it says nothing, or something empty")
    if instruction.word == "EXPOSE":
        found = [f"{port.container}/{port.protocol}" for text in found for port in parse_exposed(text)]
    name = SETS[instruction.word]
    config[name] = {**(config.get(name) or {}), **{one: {} for one in found}}
    return " ".join(found)


def _shell(config: Config, instruction: Instruction, variables: Mapping[str, str]) -> str:
    words = words_of(instruction.text)
    if not words:
        raise instruction.error("it takes a list", 'SHELL ["/bin/bash", "-c"]')
    config["Shell"] = words
    return json.dumps(words, ensure_ascii=False)


def _maintainer(config: Config, instruction: Instruction, variables: Mapping[str, str]) -> str:
    """The image's author; the caller takes it from the history."""
    return instruction.text


def _later(config: Config, instruction: Instruction, variables: Mapping[str, str]) -> str:
    word = instruction.text.split(maxsplit=1)[0].upper()
    if word not in KNOWN or word in NEVER_LATER:
        raise instruction.error(f"{word} cannot be done later")
    documents = "".join(f"\n{one.text}{one.name}" for one in instruction.documents)
    config["OnBuild"] = [*(config.get("OnBuild") or []), instruction.text + documents]
    return instruction.text


def _health(config: Config, instruction: Instruction, variables: Mapping[str, str]) -> str:
    kind, *rest = instruction.text.split(maxsplit=1)
    text = rest[0] if rest else ""
    if kind.upper() == "NONE" and not text and not instruction.flags:
        config["Healthcheck"] = {"Test": ["NONE"]}
        return "NONE"
    if kind.upper() != "CMD" or not text:
        raise instruction.error("it is neither NONE nor CMD and a command")
    words = words_of(text)
    found: dict[str, Any] = {"Test": ["CMD", *words] if words is not None else ["CMD-SHELL", text]}
    for flag, name in DURATIONS.items():
        value = nanoseconds(instruction.flag(flag) or "0")
        if 0 < value < SHORTEST:
            raise instruction.error(f"--{flag} is shorter than a millisecond")
        found |= {name: value} if value else {}
    retries = whole_number(instruction.flag("retries") or "0")
    if retries < 0:
        raise instruction.error("--retries is negative")
    config["Healthcheck"] = {**found, **({"Retries": retries} if retries else {})}
    return instruction.shown.partition(" ")[2]


CHANGES: dict[str, Callable[[Config, Instruction, Mapping[str, str]], str]] = {
    "CMD": _command,
    "ENTRYPOINT": _entrypoint,
    "ENV": _environment,
    "LABEL": _labels,
    "STOPSIGNAL": _text,
    "USER": _text,
    "EXPOSE": _set,
    "VOLUME": _set,
    "SHELL": _shell,
    "MAINTAINER": _maintainer,
    "ONBUILD": _later,
    "HEALTHCHECK": _health,
}


def labelled(config: Mapping[str, Any], labels: Mapping[str, str]) -> Config:
    """The same with those of --label."""
    return {**config, "Labels": {**(config.get("Labels") or {}), **labels}} if labels else dict(config)
