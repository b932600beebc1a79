"""save, load, import: in both forms, compressed or not, from other programs, and from people who mean harm."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ch04_images.archives import END, device, directory, file, symlink
from tests.final.images.fake_registry import CONFIG, INDEX, LAYER, MANIFEST, descriptor, digest
from tests.final.images.stores import Store, rootfs
from tests.support.engines import ENGINE_FAILED, fails

FORMATS = ["docker-archive", "oci-archive"]
FILES = {"etc/os-release": b"ID=test\n", "f": b"x" * 100_000}
LAYER_FILES = directory(b"./") + file(b"one", b"1") + END


@pytest.fixture
def image(store: Store) -> str:
    """The name of an image in the store, with an entry in each field that has to survive."""
    changes = ["-c", 'ENTRYPOINT ["/bin/sh"]', "-c", "CMD -c true", "-c", "ENV A=b C=d", "-c", "LABEL k=v"]
    changes += ["-c", "USER 7", "-c", "WORKDIR /etc", "-c", "VOLUME /data", "-c", "EXPOSE 80 53/udp"]
    assert store("import", "-", "team/made:1", *changes, input=rootfs(FILES)).code == 0
    return "team/made:1"


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress], ids=["plain", "gzip", "xz"])
@pytest.mark.parametrize("by_pipe", [True, False], ids=["pipe", "file"])
def test_what_is_saved_can_be_loaded(
    store: Store,
    other_store: Store,
    image: str,
    format: str,
    compress: Callable[[bytes], bytes],
    by_pipe: bool,
    tmp_path: Path,
) -> None:
    archive = compress(store("save", "--format", format, image).out)
    (tmp_path / "archive").write_bytes(archive)
    loaded = other_store("load", input=archive) if by_pipe else other_store("load", "-i", str(tmp_path / "archive"))
    assert loaded.text == f"Loaded image: {image}"
    assert other_store.id(image) == store.id(image)
    assert other_store.files(image) == FILES
    assert other_store.inspect(image)["Config"] == {
        "Entrypoint": ["/bin/sh"],
        "Cmd": ["/bin/sh", "-c", "-c true"],
        "Env": ["A=b", "C=d"],
        "Labels": {"k": "v"},
        "User": "7",
        "WorkingDir": "/etc",
        "Volumes": {"/data": {}},
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
    }
    assert other_store("save", "--format", format, image).out == store("save", "--format", format, image).out


@pytest.mark.parametrize("format", FORMATS)
def test_several_images_and_names(store: Store, other_store: Store, image: str, format: str) -> None:
    store("tag", image, "second:a")
    store("import", "-", "third", input=rootfs({"g": b"3"}))
    archive = store("save", "--format", format, image, "second:a", "third").out
    loaded = other_store("load", "-q", input=archive).text.split()
    assert sorted(loaded) == ["second:a", "team/made:1", "third:latest"]
    assert other_store.names() == sorted(loaded)
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        names = opened.getnames()
    assert len(names) == len(set(names))  # what two have in common is there once


@pytest.mark.parametrize("format", FORMATS)
def test_an_image_saved_by_its_id_has_no_name(store: Store, other_store: Store, image: str, format: str) -> None:
    id = store.id(image)
    archive = store("save", "--format", format, id.partition(":")[2][:12]).out
    assert other_store("load", input=archive).text == f"Loaded image ID: {id}"
    assert other_store.names() == ["<none>:<none>"]
    assert other_store("image", "prune", "-f").text.splitlines()[:2] == ["Deleted Images:", f"Deleted: {id}"]


def test_a_file_is_written_whole_or_not_at_all(store: Store, image: str, tmp_path: Path) -> None:
    target = tmp_path / "archive"
    target.write_text("old")
    fails(store("save", "-o", str(target), image, "nosuch"), ENGINE_FAILED, "nosuch")
    assert target.read_text() == "old" and os.listdir(tmp_path).count("archive") == 1
    fails(store("save", "-o", str(tmp_path), image), ENGINE_FAILED, "no regular file")
    fails(store("save", "-o", "/nonexistent/x", image), ENGINE_FAILED, "No such file")
    assert store("save", "-o", str(target), image).code == 0
    with tarfile.open(target) as archive:
        assert archive.getnames()[-1] == "manifest.json"


def test_a_damaged_blob_is_not_passed_on(store: Store, image: str) -> None:
    (layer,) = store.inspect(image)["RootFS"]["Layers"]
    assert layer.startswith("sha256:")
    largest = max(store.root.glob("oci/blobs/sha256/*"), key=lambda path: path.stat().st_size)
    content = largest.read_bytes()
    largest.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    for format in FORMATS:
        fails(store("save", "--format", format, "-o", str(store.home / "x"), image), ENGINE_FAILED)
    assert not (store.home / "x").exists()
    largest.write_bytes(content)


def test_an_image_of_chapter_4_gets_its_documents(store: Store, other_store: Store) -> None:
    """Made without blobs; they are made when they are needed, and come out the same in another store."""
    for each in (store, other_store):
        made = subprocess.run(
            ["python3", "-m", "ch04_images", "import", "old", "-"],
            input=LAYER_FILES,
            env=each.environment,
            cwd=Path(__file__).parents[3],
            capture_output=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr
    archive = store("save", "old").out
    (layer,) = store.inspect("old")["RootFS"]["Layers"]
    assert other_store.inspect("old")["RootFS"]["Layers"] == [layer]
    assert other_store("load", input=archive).text == "Loaded image: old:latest"
    assert other_store.id("old") == store.id("old")


# ---------------------------------------------------------------- other programs


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
@pytest.mark.parametrize("format", FORMATS)
def test_skopeo_reads_what_we_save_and_we_what_it_writes(
    store: Store, other_store: Store, image: str, format: str, tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    store("save", "--format", format, "-o", str(ours), image)
    name = f":docker.io/{image}"
    copied = subprocess.run(
        ["skopeo", "copy", f"{format}:{ours}", f"{format}:{theirs}{name}"], capture_output=True, check=False
    )
    assert copied.returncode == 0, copied.stderr
    assert other_store("load", "-i", str(theirs)).text == f"Loaded image: {image}"
    assert other_store.id(image) == store.id(image)
    assert other_store.files(image) == FILES


@pytest.mark.parametrize("format", FORMATS)
def test_podman_loads_and_saves(
    store: Store, other_store: Store, podman: list[str], image: str, format: str, tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    store("tag", image, "registry.example/team/made:1")
    store("save", "--format", format, "-o", str(ours), "registry.example/team/made:1")
    saving = ["save", "--format", format, "-o", str(theirs), "registry.example/team/made:1"]
    for words in (["load", "-i", str(ours)], saving):
        ended = subprocess.run([*podman, *words], capture_output=True, check=False)
        assert ended.returncode == 0, ended.stderr
    assert other_store("load", "-i", str(theirs)).text == "Loaded image: registry.example/team/made:1"
    assert other_store.id("registry.example/team/made:1") == store.id(image)
    assert other_store.files("registry.example/team/made:1") == FILES


def test_links_as_old_dockers_write_them(store: Store) -> None:
    """A layer that two images share is a symbolic link to the other's."""
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest(LAYER_FILES)]}}).encode()
    manifest = [{"Config": "c.json", "RepoTags": ["linked:1"], "Layers": ["b/layer.tar"]}]
    archive = file(b"a/layer.tar", LAYER_FILES) + symlink(b"b/layer.tar", b"../a/layer.tar")
    archive += file(b"c.json", config) + file(b"manifest.json", json.dumps(manifest).encode()) + END
    assert store("load", input=archive).text == "Loaded image: linked:1"
    assert store.files("linked:1") == {"one": b"1"}


