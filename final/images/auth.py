"""How a registry is told who we are: Basic, or a token of its token server.

Sources: distribution's docs, "Token Authentication Specification" and "OAuth2 Token Authentication"; RFC 9110, 11.6.1
(WWW-Authenticate), RFC 6750 (Bearer).
"""

from __future__ import annotations

import re
import threading
import urllib.parse

from ch02_namespaces.errors import EngineError
from final.images import credentials
from final.images.documents import parse_object
from final.images.registries import is_loopback
from final.images.transport import origin, read_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from final.images.credentials import Credentials
    from final.images.transport import Transport

LARGEST_ANSWER = 1 << 20  # bytes
WORD = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))|(\w+)')  # a parameter, or else a scheme
CLIENT = "mydocker"


def parse_challenges(header: str) -> dict[str, dict[str, str]]:
    """What a WWW-Authenticate header asks for: parameters by scheme, `bearer` and `basic`."""
    found: dict[str, dict[str, str]] = {}
    parameters: dict[str, str] = {}
    for key, quoted, plain, scheme in WORD.findall(header):
        if scheme:
            parameters = found[scheme.lower()] = {}
        else:
            parameters[key.lower()] = quoted or plain
    return {scheme: found[scheme] for scheme in ("bearer", "basic") if scheme in found}


class Authorizer:
    """Knows what to put into the header Authorization, by scope such as `repository:library/busybox:pull`.

    given: who we are; by default whoever the user's file says, and nobody if that says nothing.
    """

    def __init__(self, transport: Transport, given: Credentials | None = None) -> None:
        self._transport = transport
        self._given = given
        self._known: dict[tuple[str, ...], str] = {}
        self._lock = threading.Lock()
        self.token = ""  # an identity token that a login was answered with

    def header(self, scopes: Sequence[str]) -> str:
        """What was good for these scopes before; empty if we have not been asked yet."""
        return self._known.get(tuple(scopes), "")

    def answer(self, challenge: str, url: str, scopes: Sequence[str], stale: str) -> str:
        """The header that answers a challenge, which the response to `url` carried. stale: the header that was refused.
        Empty if there is none to be had. Raises EngineError."""
        with self._lock:  # several threads are challenged at once, and one answers for all
            now = self.header(scopes)
            if now == stale:
                now = self._known[tuple(scopes)] = self._answer(parse_challenges(challenge), url, scopes)
        return now

    def _answer(self, challenges: dict[str, dict[str, str]], url: str, scopes: Sequence[str]) -> str:
        who = self._given or credentials.find(self._transport.endpoint.name)
        if "bearer" in challenges:
            return "Bearer " + self._token(challenges["bearer"], url, scopes, who)
        if "basic" in challenges and who:
            return who.basic
        return ""

    def _token(self, asked: dict[str, str], url: str, scopes: Sequence[str], who: Credentials | None) -> str:
        realm = asked.get("realm", "")
        self._check_realm(realm, url)
        query = [("service", asked["service"])] if "service" in asked else []
        wanted = list(scopes) or asked.get("scope", "").split()
        what = f"token server {urllib.parse.urlsplit(realm).netloc}"
        if who and who.token:
            form = [("grant_type", "refresh_token"), ("client_id", CLIENT), ("refresh_token", who.token), *query]
            body = urllib.parse.urlencode([*form, ("scope", " ".join(wanted))]).encode()
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            response = self._transport.request("POST", realm, kind, body)
        else:
            query += [("scope", scope) for scope in wanted]
            query += [("offline_token", "true"), ("client_id", CLIENT)] if self._given else []
            joint = "&" if "?" in realm else "?"
            authorization = who.basic if who else ""
            response = self._transport.request(
                "GET", realm + (joint + urllib.parse.urlencode(query) if query else ""), authorization=authorization
            )
        data = read_all(response, what, LARGEST_ANSWER)
        if response.status != 200:
            raise EngineError(
                str(self._transport.endpoint), f"its {what} says no ({response.status})", "user, password? `login`"
            )
        return self._read_token(what, parse_object(what, data))

    def _read_token(self, what: str, answer: dict[str, Any]) -> str:
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise EngineError(what, "it answers without a token")
        refresh = answer.get("refresh_token")
        self.token = refresh if isinstance(refresh, str) else ""
        return token

    def _check_realm(self, realm: str, url: str) -> None:
        """Our password goes where the registry says: over TLS; and to another host only if it was the registry that
        said so, which without TLS could be anybody."""
        scheme, host, _ = origin(realm)
        registry = origin(url)
        safe = scheme == "https" or (scheme == "http" and is_loopback(host) and registry[0] == "http")
        if not safe or not host or "@" in realm or (registry[0] != "https" and host != registry[1]):
            raise EngineError(
                str(self._transport.endpoint), f"it sends us to {realm[:200]!r} for a token, and that is not safe"
            )
