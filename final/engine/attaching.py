"""`attach`, also to look on only."""

from __future__ import annotations

from ch02_namespaces.command_line import CliCommand, Flag, Options
from ch04_images import state
from ch05_lifecycle import attach, store
from final.engine.refused import DETACH_KEYS, SIG_PROXY


def attach_to_container(options: Options) -> int:
    """`attach`: look at a container and, without --no-stdin, type into it; its exit code."""
    state.require_root()
    SIG_PROXY.check(options)
    stored = store.find(options.operands[0])
    if options.no_stdin:
        stored.settings.update(interactive=False, tty=False)  # for this command: nothing of ours is read
    return attach.attach(stored)


COMMANDS = {
    "attach": CliCommand(
        "Look at a container and type into it; ctrl-p ctrl-q leaves.",
        [Flag("--no-stdin", help="look at it only"), DETACH_KEYS, SIG_PROXY],
        "CONTAINER",
        attach_to_container,
    )
}
