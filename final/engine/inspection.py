"""`inspect`: all that is known of containers, images, networks and volumes, by name or id."""

from __future__ import annotations

from ch02_namespaces.command_line import CliCommand, Flag, Options
from ch02_namespaces.errors import EngineError, MissingError
from ch04_images import state
from ch05_lifecycle import store
from ch06_network import network
from final.inspected import inspect_each
from final.output import FORMAT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def inspect(options: Options) -> int:
    """`inspect`: what there is of these names or ids. What is found is shown, also if something else is not."""
    state.require_root()
    return inspect_each(options.operands, lambda text: described(text, options.type, options.size), options.format)


def inspect_containers(options: Options) -> int:
    """`container inspect`: what else has such a name does not count."""
    state.require_root()
    return inspect_each(options.operands, lambda text: described(text, "container", options.size), options.format)


def described(text: str, kind: str | None, with_size: bool = False) -> dict[str, Any]:
    """A container; or an image, a network or a volume if there is no container of this name. kind: of which it must be.
    Raises EngineError."""
    if kind is not None:
        return KINDS[kind](text, with_size)
    for look in KINDS.values():
        try:
            return look(text, with_size)
        except EngineError as error:
            if look is _container and not isinstance(error, MissingError):
                raise
    raise EngineError(
        f"container {text!r}", "there is none with this name or id", "nor an image, a network or a volume"
    )


def kind_name(text: str) -> str:
    """For Flag.convert. Raises EngineError."""
    if text not in KINDS:
        raise EngineError(repr(text), "there is no such kind", ", ".join(KINDS))
    return text


def _container(text: str, with_size: bool) -> dict[str, Any]:
    from final.engine.container_inspection import container

    return container(store.find(text), with_size)


def _image(text: str, _: bool) -> dict[str, Any]:
    from final.images import listing
    from final.images import store as image_store

    return listing.inspected(image_store.find(text))


def _network(text: str, _: bool) -> dict[str, Any]:
    from final.engine.network_commands import described

    return described(network.find(text))


def _volume(text: str, _: bool) -> dict[str, Any]:
    from final.engine import volumes
    from final.engine.volume_commands import described

    return described(volumes.find(text))


KINDS: dict[str, Callable[[str, bool], dict[str, Any]]] = {
    "container": _container,
    "image": _image,
    "network": _network,
    "volume": _volume,
}


TYPE = Flag("--type", value="KIND", convert=kind_name, help=f"of which kind it is: {', '.join(KINDS)}")
ANYTHING = "CONTAINER|IMAGE|NETWORK|VOLUME ..."
SIZE = Flag("-s", "--size", help="with what containers have written")
COMMANDS = {"inspect": CliCommand("Show all that is known of things.", [FORMAT, TYPE, SIZE], ANYTHING, inspect)}
OF_CONTAINERS = CliCommand("Show all that is known of containers.", [FORMAT, SIZE], "CONTAINER ...", inspect_containers)
