"""RUN --mount: files that a step sees and the image does not get; secrets that nobody keeps; the keys of an agent."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ch04_images import images
from final.build import ssh_agent
from tests.final.build.conftest import NAME, Builder
from tests.support import processes
from tests.support.engines import ENGINE_FAILED, fails, state_root
from tests.support.hosts import finish, read_line, wait_for_end
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel

SECRET = "dai8Ohyaif9u"


def layer_of(builder: Builder) -> set[str]:
    """What is in the topmost layer of what was built."""
    with state_root(builder.host.root):
        top = Path(images.layer_directory(images.find(NAME).layers[-1]))
    return {str(path.relative_to(top)) for path in top.rglob("*")}


# ---------------------------------------------------------------- bind


def test_the_context_is_bound(builder: Builder) -> None:
    builder.write("a", "in the context")
    builder.write("d/b", "below")
    builder.write("d/c.log", "left out")
    os.symlink("d", builder.context / "link")
    builder.write(".dockerignore", "*.log\n**/*.log\n")
    builder(
        "ARG where=/mnt/x/y\n"
        "RUN --mount=type=bind,target=$where cd /mnt/x/y && { find . -type f | sort; cat a; echo; } > /all\n"
        "RUN --mount=source=link,dst=/srv/d cat /srv/d/b > /below\n"
        "WORKDIR /w\n"
        "RUN --mount=source=a,target=sub/file --mount=src=d/b,target=/etc/passwd cat sub/file /etc/passwd > /two\n"
        "RUN --mount=target=/x touch /x/new 2>> /said || echo read-only > /said\n"
    )
    assert builder.sh("cat /all /below /two /said").splitlines() == [
        *("./.dockerignore", "./Dockerfile", "./a", "./d/b", "in the context", "belowin the contextbelowread-only"),
    ]
    assert builder.sh("head -c4 /etc/passwd; ls -d /mnt /srv/d /x /w/* 2>/dev/null; true") == "root"


def test_what_is_written_to_a_bind_is_thrown_away(builder: Builder) -> None:
    builder.write("a", "1")
    builder(
        "FROM busybox AS one\nRUN mkdir /d; echo 2 > /d/b\n"
        "FROM busybox\n"
        "RUN --mount=target=/x,rw echo 3 > /x/a; touch /x/new; cat /x/a > /first; rm -r /x/*\n"
        "RUN --mount=from=one,source=/d,target=/x,readwrite echo 4 >> /x/b; cat /x/b > /second\n"
        "RUN --mount=from=one,source=/d,target=/x cat /x/b > /third; ! touch /x/new\n"
        "RUN --mount=target=/x cat /x/a > /fourth\n"
    )
    assert builder.sh("cat /first /second /third /fourth") == "3\n2\n4\n2\n1"
    assert (builder.context / "a").read_text() == "1"
    assert sorted(os.listdir(builder.context)) == ["Dockerfile", "a"]


def test_stages_and_images_are_bound(builder: Builder) -> None:
    said = builder(
        "FROM busybox AS unused\nRUN false\n"
        "FROM busybox AS one\nRUN mkdir -p /real; echo one > /real/file; ln -s /real /link; chown 5:6 /real/file\n"
        "FROM busybox\n"
        "RUN --mount=from=one,source=link/file,target=/f cat /f > /a; stat -c %u:%g /f >> /a\n"
        "RUN --mount=from=1,target=/one cat /one/real/file >> /a\n"
        "RUN --mount=from=busybox,source=etc/passwd,target=/p head -c4 /p >> /a\n"
    )
    assert builder.sh("cat /a") == "one\n5:6\none\nroot" and "false" not in said
    builder.fails("RUN --mount=from=2,target=/x true", "Dockerfile:2: RUN", "no stage 2")
    builder.fails("ARG s=one\nRUN --mount=from=$s,target=/x true", "Dockerfile:3: RUN", "takes no variables")
    builder.fails("RUN --mount=from=busybox,source=none,target=/x true", "none is not there")


def test_no_source_leads_outside(builder: Builder, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    os.symlink(secret, builder.context / "out")
    os.symlink("../secret", builder.context / "up")
    os.symlink("/", builder.context / "top")
    for source in ("out", "up", "../secret", f"top{secret}", "none"):
        builder.fails(f"RUN --mount=source={source},target=/x cat /x", "Dockerfile:2: RUN", "is not there")
    base = (
        f"FROM busybox AS base\nRUN ln -s {secret} /out; ln -s ../../../../..{secret} /up; ln -s / /top\nFROM busybox\n"
    )
    for source in ("out", "up", f"top{secret}"):
        builder.fails(base + f"RUN --mount=from=base,source={source},target=/x cat /x", "is not there")
    mounts = "--mount=target=/x,rw --mount=from=base,target=/y,rw"
    builder(base + f"RUN {mounts} echo a > /x/out; echo a > /y/up; cat /x/top{secret}; true")
    assert secret.read_text() == SECRET


def test_what_is_bound_counts_for_the_cache(builder: Builder) -> None:
    text = "RUN --mount=source=d,target=/d head -c8 /dev/urandom > /random"
    path = builder.write("d/a", "1")
    builder(text)
    first = builder.id()
    os.utime(path, (1, 1))
    builder.write("other", "not bound")
    builder(text)
    assert builder.id() == first
    builder.write("d/a", "2")
    builder(text)
    assert builder.id() != first
    builder.write("d/a", "1")
    builder(text)
    assert builder.id() == first
    builder(text.replace("target=/d", "target=/d,rw"))
    assert builder.id() != first


def test_mount_points_are_not_in_the_layer(builder: Builder) -> None:
    builder.write("a", "x")
    builder.write("secret", SECRET)
    flags = "--secret", f"id=s,src={builder.context}/secret"
    text = "RUN mkdir -m 700 -p /old/dir && ln -s dir /old/link && ln -s /old/link/.. /up && ln -s / /old/top\n"
    builder(
        text + "RUN --mount=target=/ctx/deep --mount=type=tmpfs,target=/scratch --mount=type=cache,target=/kept/a "
        "--mount=type=secret,id=s --mount=source=a,target=/file/a touch /kept/mine /new",
        *flags,
    )
    assert layer_of(builder) == {"new", "kept", "kept/mine"}
    through_links = (
        "RUN --mount=type=secret,id=s,target=/old/link/s --mount=target=/up/new/a --mount=target=/old/top/b/c"
    )
    builder(f"{text}{through_links} touch /y", *flags)
    assert layer_of(builder) == {"y"}
    builder(text + "RUN --mount=target=/old/dir/new chmod 755 /old/dir; touch /old/x")
    assert layer_of(builder) == {"old", "old/dir", "old/x"}
    builder(text + "RUN --mount=target=/old/dir/new/er touch /old/dir/new/file; rm /old/link; mkdir /old/link")
    assert layer_of(builder) == {"old", "old/dir", "old/dir/new", "old/dir/new/file", "old/link"}
    assert builder.sh("stat -c %a /old/dir; ls -A /old/link; ls /old") == "700\ndir\nlink\ntop"


def test_caches_of_several_kinds(builder: Builder) -> None:
    builder(
        "RUN --mount=type=cache,target=/c,sharing=locked --mount=type=cache,id=/c,target=/d,sharing=locked "
        "echo a > /c/f; cat /d/f > /first\n"
        "RUN --mount=type=cache,target=/c,sharing=private cat /c/f > /second\n"
        "RUN --mount=type=cache,target=/own,uid=5,gid=6,mode=0700 stat -c '%u:%g %a' /own > /third\n"
        "RUN --mount=type=cache,target=/c,ro ! touch /c/x\n"
    )
    assert builder.sh("cat /first /second /third").splitlines() == ["a", "a", "5:6 700"]


def test_a_locked_cache_has_one_user_at_a_time(builder: Builder) -> None:
    mount = "RUN --mount=type=cache,target=/c,sharing="
    builder.write("Dockerfile", f"FROM busybox\n{mount}locked touch /c/in; echo ready; sleep 1; rm /c/in\n")
    first = builder.host.spawn(builder.engine.command_line(*builder.words()))
    while read_line(first) != b"ready\n":
        assert first.poll() is None
    builder.write("Other", f"FROM busybox\n{mount}private ls /c > /private\n{mount}locked ls /c > /locked\n")
    builder.do(
        "build", "-q", "-t", "other", "--network", "none", "-f", str(builder.context / "Other"), str(builder.context)
    )
    assert finish(first).code == 0
    assert builder.sh("cat /private /locked", image="other") == ""
    builder.do("rmi", "other")


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        ("type=nonsense,target=/x", "type=nonsense is not known"),
        ("type=bind", "target"),
        ("target=/", "target"),
        ("type=tmpfs,target=/x,source=y", "source is not known for type tmpfs"),
        ("target=/x,rw=perhaps", "neither true nor false"),
        ("type=secret", "id"),
        ("type=secret,id=a,source=b", "another word for id"),
        ("type=secret,id=a,mode=u+x", "no octal mode"),
        ("type=secret,id=a,env=b=c", "no name of a variable"),
        ("type=ssh,uid=-1", "no number"),
        ("type=cache,target=/x,sharing=no", "sharing=no"),
        ("type=cache", "--mount=type=cache"),
    ],
)
def test_what_no_mount_is(builder: Builder, mount: str, words: str) -> None:
    builder.fails(f"RUN --mount={mount} true", "Dockerfile:2: RUN", words)


# ---------------------------------------------------------------- secret


def files_with(root: Path, text: str) -> list[str]:
    """The files below a directory in which a text is."""
    found = subprocess.run(["grep", "-rlF", "-D", "skip", text, root], capture_output=True, text=True, check=False)
    return found.stdout.splitlines()


def test_secrets(builder: Builder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(f"{SECRET}\n")
    one, three = "RUN --mount=type=secret,id=one", "--mount=type=secret,id=three,env=THREE"
    said = builder(
        f"{one} sha256sum < /run/secrets/one > /sum; stat -c '%a %u:%g' /run/secrets/one > /stat\n"
        f"{one} stat -f -c %T /run/secrets/one >> /stat; ! echo x > /run/secrets/one\n"
        f"{one},target=/etc/two,mode=0440,uid=5,gid=6,required stat -c '%a %u:%g' /etc/two >> /stat\n"
        f"{one},env=ONE {three} echo ${{#THREE}} ${{#ONE}} >> /stat\n"
        f"RUN {three},target=/t cat /t | wc -c >> /stat; ls -d /run/secrets >> /stat; true\n"
        "RUN --mount=type=secret,id=none test ! -e /run/secrets/none\n",
        *("--secret", f"id=one,src={tmp_path}/file", "--secret", "id=three,env=VALUE"),
        env={"VALUE": SECRET},
    )
    assert builder.sh("cat /stat").splitlines() == ["400 0:0", "tmpfs", "440 5:6", "12 13", "12"]
    there = "ls /etc/two /run/secrets /t 2>/dev/null; env | grep -c THREE; true"
    assert builder.sh(f"echo {SECRET} | sha256sum | cmp - /sum; {there}") == "0"
    assert SECRET not in said + builder.do("history", "--no-trunc", NAME) + str(builder.known())
    assert files_with(builder.host.root, SECRET) == []


def test_a_secret_is_in_no_file_while_it_is_used(builder: Builder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(SECRET)
    mounts = "--mount=type=secret,id=a --mount=type=secret,id=a,env=A,target=/b"
    builder.write("Dockerfile", f"FROM busybox\nRUN {mounts} echo ready; sleep 1000")
    words = builder.words("--secret", f"id=a,src={tmp_path}/file")
    process = builder.host.spawn(builder.engine.command_line(*words))
    while read_line(process) != b"ready\n":
        assert process.poll() is None
    (id,) = eventually(lambda: builder.do("ps", "-q").split(), "that it is written down")
    assert files_with(builder.host.root, "sleep 1000") and files_with(builder.host.root, SECRET) == []
    assert (
        SECRET not in builder.do("inspect", id)
        and "tmpfs" not in Path("/proc/mounts").read_text().partition("incoming")[2]
    )
    assert builder.do("exec", id, "cat", "/run/secrets/a") == SECRET
    process.send_signal(signal.SIGKILL)
    assert finish(process).code == -signal.SIGKILL
    builder.sweep()
    assert files_with(builder.host.root, SECRET) == [] and os.listdir(builder.host.root / "containers") == []


def test_a_secret_does_not_count_for_the_cache(builder: Builder) -> None:
    text = "RUN --mount=type=secret,id=A,required head -c8 /dev/urandom > /random"
    builder(text, "--secret", "id=A", env={"A": "1"})
    first = builder.id()
    builder(text, "--secret", "id=A", env={"A": "2"})
    assert builder.id() == first
    builder(text.replace("id=A", "id=A,target=/a"), "--secret", "id=A", env={"A": "2"})
    assert builder.id() != first


def test_secrets_that_are_not_there(builder: Builder, tmp_path: Path) -> None:
    text = "RUN --mount=type=secret,id=a,required true"
    builder.fails(text, "Dockerfile:2: RUN", "secret a is required", "--secret id=a")
    gone, large = tmp_path / "gone", tmp_path / "large"
    large.write_bytes(bytes(501 << 10))
    os.mkfifo(tmp_path / "fifo")
    fails(builder.raw(text, "--secret", f"id=a,src={gone}"), ENGINE_FAILED, "id=a", "gone", "No such file")
    fails(builder.raw(text, "--secret", "id=a,env=NOT_SET"), ENGINE_FAILED, "NOT_SET")
    fails(builder.raw(text, "--secret", f"id=a,src={large}"), ENGINE_FAILED, "500 KiB")
    fails(builder.raw(text, "--secret", f"id=a,src={tmp_path}/fifo"), ENGINE_FAILED, "500 KiB")
    for flag in ("src=x", "id=a,nonsense=b", "id=a,src=b,env=c", "id=a,type=x"):
        fails(builder.raw(text, "--secret", flag), ENGINE_FAILED, "--secret", "id=NAME,src=FILE")
    with_nul = "RUN --mount=type=secret,id=a,env=A true"
    fails(builder.raw(with_nul, "--secret", f"id=a,src={Path('/bin/busybox').resolve()}"), ENGINE_FAILED, "KiB")
    large.write_bytes(b"a\0b")
    fails(builder.raw(with_nul, "--secret", f"id=a,src={large}"), ENGINE_FAILED, "NUL")


# ---------------------------------------------------------------- ssh

CANNOT_CONNECT = 2  # ssh-add(1)


class Agent:
    """A real ssh-agent, with one key."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "agent"
        self._process = subprocess.Popen(["ssh-agent", "-D", "-a", self.socket], stdout=subprocess.DEVNULL)
        eventually(self._answers, "an answer of the agent")
        key = directory / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "of the test", "-f", key], check=True)
        self.do("-q", str(key))

    def _answers(self) -> bool:
        """Its socket is there before it listens."""
        return self._ssh_add("-l").returncode != CANNOT_CONNECT

    def do(self, *words: str) -> str:
        """ssh-add; what it prints."""
        ended = self._ssh_add(*words)
        ended.check_returncode()
        return ended.stdout

    def _ssh_add(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "SSH_AUTH_SOCK": str(self.socket)}
        return subprocess.run(["ssh-add", *words], env=environment, check=False, capture_output=True, text=True)

    def end(self) -> None:
        """May be called twice."""
        self._process.terminate()
        wait_for_end(self._process)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    if shutil.which("ssh-agent") is None:
        pytest.skip("there is no ssh-agent")
    directory = tmp_path / "ssh"
    directory.mkdir()
    agent = Agent(directory)
    yield agent
    agent.end()


