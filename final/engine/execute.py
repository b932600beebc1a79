"""`exec` in the full engine: the container's rights, limits and filter count for the new process, too."""

from __future__ import annotations

import os

from ch02_namespaces.command_line import CliCommand, Flag, Options
from ch03_run.container import Part
from ch03_run.isolation import DieWithEngine
from ch04_images import state
from ch05_lifecycle import execute, store
from ch05_lifecycle.environment_file import environment_file
from ch05_lifecycle.execute import EXECUTE_FLAGS, EXECUTE_USAGE, environment_of
from ch05_lifecycle.join_cgroup import JoinCgroup
from ch05_lifecycle.process import open_process
from ch07_practice.oci.document import Node
from ch07_practice.oci.process import WorkingDirectory
from final.engine.defaults import RUNTIME
from final.engine.image_user import ImageUser
from final.engine.joining import join
from final.engine.part_list import replace
from final.engine.pausing import require_awake
from final.engine.refused import DETACH_KEYS
from final.runtime import optional
from final.runtime.attributes import attributes_of
from final.runtime.capabilities import Credentials, every_capability

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ch05_lifecycle.store import Stored


def execute_command(options: Options) -> int:
    """`exec`: one more process in a container; its exit code."""
    state.require_root()
    options.env[:0] = [line for lines in options.env_file for line in lines]
    stored, argv = store.find(options.operands[0]), options.operands[1:]
    require_awake(stored)
    os.close(open_process(stored))  # it runs
    store.tell(stored, f"exec_start: {' '.join(argv)}")
    code = execute.execute_in(stored, argv, options, parts_of)
    if not options.detach:
        store.tell(stored, "exec_die", exitCode=str(code))
    return code


def parts_of(stored: Stored, options: Options, streams: Part) -> list[Part]:
    """What a process in a container consists of, in order."""
    os.close(open_process(stored))  # it runs: only then it has a document
    config = state.read_record(stored.record.path("config.json"))
    described = Node(process_of(stored, config["process"], options), "process")
    attributes = attributes_of(described, Node(config["linux"], "linux"), lambda _: {}, state.make_place(RUNTIME))
    user = options.user or stored.settings["user"] or "0"
    groups = [] if options.user else stored.settings["options"]["group_add"]
    replace(attributes, Credentials, ImageUser(described, user, groups, "HOME" not in environment_of(options)))
    return [
        join(stored),
        JoinCgroup(store.group_of(stored)),
        streams,
        WorkingDirectory(described, must_exist=True),
        *attributes,
        *optional.oom_score(described["oomScoreAdj"]),
        DieWithEngine(),
    ]


def process_of(stored: Stored, first: dict[str, Any], options: Options) -> dict[str, Any]:
    """The document of the new process: that of the container's first one, with what the user wants otherwise."""
    found = {**first, "cwd": options.workdir or stored.settings["directory"] or "/"}
    if options.privileged:
        found["capabilities"] = dict.fromkeys(("bounding", "permitted", "effective"), every_capability())
        found["noNewPrivileges"] = False
    return found


COMMANDS = {
    "exec": CliCommand(
        "Run a command in a container that runs.",
        [
            *EXECUTE_FLAGS,
            Flag("--env-file", value="FILE", convert=environment_file, many=True, help="variables from a file"),
            Flag("--privileged", help="with all rights of root"),
            DETACH_KEYS,
        ],
        EXECUTE_USAGE,
        execute_command,
    )
}
