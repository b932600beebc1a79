"""`python3 -m tests.vm`: run the tests that are marked for it in the virtual machine; `make test-vm` does so.

With words: run these at the top of the working tree in there, `python3 -m tests.vm python3 -m ch02_namespaces doctor`.
`--packages`: the Debian packages that this needs.
"""

from __future__ import annotations

import signal
import subprocess
import sys

from tests.vm import rootfs
from tests.vm.architecture import this_machine
from tests.vm.machine import MachineError, run

SECONDS = 1500
PATIENCE = 600  # what each test may take for a wait, where Python runs at a twentieth of its speed


def main(words: list[str]) -> int:
    """The exit code of what ran inside; 125 if the machine failed."""
    architecture = this_machine()
    if words == ["--packages"]:
        print("mmdebstrap", architecture.qemu_package)
        return 0
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        files = rootfs.build(architecture)
        return run(words or suite(), architecture, files, SECONDS, rootfs.CACHE / "results")
    except (rootfs.BuildError, MachineError, subprocess.TimeoutExpired) as error:
        print(f"test-vm: {error}", file=sys.stderr)
        return 125


def suite() -> list[str]:
    """The tests marked `vm`, each on the newest increment alone. Only their files: all take half a minute to import.

    Those of the storage driver aufs are left out but for commands that last: it is the same program on any kernel.
    """
    files = [str(path) for path in (rootfs.REPOSITORY / "tests").rglob("test_*.py") if "mark.vm" in path.read_text()]
    environment = [f"MYDOCKER_TEST_PATIENCE={PATIENCE}", "MYDOCKER_TEST_INCREMENTS=newest"]
    pytest = [rootfs.python(), "-m", "pytest", "-m", "vm and not slow", "--durations=30", "--durations-min=5"]
    pytest += ["-k", "not (aufs and (devices or sys or running))"]
    pytest += ["-p", "no:cacheprovider", "--junit-xml=/mnt/results/junit.xml"]
    return ["env", *environment, *pytest, *sorted(files)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