def ssh_add(builder: Builder) -> str:
    """A Dockerfile's beginning: this host's ssh-add in the image, with its libraries."""
    program = shutil.which("ssh-add")
    assert program is not None
    libraries = re.findall(
        r"(/\S+) \(", subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    )
    for path in [program, *libraries]:
        builder.write(f"root{path}", Path(path).read_bytes(), 0o755)
    return "FROM busybox\nCOPY root /\n"


def test_an_agent(builder: Builder, agent: Agent) -> None:
    text = ssh_add(builder) + (
        "RUN --mount=type=ssh { ssh-add -l; echo $SSH_AUTH_SOCK; stat -c '%a %u:%g' $SSH_AUTH_SOCK; } > /keys\n"
        "RUN --mount=type=ssh,id=other,target=/tmp/agent test $SSH_AUTH_SOCK = /tmp/agent && ssh-add -l >> /keys\n"
        "USER nobody\nRUN --mount=type=ssh,uid=65534 ssh-add -l > /tmp/keys\n"
        "RUN --mount=type=ssh,mode=0666 ! ssh-add -D && ssh-add -l >> /tmp/keys\n"
        'RUN echo "${SSH_AUTH_SOCK-none}" >> /tmp/keys\n'
    )
    builder(text, "--ssh", "default", "--ssh", f"other={agent.socket}", env={"SSH_AUTH_SOCK": str(agent.socket)})
    key = agent.do("-l").strip()
    assert builder.sh(
        "cat /keys /tmp/keys; ls -d /run/buildkit /tmp/agent 2>/dev/null; env | grep SSH; true"
    ).splitlines() == [
        *(key, "/run/buildkit/ssh_agent.0", "600 0:0", key, key, key, "none"),
    ]


