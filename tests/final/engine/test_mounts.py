"""-v, --mount, --tmpfs, --read-only, --shm-size: what is mounted into a container, and volumes with names."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from final.engine import volumes
from tests.final.engine.conftest import Box
from tests.support.engines import ENGINE_FAILED, fails, state_root
from tests.support.hosts import finish
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel


def test_a_volume_is_made_and_filled_from_the_image(box: Box) -> None:
    assert "root:x:0:0" in box.once("cat /etc/passwd; touch /etc/mark", "-v", "data:/etc")
    assert box.once("ls /x", "-v", "data:/x").split() == box.once("ls /x", "--mount", "source=data,target=/x").split()
    path = Path(box("volume", "inspect", "-f", "{{.Mountpoint}}", "data"))
    assert {"group", "mark", "passwd"} <= set(os.listdir(path))
    (path / "passwd").unlink()
    assert "passwd" not in box.once("ls /etc", "-v", "data:/etc").split()  # it is filled but once
    assert box.once("ls -A /etc", "-v", "fresh:/etc:nocopy").split() == ["hostname", "hosts", "resolv.conf"]
    assert box.once("ls -A /x", "--mount", "type=volume,src=fresh,dst=/x,volume-nocopy") == box.once(
        "ls -A /x", "-v", "fresh:/x"
    )
    assert box.lines("volume", "ls", "-q") == ["data", "fresh"]


def test_owner_and_mode_of_a_filled_volume(box: Box) -> None:
    box.sh("mkdir -m 1770 /data; chown 7:8 /data; ln -s /etc/passwd /data/link", "--name", "one", "--net", "none")
    box.has_ended("one")
    box("commit", "one", "withdata")
    assert box.once("stat -c '%a %u %g' /data; readlink /data/link", "-v", "v:/data", image="withdata").split() == [
        "1770",
        "7",
        "8",
        "/etc/passwd",
    ]


def test_a_link_of_the_image_does_not_fill_a_volume_from_the_host(box: Box, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "file").write_text("secret")
    box.sh(f"rm -r /home; ln -s {secret} /home; ln -s / /up", "--name", "one", "--net", "none")
    box.has_ended("one")
    box("commit", "one", "hostile")
    started = box.raw("run", "--rm", "--net", "none", "-v", "v:/home", "hostile", "true")
    assert started.code in (0, ENGINE_FAILED)
    assert os.listdir(box("volume", "inspect", "-f", "{{.Mountpoint}}", "v")) == []


def test_read_only(box: Box, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    writes = "(echo x > {}) 2>/dev/null && echo written || echo refused"
    for flags in (
        ["-v", f"{tmp_path}:/x:ro"],
        ["--mount", f"type=bind,source={tmp_path},target=/x,readonly"],
        ["--mount", f"type=bind,src={tmp_path},dst=/x,ro=true"],
        ["-v", "named:/x:ro"],
    ):
        assert box.once(writes.format("/x/new"), *flags) == "refused", flags
    assert box.once(writes.format("/x/new"), "-v", f"{tmp_path}:/x") == "written"
    assert (tmp_path / "new").read_text() == "x\n"
    script = "; ".join(writes.format(path) for path in ("/new", "/etc/new", "/tmp/new", "/x/new", "/dev/shm/new"))
    found = box.once(script, "--read-only", "--tmpfs", "/tmp", "-v", f"{tmp_path}:/x").split()
    assert found == ["refused", "refused", "written", "written", "written"]


def test_file_systems_in_memory(box: Box) -> None:
    look = "grep ' /x ' /proc/mounts; stat -c %a /x"
    line, mode = box.once(look, "--tmpfs", "/x").splitlines()
    assert {"rw", "nosuid", "nodev", "noexec"} <= set(line.split()[3].split(",")) and mode == "1777"
    line, mode = box.once(look, "--tmpfs", "/x:size=1m,mode=700,exec").splitlines()
    assert {"size=1024k", "mode=700"} <= set(line.split()[3].split(",")) and "noexec" not in line and mode == "700"
    line, mode = box.once(look, "--mount", "type=tmpfs,target=/x,tmpfs-size=2m,tmpfs-mode=1750").splitlines()
    assert "size=2048k" in line and mode == "1750"
    assert "size=65536k" in box.once("grep ' /dev/shm ' /proc/mounts")
    assert "size=8192k" in box.once("grep ' /dev/shm ' /proc/mounts", "--shm-size", "8m")


def test_what_inspect_says_of_them(box: Box, tmp_path: Path) -> None:
    mount = f"type=bind,source={tmp_path},target=/m,readonly"
    box(
        "create",
        "--name",
        "one",
        "-v",
        f"{tmp_path}:/b:ro",
        "-v",
        "data:/d",
        "--mount",
        mount,
        "--tmpfs",
        "/t",
        "busybox",
    )
    mounts = {entry["Destination"]: entry for entry in box.known("one")["Mounts"]}
    assert mounts["/b"]["Source"] == str(tmp_path) and mounts["/b"]["RW"] is False and mounts["/b"]["Type"] == "bind"
    assert mounts["/b"]["Propagation"] == "rprivate"
    assert (mounts["/d"]["Name"], mounts["/d"]["Driver"], mounts["/d"]["RW"]) == ("data", "local", True)
    assert mounts["/m"]["RW"] is False
    host = box.known("one")["HostConfig"]
    assert host["Binds"] == [f"{tmp_path}:/b:ro", "data:/d"] and host["Tmpfs"] == {"/t": ""}
    assert box("ps", "-a", "--filter", "volume=data", "--format", "{{.Names}}") == "one"
    assert box("ps", "-a", "--filter", "volume=/b", "--format", "{{.Names}} {{.LocalVolumes}}") == "one 1"
    assert box("ps", "-a", "--filter", "volume=nosuch", "-q") == ""


def test_volumes_of_another_container(box: Box, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    box("create", "--name", "one", "-v", "/anonymous", "-v", "data:/data", "-v", f"{tmp_path}:/dir:ro", "busybox")
    script = "echo x > /anonymous/x; echo y > /data/y; cat /dir/file; echo z 2>/dev/null > /dir/z || echo refused"
    assert box.once(script, "--volumes-from", "one") == "textrefused"
    assert box.once("cat /anonymous/x /data/y", "--volumes-from", "one:ro") == "x\ny"
    assert box.raw("run", "--rm", "--volumes-from", "one:ro", "busybox", "touch", "/data/new").code == 1
    box("create", "--name", "two", "--volumes-from", "one", "-v", f"{tmp_path}:/data", "busybox")
    mounts = {entry["Destination"]: entry.get("Name") for entry in box.known("two")["Mounts"]}
    assert set(mounts) == {"/anonymous", "/data", "/dir"} and mounts["/data"] is None
    box("rm", "-v", "one")
    assert mounts["/anonymous"] in box.lines("volume", "ls", "-q")  # the other one has it
    box("rm", "-v", "two")
    assert box("volume", "ls", "-q") == "data"
    fails(box.raw("run", "--volumes-from", "nosuch", "busybox", "true"), ENGINE_FAILED, "nosuch")
    fails(box.raw("run", "--volumes-from", "one:x", "busybox", "true"), ENGINE_FAILED, "one:x")


def part(path: str, more: str = "") -> list[str]:
    return ["--mount", f"type=volume,src=data,dst=/x,volume-subpath={path}{more}"]


def test_a_part_of_a_volume(box: Box, tmp_path: Path) -> None:
    box.once("mkdir -p /v/a/b; echo deep > /v/a/b/f; echo top > /v/f; ln -s /a/../../a/b /v/in", "-v", "data:/v")
    assert box.once("cat /x/f; echo new > /x/g", *part("a/b")) == "deep"
    assert box.once("cat /v/a/b/g", "-v", "data:/v") == "new"
    assert box.once("cat /x", *part("./f")) == "top" and box.once("cat /x/a/b/f", *part(".")) == "deep"
    assert box.once("ls /x; cat /x/f", *part("in")).split() == ["f", "g", "deep"]
    assert box.once("(echo x > /x/new) 2>/dev/null || echo refused", *part("a/b", ",readonly")) == "refused"
    assert box.once("cat /x/f; stat -c %u /x", "--userns", "auto", *part("a/b")).split() == ["deep", "0"]
    box("create", "--name", "one", "--net", "none", *part("a/b"), "busybox", "cat", "/x/f")
    assert box("cp", "one:/x/g", str(tmp_path / "g")) == "" and (tmp_path / "g").read_text() == "new\n"
    assert box("start", "-a", "one") == "deep"
    assert box.once("cat /x/f", "--volumes-from", "one") == "deep"
    box.once("rm -r /v/a", "-v", "data:/v")
    fails(box.raw("start", "one"), ENGINE_FAILED, "a/b", "data")
    assert box("cp", "one:/etc/passwd", str(tmp_path / "passwd")) == ""


def test_no_link_in_a_volume_leads_out(box: Box, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    climb = "../" * 20 + str(tmp_path)
    box.once(f"ln -s {tmp_path} /v/absolute; ln -s {climb} /v/climbs; ln -s /proc/self/root /v/proc", "-v", "data:/v")
    for path in ("absolute", "climbs", "proc", "absolute/secret", "nosuch"):
        for detach in ([], ["-d"]):
            refused = box.raw("run", "--rm", *detach, "--net", "none", *part(path), "busybox", "ls", "/x")
            fails(refused, ENGINE_FAILED, f"volume-subpath={path}", "data")
    box.once(f"mkdir -p /v{tmp_path}; echo inner > /v{tmp_path}/secret", "-v", "data:/v")
    assert box.once("cat /x/secret", *part("climbs")) == "inner"
    for path in ("/a", "..", "../a", "a/../..", "a/../../b"):
        fails(box.raw("create", *part(path), "busybox"), ENGINE_FAILED, f"volume-subpath={path}", "within the volume")
    fails(box.raw("create", "--mount", "dst=/x,volume-subpath=a", "busybox"), ENGINE_FAILED, "volume-subpath=a")
    fails(
        box.raw("create", "--mount", "type=tmpfs,dst=/x,volume-subpath=a", "busybox"), ENGINE_FAILED, "volume-subpath"
    )


def test_volumes(box: Box) -> None:
    assert box("volume", "create", "--label", "kind=a", "--label", "x", "one") == "one"
    assert box("volume", "create", "one") == "one"
    name = box("volume", "create")
    assert len(name) == 64
    assert box.lines("volume", "ls") == ["DRIVER  VOLUME NAME", *sorted(["local   one", f"local   {name}"])]
    assert box("volume", "ls", "-q", "--filter", "label=kind=a") == "one"
    assert box("volume", "ls", "-q", "--filter", "name=on") == "one"
    assert box("volume", "ls", "--format", '{{.Name}} {{.Label "kind"}} {{.Scope}}', "-f", "name=one") == "one a local"
    (found,) = json.loads(box("volume", "inspect", "one"))
    assert (found["Name"], found["Driver"], found["Scope"]) == ("one", "local", "local")
    assert found["Labels"] == {"kind": "a", "x": ""} and os.path.isdir(found["Mountpoint"])
    assert found["CreatedAt"].endswith("Z")
    box.sleeper("box", "-v", "one:/x")
    assert box("volume", "ls", "-q", "--filter", "dangling=true") == name
    assert box("volume", "ls", "-q", "--filter", "dangling=false") == "one"
    fails(box.raw("volume", "rm", "one"), ENGINE_FAILED, "has it")
    assert box.lines("volume", "prune", "-f")[:2] == ["Deleted Volumes:", name]
    assert box.lines("volume", "prune", "-f", "-a") == ["Total reclaimed space: 0B"]
    box("rm", "-f", "box")
    assert box("volume", "prune", input=b"n\n").startswith("WARNING!") and box("volume", "ls", "-q") == "one"
    assert box("volume", "rm", "one") == "one"
    fails(box.raw("volume", "rm", "one"), ENGINE_FAILED, "there is none")
    assert box("volume", "rm", "-f", "one") == "one"
    for words in (["create", "a/b"], ["create", "-d", "nfs"], ["inspect", "nosuch"], ["ls", "-f", "x=y"], ["rm", ".."]):
        fails(box.raw("volume", *words), ENGINE_FAILED)


def test_no_volume_is_removed_while_some_are_chosen(box: Box) -> None:
    """Between the choice and the container's record, nobody can see that it is wanted."""
    box("volume", "create", "one")
    with state_root(box.root), volumes.choosing():
        removal = box.engine.host.spawn(box.engine.command_line("volume", "rm", "one"))
        eventually(lambda: is_waiting_for_a_lock(removal.pid), "it to wait")
        assert box("volume", "ls", "-q") == "one"
    assert finish(removal).code == 0
    assert box("volume", "ls", "-q") == ""


