"""HTTP as registries need it: TLS, redirects, patience. RFC 9110; urllib3 does the protocol.

Nobody who redirects us learns who we are: what a request says of its sender goes to the origin that it was made for.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import urllib.parse
import urllib.request

import urllib3
import urllib3.exceptions

from ch02_namespaces import explain
from ch02_namespaces.errors import EngineError, one_line
from final.images.registries import is_loopback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO

    from final.images.registries import Endpoint

Response = urllib3.BaseHTTPResponse

MOST_REDIRECTS = 5
MOST_ATTEMPTS = 5
LONGEST_PAUSE = 30.0  # seconds between attempts, whatever Retry-After says
FIRST_PAUSE = 0.5
TIMEOUT = urllib3.Timeout(connect=15, read=60)
TRY_AGAIN = frozenset((429, 500, 502, 503, 504))
REDIRECTS = frozenset((301, 302, 303, 307, 308))
AGENT = "mydocker"
CONNECTIONS = 8


class InterruptedTransferError(Exception):
    """The connection broke while a body came: the rest can be asked for."""


class Transport:
    """Requests to one endpoint, and to where it redirects. Threads may share it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._open: set[Response] = set()

    def url(self, path: str) -> str:
        """The URL of something at the endpoint. Raises EngineError if nothing answers there."""
        return f"{self._scheme()}://{self.endpoint.host}{self.endpoint.path}{path}"

    def is_own(self, url: str) -> bool:
        """Whether a URL is at the endpoint's own origin."""
        return origin(url) == origin(self.url(""))

    def cancel(self) -> None:
        """Let no request begin any more, and break off the bodies that are being read."""
        self._cancelled.set()
        for response in list(self._open):
            with contextlib.suppress(OSError, ValueError, RuntimeError):  # it has just ended
                response.shutdown()

    def is_cancelled(self) -> bool:
        """Whether somebody has cancelled."""
        return self._cancelled.is_set()

    def opened(self, response: Response) -> Response:
        """A body is going to be read, and cancel() may break that off until closed()."""
        self._open.add(response)
        return response

    def closed(self, response: Response) -> None:
        """It has been read: its connection can be used again. Or not to the end: then it is closed."""
        self._open.discard(response)
        end(response)

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | IO[bytes] | None = None,
        authorization: str = "",
    ) -> Response:
        """Make a request, and follow redirects; the response, whose body has not been read. authorization: for the
        origin of this URL alone. Raises EngineError."""
        home = origin(url)
        for _ in range(MOST_REDIRECTS + 1):
            mine = {"Authorization": authorization} if authorization and origin(url) == home else {}
            response = self._patiently(method, url, {**(headers or {}), **mine}, body)
            target = response.headers.get("Location")
            if response.status not in REDIRECTS or not target or method not in ("GET", "HEAD"):
                return response
            response.close()
            url = self._redirected(url, target)
        raise EngineError(str(self.endpoint), f"it redirects more than {MOST_REDIRECTS} times")

    def _redirected(self, url: str, target: str) -> str:
        """Where a redirect leads. Never from https to http, and http stays on this machine."""
        try:
            new = urllib.parse.urljoin(url, target)
            scheme, host = urllib.parse.urlsplit(new)[:2]
        except ValueError:  # such as http://[
            raise EngineError(str(self.endpoint), f"it redirects to {target[:200]!r}, which is no URL") from None
        allowed = scheme == "https" or (scheme == "http" and url.startswith("http:") and self._may_speak_http(host))
        if not allowed or "@" in host:
            raise EngineError(str(self.endpoint), f"it redirects to {new[:200]!r}, where we do not go")
        return new

    def _may_speak_http(self, host: str) -> bool:
        return is_loopback(host) or self.endpoint.insecure

    def _patiently(self, method: str, url: str, headers: Mapping[str, str], body: bytes | IO[bytes] | None) -> Response:
        """One request, made again when that may help; not if its body is a file, which has been read."""
        attempts = MOST_ATTEMPTS if body is None or isinstance(body, bytes) else 1
        pause = FIRST_PAUSE
        for left in reversed(range(attempts)):
            if self._cancelled.is_set():
                raise EngineError(str(self.endpoint), "interrupted")
            try:
                response = self._once(method, url, headers, body)
            except (urllib3.exceptions.ProtocolError, urllib3.exceptions.ReadTimeoutError) as error:
                if not left or not _may_pass(error):
                    raise EngineError(str(self.endpoint), plainly(error)) from None
                wait = pause
            else:
                if response.status not in TRY_AGAIN or not left:
                    return response
                wait = retry_after(response.headers.get("Retry-After"), pause)
                response.close()
            self._cancelled.wait(min(wait, LONGEST_PAUSE))
            pause *= 2
        raise AssertionError("the last attempt returns or raises")

    def _once(self, method: str, url: str, headers: Mapping[str, str], body: bytes | IO[bytes] | None) -> Response:
        try:
            response = self._pool(url).request(
                method,
                url,
                headers={"User-Agent": AGENT, "Accept-Encoding": "identity", **headers},
                body=body,
                preload_content=False,
                decode_content=False,
                redirect=False,
                retries=False,
            )
            explain.tell_call(f"{method} {one_line(url.partition('?')[0])}", response.status)
            return response
        except urllib3.exceptions.SSLError as error:
            hint = f"its certificate authority: /etc/docker/certs.d/{self.endpoint.host}/ca.crt"
            raise EngineError(str(self.endpoint), plainly(error), hint) from None
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as error:
            raise EngineError(str(self.endpoint), plainly(error), "is the name right, and the network up?") from None
        except (urllib3.exceptions.LocationValueError, urllib3.exceptions.ProxyError) as error:
            raise EngineError(str(self.endpoint), plainly(error)) from None

    # ---------------------------------------------------------------- connections

    def _scheme(self) -> str:
        """https, unless the endpoint may speak http and does not understand the beginning of TLS."""
        with self._lock:
            if not self.endpoint.scheme:
                self.endpoint.scheme = "https" if self._speaks_tls() else "http"
        return self.endpoint.scheme

    def _speaks_tls(self) -> bool:
        url = f"https://{self.endpoint.host}/v2/"
        try:
            self._pool(url).request("GET", url, retries=False, redirect=False, preload_content=False).close()
        except urllib3.exceptions.SSLError as error:
            return "CERTIFICATE_VERIFY_FAILED" in str(error)  # it is TLS; the request proper tells the user
        except (urllib3.exceptions.ProtocolError, urllib3.exceptions.ReadTimeoutError):
            return False
        except urllib3.exceptions.HTTPError as error:
            raise EngineError(str(self.endpoint), plainly(error), "is the name right, and the network up?") from None
        return True

    def _pool(self, url: str) -> urllib3.PoolManager:
        """One for the endpoint and all that it redirects to; through the proxy that the environment names."""
        parts = urllib.parse.urlsplit(url)
        proxies = {} if is_loopback(parts.netloc) else urllib.request.getproxies()
        proxy = "" if urllib.request.proxy_bypass(parts.hostname or "") else proxies.get(parts.scheme, "")
        if proxy not in self._pools:
            context = self._tls()
            make = urllib3.ProxyManager if proxy else urllib3.PoolManager
            place = {"proxy_url": proxy} if proxy else {}
            self._pools[proxy] = make(**place, ssl_context=context, timeout=TIMEOUT, maxsize=CONNECTIONS)  # type: ignore[arg-type]
        return self._pools[proxy]

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        try:
            for file in self.endpoint.ca:
                context.load_verify_locations(file)
        except OSError as error:
            raise EngineError(f"certificates for {self.endpoint.host}: {file}", str(error)) from None
        if self.endpoint.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # the user has said so
        return context


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: RFC 6454."""
    parts = urllib.parse.urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        raise EngineError(f"URL {url[:200]!r}", "its port is no number") from None
    return parts.scheme, parts.hostname or "", port or {"https": 443, "http": 80}.get(parts.scheme, 0)


def _may_pass(error: Exception) -> bool:
    """Whether it was the network, and not an answer that we do not understand."""
    reason = error.args[-1] if error.args else None
    return isinstance(error, urllib3.exceptions.ReadTimeoutError) or isinstance(reason, OSError)


def retry_after(text: str | None, otherwise: float) -> float:
    """Seconds to wait: RFC 9110, 10.2.3; a date counts as nothing said."""
    return float(text) if text and text.isascii() and text.isdecimal() and len(text) < 6 else otherwise


def read_all(response: Response, what: str, most: int) -> bytes:
    """The whole body. Raises EngineError if it is larger than `most` bytes, or breaks off."""
    try:
        data = response.read(most + 1)
    except urllib3.exceptions.HTTPError as error:
        raise EngineError(what, plainly(error)) from None
    finally:
        end(response)
    if len(data) > most:
        raise EngineError(what, f"it has more than {most} bytes")
    return data


def end(response: Response) -> None:
    """Give the connection back if all has been read, or close it."""
    if response.length_remaining != 0:
        response.close()
    response.release_conn()


def read_some(response: Response, size: int) -> bytes:
    """At most `size` bytes of a body; none at its end. Raises InterruptedTransferError."""
    try:
        return response.read(size)
    except urllib3.exceptions.HTTPError as error:
        raise InterruptedTransferError(plainly(error)) from None


def plainly(error: Exception) -> str:
    """What urllib3 says, without the objects that it names."""
    while isinstance(error, urllib3.exceptions.MaxRetryError) and error.reason:
        error = error.reason
    text = str(error.args[-1] if error.args and isinstance(error.args[-1], Exception) else error)
    for end in (">: ", "): "):  # of an object, as its versions write them
        text = text.rpartition(end)[2]
    return text or type(error).__name__
