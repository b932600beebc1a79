"""etcd, the key-value store that the hosts of a network share: its JSON gateway. Book section 6.6.

etcd documentation, "gRPC gateway": POST requests with JSON, in which keys and values are in base64. What is used here:
ranges, transactions (all or nothing, if a condition holds), leases (keys that go when nobody renews them) and watches.
"""

from __future__ import annotations

import base64
import http.client
import io
import json
import time
import urllib.parse
from typing import Any, TypeVar

from ch02_namespaces import explain
from ch02_namespaces.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

T = TypeVar("T")
SECONDS = 3.0  # for one answer
ALL_SECONDS = 8.0  # for all of them together
LONGEST_ANSWER = 1 << 24  # bytes
NOT_FOUND = 5  # gRPC's code
NOT_AS_EXPECTED = (AttributeError, KeyError, TypeError, ValueError, RecursionError)


class EtcdError(EngineError):
    """etcd cannot be reached, or refuses. code: gRPC's number for why; 0 if etcd has not said."""

    code = 0


class Etcd:
    """A client. urls: of its servers, such as http://192.0.2.1:2379; the next one is tried when one does not answer."""

    def __init__(self, urls: list[str]) -> None:
        self.urls = [_checked(url) for url in urls]
        self.begin()

    def begin(self) -> None:
        """What is asked from now on may take ALL_SECONDS, all together."""
        self._end = time.monotonic() + ALL_SECONDS

    def get(self, key: str) -> str | None:
        """The value of a key; None if there is no such key. Raises EtcdError."""
        found = self.find(key, is_prefix=False)
        return found.get(key)

    def find(self, prefix: str, is_prefix: bool = True) -> dict[str, str]:
        """All keys that begin so, with their values. Raises EtcdError."""
        question = {"key": _encoded(prefix)}
        if is_prefix:
            question["range_end"] = _after(prefix)
        return self._call("kv/range", question, _pairs_in)

    def put(self, key: str, value: str, lease: str = "0") -> None:
        """Set a key, to live as long as a lease ("0": for ever). Raises EtcdError."""
        self._call("kv/put", {"key": _encoded(key), "value": _encoded(value), "lease": lease}, bool)

    def delete(self, key: str) -> None:
        """Remove a key, if it is there. Raises EtcdError."""
        self._call("kv/deleterange", {"key": _encoded(key)}, bool)

    def delete_if(self, key: str, value: str) -> None:
        """In one transaction, remove a key if it has this value. Raises EtcdError."""
        change = {"request_delete_range": {"key": _encoded(key)}}
        self._call("kv/txn", {"compare": [_has(key, value)], "success": [change]}, bool)

    def delete_if_empty(self, prefix: str, empty: str) -> None:
        """In one transaction, remove all keys that begin so, if there are none that begin with `empty`. EtcdError."""
        condition = _created(empty, "EQUAL") | {"range_end": _after(empty)}
        change = {"request_delete_range": {"key": _encoded(prefix), "range_end": _after(prefix)}}
        self._call("kv/txn", {"compare": [condition], "success": [change]}, bool)

    def put_if(self, puts: dict[str, tuple[str, str]], absent: list[str], present: list[str]) -> bool:
        """In one transaction, set keys if some others are there and some are not; whether that was so. EtcdError.

        puts: value and lease by key.
        """
        conditions = [_created(key, "EQUAL") for key in absent] + [_created(key, "GREATER") for key in present]
        changes = [
            {"request_put": {"key": _encoded(key), "value": _encoded(value), "lease": lease}}
            for key, (value, lease) in puts.items()
        ]
        return self._call("kv/txn", {"compare": conditions, "success": changes}, _has_succeeded)

    def put_if_ours(self, key: str, was: str, value: str, lease: str) -> bool:
        """In one transaction, set a key that has a certain value; whether it had. Raises EtcdError."""
        change = {"request_put": {"key": _encoded(key), "value": _encoded(value), "lease": lease}}
        return self._call("kv/txn", {"compare": [_has(key, was)], "success": [change]}, _has_succeeded)

    def grant(self, seconds: int) -> str:
        """A new lease; its id. Raises EtcdError."""
        return self._call("lease/grant", {"TTL": str(seconds)}, lambda answer: str(answer["ID"]))

    def renew(self, lease: str) -> bool:
        """Let a lease begin anew; False if it has run out. Raises EtcdError."""
        return self._call("lease/keepalive", {"ID": lease}, lambda answer: int(answer["result"].get("TTL", 0)) > 0)

    def revoke(self, lease: str) -> None:
        """End a lease, and with it its keys; one that has run out is no error. Raises EtcdError."""
        try:
            self._call("lease/revoke", {"ID": lease}, bool)
        except EtcdError as error:
            if error.code != NOT_FOUND:
                raise

    def watch(self, prefix: str) -> Watch:
        """Be told of changes of all keys that begin so. Raises EtcdError."""
        question = {"create_request": {"key": _encoded(prefix), "range_end": _after(prefix)}}
        connection, response = self._open("watch", question)
        if response.status != 200:
            response.close()
            connection.close()
            raise EtcdError(f"etcd {self.urls[0]}", f"watch: {response.status} {response.reason}")
        return Watch(connection, response)

    def _call(self, path: str, question: dict[str, Any], read: Callable[[dict[str, Any]], T]) -> T:
        """Ask; what `read` finds in the answer."""
        connection, response = self._open(path, question)
        try:
            text = response.read(LONGEST_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            raise EtcdError(f"etcd {self.urls[0]}", str(error) or type(error).__name__) from None
        finally:
            response.close()
            connection.close()
        if response.status != 200:
            raise _refusal(f"etcd {self.urls[0]}", text, f"{response.status} {response.reason}")
        try:
            answer = json.loads(text)
            if "header" not in answer.get("result", answer):
                raise KeyError("header")
            return read(answer)
        except NOT_AS_EXPECTED:
            raise EtcdError(
                f"etcd {self.urls[0]}", "its answer is not that of an etcd", "is it the right URL?"
            ) from None

    def _open(self, path: str, question: dict[str, Any]) -> tuple[http.client.HTTPConnection, Response]:
        """Ask the first server that answers; it is asked first the next time."""
        reasons = []
        for url in list(self.urls):
            seconds = min(SECONDS, self._end - time.monotonic())
            if seconds <= 0:
                reasons.append("it is too slow")
                break
            connection = _connect(url, seconds)
            try:
                connection.request("POST", f"/v3/{path}", json.dumps(question), {"Content-Type": "application/json"})
                response = connection.getresponse()
                assert isinstance(response, Response)
                explain.tell_call(f"POST {url}/v3/{path}", response.status)
                return connection, response
            except (OSError, ValueError, http.client.HTTPException) as error:
                connection.close()
                reasons.append(str(error) or type(error).__name__)
                self.urls.append(self.urls.pop(0))
        raise EtcdError(f"etcd {' and '.join(self.urls)}", "; ".join(dict.fromkeys(reasons)), "is it running?")


def _pairs_in(answer: dict[str, Any]) -> dict[str, str]:
    return {_decoded(item["key"]): _decoded(item.get("value", "")) for item in answer.get("kvs", [])}


def _has_succeeded(answer: dict[str, Any]) -> bool:
    return bool(answer.get("succeeded"))


def _refusal(who: str, text: bytes, status: str) -> EtcdError:
    """What etcd says for why it refuses; what HTTP says, if it was not etcd who spoke."""
    try:
        answer = json.loads(text)
        error = EtcdError(who, str(answer.get("message") or answer["error"]))
        error.code = int(answer["code"])
        return error
    except NOT_AS_EXPECTED:
        return EtcdError(who, status, "is it the right URL?")


class Watch:
    """Something to poll(2): it is readable when a key has changed. What has, the store itself says better."""

    def __init__(self, connection: http.client.HTTPConnection, response: Response) -> None:
        self._connection = connection
        self._response = response
        self._socket = response.connected
        self._socket.settimeout(SECONDS)

    def fileno(self) -> int:
        """The descriptor, for poll(2)."""
        return self._socket.fileno()

    def drain(self) -> bool:
        """Read away what has come; False if the watch has ended, and changes may have been missed."""
        try:
            return bool(self._socket.recv(1 << 16))
        except (TimeoutError, BlockingIOError):
            return True
        except OSError:
            return False

    def close(self) -> None:
        """Stop watching."""
        self._response.close()
        self._connection.close()


class _InTime(io.RawIOBase):
    """Reads from a socket, as long as all that is read from it has come within the socket's timeout."""

    def __init__(self, raw: io.RawIOBase, connected: socket.socket) -> None:
        self._raw = raw
        self._connected = connected
        self._end = time.monotonic() + (connected.gettimeout() or SECONDS)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._connected.settimeout(max(self._end - time.monotonic(), 0.001))
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class Response(http.client.HTTPResponse):
    """One that has to come in time as a whole, not byte by byte. connected: the socket that it comes from."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.connected = sock
        self.fp = io.BufferedReader(_InTime(self.fp.detach(), sock))


def _checked(url: str) -> str:
    try:
        parts = urllib.parse.urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise EngineError(f"--etcd {url}", "it is no URL of an etcd server", "such as http://192.0.2.1:2379")
    return url


def _connect(url: str, seconds: float) -> http.client.HTTPConnection:
    parts = urllib.parse.urlsplit(url)
    assert parts.hostname is not None
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port or 2379, timeout=seconds)
    connection.response_class = Response
    return connection


def _has(key: str, value: str) -> dict[str, str]:
    """The condition that a key has this value."""
    return {"target": "VALUE", "result": "EQUAL", "key": _encoded(key), "value": _encoded(value)}


def _created(key: str, result: str) -> dict[str, str]:
    """The condition that a key is there (GREATER) or not (EQUAL): its create revision is 0 when it is not."""
    return {"target": "CREATE", "result": result, "key": _encoded(key), "create_revision": "0"}


def _after(prefix: str) -> str:
    """Where the keys that begin so end: the prefix with its last character one higher."""
    return _encoded(prefix[:-1] + chr(ord(prefix[-1]) + 1))


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode(errors="replace")
