"""Who the command is and where it starts: -u and -w, by Docker's rules."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ch04_images import images
from tests.support.engines import ENGINE_FAILED, Engine, fails, state_root

pytestmark = pytest.mark.kernel

PASSWD = """\
# comment
root:x:0:0:root:/root:/bin/sh
app:x:1000:1001:App:/srv/app:/bin/sh
5:x:77:78:a name that is a number:/five:/bin/sh
homeless:x:1002:1002:::/bin/sh
broken:x
big:x:4294967295:0::/:
word:x:abc:0::/:
nul\0name:x:9:9::/:
"""
GROUP = "root:x:0:\nwheel:x:10:root,app\nextra:x:2000:app,homeless\napp:x:1001:\nhalf:x\n"


def image(engine: Engine, passwd: str = PASSWD, group: str = GROUP) -> str:
    def fill(directory: str) -> int:
        os.mkdir(f"{directory}/etc")
        Path(directory, "etc/passwd").write_text(passwd)
        Path(directory, "etc/group").write_text(group)
        return 0

    with state_root(engine.host.root):
        return images.create("users", fill, below=images.find("busybox")).name


def who(engine: Engine, *flags: str) -> str:
    script = 'echo "$(id -u):$(id -g) $(id -G) $HOME"; grep Groups /proc/self/status | cut -f2'
    return engine.raw("run", "--rm", *flags, image(engine), "sh", "-c", script).text


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (None, "0:0 0 10 /root\n0 10"),
        ("root", "0:0 0 10 /root\n0 10"),
        ("app", "1000:1001 1001 10 2000 /srv/app\n10 1001 2000"),
        ("1000", "1000:1001 1001 10 2000 /srv/app\n10 1001 2000"),
        ("01000", "1000:1001 1001 10 2000 /srv/app\n10 1001 2000"),
        ("app:extra", "1000:2000 2000 /srv/app\n2000"),
        ("app:7", "1000:7 7 /srv/app\n7"),
        ("12345", "12345:0 0 /\n0"),
        ("12345:54321", "12345:54321 54321 /\n54321"),
        ("5", "77:78 78 /five\n78"),
        ("homeless", "1002:1002 1002 2000 /\n1002 2000"),
        (":10", "0:10 10 /root\n10"),
        ("4294967294:4294967294", "4294967294:4294967294 4294967294 /\n4294967294"),
    ],
)
def test_names_and_numbers(engine: Engine, user: str | None, expected: str) -> None:
    assert who(engine, *(["-u", user] if user else [])) == expected


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("nosuch", ["user 'nosuch'", "/etc/passwd"]),
        ("app:nosuch", ["group 'nosuch'", "/etc/group"]),
        ("4294967295", ["4294967295"]),
        ("0:4294967296", ["4294967296"]),
        ("-1", ["'-1'"]),
        ("big", ["4294967295"]),
        ("word", ["'abc'"]),
        ("app:", ["group ''"]),
        ("٣", ["user"]),
    ],
)
def test_users_that_cannot_be(engine: Engine, user: str, words: list[str]) -> None:
    name = image(engine)
    fails(engine.raw("run", "--rm", "-u", user, name, "true"), ENGINE_FAILED, "User", *words)


def test_the_environment_wins_over_the_home(engine: Engine) -> None:
    assert who(engine, "-u", "app", "-e", "HOME=/mine").splitlines()[0].split()[-1] == "/mine"


@pytest.mark.vm
def test_an_ordinary_user_has_no_rights(engine: Engine) -> None:
    result = engine.sh("touch /x; mount -t tmpfs none /tmp; grep CapEff /proc/self/status", "-u", "1000")
    assert result.out.split() == [b"CapEff:", b"0000000000000000"]
    assert result.err.count(b"ermission denied") == 2


def test_a_user_can_open_the_streams_anew(engine: Engine) -> None:
    """By their names, as servers do to write their logs; root made them, and each may be opened by its owner alone."""
    result = engine.sh("cat /dev/stdin > /dev/stdout; echo wrong > /dev/stderr", "-i", "-u", "1000", input=b"hello")
    assert (result.code, result.out, result.err) == (0, b"hello", b"wrong\n")
    terminal = engine.pty(["sh", "-c", "echo anew > /dev/stdout"], "-t", "-u", "1000")
    terminal.expect(b"anew")
    assert terminal.wait() == 0


def test_a_file_of_the_host_stays_whose_it_is(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        assert engine.sh("echo hello; exec 2>&-; echo more", "-u", "1000", stdout=file).code == 0
    assert log.read_bytes() == b"hello\nmore\n" and log.stat().st_uid == 0


def test_a_file_of_the_users_alone_can_be_the_command(engine: Engine) -> None:
    """The command is looked up as the user, not as root."""
    engine.plant("private", b"#!/bin/sh\nid -u\n", 0o700)
    path = engine.plant("public", b"#!/bin/sh\nid -u\n")
    os.chmod(os.path.dirname(path), 0o755)
    assert engine.run([path], "-u", "1000").text == "1000"
    fails(engine.run([os.path.dirname(path) + b"/private"], "-u", "1000"), 126, "private")


@pytest.mark.parametrize("directory", ["/", "/etc", "/made/here", "/tmp/../tmp/x"])
def test_working_directory(engine: Engine, directory: str) -> None:
    assert engine.run(["pwd"], "-w", directory).text == os.path.normpath(directory)


@pytest.mark.parametrize("directory", ["etc", "/etc/passwd", "/etc/passwd/x"])
def test_working_directories_that_cannot_be(engine: Engine, directory: str) -> None:
    fails(engine.run(["pwd"], "-w", directory), ENGINE_FAILED, "orking")
