"""`cp`: into and out of containers that run or not, by archives, past links of the container's making; `diff`."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from tests.final.engine.conftest import Box
from tests.support.engines import ENGINE_FAILED, fails
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel


@pytest.fixture(params=["running", "stopped"])
def name(request: pytest.FixtureRequest, box: Box) -> str:
    """A container that has some files, running or not."""
    script = "mkdir -p /d/sub; echo one > /d/one; ln -s one /d/link; chmod 750 /d/sub; chown 7:8 /d/one; touch /ready; "
    box.sh(script + ("exec sleep 1000" if request.param == "running" else "exit"), "--name", "it", "--net", "none")
    if request.param == "stopped":
        box.has_ended("it")
    else:
        eventually(lambda: box.raw("exec", "it", "test", "-e", "/ready").code == 0, "its files")
    return "it"


def content(box: Box, name: str, path: str) -> str:
    """A file of a container, whether it runs or not."""
    archive = box.raw("cp", f"{name}:{path}", "-").out
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        file = tar.extractfile(tar.getmembers()[0])
        assert file is not None
        return file.read().decode()


def members_of(box: Box, name: str, path: str) -> list[tarfile.TarInfo]:
    """What an archive of something in a container has."""
    with tarfile.open(fileobj=io.BytesIO(box.raw("cp", f"{name}:{path}", "-").out)) as archive:
        return archive.getmembers()


def test_out_of_a_container(box: Box, name: str, tmp_path: Path) -> None:
    box("cp", f"{name}:/d/one", str(tmp_path / "new"))
    assert (tmp_path / "new").read_text() == "one\n" and (tmp_path / "new").stat().st_uid == 0
    box("cp", f"{name}:d/one", f"{tmp_path}/")
    assert (tmp_path / "one").exists()
    box("cp", f"{name}:/d", str(tmp_path))
    assert sorted(os.listdir(tmp_path / "d")) == ["link", "one", "sub"]
    assert os.readlink(tmp_path / "d/link") == "one"
    assert stat.S_IMODE((tmp_path / "d/sub").stat().st_mode) == 0o750
    box("cp", f"{name}:/d", str(tmp_path / "other"))  # which is not there: it gets that name
    box("cp", f"{name}:/d/.", str(tmp_path / "contents"))
    assert sorted(os.listdir(tmp_path / "other")) == sorted(os.listdir(tmp_path / "contents")) == ["link", "one", "sub"]
    box("cp", "-L", f"{name}:/d/link", str(tmp_path / "followed"))
    assert (tmp_path / "followed").read_text() == "one\n" and not (tmp_path / "followed").is_symlink()
    box("cp", f"{name}:/d/link", str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    box("cp", "-a", f"{name}:/d/one", str(tmp_path / "owned"))
    assert ((tmp_path / "owned").stat().st_uid, (tmp_path / "owned").stat().st_gid) == (7, 8)
    fails(box.raw("cp", f"{name}:/nosuch", str(tmp_path)), ENGINE_FAILED, "nosuch")
    fails(box.raw("cp", f"{name}:/d/one", str(tmp_path / "no/such")), ENGINE_FAILED, "No such")
    fails(box.raw("cp", f"{name}:/d", str(tmp_path / "new")), ENGINE_FAILED, "no directory")


def test_into_a_container(box: Box, name: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/file").write_text("text")
    os.symlink("file", tmp_path / "sub/link")
    os.chown(tmp_path / "sub/file", 5, 6)
    box("cp", str(tmp_path / "sub"), f"{name}:/d")
    assert content(box, name, "/d/sub/file") == "text"
    box("cp", str(tmp_path / "sub/file"), f"{name}:/d/one")
    assert content(box, name, "/d/one") == "text"
    box("cp", f"{tmp_path}/sub/.", f"{name}:/new")
    box("cp", "-a", str(tmp_path / "sub/file"), f"{name}:/owned")
    members = {member.name: member for member in members_of(box, name, "/new")}
    assert sorted(members) == ["new", "new/file", "new/link"]
    assert members["new/file"].uid == 0 and members["new/link"].linkname == "file"
    (owned,) = members_of(box, name, "/owned")
    assert (owned.uid, owned.gid) == (5, 6)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(tmp_path / "sub/file", "from/archive")
    box("cp", "-", f"{name}:/d", input=packed.getvalue())
    assert content(box, name, "/d/from/archive") == "text"
    fails(box.raw("cp", "/nosuch", f"{name}:/d"), ENGINE_FAILED, "nosuch")
    fails(box.raw("cp", str(tmp_path / "sub/file"), f"{name}:/no/such"), ENGINE_FAILED, "No such")
    fails(box.raw("cp", "-", f"{name}:/d", input=b"no archive"), ENGINE_FAILED)
    some = 'trap "" PIPE; "$@" | head -c 1 | wc -c'
    read = box.engine.host.run(["sh", "-c", some, "sh", *box.engine.command_line("cp", f"{name}:/", "-")])
    assert (read.text, read.err) == ("1", b"")  # who has had enough is no error


def test_what_it_refuses(box: Box, tmp_path: Path) -> None:
    box("create", "--name", "one", "--read-only", "busybox")
    for words in (
        ["one:/etc", "one:/tmp"],
        ["/etc/passwd", "/tmp/x"],
        ["nosuch:/etc", "/tmp"],
        ["/etc/passwd", "nosuch:/"],
    ):
        fails(box.raw("cp", *words), ENGINE_FAILED)
    fails(box.raw("cp", "/etc/passwd", "one:/tmp"), ENGINE_FAILED, "--read-only")
    box("create", "--name", "two", "busybox")
    assert "/nosuch/x: No such file or directory" in fails(
        box.raw("cp", "/etc/passwd", "two:/nosuch/x/y"), ENGINE_FAILED
    )
    box("cp", "one:/etc/passwd", f"{tmp_path}/a:b")  # a slash before the colon: a path of this host
    assert (tmp_path / "a:b").exists()


def test_links_of_the_container_lead_nowhere_outside(box: Box, tmp_path: Path) -> None:
    """CVE-2018-15664 and its like: links to places of this host, and up, stay in the container's root."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    links = (
        f"ln -s {outside} /out; ln -s ../../../../../..{outside} /up; ln -s {outside}/secret /file; ln -s /out /tmp/x"
    )
    inside = f"mkdir -p {outside}; echo harmless > {outside}/secret"
    box.sh(f"{links}; {inside}", "--name", "one", "--net", "none")
    box.has_ended("one")
    for path in ("/out/secret", "/up/secret", "/tmp/x/secret"):
        box("cp", f"one:{path}", str(tmp_path / "copied"))
        assert (tmp_path / "copied").read_text() == "harmless\n", path
    box("cp", "-L", "one:/file", str(tmp_path / "copied"))
    assert (tmp_path / "copied").read_text() == "harmless\n"
    (tmp_path / "mine").write_text("mine")
    for path in ("/out/new", "/up/new2", "/tmp/x/new3", "/file"):
        box("cp", str(tmp_path / "mine"), f"one:{path}")
    assert sorted(os.listdir(outside)) == ["secret"] and (outside / "secret").read_text() == "secret"


