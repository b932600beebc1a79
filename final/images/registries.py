"""What this machine knows of registries: $MYDOCKER_CONFIG, by default /etc/mydocker/registries.toml.

    [registry."docker.io"]
    mirrors = ["https://mirror.example.org/docker"]   # asked first, in this order; for pull alone
    ca = "/etc/mydocker/company.pem"                  # certificates that may sign the registry's
    insecure = false                                  # true: http, and certificates of anybody

Certificates are found where Docker has them, too: /etc/docker/certs.d/HOST[:PORT]/*.crt. Names are those of images.
"""

from __future__ import annotations

import glob
import os
import urllib.parse

from ch02_namespaces.errors import EngineError
from final.images.reference import DEFAULT_HOST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_FILE = "/etc/mydocker/registries.toml"
DOCKER_CERTIFICATES = "/etc/docker/certs.d"
SERVERS = {DEFAULT_HOST: "registry-1.docker.io"}  # a name whose registry is elsewhere
KEYS = {"mirrors": list, "ca": str, "insecure": bool}


class Endpoint:
    """Where a registry answers.

    name: as images have it; host: with its port; path: before `/v2`, mostly empty; ca: files with certificates, besides
    the system's; insecure: http, and certificates of anybody, will do; scheme: `https`, `http`, or empty as long as we
    do not know.
    """

    def __init__(self, name: str, host: str, path: str, ca: list[str], insecure: bool, scheme: str) -> None:
        self.name = name
        self.host = host
        self.path = path
        self.ca = ca
        self.insecure = insecure
        self.scheme = scheme

    def __str__(self) -> str:
        return f"registry {self.host}"


def is_loopback(host: str) -> bool:
    """Whether a host, with or without a port, is this machine itself: nobody can listen there or answer for it."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    return name == "localhost" or (name.startswith("127.") and name.replace(".", "").isdecimal())


def endpoints(name: str) -> list[Endpoint]:
    """Where to ask for images of a registry: its mirrors, and last the registry itself. Raises EngineError."""
    own = _settings().get(name, {})
    host = SERVERS.get(name, name)
    mirrors = [_mirror(url, own) for url in own.get("mirrors", [])]
    return [
        *mirrors,
        Endpoint(host, host, "", _certificates(name, own), own.get("insecure", False), _scheme(host, own)),
    ]


def _scheme(host: str, settings: dict[str, Any]) -> str:
    """http may be all that is spoken on this machine, or where the user allows it; https is tried first."""
    return "" if is_loopback(host) or settings.get("insecure") else "https"


def _mirror(url: str, own: dict[str, Any]) -> Endpoint:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.netloc or "@" in parts.netloc or parts.query:
        raise EngineError(f"mirror {url!r}", "it is no URL of a registry", "https://HOST[:PORT][/PATH]")
    settings = _settings().get(parts.netloc, own)
    insecure = settings.get("insecure", False)
    if parts.scheme == "http" and not insecure and not is_loopback(parts.netloc):
        raise EngineError(f"mirror {url!r}", "http is for this machine alone", "https, or insecure = true")
    path = parts.path.rstrip("/")
    return Endpoint(parts.netloc, parts.netloc, path, _certificates(parts.netloc, settings), insecure, parts.scheme)


def _certificates(host: str, settings: dict[str, Any]) -> list[str]:
    found = sorted(glob.glob(f"{glob.escape(f'{DOCKER_CERTIFICATES}/{host}')}/*.crt"))
    return [*found, *([settings["ca"]] if "ca" in settings else [])]


def _settings() -> dict[str, dict[str, Any]]:
    """By registry. Raises EngineError for what nobody would understand as it was meant."""
    import tomllib

    path = os.environ.get("MYDOCKER_CONFIG") or DEFAULT_FILE
    try:
        with open(path, "rb") as file:
            found = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise EngineError(path, str(error)) from None
    registries = found.get("registry", {})
    if set(found) - {"registry"} or not isinstance(registries, dict):
        raise EngineError(path, "it has more than [registry.…] tables", '[registry."docker.io"]')
    for name, settings in registries.items():
        if not isinstance(settings, dict):
            raise EngineError(path, f"registry.{name} is no table")
        for key, value in settings.items():
            if key not in KEYS or not isinstance(value, KEYS[key]):
                raise EngineError(path, f"{key!r} of {name} is none of mirrors, ca, insecure, or of another type")
    return dict(registries)
