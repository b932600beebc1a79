"""Task terminal."""

from __future__ import annotations

from tests.labs.checks import equal
from tests.labs.sandbox import Sandbox

LOOK = """
import json, os, time
from ch03_run.terminal import Terminal

master, slave = os.openpty()
terminal = Terminal(interactive=False)
terminal.master, terminal._slave = master, slave
reader, writer = os.pipe()
def child():
    errors = os.dup(2)
    try:
        terminal.enter(None)
        if given["becomes"]:
            os.execvp(given["becomes"][0], given["becomes"])
        controlling = os.open("/dev/tty", os.O_RDWR)
    except BaseException:
        os.dup2(errors, 2)
        raise
    found = {
        "leader": os.getsid(0) == os.getpid(),
        "streams": [os.ttyname(stream) == os.ttyname(slave) for stream in (0, 1, 2)],
        "controlling": os.tcgetpgrp(controlling) == os.getpgrp(),
    }
    os.write(writer, json.dumps(found).encode())
pid = fork(child)
os.close(writer)
"""
STREAMS = """
answer(json.loads(os.read(reader, 1000) or "null"))
"""
KEYS = """
while open(f"/proc/{pid}/comm").read().strip() == open("/proc/self/comm").read().strip():
    if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        break
    time.sleep(0.001)
os.write(master, bytes([given["key"]]))
answer([end_of(pid), os.read(reader, 1000).decode()])
"""


def test_streams_and_session(sandbox: Sandbox) -> None:
    """The process leads a session of its own; its three streams are the terminal, which is the session's."""
    found = sandbox.ask(LOOK + STREAMS, becomes=[])
    wanted = {"leader": True, "streams": [True, True, True], "controlling": True}
    equal(found, wanted, "leader of a session, streams, controlling terminal")


def test_keys_become_signals(sandbox: Sandbox) -> None:
    """Ctrl-C at the master ends the command by SIGINT, Ctrl-\\ by SIGQUIT: the terminal knows its session."""
    for key, signal in ((3, 2), (28, 3)):
        code, said = sandbox.ask(LOOK + KEYS, becomes=["sleep", "1000"], key=key)
        equal([code, said], [-signal, ""], f"how `sleep` ends (-n by signal n) after the key {key}, and its errors")
