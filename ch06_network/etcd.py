"""etcd, the key-value store that the hosts of a network share: its JSON gateway. Book section 6.6.

etcd documentation, "gRPC gateway": POST requests with JSON, in which keys and values are in base64. What is used here:
ranges, transactions (all or nothing, if a condition holds), leases (keys that go when nobody renews them) and watches.
"""

from __future__ import annotations

import base64
import http.client
import json
import urllib.parse
from typing import Any

from ch02_namespaces.errors import EngineError

SECONDS = 3.0


class EtcdError(EngineError):
    """etcd cannot be reached, or refuses."""


class Etcd:
    """A client. urls: of its servers, such as http://192.0.2.1:2379; the next one is tried when one does not answer."""

    def __init__(self, urls: list[str]) -> None:
        self.urls = [_checked(url) for url in urls]

    def get(self, key: str) -> str | None:
        """The value of a key; None if there is no such key. Raises EtcdError."""
        found = self.find(key, is_prefix=False)
        return found.get(key)

    def find(self, prefix: str, is_prefix: bool = True) -> dict[str, str]:
        """All keys that begin so, with their values. Raises EtcdError."""
        question = {"key": _encoded(prefix)}
        if is_prefix:
            question["range_end"] = _after(prefix)
        answer = self._call("kv/range", question)
        return {_decoded(item["key"]): _decoded(item.get("value", "")) for item in answer.get("kvs", [])}

    def put(self, key: str, value: str, lease: str = "0") -> None:
        """Set a key, to live as long as a lease ("0": for ever). Raises EtcdError."""
        self._call("kv/put", {"key": _encoded(key), "value": _encoded(value), "lease": lease})

    def delete(self, key: str) -> None:
        """Remove a key, if it is there. Raises EtcdError."""
        self._call("kv/deleterange", {"key": _encoded(key)})

    def delete_if_empty(self, prefix: str, empty: str) -> None:
        """In one transaction, remove all keys that begin so, if there are none that begin with `empty`. EtcdError."""
        condition = _created(empty, "EQUAL") | {"range_end": _after(empty)}
        change = {"request_delete_range": {"key": _encoded(prefix), "range_end": _after(prefix)}}
        self._call("kv/txn", {"compare": [condition], "success": [change]})

    def put_if(self, puts: dict[str, tuple[str, str]], absent: list[str], present: list[str]) -> bool:
        """In one transaction, set keys if some others are there and some are not; whether that was so. EtcdError.

        puts: value and lease by key.
        """
        conditions = [_created(key, "EQUAL") for key in absent] + [_created(key, "GREATER") for key in present]
        changes = [
            {"request_put": {"key": _encoded(key), "value": _encoded(value), "lease": lease}}
            for key, (value, lease) in puts.items()
        ]
        return bool(self._call("kv/txn", {"compare": conditions, "success": changes}).get("succeeded"))

    def put_if_ours(self, key: str, was: str, value: str, lease: str) -> bool:
        """In one transaction, set a key that has a certain value; whether it had. Raises EtcdError."""
        condition = {"target": "VALUE", "result": "EQUAL", "key": _encoded(key), "value": _encoded(was)}
        change = {"request_put": {"key": _encoded(key), "value": _encoded(value), "lease": lease}}
        return bool(self._call("kv/txn", {"compare": [condition], "success": [change]}).get("succeeded"))

    def grant(self, seconds: int) -> str:
        """A new lease; its id. Raises EtcdError."""
        return str(self._call("lease/grant", {"TTL": str(seconds)})["ID"])

    def renew(self, lease: str) -> bool:
        """Let a lease begin anew; False if it has run out. Raises EtcdError."""
        answer = self._call("lease/keepalive", {"ID": lease}).get("result", {})
        return int(answer.get("TTL", 0)) > 0

    def revoke(self, lease: str) -> None:
        """End a lease, and with it its keys. Raises EtcdError."""
        self._call("lease/revoke", {"ID": lease})

    def watch(self, prefix: str) -> Watch:
        """Be told of changes of all keys that begin so. Raises EtcdError."""
        question = {"create_request": {"key": _encoded(prefix), "range_end": _after(prefix)}}
        return Watch(*self._open("watch", question))

    def _call(self, path: str, question: dict[str, Any]) -> dict[str, Any]:
        connection, response = self._open(path, question)
        try:
            answer: dict[str, Any] = json.loads(response.read(1 << 24))
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise EtcdError(f"etcd {self.urls[0]}", str(error) or type(error).__name__) from None
        finally:
            connection.close()
        if response.status != 200:
            raise EtcdError(
                f"etcd {self.urls[0]}", str(answer.get("message") or answer.get("error") or response.reason)
            )
        return answer

    def _open(self, path: str, question: dict[str, Any]) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Ask the first server that answers; it is asked first the next time."""
        reasons = []
        for url in list(self.urls):
            connection = _connect(url)
            try:
                connection.request("POST", f"/v3/{path}", json.dumps(question), {"Content-Type": "application/json"})
                return connection, connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                reasons.append(str(error) or type(error).__name__)
                self.urls.append(self.urls.pop(0))
        raise EtcdError(f"etcd {' and '.join(self.urls)}", "; ".join(dict.fromkeys(reasons)), "is it running?")


class Watch:
    """Something to poll(2): it is readable when a key has changed. What has, the store itself says better."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._connection = connection
        self._response = response
        assert connection.sock is not None
        self._socket = connection.sock

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
        self._connection.close()


def _checked(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise EngineError(f"--etcd {url}", "it is no URL of an etcd server", "such as http://192.0.2.1:2379")
    return url


def _connect(url: str) -> http.client.HTTPConnection:
    parts = urllib.parse.urlsplit(url)
    assert parts.hostname is not None
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname, parts.port or 2379, timeout=SECONDS)


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
