"""A registry, as the distribution-spec 1.1 has it: manifests, blobs and uploads of one repository."""

from __future__ import annotations

import json
import os
import urllib.parse

from ch02_namespaces.errors import EngineError
from final.images.auth import Authorizer
from final.images.digest import digest_of, is_digest, verified
from final.images.documents import INDEXES, LARGEST_MANIFEST, MANIFESTS
from final.images.transport import InterruptedTransferError, Transport, read_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import IO

    from final.images.credentials import Credentials
    from final.images.registries import Endpoint
    from final.images.transport import Response

    Body = bytes | Callable[[], IO[bytes]]

ACCEPT = ", ".join([*sorted(INDEXES), *sorted(MANIFESTS)])
LARGEST_ERROR = 1 << 16  # bytes
MOST_TAGS = 100_000
UPLOAD_CHUNK = 16 << 20  # bytes: what goes up in one request
BINARY = {"Content-Type": "application/octet-stream"}


class Registry:
    """One repository of it. actions: what we want to do there, `pull` or `pull,push`."""

    def __init__(
        self, endpoint: Endpoint, path: str, actions: str = "pull", credentials: Credentials | None = None
    ) -> None:
        self.transport = Transport(endpoint)
        self._path = path
        self._scopes = [f"repository:{path}:{actions}"] if path else []
        self._authorizer = Authorizer(self.transport, credentials)

    def __str__(self) -> str:
        return str(self.transport.endpoint)

    # ---------------------------------------------------------------- pull

    def manifest(self, target: str) -> tuple[bytes, str, str]:
        """A manifest or an index by tag or digest: its bytes, media type, and digest. Raises EngineError."""
        what = f"manifest of {self._path}:{target}"
        with self._send("GET", f"manifests/{target}", {"Accept": ACCEPT}) as response:
            self._expect(response, (200,), what)
            data = read_all(response, what, LARGEST_MANIFEST)
        said = target if is_digest(target) else response.headers.get("Docker-Content-Digest")
        digest = said if is_digest(said) else digest_of(data)
        return verified(what, data, digest), response.headers.get("Content-Type", ""), digest

    def blob(self, digest: str, offset: int = 0) -> Response:
        """The bytes of a blob, from an offset on, to be read and closed. Raises EngineError.

        A registry that does not know ranges (RFC 9110, 14) sends it all: then what we have is skipped.
        """
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        response = self._send("GET", f"blobs/{digest}", headers)
        self._expect(response, (200, 206) if offset else (200,), f"blob {digest}")
        is_rest = response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
        if response.status == 206 and not is_rest:
            response.close()
            raise EngineError(str(self), "it sends another range than the one it was asked for")
        left = offset if response.status == 200 else 0
        while left:
            skipped = response.read(min(left, 1 << 16))
            if not skipped:
                raise InterruptedTransferError("it ended before the part that is missing")
            left -= len(skipped)
        return response

    def tags(self) -> Iterator[str]:
        """All tags, page by page: "Listing Tags". Raises EngineError."""
        url = "tags/list"
        left = MOST_TAGS
        while url:
            with self._send("GET", url) as response:
                self._expect(response, (200,), f"tags of {self._path}")
                fields = json.loads(read_all(response, f"tags of {self._path}", LARGEST_MANIFEST))
            names = fields.get("tags") if isinstance(fields, dict) else None
            for name in names or []:
                left -= 1
                if left < 0 or not isinstance(name, str):
                    raise EngineError(str(self), "its list of tags is endless, or none")
                yield name
            url = _next_page(response.headers.get("Link", ""), self._url(url))

    # ---------------------------------------------------------------- push

    def has_blob(self, digest: str) -> bool:
        """Whether the repository has it."""
        with self._send("HEAD", f"blobs/{digest}") as response:
            if response.status == 404:
                return False
            self._expect(response, (200,), f"blob {digest}")
        return True

    def mount(self, digest: str, source: str) -> str:
        """Have a blob of another repository of this registry put into this one: "Mounting a blob from another
        repository". Empty if that is done; otherwise where it can be uploaded."""
        query = urllib.parse.urlencode({"mount": digest, "from": source})
        return self._begin(f"?{query}", [*self._scopes, f"repository:{source}:pull"])

    def begin_upload(self) -> str:
        """Where a blob can be uploaded."""
        place = self._begin("", self._scopes)
        if not place:
            raise EngineError(str(self), "it takes a blob that it has not got")
        return place

    def _begin(self, query: str, scopes: Sequence[str]) -> str:
        headers = {"Content-Length": "0"}
        with self._send("POST", f"blobs/uploads/{query}", headers, b"", scopes) as response:
            self._expect(response, (201, 202) if query else (202,), "upload")
        return "" if response.status == 201 else self._location(response, self._url(f"blobs/uploads/{query}"))

    def upload(self, place: str, path: str, digest: str, progress: Callable[[int], None]) -> None:
        """Upload a blob from a file: in one request, or a large one piece by piece. Raises EngineError."""
        size = os.path.getsize(path)
        sent = 0
        with open(path, "rb") as file:
            while size - sent > UPLOAD_CHUNK:
                piece = file.read(UPLOAD_CHUNK)
                extent = {"Content-Range": f"{sent}-{sent + len(piece) - 1}"}
                with self._send("PATCH", place, {**BINARY, **extent}, piece) as response:
                    self._expect(response, (202,), f"upload of {digest}")
                place = self._location(response, place)
                sent += len(piece)
                progress(sent)
            rest = file.read()
        extent = {"Content-Range": f"{sent}-{size - 1}"} if sent else {}
        joint = "&" if urllib.parse.urlsplit(place).query else "?"
        url = f"{place}{joint}digest={urllib.parse.quote(digest)}"
        with self._send("PUT", url, {**BINARY, **extent}, rest) as response:
            self._expect(response, (201,), f"upload of {digest}")
        progress(size)

    def put_manifest(self, target: str, data: bytes, media_type: str) -> None:
        """Upload a manifest; its blobs are there. Raises EngineError."""
        with self._send("PUT", f"manifests/{target}", {"Content-Type": media_type}, data) as response:
            self._expect(response, (201,), f"manifest of {self._path}:{target}")

    def check_login(self) -> str:
        """Raise EngineError unless the registry knows who we are. An identity token, if it hands one out."""
        with self._send("GET", self.transport.url("/v2/")) as response:
            self._expect(response, (200,), "login")
        return self._authorizer.token

    # ---------------------------------------------------------------- requests

    def _url(self, place: str) -> str:
        """place: below the repository; or a URL, which the registry has told us."""
        return place if "://" in place else self.transport.url(f"/v2/{self._path}/{place}")

    def _send(
        self,
        method: str,
        place: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        scopes: Sequence[str] | None = None,
    ) -> Response:
        """A request, made again when the registry has asked who we are. We say so to the registry itself alone."""
        url = self._url(place)
        wanted = self._scopes if scopes is None else scopes
        known = self._authorizer.header(wanted) if self.transport.is_own(url) else ""
        response = self.transport.request(method, url, headers, body, known)
        challenge = response.headers.get("WWW-Authenticate")
        if response.status != 401 or not challenge or not self.transport.is_own(url):
            return response
        response.close()
        fresh = self._authorizer.answer(challenge, url, wanted, known)
        if not fresh or fresh == known:
            raise EngineError(str(self), "it wants to know who we are", f"`login {self.transport.endpoint.name}`")
        return self.transport.request(method, url, headers, body, fresh)

    def _location(self, response: Response, base: str) -> str:
        """Where an upload goes on: "Pushing blobs". It may be relative, and elsewhere, but then over TLS."""
        target = response.headers.get("Location")
        if not target:
            raise EngineError(str(self), "it does not say where to upload to")
        url = urllib.parse.urljoin(base, target)
        if not self.transport.is_own(url) and not url.startswith("https://"):
            raise EngineError(str(self), f"it sends an upload to {url[:200]!r}, where we do not go")
        return url

    def _expect(self, response: Response, wanted: Sequence[int], what: str) -> None:
        """Raise EngineError for another status, with what the registry says about it."""
        if response.status in wanted:
            return
        said = _reason(read_all(response, what, LARGEST_ERROR)) or f"HTTP status {response.status}"
        hints = {
            401: f"`login {self.transport.endpoint.name}`",
            403: f"may you? `login {self.transport.endpoint.name}`",
            404: "is the name right?",
            429: "too many requests: later, or after a `login`",
        }
        raise EngineError(f"{self}: {what}", said, hints.get(response.status, ""))


def _reason(data: bytes) -> str:
    """What the body of a refusal says: "Error Codes". Nothing that a terminal would obey."""
    try:
        first = json.loads(data)["errors"][0]
        text = f"{first.get('message') or first.get('code')}"
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""
    return "".join(filter(str.isprintable, text))[:200]


def _next_page(link: str, base: str) -> str:
    """RFC 8288: <URL>; rel="next". At the same place only."""
    target, _, rest = link.partition(">")
    if not target.startswith("<") or 'rel="next"' not in rest:
        return ""
    url = urllib.parse.urljoin(base, target[1:])
    return url if urllib.parse.urlsplit(url)[:2] == urllib.parse.urlsplit(base)[:2] else ""