def is_waiting_for_a_lock(pid: int) -> bool:
    """proc_locks(5): a lock that somebody waits for has an arrow before its kind."""
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return any(words[1] == "->" and words[5] == str(pid) for words in lines)


def test_volumes_without_a_name_go_with_their_container(box: Box) -> None:
    box.image("withvolume", Volumes={"/data": {}})
    assert box.once("touch /data/x /y/z; ls /data /y", "-v", "/y", image="withvolume").split() == [
        *("/data:", "x", "/y:", "z")
    ]
    assert box("volume", "ls", "-q") == ""
    for words in (["--name", "taken"], ["--cidfile", "/nosuch/id"], ["--group-add", "nosuch"]):
        box.raw("create", "--name", "taken", "busybox")
        assert box.raw("run", "-v", "/y", *words, "withvolume", "true").code == ENGINE_FAILED
        assert box("volume", "ls", "-q") == "", words  # a container that could not be made or started leaves none
    box("create", "--name", "one", "-v", "/y", "withvolume")
    assert len(box.lines("volume", "ls", "-q")) == 2
    box("rm", "one")
    assert len(box.lines("volume", "ls", "-q", "--filter", "label=com.docker.volume.anonymous")) == 2
    box("create", "--name", "one", "withvolume")
    box("rm", "-v", "one")
    assert len(box.lines("volume", "ls", "-q")) == 2
