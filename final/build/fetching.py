"""ADD URL: a file of a web server. It comes into a file of its own, is summed up, and only then is anything made of it.

Source: Docker's "Dockerfile reference", ADD. Requests are made by final/images/transport.py: TLS, proxies, patience.
Redirects are few, lead to web servers alone, and never from https to http.
"""

from __future__ import annotations

import email.utils
import os
import posixpath
import urllib.parse

from ch02_namespaces.errors import EngineError
from ch04_images.tar import Bounds
from final.images import registries, transport
from final.images.digest import Digester

TYPE_CHECKING = False
if TYPE_CHECKING:
    from final.images.transport import Response

WEB = ("http://", "https://")
REPOSITORIES = ("git@", "git://", "ssh://")
CHUNK = 1 << 20  # bytes
LARGEST = Bounds().file  # bytes: of what COPY takes, too
MODE = 0o600  # Docker's, if there is no --chmod
LATEST = 253402300799  # seconds: the end of the year 9999, the last that a date of HTTP can name
FOUND = 200


def is_web(text: str) -> bool:
    """Whether a source of ADD is to be fetched."""
    return text.startswith(WEB)


def is_repository(text: str) -> bool:
    """Whether it is one of git."""
    return text.startswith(REPOSITORIES) or (is_web(text) and text.partition("#")[0].endswith(".git"))


def name_in(url: str) -> str:
    """The name of the file that a URL means, the last of its path; empty if there is none."""
    path = urllib.parse.unquote(_parts(url).path, errors="surrogateescape")
    name = posixpath.basename(path)
    return "" if name in (".", "..") or "\0" in name else name


def fetch(url: str, path: str, algorithm: str) -> str:
    """Fetch a file into a new one; its digest. It has the mode 0600, and the time of Last-Modified or of 1970. Raises
    EngineError, OSError."""
    web = _Web(url)
    try:
        response = web.request("GET", url)
    except ValueError as error:
        raise EngineError(url, f"it redirects to what is no URL: {error}") from None
    try:
        if response.status != FOUND:
            raise EngineError(url, f"the server answers {response.status} {response.reason or ''}".rstrip())
        digest = _write(response, url, path, algorithm)
    finally:
        transport.end(response)
    time = _time(response.headers.get("Last-Modified", ""))
    os.utime(path, (time, time))
    return digest


def _write(response: Response, url: str, path: str, algorithm: str) -> str:
    total = Digester(algorithm)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE), "wb") as file:
        try:
            while piece := transport.read_some(response, CHUNK):
                total.update(piece)
                if total.size + (response.length_remaining or 0) > LARGEST:
                    raise EngineError(url, f"it has more than {LARGEST >> 30} GiB")
                file.write(piece)
        except transport.InterruptedTransferError as error:
            raise EngineError(url, f"the answer broke off after {total.size} bytes: {error}") from None
    return total.digest


def _time(text: str) -> int:
    """A date of HTTP in seconds since 1970; 0 for what is none."""
    parsed = email.utils.parsedate_tz(text)
    try:
        return min(max(int(email.utils.mktime_tz(parsed)), 0), LATEST) if parsed else 0
    except (ValueError, OverflowError):
        return 0


def _parts(url: str) -> urllib.parse.SplitResult:
    try:
        found = urllib.parse.urlsplit(url)
    except ValueError as error:
        raise EngineError(url, str(error)) from None
    if not found.hostname or "@" in found.netloc:
        raise EngineError(url, "its host is missing, or comes with a password", "http://HOST/PATH")
    return found


class _Web(transport.Transport):
    """Requests to any server. Its certificate may be signed by those whom this machine trusts for a registry there."""

    def __init__(self, url: str) -> None:
        parts = _parts(url)
        trusted = registries.endpoints(parts.netloc)[-1].ca
        super().__init__(_Server(parts.netloc, parts.netloc, "", trusted, False, parts.scheme))

    def _may_speak_http(self, host: str) -> bool:
        return True


class _Server(registries.Endpoint):
    """As messages call it."""

    def __str__(self) -> str:
        return self.host
