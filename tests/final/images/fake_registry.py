"""A registry in Python, on this machine's loopback, that can be made to do anything, right or wrong."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import json
import threading
import urllib.parse
from collections.abc import Callable
from typing import Any

OCI = "application/vnd.oci.image"
MANIFEST, INDEX, CONFIG, LAYER = (
    f"{OCI}.{kind}" for kind in ("manifest.v1+json", "index.v1+json", "config.v1+json", "layer.v1.tar+gzip")
)

Answer = Callable[["Handler"], None]


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def descriptor(media_type: str, data: bytes, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest(data), "size": len(data), **more}


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        """Nothing: the test looks at `requests`."""

    def handle_any(self) -> None:
        """What the test has planned for this request; else what a registry does."""
        registry = self.server.registry
        path = urllib.parse.urlsplit(self.path).path
        registry.requests.append((self.command, self.path, dict(self.headers)))
        registry.bodies.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        planned = registry.planned.get((self.command, path))
        if planned:
            planned.pop(0)(self)
        elif self.command == "GET":
            self.get(path)
        else:
            self.answer(405, b"")

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = handle_any  # noqa: N815

    def get(self, path: str) -> None:
        """A manifest or a blob."""
        registry = self.server.registry
        _, _, rest = path.partition("/v2/")
        name, kind, target = rest.rsplit("/", 2) if rest.count("/") > 1 else ("", "", "")
        if kind == "manifests" and (name, target) in registry.manifests:
            media_type, data = registry.manifests[name, target]
            self.answer(200, data, {"Content-Type": media_type})
        elif kind == "blobs" and target in registry.blobs:
            self.send_blob(registry.blobs[target])
        else:
            errors = [{"code": "UNKNOWN", "message": "unknown to this registry"}]
            self.answer(404 if rest else 200, json.dumps({"errors": errors}).encode())

    def send_blob(self, data: bytes) -> None:
        """All of it, or the rest from the offset that was asked for."""
        wanted = self.headers.get("Range", "")
        if wanted.startswith("bytes=") and wanted.endswith("-"):
            start = int(wanted[6:-1])
            extent = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
            self.answer(206, data[start:], extent)
        else:
            self.answer(200, data)

    def answer(
        self, status: int, data: bytes, headers: dict[str, str] | None = None, length: int | None = None
    ) -> None:
        """A response. length: what it says of itself, if that is not true; then the connection ends."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data) if length is None else length), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        if length is not None:
            self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    """Knows the registry that it is."""

    registry: FakeRegistry
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients that leave early are what some tests are about."""


class FakeRegistry:
    """For `with`. host: its name in images. planned: by method and path, what to do with the next requests."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        self.planned: dict[tuple[str, str], list[Answer]] = {}
        self._server = Server((address, 0), Handler)
        self._server.registry = self
        self.host = f"{address}:{self._server.server_port}"
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(0.01))

    def __enter__(self) -> FakeRegistry:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def plan(self, method: str, path: str, *answers: Answer) -> None:
        """What is to be done with the next requests for a path."""
        self.planned[method, path] = list(answers)

    def paths(self, method: str = "GET") -> list[str]:
        """What has been asked for, in order."""
        return [path for verb, path, _ in self.requests if verb == method]

    def sent(self, name: str) -> list[str]:
        """The values of a header in all requests that had it."""
        return [headers[name] for _, _, headers in self.requests if name in headers]

    # ---------------------------------------------------------------- what it has

    def add_blob(self, data: bytes) -> str:
        """A blob; its digest."""
        self.blobs[digest(data)] = data
        return digest(data)

    def add_image(self, path: str, layers: list[bytes], tag: str = "latest", **config: Any) -> dict[str, Any]:
        """An image of plain layers, compressed here; its manifest."""
        document = {
            "created": "2024-05-06T07:08:09Z",
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
            **config,
        }
        return self.add_manifest(path, document, [gzip.compress(layer, mtime=0) for layer in layers], tag)

    def add_manifest(
        self, path: str, config: dict[str, Any], blobs: list[bytes], tag: str = "latest", **more: Any
    ) -> dict[str, Any]:
        """An image of a configuration and blobs, whether they fit together or not; its manifest."""
        data = json.dumps(config).encode()
        for blob in [data, *blobs]:
            self.add_blob(blob)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, data),
            "layers": [descriptor(LAYER, blob) for blob in blobs],
            **more,
        }
        self.put_manifest(path, tag, MANIFEST, manifest)
        return manifest

    def put_manifest(self, path: str, tag: str, media_type: str, document: dict[str, Any] | bytes) -> bytes:
        """A document under a tag and under its digest; its bytes."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.manifests[path, tag] = self.manifests[path, digest(data)] = (media_type, data)
        return data
