"""`update`: other limits, or another restart policy, for a container that is there already. Book section 3.2.2.

settings.json says how a container was asked for, and stays. What is changed lies beside it, in changes.json, and counts
from now on: for the limits of one that runs at once, by its cgroup; for all others when it is started the next time.
"""

from __future__ import annotations

import fcntl

from ch02_namespaces.command_line import CliCommand, Options
from ch02_namespaces.errors import EngineError
from ch02_namespaces.locks import locked
from ch04_images import state
from ch04_images.image_commands import for_each
from ch05_lifecycle import store
from ch07_practice.oci.document import Node
from final.engine.limits import resources_of
from final.engine.options import CREATE_FLAGS
from final.runtime import resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ch05_lifecycle.store import Stored

CHANGES = "changes.json"
LIMITS = (
    *("memory", "memory_swap", "memory_reservation", "pids_limit"),
    *("cpus", "cpu_shares", "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime", "cpuset_cpus", "cpuset_mems"),
    "blkio_weight",
)
SUBJECTS = {"memory": "memory", "cpu": "cpu", "pids": "pids", "blkio": "blockIO"}
"""By the beginnings of options: of what in linux.resources they speak."""
EXCLUSIVE = {"cpus": ("cpu_period", "cpu_quota"), "cpu_period": ("cpus",), "cpu_quota": ("cpus",)}
"""Two ways to say the same: the newer word counts."""


def update_containers(options: Options) -> int:
    """`update`: change them."""
    state.require_root()
    wanted = {name: value for name in LIMITS if (value := getattr(options, name)) is not None}
    if not wanted and options.restart is None:
        raise EngineError("update", "there is nothing to change", "such as -m 64m, --cpus 0.5 or --restart always")

    def change(text: str) -> None:
        update(store.find(text), wanted, options.restart)
        print(text)

    for_each(options.operands, change)
    return 0


def update(stored: Stored, limits: dict[str, Any], restart: str | None) -> None:
    """Change a container. limits: by their options; restart: its policy, None leaves it. Raises EngineError; then
    nothing has changed but perhaps some limits of one that runs."""
    with locked(stored.record.path("upper"), fcntl.LOCK_EX):
        stored.forget_settings()
        if restart not in (None, "no") and stored.settings["remove"]:
            raise EngineError("--restart", "it is removed when it ends (--rm)")
        known: dict[str, Any] = stored.settings["options"]
        changed = {**known, **{other: None for name in limits for other in EXCLUSIVE.get(name, ())}, **limits}
        if "memory" in limits and "memory_swap" not in limits and known.get("memory_swap") is None:
            changed["memory_swap"] = None  # twice the memory, as when it was created
        wanted = resources_of(_options(changed))
        if limits and stored.state()["status"] == store.RUNNING:
            resources.update(store.group_of(stored), Node(_only(wanted, limits), "update"))
        policy = restart if restart is not None else stored.settings["restart"]
        state.write_record(stored.record.path(CHANGES), {"options": {**changed, "restart": policy}, "restart": policy})
        stored.forget_settings()
    store.tell(stored, "update")


def _options(values: dict[str, Any]) -> Options:
    options = Options(CREATE_FLAGS)
    for name, value in values.items():
        setattr(options, name, value)
    return options


def _only(wanted: dict[str, Any], limits: dict[str, Any]) -> dict[str, Any]:
    """Of linux.resources, those subjects that are to be changed."""
    subjects = {next(word for prefix, word in SUBJECTS.items() if name.startswith(prefix)) for name in limits}
    return {subject: values for subject, values in wanted.items() if subject in subjects}


COMMANDS = {
    "update": CliCommand(
        "Change what containers may use, and whether they are restarted.",
        [flag for flag in CREATE_FLAGS if flag.option in (*LIMITS, "restart", "kernel_memory")],
        "CONTAINER ...",
        update_containers,
    )
}
