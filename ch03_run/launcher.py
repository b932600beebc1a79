"""Write the program `mydocker`: `python3 -m ch03_run.launcher PACKAGE FILE`; `make setup` does so.

A program that pip makes starts 8 ms later: it lets `site` look through site-packages and imports `re`. Ours runs
isolated (-I): as root, it must not import modules from wherever its caller's environment says. And it has the name
that ps(1) shows from itself: the kernel takes it from the file that is executed, and that is Python's.

To the shell, its first lines are commands that end with `exec`; to Python they are a string. They choose the Python: a
view of it that containers cannot write to, if one is there (chapter 4's kept_view.py). A variable whose name is none to
the shell, such as `my.name`, does not get through.
"""

from __future__ import annotations

import os
import sys

VIEWS = "/run/mydocker/views"
"""Read-only views of interpreters, each at this path and its own."""

PROGRAM = """#!/bin/sh
''':'
python={python}
[ "{views}$python" -ef "$python" ] && python="{views}$python"
exec "$python" -IS "$0" "$@"
'''
import sys

with open("/proc/self/comm", "w") as name:
    name.write("{name}")
sys.path[:] = [{root!r}, *sys.path, {packages!r}]
import {package}.__main__
"""


def write_launcher(package: str, file: str) -> None:
    """Make `file` an executable that starts the increment `package` with the Python that runs now."""
    import shlex  # not above: commands know from us where views are, and these two take 5 ms
    import sysconfig

    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    text = PROGRAM.format(
        # not by way of the environment, which would take Python a millisecond to find out about
        python=shlex.quote(os.path.realpath(sys.executable)),
        views=VIEWS,
        name=os.path.basename(file),
        root=root,
        packages=sysconfig.get_path("purelib"),
        package=package,
    )
    with open(file, "w") as program:
        program.write(text)
    os.chmod(file, 0o755)


if __name__ == "__main__":
    write_launcher(sys.argv[1], sys.argv[2])
