"""A read-only view of the interpreter that stays, so that `mydocker` need not start twice. Book section 4.1.2.

The first command that enters a container leaves its view (sealed.py) below /run/mydocker/views, until the machine is
booted again or `make clean-host` takes it away. It has the form of a virtual environment whose Python is not a link,
but a mount; `pyvenv.cfg` leads to the library. The launcher (ch03_run/launcher.py) starts from it if it is the same
file as the Python that the program was made for: after an upgrade it is not, and is replaced.

Sources: move_mount(2), the documentation of Python's `sys.path` initialization.
"""

from __future__ import annotations

import fcntl
import os

from ch02_namespaces import syscalls
from ch02_namespaces.errors import SyscallError
from ch02_namespaces.locks import locked
from ch02_namespaces.mountinfo import mounts
from ch03_run.launcher import VIEWS

EXE = "/proc/self/exe"


def keep(view: int) -> None:
    """Attach the view of the interpreter that runs now, if that can be done: whoever could not, or found somebody else
    at it, has a view still, and starts twice."""
    python = os.readlink(EXE)
    if not os.path.exists(python):
        return
    before = os.umask(0o022)  # nobody else may say where the library is
    try:
        os.makedirs(os.path.dirname(f"{VIEWS}{python}"), exist_ok=True)
        with locked(VIEWS, fcntl.LOCK_EX | fcntl.LOCK_NB):  # whoever sees it can lock it, and keep it so
            _attach(view, python, f"{VIEWS}{python}")
    except (OSError, SyscallError):  # /run is read-only or full, or something else is in the place
        return
    finally:
        os.umask(before)


def _attach(view: int, python: str, place: str) -> None:
    if place in kept():
        if os.path.samefile(place, python):  # another command was first
            return
        syscalls.umount(place, syscalls.MNT_DETACH)
    _configure(os.path.dirname(place), os.path.dirname(python))
    target = os.open(place, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o755)
    try:
        syscalls.move_mount(view, target)
    finally:
        os.close(target)


def _configure(directory: str, home: str) -> None:
    """Say where the library is. Another interpreter of this directory may be about to start: it finds all or nothing
    new, also if we are killed."""
    path = f"{directory}/pyvenv.cfg"
    with open(f"{path}.new", "wb") as configuration:
        configuration.write(b"home = %s\n" % os.fsencode(home))
    os.rename(f"{path}.new", path)


def kept() -> list[str]:
    """Where views are mounted. What other mounts hide is not there: below a view, the file is empty."""
    views = dict.fromkeys(place for _, place in mounts() if place.startswith(f"{VIEWS}/"))
    return [view for view in views if os.path.exists(view) and os.path.getsize(view)]


def remove_kept() -> list[str]:
    """For `make clean-host`: whoever runs from a view goes on with it."""
    removed = kept()
    for place in removed:
        syscalls.umount(place, syscalls.MNT_DETACH)
    return removed
