"""What it costs to start a container: the whole process, from the shell and back."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ch03_run.launcher import write_launcher
from tests.bench.hyperfine import compare


def main() -> None:
    with tempfile.TemporaryDirectory() as top:
        bundle = make_bundle(Path(top))
        program = f"{top}/mydocker"
        write_launcher("ch03_run", program)
        compare(
            "start a container",
            {
                "mydocker run /bin/true": [program, "run", "/bin/true"],
                "python3 -m ch03_run run /bin/true": [sys.executable, "-m", "ch03_run", "run", "/bin/true"],
                "runc run": ["runc", "run", "--bundle", str(bundle), "bench"],
                "unshare --fork -mpuin": ["unshare", "--fork", "-mpuin", "/bin/true"],
            },
        )


def make_bundle(top: Path) -> Path:
    """An OCI bundle that does what chapter 3 does: five namespaces, /proc, a cgroup; nothing else."""
    (top / "rootfs/bin").mkdir(parents=True)
    (top / "rootfs/proc").mkdir()
    shutil.copy("/bin/busybox", top / "rootfs/bin/busybox")
    (top / "rootfs/bin/true").symlink_to("busybox")
    subprocess.run(["runc", "spec"], cwd=top, check=True)
    config = json.loads((top / "config.json").read_text())
    config["process"]["terminal"] = False
    config["process"]["args"] = ["/bin/true"]
    config["mounts"] = [mount for mount in config["mounts"] if mount["destination"] == "/proc"]
    config["linux"]["namespaces"] = [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]
    config["linux"]["maskedPaths"] = config["linux"]["readonlyPaths"] = []
    (top / "config.json").write_text(json.dumps(config))
    return top