# ---------------------------------------------------------------- hostile ones


def docker_archive(manifest: Any, *members: bytes, config: Any = None) -> bytes:
    document = config if config is not None else {"rootfs": {"type": "layers", "diff_ids": [digest(LAYER_FILES)]}}
    named = file(b"c.json", json.dumps(document).encode()) + file(b"l.tar", LAYER_FILES)
    return named + b"".join(members) + file(b"manifest.json", json.dumps(manifest).encode()) + END


def entry(**more: Any) -> list[dict[str, Any]]:
    return [{"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["l.tar"], **more}]


HOSTILE: dict[str, bytes] = {
    "no archive": b"x" * 4096,
    "nothing": b"",
    "no image": file(b"f", b"x") + END,
    "a list of nothing": docker_archive([]),
    "no list": docker_archive({}),
    "a list of texts": docker_archive(["x"]),
    "a name that climbs": docker_archive(entry(RepoTags=["../x:1"])),
    "a configuration that climbs": docker_archive(entry(Config="../../../../../etc/hostname")),
    "a configuration outside": docker_archive(entry(Config="link"), symlink(b"link", b"/etc/hostname")),
    "a configuration that is a directory": docker_archive(entry(Config="d"), directory(b"d/")),
    "a layer outside": docker_archive(entry(Layers=["link"]), symlink(b"link", b"/proc/self/environ")),
    "a layer in circles": docker_archive(entry(Layers=["link"]), symlink(b"link", b"link")),
    "a layer that is none": docker_archive(entry(Layers=[7])),
    "too many layers": docker_archive(entry(Layers=["l.tar", "l.tar"])),
    "no layers": docker_archive(entry(Layers=[]), config={"rootfs": {"diff_ids": []}}),
    "another layer": docker_archive(entry(), config={"rootfs": {"diff_ids": [digest(b"x")]}}),
    "a member that climbs": file(b"../escaped", b"x") + docker_archive(entry()),
    "a device": docker_archive(entry(), device(b"dev", 1, 1)),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_archives_that_mean_harm(store: Store, case: str) -> None:
    archive = HOSTILE[case]
    fails(store("load", input=archive), ENGINE_FAILED)
    assert store.names() == []
    assert not list(store.root.parent.rglob("escaped"))


NAMED = {"org.opencontainers.image.ref.name": "x:1"}


def oci_archive(
    *members: bytes,
    tamper: Callable[[dict[str, bytes]], None] = lambda blobs: None,
    annotations: dict[str, str] = NAMED,
    **index: Any,
) -> bytes:
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest(LAYER_FILES)]}}).encode()
    layer = gzip.compress(LAYER_FILES, mtime=0)
    document = {"schemaVersion": 2, "config": descriptor(CONFIG, config), "layers": [descriptor(LAYER, layer)]}
    manifest = json.dumps(document).encode()
    blobs = {digest(data): data for data in (config, layer, manifest)}
    named = descriptor(MANIFEST, manifest, annotations=annotations)
    listed = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [named], **index}
    tamper(blobs)
    files = [file(b"blobs/sha256/" + name[7:].encode(), data) for name, data in blobs.items()]
    head = file(b"oci-layout", b'{"imageLayoutVersion": "1.0.0"}') + file(b"index.json", json.dumps(listed).encode())
    return head + b"".join([*files, *members]) + END


