"""`stop`, `restart`, `kill`, `wait`, `rename`, `rm` and `container prune`: chapter 5's, with Docker's flags, written
down as events, and with the volumes that go with a container."""

from __future__ import annotations

from ch02_namespaces.command_line import CliCommand, Flag, Options
from ch02_namespaces.errors import EngineError, MissingError, warn
from ch02_namespaces.syscalls import SIGKILL
from ch04_images import state
from ch04_images.image_commands import for_each
from ch05_lifecycle import lifecycle_commands, process, store
from ch05_lifecycle.lifecycle_commands import TIME, stop_one
from ch05_lifecycle.signals import parse_signal
from ch06_network import network_commands
from final.agreed import agreed
from final.engine import volumes, words
from final.engine.options import SIGNAL
from final.engine.pausing import let_go_on
from final.engine.pruning import FORCE, filter_of
from final.engine.refused import LINK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch05_lifecycle.store import Stored


def stop_containers(options: Options) -> int:
    """`stop`: ask them to end, and make them after the grace."""
    state.require_root()

    def stop(text: str) -> None:
        end(store.find(text), options.time, options.signal)
        print(text)

    for_each(options.operands, stop)
    return 0


def end(stored: Stored, seconds: float | None, signal: str | None) -> None:
    """Stop a container. seconds: its grace, None for its usual one; signal: None for its own."""
    if not stored.is_watched():
        return
    if signal:
        stored.settings["stop_signal"] = signal  # for this once
    store.tell(stored, "kill", signal=str(parse_signal(stored.settings["stop_signal"])))
    let_go_on(stored)
    stop_one(stored, seconds)
    store.tell(stored, "stop")


def kill_containers(options: Options) -> int:
    """`kill`: send a signal, SIGKILL if none is given."""
    state.require_root()
    signal = parse_signal(options.signal or "KILL")

    def kill(text: str) -> None:
        stored = store.find(text)
        if signal == SIGKILL and stored.is_watched():
            store.tell(stored, "kill", signal=str(signal))
            let_go_on(stored)
            process.stop(stored, 0)  # it is not to be restarted, either
        else:
            process.send_signal(stored, signal)
            store.tell(stored, "kill", signal=str(signal))
        print(text)

    for_each(options.operands, kill)
    return 0


def rename_container(options: Options) -> int:
    """`rename`: another name for a container."""
    stored = store.find(options.operands[0])
    old = stored.name
    code = network_commands.rename_container(options)
    store.tell(stored, "rename", oldName=old)
    return code


def remove_containers(options: Options) -> int:
    """`rm`: remove containers that do not run; with -f, end them first; with -v, with the volumes nobody named."""
    state.require_root()
    LINK.check(options)

    def remove(text: str) -> None:
        try:
            remove_one(text, options.force, options.volumes)
        except MissingError as error:
            if not options.force:
                raise
            warn(str(error))
        else:
            print(text)

    for_each(options.operands, remove)
    return 0


def remove_one(text: str, force: bool, with_volumes: bool) -> None:
    """Remove a container, also if its record is damaged. Raises EngineError if it runs."""
    stored = _to_remove(text)
    own = _volumes_of(stored) if with_volumes else []
    try:
        if force and stored.is_watched():
            store.tell(stored, "kill", signal=str(SIGKILL))
            let_go_on(stored)
            process.stop(stored, 0)
        store.remove(stored)
    except store.GoneError:  # by somebody else, just now
        return
    volumes.remove_anonymous(own)


def _to_remove(text: str) -> Stored:
    try:
        return store.find(text)
    except EngineError:
        return store.find_to_remove(text)


def _volumes_of(stored: Stored) -> list[str]:
    try:
        return volumes.of(stored)
    except EngineError:  # its record is damaged
        return []


def prune_containers(options: Options) -> int:
    """`container prune`: remove all that do not run."""
    state.require_root()
    if not options.force and not agreed("This will remove all stopped containers."):
        return 0
    removed, size = prune(options.filter)
    if removed:
        print("Deleted Containers:", *removed, "", sep="\n")
    words.print_reclaimed(size)
    return 0


def prune(filters: list[str]) -> tuple[list[str], int]:
    """Remove the containers that do not run and that filters let through; their ids, and the bytes that they had.

    filters: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]. Raises EngineError.
    """
    from final.engine.container_list import looked_at
    from final.engine.usage import layer_bytes

    passes = filter_of(filters)
    removed, size = [], 0
    for one in looked_at():
        stored = one.stored
        if one.state not in (store.CREATED, store.EXITED) or not passes(one.labels, stored.record.created):
            continue
        used = layer_bytes(stored)
        try:
            store.remove(stored)
        except EngineError:  # somebody has started it, or removed it
            continue
        removed.append(stored.id)
        size += used
    return removed, size


PRUNE = CliCommand(
    "Remove all containers that do not run.",
    [FORCE, Flag("--filter", value="KEY=VALUE", many=True, help="only those: until, label, label!")],
    "",
    prune_containers,
)
COMMANDS = {
    "stop": CliCommand("Stop containers.", [TIME, SIGNAL], "CONTAINER ...", stop_containers),
    "kill": CliCommand(
        "Send a signal to containers.",
        lifecycle_commands.COMMANDS["kill"].flags,
        "CONTAINER ...",
        kill_containers,
    ),
    "rename": CliCommand("Give a container another name.", [], "CONTAINER NAME", rename_container),
    "rm": CliCommand(
        "Remove containers.",
        [
            Flag("-f", "--force", help="also those that run"),
            Flag("-v", "--volumes", help="with those of their volumes that nobody has given a name"),
            LINK,
        ],
        "CONTAINER ...",
        remove_containers,
    ),
}
