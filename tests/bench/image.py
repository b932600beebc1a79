"""What it costs to start a container on an image: ours beside runc, which gets its root file system prepared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

from ch03_run.launcher import write_launcher
from ch04_images import busybox, images
from tests.bench.hyperfine import compare

LAYERS = 40


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="mydocker-bench-") as top, mock.patch.dict(os.environ, MYDOCKER_ROOT=top):
        base = busybox.make_image()
        for number in range(LAYERS - 1):
            below = images.find(f"layers:{number}") if number else base
            images.create(f"layers:{number + 1}", lambda directory: add_file(directory), below=below)
        program = f"{top}/mydocker"
        write_launcher("ch04_images", program)
        bundle = make_bundle(Path(top) / "bundle", base)
        compare(
            "start a container on an image",
            {
                "mydocker run --rm busybox true": [program, "run", "--rm", "busybox", "true"],
                f"the same, {LAYERS} layers": [program, "run", "--rm", f"layers:{LAYERS - 1}", "true"],
                "python3 -m ch04_images": [sys.executable, "-m", "ch04_images", "run", "--rm", "busybox", "true"],
                "runc run": ["runc", "run", "--bundle", str(bundle), "bench"],
            },
        )


def add_file(directory: str) -> int:
    return Path(directory, os.path.basename(directory)).write_text("one more file\n")


def make_bundle(bundle: Path, image: images.Image) -> Path:
    """An OCI bundle as `runc spec` makes it, with all of its mounts, and the image's files as its root."""
    bundle.mkdir()
    subprocess.run(["cp", "-a", images.layer_directory(image.layers[0]), bundle / "rootfs"], check=True)
    subprocess.run(["runc", "spec"], cwd=bundle, check=True)
    config = json.loads((bundle / "config.json").read_text())
    config["process"] |= {"terminal": False, "args": ["true"]}
    config["root"]["readonly"] = False
    (bundle / "config.json").write_text(json.dumps(config))
    return bundle


if __name__ == "__main__":
    main()
