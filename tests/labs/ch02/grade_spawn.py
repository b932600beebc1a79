"""Task spawn."""

from __future__ import annotations

from tests.labs.checks import Draw, equal, holds
from tests.labs.sandbox import Sandbox

KINDS = {"uts": 0x04000000, "ipc": 0x08000000, "pid": 0x20000000, "net": 0x40000000, "cgroup": 0x02000000}
LOOK = """
import os
from ch02_namespaces import namespaces

def look(flags, **options):
    reader, writer = os.pipe()
    def child():
        links = {kind: os.readlink(f"/proc/thread-self/ns/{kind}") for kind in given["kinds"]}
        os.write(writer, repr((os.getpid(), links)).encode())
        return given["code"]
    process = namespaces.spawn(flags, child, **options)
    os.close(writer)
    said = os.read(reader, 65536).decode() or "None"
    return process.wait(), eval(said)
"""


def test_new_namespaces(sandbox: Sandbox, draw: Draw) -> None:
    """The child is in new namespaces of the kinds that the flags name, and in ours of all others."""
    wanted = draw.sample(sorted(KINDS), draw.randint(1, 4))
    script = f"{LOOK}\nours = {{kind: os.readlink(f'/proc/self/ns/{{kind}}') for kind in given['kinds']}}\n"
    script += "answer([ours, look(given['flags'])[1][1]])"
    flags = sum(KINDS[kind] for kind in wanted)
    ours, theirs = sandbox.ask(script, kinds=[*KINDS], code=0, flags=flags)
    equal([kind for kind in sorted(KINDS) if ours[kind] != theirs[kind]], sorted(wanted), "the kinds that are new")


def test_exit_code(sandbox: Sandbox, draw: Draw) -> None:
    """In a new pid namespace the child is number 1; what it returns is the exit code of its process."""
    code = draw.randint(3, 120)
    found, (pid, _) = sandbox.ask(f"{LOOK}\nanswer(look(given['flags']))", kinds=[], code=code, flags=KINDS["pid"])
    equal([pid, found], [1, code], "pid inside, and exit code")


def test_joins(sandbox: Sandbox, draw: Draw) -> None:
    """The child is in the namespaces of the descriptors that it joins, by birth in that of pids; we stay."""
    script = f"""{LOOK}
import subprocess
kinds = given["join"]
words = ["unshare", *(f"--{{kind}}" for kind in kinds), "--fork", "--kill-child", "sh", "-c", "echo; exec sleep 100"]
other = subprocess.Popen(words, stdout=subprocess.PIPE)
other.stdout.readline()
path = "/proc/%d/ns/%s"
names = {{kind: "pid_for_children" if kind == "pid" else kind for kind in kinds}}
before = [os.readlink(path % (os.getpid(), names[kind])) for kind in kinds]
descriptors = [os.open(path % (other.pid, names[kind]), os.O_RDONLY) for kind in kinds]
wanted = {{kind: os.readlink(path % (other.pid, names[kind])) for kind in kinds}}
code, (pid, found) = look(0, join=descriptors)
after = [os.readlink(path % (os.getpid(), names[kind])) for kind in kinds]
other.kill()
answer([found, wanted, before == after])
"""
    kinds = [*draw.sample(["uts", "ipc", "net"], 2), "pid"]
    found, wanted, unchanged = sandbox.ask(script, kinds=kinds, join=kinds, code=0)
    equal(found, wanted, "the namespaces of the child")
    holds(unchanged, "that the caller's own namespaces stay", "the caller was moved, too")


def test_nobody_returns(sandbox: Sandbox) -> None:
    """A child that fails ends there: it never comes back into the caller's code."""
    script = """
import os
from ch02_namespaces import namespaces

def child():
    raise ValueError("on purpose")

process = namespaces.spawn(0, child)
with open(given["file"], "a") as file:
    file.write("caller\\n")
answer(process.wait())
"""
    file = sandbox.directory / "callers"
    code = sandbox.ask(script, file=str(file))
    equal(file.read_text().count("caller"), 1, "how many processes went on in the caller's code")
    holds(code, "an exit code other than 0", "exit code 0")


def test_signals_wait(sandbox: Sandbox, draw: Draw) -> None:
    """Signals that the caller has blocked are blocked again afterwards, no others; the child has none blocked."""
    script = """
import os, signal
from ch02_namespaces import namespaces

signal.pthread_sigmask(signal.SIG_SETMASK, given["blocked"])
reader, writer = os.pipe()
def child():
    os.write(writer, bytes(signal.pthread_sigmask(signal.SIG_BLOCK, [])))
    return 0
process = namespaces.spawn(0, child)
os.close(writer)
inside = list(os.read(reader, 100))
process.wait()
answer([inside, sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))])
"""
    blocked = sorted(draw.sample([1, 2, 10, 12, 15], 2))
    equal(sandbox.ask(script, blocked=blocked), [[], blocked], "blocked signals of the child, and of the caller")
