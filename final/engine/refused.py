"""What Docker has and this engine does not: who asks for it is told why, and what to do instead."""

from __future__ import annotations

from ch02_namespaces.command_line import Flag
from ch02_namespaces.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ch02_namespaces.command_line import Options


class Refused(Flag):
    """A flag with a value that is refused, whatever it is. why: the reason; hint: what to do instead."""

    def __init__(self, *names: str, why: str, hint: str = "") -> None:
        super().__init__(*names, value="VALUE", help=f"not here: {why}", convert=self._refuse, many=True)
        self._error = EngineError("", why, hint)

    def _refuse(self, _: str) -> object:
        raise self._error


class Fixed(Flag):
    """A switch of which there is but one state. needed: that one; why: what is so, whatever the user says."""

    def __init__(self, *names: str, needed: bool, why: str, hint: str = "") -> None:
        super().__init__(*names, help=why)
        self.needed, self._why, self._hint = needed, why, hint

    def default(self) -> object:
        """So that what was said can be told from what was not."""
        return None

    def check(self, options: Options) -> None:
        """Raise EngineError if the user wants the other state."""
        if getattr(options, self.option) is (not self.needed):
            said = self.names[-1] if not self.needed else f"{self.names[-1]}=false"
            raise EngineError(said, self._why, self._hint)


DETACH_KEYS = Refused("--detach-keys", why="they are ctrl-p ctrl-q")
SIG_PROXY = Fixed("--sig-proxy", needed=True, why="signals always go to the container", hint="-d, and it runs alone")
TRUST = Fixed("--disable-content-trust", needed=True, why="no signatures of images are checked")
BY_NAME = "containers of a network find each other by name"
LINK = Fixed("-l", "--link", needed=False, why=BY_NAME, hint="`network disconnect` ends that")
OF_CREATE = [
    Refused("--link", why=BY_NAME, hint="--network NAME"),
    Refused("--gpus", why="there are no drivers of GPUs", hint="--device /dev/dri/renderD128 gives a device file"),
    Refused("--mac-address", why="it follows from the IP address", hint="--ip"),
    Refused("--link-local-ip", why="the kernel chooses these addresses", hint="--ip"),
    Refused("--storage-opt", why="the storage drivers have no options"),
    Refused("--kernel-memory", why="the kernel has given it up", hint="-m counts the kernel's memory, too"),
    TRUST,
]
OF_NETWORK = [
    Refused("--aux-address", why="addresses are reserved by giving them: run --ip"),
    Refused("--ip-range", why="addresses are given from all of the subnet", hint="--subnet"),
    Refused("--ipam-opt", why="there are no options of it"),
    Refused("--scope", why="it follows from the driver", hint="--driver vxlan spans hosts"),
    Refused("--config-from", why="there are no networks without containers, to be copied from"),
]
OF_CONNECT = [
    Refused("--link", why=BY_NAME, hint="--alias"),
    Refused("--link-local-ip", why="the kernel chooses these addresses", hint="--ip"),
    Refused("--driver-opt", why="the drivers have options for the whole network alone", hint="`network create -o`"),
]
OF_RUN = [DETACH_KEYS, SIG_PROXY]
COMMANDS = {
    "search": ("it is a service of Docker Hub alone", "its web page"),
    "swarm": ("there are no clusters", "networks across hosts: `network create --driver vxlan`"),
    "plugin": ("there are no plugins", ""),
    "context": ("there is no daemon to choose", "MYDOCKER_ROOT chooses the state directory"),
    "trust": ("no signatures of images are checked", "pull by digest: NAME@sha256:…"),
    "buildx": ("there is no BuildKit", "`build`"),
    "compose": ("there are no compose files", "`network create`, and `run --network` for each container"),
    "checkpoint": ("containers are not frozen to disk", "`pause`, `commit`"),
} | dict.fromkeys(("node", "service", "stack", "secret", "config"), ("it belongs to swarm, which is not here", "`run`"))
"""By the command: why there is none, and a hint."""


def check_command(arguments: list[str]) -> None:
    """Raise EngineError for a command that only Docker has."""
    if arguments and arguments[0] in COMMANDS:
        raise EngineError(arguments[0], *COMMANDS[arguments[0]])


def check_flags(flags: Sequence[Flag], options: Options) -> None:
    """Raise EngineError for a switch that cannot be as the user wants it."""
    for flag in flags:
        if isinstance(flag, Fixed) and hasattr(options, flag.option):
            flag.check(options)


def check_streams(attach: Sequence[str]) -> None:
    """Raise EngineError for --attach with one of the two streams alone that a container prints to."""
    if attach and not {"stdout", "stderr"} <= set(attach):
        raise EngineError("--attach", "both that it prints to are shown in any case", "2>/dev/null hides one")
