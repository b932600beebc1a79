"""Volumes: many, files and directories, and no way round the root file system. Book section 4.3."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ch04_images import images
from tests.support.engines import ENGINE_FAILED, Engine, fails, state_root

pytestmark = pytest.mark.kernel


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    (path / "file").write_text("from the host\n")
    return path


def image_with(engine: Engine, **links: str) -> str:
    """An image with symbolic links at its top, by name."""

    def fill(directory: str) -> int:
        for name, target in links.items():
            os.symlink(target, f"{directory}/{name}")
        return 0

    with state_root(engine.host.root):
        return images.create("linked", fill, below=images.find("busybox")).name


@pytest.mark.vm
def test_a_directory_is_shared_both_ways_and_outlives_the_container(engine: Engine, data: Path) -> None:
    assert engine.sh("cat /data/file; echo inside > /data/new", "-v", f"{data}:/data").text == "from the host"
    assert (data / "new").read_text() == "inside\n"


def test_a_file(engine: Engine, data: Path) -> None:
    volume = f"{data}/file:/etc/deep/er/config"
    assert engine.sh("cat /etc/deep/er/config; echo x >> /etc/deep/er/config", "-v", volume).text == "from the host"
    assert (data / "file").read_text() == "from the host\nx\n"
    assert engine.sh("cat /etc/passwd", "-v", f"{data}/file:/etc/passwd").text.endswith("x")


def test_many_and_one_inside_another_in_any_order(engine: Engine, data: Path) -> None:
    flags = []
    for number in range(20):
        (data / f"{number}").mkdir()
        (data / f"{number}/name").write_text(f"{number}\n")
        flags += ["-v", f"{data}/{number}:/volumes/{'in/' * (19 - number)}v"]
    script = "cat " + " ".join(f"/volumes/{'in/' * (19 - number)}v/name" for number in range(20))
    assert engine.sh(script, *flags).text.split() == [str(number) for number in range(20)]
    nested = ["-v", f"{data}/1:/top/0", "-v", f"{data}:/top"]
    assert engine.sh("cat /top/0/name /top/2/name", *nested).text.split() == ["1", "2"]


def test_read_only(engine: Engine, data: Path) -> None:
    result = engine.sh("cat /data/file; echo x > /data/file; mkdir /data/x", "-v", f"{data}:/data:ro")
    assert result.out == b"from the host\n" and result.err.count(b"Read-only file system") == 2
    assert engine.sh("mount -o remount,bind,rw /data; echo x > /data/written", "-v", f"{data}:/data:rw").code == 0
    assert os.listdir(data) and not (data / "x").exists()


@pytest.mark.vm
def test_read_only_holds_for_what_is_mounted_below(engine: Engine, data: Path) -> None:
    (data / "below").mkdir()
    words = engine.run_words(["sh", "-c", "echo x > /data/below/x"], "-v", f"{data}:/data:ro")
    mounted = 'mount -t tmpfs none "$0"/below; "$@"; ls -A "$0"/below'
    result = engine.host.run(["unshare", "-m", "sh", "-c", mounted, str(data), *words])
    assert result.out == b"" and b"Read-only" in result.err


def test_a_source_that_is_missing_becomes_a_directory(engine: Engine, data: Path) -> None:
    assert engine.sh("echo x > /v/x", "-v", f"{data}/a/b/c:/v").code == 0
    assert (data / "a/b/c/x").exists()


def test_a_relative_source_starts_here(engine: Engine, data: Path) -> None:
    words = engine.run_words(["cat", "/v/file"], "-v", "./data:/v")
    search = {"PYTHONPATH": str(Path(__file__).parents[2])}
    assert engine.host.run(words, cwd=data.parent, env=search).text == "from the host"


def test_links_of_the_image_lead_inside_only(engine: Engine, data: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    image = image_with(
        engine,
        absolute=str(outside),
        climbing="../../../../../../../../../../.." + str(outside),
        chain="/absolute",
        dangling="/srv/not/yet",
        etc2="etc",
    )
    for name in ("absolute", "climbing", "chain", "dangling", "etc2/x"):
        words = ["run", "--rm", "-v", f"{data}:/{name}", image, "cat", f"/{name}/file"]
        assert engine.raw(*words).text == "from the host"
        file = ["run", "--rm", "-v", f"{data}/file:/{name}/f/g", image, "cat", f"/{name}/f/g"]
        assert engine.raw(*file).text == "from the host"
    assert os.listdir(outside) == []
    assert sorted(os.listdir(data)) == ["file"]


@pytest.mark.parametrize("target", ["/proc/self/root", "/proc/1/cwd", *(f"/proc/self/fd/{n}" for n in range(3, 30))])
def test_links_of_proc_are_never_followed(engine: Engine, data: Path, target: str) -> None:
    """The engine has files of the host open until it executes the command: CVE-2024-21626."""
    image = image_with(engine, door=target)
    result = engine.raw("run", "--rm", "-v", f"{data}:/door/../../marker", image, "true")
    assert result.code in (0, ENGINE_FAILED)
    result = engine.raw("run", "--rm", "-v", f"{data}:/door/x-marker", image, "ls", "/")
    fails(result, ENGINE_FAILED, "Mounts" if engine.is_full else "Volumes")
    assert not list(engine.host.root.rglob("x-marker"))


def test_links_in_circles(engine: Engine, data: Path) -> None:
    image = image_with(engine, one="two", two="one")
    fails(engine.raw("run", "--rm", "-v", f"{data}:/one/x", image, "true"), ENGINE_FAILED, "symbolic link")


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        ("", ["no volume"]),
        ("/only", ["no volume", "-v SOURCE:TARGET"]),
        (":/x", ["no volume"]),
        ("/x:", ["no volume"]),
        ("named:/x", ["no path", "./named"]),
        ("/x:relative", ["not absolute"]),
        ("/x:/y:rx", ["neither ro nor rw"]),
        ("/x:/y:ro:z", ["neither ro nor rw"]),
        ("/x:/", ["root"]),
        ("/x:/a/..", ["root"]),
        ("/x://", ["root"]),
    ],
)
def test_wrong_use(engine: Engine, volume: str, words: list[str]) -> None:
    if engine.is_full and volume in ("/only", "named:/x", "/x:/y:ro:z"):
        pytest.skip("a volume without a name, one with a name, a label of SELinux")
    fails(engine.run(["true"], "-v", volume), ENGINE_FAILED, *words)


def test_two_with_one_target(engine: Engine, data: Path) -> None:
    fails(engine.run(["true"], "-v", f"{data}:/x", "-v", f"{data}:/x/"), ENGINE_FAILED, "/x", "two volumes")


def test_a_directory_over_a_file_and_a_file_over_a_directory(engine: Engine, data: Path) -> None:
    fails(engine.run(["true"], "-v", f"{data}:/etc/passwd"), ENGINE_FAILED, "/etc/passwd")
    fails(engine.run(["true"], "-v", f"{data}/file:/etc"), ENGINE_FAILED, "/etc", "directory")


def test_names_with_any_character(engine: Engine, data: Path) -> None:
    for name in ("with space", "quo'te\"", "new\nline", "ünï", "comma,equals=", "back\\slash"):
        assert engine.run(["cat", f"/{name}/file"], "-v", f"{data}:/{name}").text == "from the host"
        (data / name).mkdir()
        (data / name / "own").write_text(name)
        assert engine.run(["cat", "/v/own"], "-v", f"{data}/{name}:/v").out == name.encode()
    assert engine.run([b"cat", b"/\xff\xfe/file"], "-v", os.fsencode(data) + b":/\xff\xfe").text == "from the host"
