"""The distribution project's registry, as Debian has it (docker-registry), on this machine's loopback."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import pytest

from tests.support.polling import PATIENCE, eventually

PROGRAM = shutil.which("docker-registry")
# bcrypt of `secret`, as htpasswd -B makes it, at its lowest cost
HTPASSWD = "alice:$2b$04$E7hSWcqb58B6rRW9uPiPaOWhp9RxX6S/nl9.65CBnBbCGgUk4NCpC\n"
LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)\D")


class RealRegistry:
    """For `with`. host: its name in images. Its port is one that the kernel finds free. before: words before those of
    the program, such as those that lead into another network namespace."""

    def __init__(
        self,
        top: Path,
        tls: bool = False,
        users: bool = False,
        host: str = "127.0.0.1",
        before: Sequence[str | bytes] = (),
    ) -> None:
        if PROGRAM is None:
            pytest.skip("docker-registry is not installed")
        self.top = top
        self._before = before
        self._log: IO[bytes] = open(top / "log", "wb")  # noqa: SIM115
        configuration: dict[str, object] = {
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": str(top / "data")}, "delete": {"enabled": True}},
            "http": {"addr": f"{host}:0", **({"tls": self._make_certificate()} if tls else {})},
        }
        if users:
            (top / "users").write_text(HTPASSWD)
            configuration["auth"] = {"htpasswd": {"realm": "tests", "path": str(top / "users")}}
        (top / "config.yml").write_text(json.dumps(configuration))  # JSON is YAML
        self.host = ""

    def __enter__(self) -> RealRegistry:
        assert PROGRAM is not None
        words = [*self._before, PROGRAM, "serve", str(self.top / "config.yml")]
        self._process = subprocess.Popen(words, stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL)
        found = eventually(lambda: LISTENING.search((self.top / "log").read_text()), "the registry")
        assert found
        self.host = f"127.0.0.1:{found[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(PATIENCE)
        self._log.close()

    @property
    def ca(self) -> Path:
        """Its certificate, which is its own authority."""
        return self.top / "certificate.pem"

    def blob(self, digest: str) -> Path:
        """Where it keeps a blob."""
        value = digest.partition(":")[2]
        return self.top / "data/docker/registry/v2/blobs/sha256" / value[:2] / value / "data"

    def _make_certificate(self) -> dict[str, str]:
        key = self.top / "key.pem"
        subject = ["-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1"]
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        subprocess.run(
            ["openssl", "req", "-x509", *kind, *subject, "-keyout", str(key), "-out", str(self.ca)],
            check=True,
            capture_output=True,
        )
        return {"certificate": str(self.ca), "key": str(key)}
