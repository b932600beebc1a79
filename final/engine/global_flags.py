"""Flags before the command, as in `docker --config DIRECTORY login`: what each of them means without a daemon."""

from __future__ import annotations

import os

from ch02_namespaces.command_line import Flag, parse
from final.engine.refused import Refused

NO_DAEMON = "there is no daemon to choose"
HINT = "MYDOCKER_ROOT chooses the state directory"
FLAGS = [
    Flag("--config", value="DIRECTORY", help="where the passwords of registries are (default: ~/.docker)"),
    Flag("-D", "--debug", help="show where an error comes from"),
    Flag("-l", "--log-level", value="LEVEL", help="nothing is logged but what you see"),
    *(Refused(*names, why=NO_DAEMON, hint=HINT) for names in (("-H", "--host"), ("-c", "--context"))),
]
NAMES = {name for flag in FLAGS for name in flag.names}


def taken(arguments: list[str]) -> list[str]:
    """Do what those in front say; the command line without them. Raises EngineError."""
    if not arguments or arguments[0].partition("=")[0] not in NAMES:
        return arguments
    options = parse(FLAGS, arguments, "COMMAND ...")
    if options.config is not None:
        os.environ["DOCKER_CONFIG"] = options.config
    if options.debug:
        os.environ["MYDOCKER_DEBUG"] = "1"
    return options.operands
