"""`pause` and `unpause`: all processes of a container stand still, by its cgroup. Book section 2.2."""

from __future__ import annotations

import os

from ch02_namespaces.cgroups import GONE
from ch02_namespaces.command_line import CliCommand, Options
from ch02_namespaces.errors import EngineError, SyscallError
from ch04_images import state
from ch05_lifecycle import store
from ch05_lifecycle.process import open_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch05_lifecycle.store import Stored


def pause(options: Options) -> int:
    """`pause`: let containers stand still."""
    return _freeze(options, True)


def unpause(options: Options) -> int:
    """`unpause`: let them go on."""
    return _freeze(options, False)


def _freeze(options: Options, frozen: bool) -> int:
    from ch04_images.image_commands import for_each  # not above: `exec` asks us whether somebody is awake

    state.require_root()

    def freeze(text: str) -> None:
        stored = store.find(text)
        os.close(open_process(stored))  # it runs
        group = store.group_of(stored)
        if group.is_frozen() == frozen:
            raise EngineError(f"container {text!r}", "it is paused already" if frozen else "it is not paused")
        try:
            group.freeze(frozen)
        except SyscallError as error:
            if error.errno not in GONE:
                raise
            raise EngineError(f"container {text!r}", "it has just ended") from None
        store.tell(stored, "pause" if frozen else "unpause")
        print(text)

    for_each(options.operands, freeze)
    return 0


def let_go_on(stored: Stored) -> None:
    """Let a container go on if it is paused: whoever stands still takes no signal, on version 1 not even SIGKILL."""
    group = store.group_of(stored)
    if group.is_frozen():
        group.freeze(False)
        store.tell(stored, "unpause")


def require_awake(stored: Stored) -> None:
    """Raise EngineError for a paused container: what joins it would stand still with it."""
    if store.group_of(stored).is_frozen():
        raise EngineError(f"container {state.short(stored.id)}", "it is paused", "`unpause` it first")


COMMANDS = {
    "pause": CliCommand("Let containers stand still.", [], "CONTAINER ...", pause),
    "unpause": CliCommand("Let paused containers go on.", [], "CONTAINER ...", unpause),
}
