"""What is looked at to know whether a container is well: HEALTHCHECK of its image, and --health-… over it.

It is kept as images have it, and as `inspect` shows it; what is missing or 0 is as DEFAULTS say:

    {"Test": ["CMD", PROGRAM, …] or ["CMD-SHELL", LINE] or ["NONE"], "Retries": how many failures in a row are too many,
     "Interval", "Timeout", "StartPeriod", "StartInterval": nanoseconds}

Sources: Docker's "Dockerfile reference", HEALTHCHECK; "docker run", --health-cmd; the image specification of Docker.
"""

from __future__ import annotations

from ch02_namespaces.command_line import Flag, Options, whole_number
from ch02_namespaces.errors import EngineError
from ch07_practice.oci.document import Node
from final.engine import durations
from final.engine.durations import SECOND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ch04_images.images import Image
    from ch05_lifecycle.store import Stored

NONE, CMD, CMD_SHELL = "NONE", "CMD", "CMD-SHELL"
DEFAULTS = {
    "Interval": 30 * SECOND,
    "Timeout": 30 * SECOND,
    "StartPeriod": 0,
    "StartInterval": 5 * SECOND,
    "Retries": 3,
}
SHORTEST = SECOND // 1000  # Docker takes none that is shorter
MOST_RETRIES = (1 << 31) - 1
SHELL = ["/bin/sh", "-c"]


def length(text: str) -> int:
    """For Flag.convert: nanoseconds. Raises EngineError."""
    found = durations.nanoseconds(text)
    if 0 < found < SHORTEST:
        raise EngineError(repr(text), "it is shorter than 1ms")
    return found


def retries(text: str) -> int:
    """For Flag.convert. Raises EngineError."""
    found = whole_number(text)
    if not 0 <= found <= MOST_RETRIES:
        raise EngineError(repr(text), f"it is not from 0 to {MOST_RETRIES}")
    return found


FLAGS = [
    Flag("--health-cmd", value="COMMAND", help="what a shell inside runs to see whether it is healthy"),
    Flag("--health-interval", value="TIME", convert=length, help="between two looks (default: 30s)"),
    Flag("--health-timeout", value="TIME", convert=length, help="how long a look may take (default: 30s)"),
    Flag("--health-retries", value="N", convert=retries, help="failures in a row that make it unhealthy (default: 3)"),
    Flag("--health-start-period", value="TIME", convert=length, help="in which failures do not count (default: 0s)"),
    Flag("--health-start-interval", value="TIME", convert=length, help="between two looks in it (default: 5s)"),
    Flag("--no-healthcheck", help="look at nothing, whatever the image says"),
]


def field_of(flag: Flag) -> str:
    """What an image calls the value of a flag: health_start_period is StartPeriod."""
    return "".join(word.capitalize() for word in flag.option.removeprefix("health_").split("_"))


def check(options: Options) -> None:
    """Raise EngineError for flags that contradict each other."""
    if options.no_healthcheck and any(getattr(options, flag.option) is not None for flag in FLAGS[:-1]):
        raise EngineError("--no-healthcheck", "it does not go together with --health-… flags")


def wanted(image: Image, options: Options) -> dict[str, Any] | None:
    """What the user wants, over what the image says. None if nobody has said anything. Raises EngineError for an image
    whose health check makes no sense."""
    if options.no_healthcheck:
        return {"Test": [NONE]}
    said = {field_of(flag): value for flag in FLAGS[1:-1] if (value := getattr(options, flag.option))}
    if options.health_cmd:
        said["Test"] = [CMD_SHELL, options.health_cmd]
    return {**_of_image(image), **said} or None


def _of_image(image: Image) -> dict[str, Any]:
    node = Node(image.config.get("Healthcheck"), "Healthcheck")
    try:
        found: dict[str, Any] = {name: node[name].number(0, most=durations.LONGEST) for name in DEFAULTS}
        found["Test"] = _test(node["Test"])
        found["Retries"] = node["Retries"].number(0, most=MOST_RETRIES)
    except EngineError as error:
        place = error.what.rpartition(" ")[2]
        raise EngineError(f"image {image.name}: {place}", error.why, "--no-healthcheck goes without") from None
    return {name: value for name, value in found.items() if value}


def _test(node: Node) -> list[str]:
    words = node.texts()
    if not words:
        return []
    kind = node.items()[0].one_of((NONE, CMD, CMD_SHELL))
    if (kind == CMD and len(words) < 2) or (kind == CMD_SHELL and len(words) != 2):
        raise node.wrong("it names no command")
    return words


class HealthCheck:
    """The health check of a container. argv: its command; the rest is in nanoseconds."""

    def __init__(self, argv: list[str], said: dict[str, Any]) -> None:
        found = {name: said.get(name) or value for name, value in DEFAULTS.items()}
        self.argv = argv
        self.interval: int = max(found["Interval"], SHORTEST)
        self.timeout: int = max(found["Timeout"], SHORTEST)
        self.start_period: int = found["StartPeriod"]
        self.start_interval: int = max(found["StartInterval"], SHORTEST)
        self.retries: int = found["Retries"]


def of(stored: Stored) -> HealthCheck | None:
    """That of a container; None if it has none."""
    said: dict[str, Any] = stored.settings.get("healthcheck") or {}
    kind, *words = said.get("Test") or [NONE]
    if kind == NONE:
        return None
    if kind == CMD_SHELL:
        words = [*(stored.settings["image_config"].get("Shell") or SHELL), *words]
    return HealthCheck(words, said)
