"""`logs`, with --details: before each line the labels and variables that --log-opt labels=… and env=… ask for."""

from __future__ import annotations

from ch02_namespaces.command_line import CliCommand, Flag, Options
from ch05_lifecycle import listings, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch05_lifecycle.store import Stored


def show_logs(options: Options) -> int:
    """`logs`: chapter 5's."""
    details = details_of(store.find(options.operands[0])) if options.details else ""
    return listings.show_logs(options, f"{details} ".encode() if details else b"")


def details_of(stored: Stored) -> str:
    """Such as NAME=VALUE,tier=back."""
    found: dict[str, str] = {}
    for wanted, kind in (("log_labels", "labels"), ("log_env", "environment")):
        known = stored.settings.get(kind) or {}
        found |= {name: known[name] for name in stored.settings.get(wanted) or [] if name in known}
    return ",".join(f"{name}={value}" for name, value in sorted(found.items()))


EARLIER = listings.COMMANDS["logs"]
COMMANDS = {
    "logs": CliCommand(
        EARLIER.summary,
        [*EARLIER.flags, Flag("--details", help="with the labels and variables of --log-opt labels= and env=")],
        EARLIER.operands,
        show_logs,
    )
}
