"""Task lost-signals."""

from __future__ import annotations

from tests.labs.checks import Draw, equal
from tests.labs.sandbox import Sandbox

SCRIPT = """
import os, signal, time
from ch03_run.foreground import would_be_lost

number = given["number"]
does = {
    "catches": lambda: signal.signal(number, lambda *_: None),
    "ignores": lambda: signal.signal(number, signal.SIG_IGN),
    "default": lambda: signal.signal(number, signal.SIG_DFL),
    "blocks": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [number]),
    "waits": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [number]),
    "other": lambda: signal.signal(given["another"], lambda *_: None),
}
found = {}
for name, act in does.items():
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.signal(number, signal.SIG_DFL)  # Python catches SIGINT
        act()
        os.write(writer, b"1")
        while True:
            signal.sigwait([number]) if name == "waits" else time.sleep(100)
    os.read(reader, 1)
    place = "sigtimedwait" if name == "waits" else "nanosleep"
    while place not in open(f"/proc/{pid}/wchan").read():
        time.sleep(0.001)
    found[name] = would_be_lost(pid, number)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
answer(found)
"""


def lost(sandbox: Sandbox, draw: Draw) -> dict[str, bool]:
    """Whether a signal would be lost, by what the process does with it."""
    number, another = draw.sample([1, 2, 3, 10, 12, 15], 2)
    found: dict[str, bool] = sandbox.ask(SCRIPT, number=number, another=another)
    return found


def test_what_nobody_listens_to(sandbox: Sandbox, draw: Draw) -> None:
    """A signal with its default action is lost on PID 1; also if the process has a handler for another one."""
    found = lost(sandbox, draw)
    equal({name: found[name] for name in ("default", "other")}, {"default": True, "other": True}, "whether it is lost")


def test_what_is_wanted_or_waits(sandbox: Sandbox, draw: Draw) -> None:
    """One that is caught or ignored is not, nor one that stays blocked, nor one that sigwait(3) waits for."""
    found = lost(sandbox, draw)
    names = ("catches", "ignores", "blocks", "waits")
    equal({name: found[name] for name in names}, dict.fromkeys(names, False), "whether it is lost")
