"""`commit`: a container becomes an image that runs as it did. Book section 4.4; OCI image-spec, config.md."""

from __future__ import annotations

from ch02_namespaces.command_line import CliCommand, Flag, Options
from ch04_images import images, state
from ch04_images.image_commands import clean_up_when_interrupted
from ch05_lifecycle import store
from final.engine import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ch04_images.images import Image
    from ch05_lifecycle.store import Stored


def commit_container(options: Options) -> int:
    """`commit`: print the id of the new image."""
    from ch04_images.commit import commit
    from final.images import changes, reference
    from final.images import store as image_store

    state.require_root()
    clean_up_when_interrupted()
    stored = store.find(options.operands[0])
    name = reference.parse(options.operands[1]).name if len(options.operands) > 1 else ""
    config = changes.applied(config_of(stored), options.change)
    images.check("commit", stored.record.layers, config)
    group = store.group_of(stored)
    made = commit(stored.id, name or f"commit/{state.short(state.new_id())}", config, group, group.is_frozen())
    id = _describe(made, " ".join(words.command_of(stored.settings)), options.message or "", options.author or "")
    if not name:
        image_store.tag(images.find(made.name), id)
        images.remove(made.name, force=True)
    image_store.settle()
    store.tell(stored, "commit", imageID=id)
    print(id)
    return 0


def _describe(image: Image, command: str, message: str, author: str) -> str:
    """Write into the configuration of a new image how it was made; its id."""
    from final.images import made_here
    from final.images import store as image_store
    from final.images.addition import Addition

    image = image_store.identified(image)
    fields = image_store.config_of(image).fields
    said = {name: text for name, text in (("comment", message), ("author", author)) if text}
    fields["history"][-1] |= {"created_by": command, **said}
    if author:
        fields["author"] = author
    with Addition() as addition:
        id = addition.put(made_here.encoded(fields))
        addition.finish()
        origin = {**image.origin, "config": id}
        images.remember(images.Image(image.name, image.layers, image.config, image.size, image.created, origin))
    return id


def config_of(stored: Stored) -> dict[str, Any]:
    """How the container was run, over how its image is."""
    settings = stored.settings
    config: dict[str, Any] = dict(settings.get("image_config") or {})
    options: dict[str, Any] = settings.get("options") or {}
    entrypoint, arguments = words.entrypoint_of(settings)
    said: dict[str, Any] = {
        "Entrypoint": entrypoint,
        "Cmd": arguments,
        "Env": environment_of(config, options, settings.get("environment") or {}),
        "User": settings.get("user"),
        "WorkingDir": settings.get("directory"),
        "Labels": settings.get("labels"),
        "Healthcheck": settings.get("healthcheck"),
        "ExposedPorts": {**(config.get("ExposedPorts") or {}), **exposed(options)},
        "StopSignal": options.get("stop_signal") or config.get("StopSignal"),
    }
    kept = {name: value for name, value in config.items() if name not in said}
    return {**kept, **{name: value for name, value in said.items() if value}}


def environment_of(config: dict[str, Any], options: dict[str, Any], found: dict[str, str]) -> list[str]:
    """The variables of the image and those of -e, with the values that they had."""
    given = [*(config.get("Env") or []), *(options.get("env") or [])]
    names = dict.fromkeys(item.partition("=")[0] for item in given)
    return [f"{name}={found[name]}" for name in names if name in found]


def exposed(options: dict[str, Any]) -> dict[str, Any]:
    """The ports of --expose."""
    return {port if "/" in port else f"{port}/tcp": {} for port in options.get("expose") or []}


COMMANDS = {
    "commit": CliCommand(
        "Make an image of a container.",
        [
            Flag("-m", "--message", value="TEXT", help="a comment for its history"),
            Flag("-a", "--author", value="NAME", help="who has made it"),
            Flag(
                "-c", "--change", value="INSTRUCTION", many=True, help="how it is run, as in a Dockerfile: CMD, ENV, …"
            ),
            Flag("-p", "--pause", help="it stands still meanwhile: it does so in any case"),
        ],
        "CONTAINER [IMAGE]",
        commit_container,
    )
}
