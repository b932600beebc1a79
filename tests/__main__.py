"""`python3 -m tests`: the whole suite, as `make test` runs it; words are given to pytest.

Tests marked `kernel` share the machine, and run one after the other. The others need nothing of it: they run beside
them, and what they say comes last.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile


def main(words: list[str]) -> int:
    """The exit code: 0 if both are."""
    pytest = [sys.executable, "-m", "pytest", "--durations=20", "--durations-min=5", *words]
    with tempfile.TemporaryFile() as said:
        beside = subprocess.Popen([*pytest, "-m", "not kernel"], stdout=said, stderr=subprocess.STDOUT)
        try:
            code = subprocess.run([*pytest, "-m", "kernel"], check=False).returncode
        finally:
            code_beside = beside.wait()
        said.seek(0)
        sys.stdout.buffer.write(said.read())
        sys.stdout.flush()
    return code or code_beside


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