def test_a_hostile_tree_does_not_write_beside_its_target(box: Box, tmp_path: Path) -> None:
    """What comes out of a container has no setuid bits and no devices, and follows no link that came with it."""
    script = "mkdir /d; ln -s /etc /d/link; cp /bin/busybox /d/suid; chmod 6755 /d/suid; mknod /d/null c 1 3"
    box.sh(script, "--name", "one", "--net", "none")
    box.has_ended("one")
    copied = box.raw("cp", "one:/d", str(tmp_path / "d"))
    assert copied.code in (0, ENGINE_FAILED)
    made = {path.name: path.lstat() for path in (tmp_path / "d").iterdir()}
    assert not any(stat.S_ISCHR(status.st_mode) or stat.S_IMODE(status.st_mode) & 0o6000 for status in made.values())
    (tmp_path / "target").mkdir()
    os.symlink("/etc", tmp_path / "target/sub")
    box("create", "--name", "two", "busybox")
    box("cp", str(tmp_path / "d/link"), "two:/sub")
    fails(box.raw("cp", "two:/sub", str(tmp_path / "target/sub/x/y")), ENGINE_FAILED)
    assert not os.path.lexists("/etc/x")


def test_diff(box: Box) -> None:
    box.sh(
        "echo > /new; rm /etc/group; echo x >> /etc/passwd; mkdir /d; echo > /d/f; touch /tmp/t; rm /tmp/t",
        "--name",
        "one",
    )
    box.has_ended("one")
    assert box.lines("diff", "one") == ["A /d", "A /d/f", "C /etc", "D /etc/group", "C /etc/passwd", "A /new"]
    box("create", "--name", "two", "busybox")
    assert box("diff", "two") == ""
    fails(box.raw("diff", "nosuch"), ENGINE_FAILED, "nosuch")
