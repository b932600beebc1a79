"""A store of images of its own for a test, worked with by the command line, and looked at from below."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

from ch04_images import images
from final.images import layout
from tests.support.engines import state_root
from tests.support.hosts import PATH, REPOSITORY, Result, Word
from tests.support.polling import PATIENCE


class Store:
    """`python3 -m final.images …` on a state directory of its own. home: of the user, with their login."""

    def __init__(self, top: Path) -> None:
        self.root = top / "root"
        self.home = top / "home"
        self.config = top / "registries.toml"
        self.home.mkdir(parents=True)
        self.environment = {
            "PATH": PATH,
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "MYDOCKER_ROOT": str(self.root),
            "MYDOCKER_CONFIG": str(self.config),
        }

    def __call__(self, *words: Word, input: bytes | None = None, env: dict[str, str] | None = None) -> Result:
        """Run a command to its end."""
        ended = subprocess.run(
            [sys.executable, "-m", "final.images", *words],
            cwd=REPOSITORY,
            env={**self.environment, **(env or {})},
            input=input if input is not None else b"",
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        return Result(ended.returncode, ended.stdout, ended.stderr)

    def spawn(self, *words: Word) -> subprocess.Popen[bytes]:
        """Start a command and go on."""
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", "final.images", *words]
        return subprocess.Popen(command, cwd=REPOSITORY, env=self.environment, stdout=pipe, stderr=pipe)

    def names(self) -> list[str]:
        """All images as NAME:TAG."""
        return sorted(self("images", "--format", "{{.Repository}}:{{.Tag}}").text.split())

    def id(self, name: str) -> str:
        """The id of an image."""
        return str(self.inspect(name)["Id"])

    def inspect(self, name: str) -> Any:
        """What `image inspect` says."""
        return json.loads(self("image", "inspect", name).text)[0]

    def files(self, name: str) -> dict[str, bytes]:
        """The regular files of an image that has no whiteouts, by path."""
        found: dict[str, bytes] = {}
        with state_root(self.root):
            for layer in images.find(name).layers:
                top = Path(images.layer_directory(layer))
                found |= {
                    str(path.relative_to(top)): path.read_bytes()
                    for path in top.rglob("*")
                    if path.is_file() and not path.is_symlink()
                }
        return found

    def leftovers(self) -> list[str]:
        """What nobody needs, and should not be there: layers, blobs, notes, half-made files."""
        return leftovers_in(self.root)


def leftovers_in(root: Path) -> list[str]:
    """The same, of any state directory."""
    with state_root(root):
        known = images.every()
        layers = {layer for image in known for layer in image.layers}
        needed = {image.origin.get("config") for image in known}
        for image in known:
            manifest = image.origin.get("manifest")
            if manifest:
                needed.add(manifest["digest"])
                document = json.loads(Path(layout.blob_path(manifest["digest"])).read_bytes())
                needed |= {layer["digest"] for layer in document["layers"]}
        notes = {diff_id: layout.unpacked(diff_id) for diff_id in layout.diff_ids()}
        needed |= {note.blob.digest for note in notes.values() if note and note.blob}
        found = [f"blob {digest}" for digest in layout.blobs() if digest not in needed]
        found += [f"note of {diff_id}" for diff_id, note in notes.items() if note is None]
    found += [f"layer {name}" for name in _entries(root / "layers") if name not in layers]
    found += [f"incoming {name}" for name in _entries(root / "oci/incoming")]
    found += [str(path) for pattern in ("*.new", "*.part") for path in root.rglob(pattern)]
    return found


def _entries(directory: Path) -> list[str]:
    return os.listdir(directory) if directory.is_dir() else []


def rootfs(files: dict[str, bytes]) -> bytes:
    """An archive of some files, as another program writes it."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return sink.getvalue()