def test_what_an_agent_is_not_asked(agent: Agent, tmp_path: Path) -> None:
    """Clients that are hostile get no further, and are in nobody's way."""
    sign = b"\x00\x00\x00\x01\x0b"  # SSH_AGENTC_REQUEST_IDENTITIES
    failure = b"\x00\x00\x00\x01\x05"
    requests = [
        *((b"\x00\x00\x00\x01" + bytes([kind]), failure) for kind in (1, 9, 17, 18, 19, 22, 23, 25, 27, 255)),
        *(
            (data, b"")
            for data in (b"\x00\x00\x00\x00", b"\xff\xff\xff\xff" + bytes(1 << 20), b"\x00\x00\x10\x00abc", b"x")
        ),
    ]
    with ssh_agent.forwarded(str(agent.socket), f"{tmp_path}/here"):
        idle = [_client(tmp_path / "here") for _ in range(20)]
        for request, answer in requests:
            assert _asked(tmp_path / "here", request) == answer
        assert b"of the test" in _asked(tmp_path / "here", sign)
        for client in idle:
            client.close()
        agent.end()
        assert _asked(tmp_path / "here", sign) == b""  # it is gone


def _client(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    client.settimeout(30)
    return client


def _asked(path: Path, request: bytes) -> bytes:
    """What comes back, when no more is to be said."""
    with _client(path) as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            found = b""
            while piece := client.recv(1 << 16):
                found += piece
            return found
    return b""


def test_agents_that_are_not_there(builder: Builder, tmp_path: Path) -> None:
    builder('RUN --mount=type=ssh test -z "$SSH_AUTH_SOCK"')
    text = "RUN --mount=type=ssh,required true"
    builder.fails(text, "Dockerfile:2: RUN", "ssh default is required", "--ssh default")
    fails(builder.raw(text, "--ssh", "default"), ENGINE_FAILED, "SSH_AUTH_SOCK")
    fails(builder.raw(text, "--ssh", f"default={tmp_path}/none"), ENGINE_FAILED, "Dockerfile:2: RUN", "is it running?")
    key = builder.write("key", "x")
    fails(builder.raw(text, "--ssh", f"default={key}"), ENGINE_FAILED, "no socket of an agent", "ssh-add")


def test_a_killed_build_leaves_no_process_of_an_agent(builder: Builder, agent: Agent) -> None:
    builder.write("Dockerfile", "FROM busybox\nRUN --mount=type=ssh echo ready; sleep 1000")
    process = builder.host.spawn(builder.engine.command_line(*builder.words("--ssh", f"default={agent.socket}")))
    while read_line(process) != b"ready\n":
        assert process.poll() is None
    children = processes.descendants(process.pid)
    assert len(children) >= 2  # the container, and what passes on
    process.send_signal(signal.SIGKILL)
    process.wait()
    eventually(lambda: not any(map(processes.is_alive, children)), "the end of all its processes")
    builder.sweep()