def test_an_oci_archive_by_hand(store: Store) -> None:
    assert store("load", input=oci_archive()).text == "Loaded image: x:1"
    assert store.files("x:1") == {"one": b"1"}


def test_both_forms_in_one_as_docker_writes_them_since_version_25(store: Store) -> None:
    """Of the name, the OCI's annotation has the tag alone there, and containerd's all."""
    annotations = {"io.containerd.image.name": "docker.io/team/x:1", "org.opencontainers.image.ref.name": "1"}
    manifest = [{"Config": "blobs/sha256/none", "RepoTags": ["team/x:1"], "Layers": ["blobs/sha256/none"]}]
    also = file(b"manifest.json", json.dumps(manifest).encode())
    assert store("load", input=oci_archive(also, annotations=annotations)).text == "Loaded image: team/x:1"
    assert store.files("team/x:1") == {"one": b"1"}
    assert store("load", input=oci_archive(annotations={})).text == f"Loaded image ID: {store.id('team/x:1')}"


def without(number: int) -> Callable[[dict[str, bytes]], None]:
    def tamper(blobs: dict[str, bytes]) -> None:
        del blobs[list(blobs)[number]]

    return tamper


def damaged(number: int) -> Callable[[dict[str, bytes]], None]:
    def tamper(blobs: dict[str, bytes]) -> None:
        name = list(blobs)[number]
        blobs[name] = blobs[name][:-1] + bytes([blobs[name][-1] ^ 1])

    return tamper


@pytest.mark.parametrize("which", [0, 1, 2], ids=["configuration", "layer", "manifest"])
@pytest.mark.parametrize("how", [without, damaged])
def test_oci_archives_that_are_not_whole(
    store: Store, which: int, how: Callable[[int], Callable[[dict[str, bytes]], None]]
) -> None:
    fails(store("load", input=oci_archive(tamper=how(which))), ENGINE_FAILED, "archive")


def test_an_index_that_lists_nothing(store: Store) -> None:
    fails(store("load", input=oci_archive(manifests=[])), ENGINE_FAILED, "no images")


# ---------------------------------------------------------------- import


def test_import_both_ways(store: Store, tmp_path: Path) -> None:
    """FILE NAME, as Docker has it, prints the id; NAME FILE, as chapter 4 does, the name."""
    (tmp_path / "archive").write_bytes(rootfs(FILES))
    id = store("import", str(tmp_path / "archive"), "a:1").text
    assert id == store.id("a:1")
    assert store("import", "b", str(tmp_path / "archive")).text == "b:latest"
    nameless = store("import", str(tmp_path / "archive"), "-m", "a comment").text
    assert store.inspect(nameless)["RepoTags"] == []
    assert store.inspect(nameless)["Comment"] == "a comment"
    assert store.files("a:1") == store.files("b") == FILES
    fails(store("import", str(tmp_path / "archive"), "Upper"), ENGINE_FAILED, "image name")
    fails(store("import", "-", "x", "-c", "FROM y", input=END), ENGINE_FAILED, "FROM y")
    fails(store("import", "/nonexistent"), ENGINE_FAILED, "/nonexistent")
