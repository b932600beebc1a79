"""What the command line wants of a build, and what a stage is so far."""

from __future__ import annotations

from ch03_run.command import DEFAULT_PATH
from final.build import configuration
from final.images.documents import format_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ch04_images.images import Image
    from final.build.secrets import Secret
    from final.images.platform import Platform

PROXIES = frozenset(
    spelled for word in ("http", "https", "ftp", "no", "all") for spelled in (f"{word}_proxy", f"{word}_proxy".upper())
)
"""Arguments that need no ARG, and decide nothing that is kept."""


class Wishes:
    """arguments: --build-arg; labels: --label; network: of RUN, empty for the usual one; platform: of an image
    from scratch; bring: finds the image of FROM by its name and platform, and pulls it if need be; secrets: --secret,
    and agents: --ssh, the paths of their sockets, both by id; limits: options of running.OF_RUN, by name."""

    def __init__(
        self,
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
        network: str,
        use_cache: bool,
        platform: Platform,
        bring: Callable[[str, str], Image],
        secrets: Mapping[str, Secret],
        agents: Mapping[str, str],
        limits: Mapping[str, Any],
    ) -> None:
        self.arguments = dict(arguments)
        self.labels = dict(labels)
        self.network = network
        self.use_cache = use_cache
        self.platform = platform
        self.bring = bring
        self.secrets = dict(secrets)
        self.agents = dict(agents)
        self.limits = dict(limits)

    @property
    def proxies(self) -> dict[str, str]:
        """The arguments that every command has."""
        return {name: value for name, value in self.arguments.items() if name in PROXIES}


class Built:
    """A stage. name: of the image that it began with; diff_ids: of its layers; created: when the last of them was made;
    arguments: of ARG, with their values; has_command: whether a CMD of its own is in it."""

    def __init__(self, name: str, platform: Platform) -> None:
        self.name = name
        self.platform = platform
        self.config: dict[str, Any] = {}
        self.diff_ids: list[str] = []
        self.history: list[dict[str, Any]] = []
        self.created = 0
        self.author = ""
        self.arguments: dict[str, str] = {}
        self.has_command = False

    def copy(self) -> Built:
        """What a stage begins with that stands on this one: its arguments, too."""
        found = Built(self.name, self.platform)
        found.config, found.arguments = dict(self.config), dict(self.arguments)
        found.diff_ids, found.history = list(self.diff_ids), list(self.history)
        found.created, found.author = self.created, self.author
        return found

    @property
    def variables(self) -> dict[str, str]:
        """What $NAME is: ENV counts before ARG. Without a PATH of the image, it is that which commands have."""
        return {"PATH": DEFAULT_PATH, **self.arguments, **configuration.environment_of(self.config)}

    @property
    def own_arguments(self) -> dict[str, str]:
        """Arguments that are in the environment of commands: those that no ENV hides."""
        hidden = configuration.environment_of(self.config)
        return {name: value for name, value in self.arguments.items() if name not in hidden}

    @property
    def directory(self) -> str:
        """WORKDIR."""
        return self.config.get("WorkingDir") or "/"

    def tell(self, text: str, is_empty: bool) -> None:
        """One more step of its history. is_empty: it has made no layer."""
        empty = {"empty_layer": True} if is_empty else {}
        self.history.append({"created": format_time(self.created), "created_by": text, **empty})
