"""The engine for somebody who is not root. A repository is often below a home directory that only its owner enters."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping

from tests.support.hosts import REPOSITORY, Word

PYTHON = os.path.realpath(sys.executable)
"""An interpreter that everybody may execute: not the link to it in a virtual environment."""


def become(uid: int) -> list[Word]:
    """The words before a command that make an ordinary user of root."""
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]


@contextlib.contextmanager
def readable_engine() -> Iterator[str]:
    """PYTHONPATH for the engine and its packages, in places that everybody may read."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        sources = {f"{directory}/engine": str(REPOSITORY), f"{directory}/packages": sysconfig.get_path("purelib")}
        for target in sources:
            os.mkdir(target)
        with mounted(sources):
            yield ":".join(sources)


@contextlib.contextmanager
def mounted(sources: Mapping[str, str]) -> Iterator[None]:
    """Files or directories in the places of others, as far as the tests see them."""
    with contextlib.ExitStack() as stack:
        for target, source in sources.items():
            subprocess.run(["mount", "--bind", source, target], check=True)
            stack.callback(subprocess.run, ["umount", "--lazy", target], check=True)
        yield
