"""Commands that do something to containers of the store. Each imports what it needs when it is used."""

from __future__ import annotations

from ch02_namespaces.command_line import CliCommand, Flag, Options, number
from ch02_namespaces.errors import EngineError
from ch02_namespaces.syscalls import SIGKILL
from ch04_images import image_commands, state
from ch04_images.image_commands import for_each
from ch05_lifecycle import names, process, store
from ch05_lifecycle.signals import parse_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch05_lifecycle.store import Stored

GRACE = 10.0
LONGEST_GRACE, FOR_EVER = 1e6, -1.0


def grace(text: str) -> float:
    """For Flag.convert: seconds; -1 is for ever. Raises EngineError."""
    seconds = number(text)
    if seconds != FOR_EVER and not 0 <= seconds <= LONGEST_GRACE:
        raise EngineError(text, f"it is no number of seconds from 0 to {LONGEST_GRACE:.0f}", "-1 waits for ever")
    return seconds


TIME = Flag(
    "-t", "--timeout", "--time", value="SECONDS", convert=grace, help="grace between signal and SIGKILL (default: 10)"
)


def stop_containers(options: Options) -> int:
    """`stop`: ask them to end, and make them after the grace."""
    state.require_root()

    def stop(text: str) -> None:
        stop_one(store.find(text), options.time)
        print(text)

    for_each(options.operands, stop)
    return 0


def stop_one(stored: Stored, seconds: float | None) -> None:
    """Stop a container; seconds: its grace, None for its usual one."""
    usual = stored.settings.get("stop_timeout")
    wanted = seconds if seconds is not None else usual if usual is not None else GRACE
    process.stop(stored, None if wanted == FOR_EVER else wanted)


def kill_containers(options: Options) -> int:
    """`kill`: send a signal, SIGKILL if none is given."""
    state.require_root()
    signal = parse_signal(options.signal or "KILL")

    def kill(text: str) -> None:
        stored = store.find(text)
        if signal == SIGKILL and stored.is_watched():
            process.stop(stored, 0)  # it is not to be restarted, either
        else:
            process.send_signal(stored, signal)
        print(text)

    for_each(options.operands, kill)
    return 0


def wait_for_containers(options: Options) -> int:
    """`wait`: until they have ended; prints their exit codes."""
    for_each(options.operands, lambda text: print(process.wait_for_end(store.find(text)), flush=True))
    return 0


def remove_containers(options: Options) -> int:
    """`rm`: remove containers that do not run; with -f, end them first."""
    state.require_root()

    def remove(text: str) -> None:
        stored = store.find_to_remove(text)
        try:
            if options.force:
                process.stop(stored, 0)
            store.remove(stored)
        except store.GoneError:  # by somebody else, just now
            pass
        print(text)

    for_each(options.operands, remove)
    return 0


def rename_container(options: Options) -> int:
    """`rename`: another name for a container."""
    state.require_root()
    old, new = options.operands
    names.rename(store.find(old).id, new)
    return 0


def attach(options: Options) -> int:
    """`attach`: look at a container and type into it; its exit code."""
    state.require_root()
    from ch05_lifecycle import attach as attaching

    return attaching.attach(store.find(options.operands[0]))


def commit_container(options: Options) -> int:
    """`commit` and `export` know containers by name, too."""
    options.operands[0] = store.find(options.operands[0]).id
    return image_commands.commit_container(options)


def export_container(options: Options) -> int:
    """`export`, of a container by name or id."""
    options.operands[0] = store.find(options.operands[0]).id
    return image_commands.export_container(options)


COMMANDS = {
    "attach": CliCommand("Look at a container and type into it; ctrl-p ctrl-q leaves.", [], "CONTAINER", attach),
    "stop": CliCommand("Stop containers.", [TIME], "CONTAINER ...", stop_containers),
    "kill": CliCommand(
        "Send a signal to containers.",
        [Flag("-s", "--signal", value="SIGNAL", help="default: KILL")],
        "CONTAINER ...",
        kill_containers,
    ),
    "wait": CliCommand("Wait for the end of containers.", [], "CONTAINER ...", wait_for_containers),
    "rm": CliCommand(
        "Remove containers.",
        [
            Flag("-f", "--force", help="also those that run"),
            Flag("-v", "--volumes", help="with what belongs to them alone (which is removed in any case)"),
        ],
        "CONTAINER ...",
        remove_containers,
    ),
    "rename": CliCommand("Give a container another name.", [], "CONTAINER NAME", rename_container),
    "commit": CliCommand("Make an image of what a container changed.", [], "CONTAINER IMAGE", commit_container),
    "export": CliCommand(
        "Write all files of a container as a tar archive.",
        image_commands.COMMANDS["export"].flags,
        "CONTAINER",
        export_container,
    ),
}
