"""Who we are to registries: Docker's own file, so that a login with Docker, podman or us is one for all.

$DOCKER_CONFIG/config.json, by default ~/.docker/config.json, holds `auths`: by registry, USER:PASSWORD in base64; or it
names helpers, programs docker-credential-NAME, which keep that better (`credsStore`, `credHelpers`).
Source: Docker's docs, "docker login", "Credential stores", and github.com/docker/docker-credential-helpers.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import subprocess

from ch02_namespaces.errors import EngineError
from ch02_namespaces.locks import locked
from final.images.reference import DEFAULT_HOST
from final.images.registries import SERVERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KEYS = dict.fromkeys((DEFAULT_HOST, SERVERS[DEFAULT_HOST]), "https://index.docker.io/v1/")
TOKEN_USER = "<token>"  # what helpers call the user where the secret is an identity token
SECONDS_FOR_HELPER = 60


class Credentials:
    """user and password; or token, an identity token (OAuth2's refresh token) that stands for both."""

    def __init__(self, user: str, password: str, token: str = "") -> None:
        self.user = user
        self.password = password
        self.token = token

    @property
    def basic(self) -> str:
        """For the header Authorization: RFC 7617."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def find(host: str) -> Credentials | None:
    """What is kept for a registry; None if nothing is. Raises EngineError for a file or helper that does not work."""
    config = _read()
    key = KEYS.get(host, host)
    helper = _helper(config, key)
    if helper:
        return _from_helper(helper, key)
    auths = config.get("auths")
    entries = auths if isinstance(auths, dict) else {}
    for name in (key, host, f"https://{host}", f"https://{host}/v1/", f"https://{host}/v2/"):
        if isinstance(entries.get(name), dict):
            return _of_entry(host, entries[name])
    return None


def keep(host: str, credentials: Credentials) -> str:
    """Remember what a login was good for; where. Raises EngineError."""
    key = KEYS.get(host, host)
    helper = _helper(_read(), key)
    if helper:
        user, secret = (
            (TOKEN_USER, credentials.token) if credentials.token else (credentials.user, credentials.password)
        )
        _run_helper(helper, "store", json.dumps({"ServerURL": key, "Username": user, "Secret": secret}))
        return f"docker-credential-{helper}"
    entry = {"auth": base64.b64encode(f"{credentials.user}:{credentials.password}".encode()).decode()}
    if credentials.token:
        entry = {"auth": base64.b64encode(f"{credentials.user}:".encode()).decode(), "identitytoken": credentials.token}
    _change(key, entry)
    return _path()


def forget(host: str) -> bool:
    """Remove what is kept for a registry; whether there was something. Raises EngineError."""
    config = _read()
    key = KEYS.get(host, host)
    helper = _helper(config, key)
    if helper:
        known = _from_helper(helper, key) is not None
        if known:
            _run_helper(helper, "erase", key)
        return known
    known = isinstance(config.get("auths"), dict) and key in config["auths"]
    if known:
        _change(key, None)
    return known


# ---------------------------------------------------------------- the file


def _path() -> str:
    directory = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    return f"{directory}/config.json"


def _read() -> dict[str, Any]:
    try:
        with open(_path(), encoding="utf-8") as file:
            found = json.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise EngineError(_path(), str(error)) from None
    if not isinstance(found, dict):
        raise EngineError(_path(), "it is no JSON object")
    return found


def _of_entry(host: str, entry: dict[str, Any]) -> Credentials | None:
    try:
        user, _, password = base64.b64decode(entry.get("auth") or "").decode().partition(":")
    except (ValueError, TypeError):
        raise EngineError(
            _path(), f"`auth` of {host} is no USER:PASSWORD in base64", "`login` writes it anew"
        ) from None
    token = entry.get("identitytoken")
    found = Credentials(user, password, token if isinstance(token, str) else "")
    return found if found.user or found.token else None


def _change(key: str, entry: dict[str, str] | None) -> None:
    """Put an entry in or take it out. Others change the file, too: the lock of its directory keeps ours apart."""
    path = _path()
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    temporary = f"{path}.{os.getpid()}.new"
    try:
        with locked(os.path.dirname(path), fcntl.LOCK_EX):
            config = _read()
            auths = config.setdefault("auths", {})
            if entry is None:
                auths.pop(key, None)
            else:
                auths[key] = entry
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(config, file, indent="\t")
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, path)
    except OSError as error:
        raise EngineError(path, str(error.strerror)) from None
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


# ---------------------------------------------------------------- helpers


def _helper(config: dict[str, Any], key: str) -> str:
    """The name of the program that keeps what is meant for a registry; empty if the file does."""
    helpers = config.get("credHelpers")
    name = (helpers.get(key) if isinstance(helpers, dict) else None) or config.get("credsStore") or ""
    if not isinstance(name, str) or "/" in name or "\0" in name:
        raise EngineError(_path(), f"{name!r} is no name of a credential helper")
    return name


def _from_helper(helper: str, key: str) -> Credentials | None:
    said = _run_helper(helper, "get", key)
    if said is None:
        return None
    try:
        found = json.loads(said)
        user, secret = str(found["Username"]), str(found["Secret"])
    except (ValueError, TypeError, KeyError):
        raise EngineError(f"docker-credential-{helper}", "it did not answer with Username and Secret") from None
    return Credentials("", "", secret) if user == TOKEN_USER else Credentials(user, secret)


def _run_helper(helper: str, action: str, text: str) -> str | None:
    """What it says; None if it knows nothing of that registry. Raises EngineError."""
    program = f"docker-credential-{helper}"
    try:
        ended = subprocess.run(
            [program, action], input=text, capture_output=True, text=True, timeout=SECONDS_FOR_HELPER, check=False
        )
    except FileNotFoundError:
        raise EngineError(program, "there is no such program", f"{_path()} names it") from None
    except subprocess.TimeoutExpired:
        raise EngineError(program, f"it did not answer in {SECONDS_FOR_HELPER} s") from None
    if ended.returncode == 0:
        return ended.stdout
    said = (ended.stdout + ended.stderr).strip()
    if action == "get" and "credentials not found" in said:
        return None
    raise EngineError(f"{program} {action}", said[:200] or f"exit code {ended.returncode}")
