"""The store: names, ids, lists, removal, and images of chapter 4 beside those of registries."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ch02_namespaces import unionfs
from ch04_images import images
from final.images import store as image_store
from tests.ch04_images.archives import END, directory, file
from tests.final.images.fake_registry import FakeRegistry
from tests.final.images.stores import Store, rootfs
from tests.support.engines import ENGINE_FAILED, fails, state_root
from tests.support.hosts import REPOSITORY

HEADERS = ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]


@pytest.fixture
def two(store: Store) -> Store:
    """A store with an image of two names and an image of one."""
    store("import", "-", "one:1", "-c", "LABEL kind=a", input=rootfs({"f": b"1" * 2000}))
    store("tag", "one:1", "localhost:5000/team/one:2")
    store("import", "-", "two", input=rootfs({"f": b"2" * 3000, "g": b"2"}))
    return store


def chapter4(store: Store, *words: str, input: bytes = b"") -> str:
    """The increment of chapter 4 on the same store."""
    command = [sys.executable, "-m", "ch04_images", *words]
    ended = subprocess.run(
        command, cwd=REPOSITORY, env=store.environment, input=input, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.decode()


# ---------------------------------------------------------------- lists


def test_images_lists_them(two: Store) -> None:
    lines = two("images").text.splitlines()
    assert re.split(r"  +", lines[0]) == HEADERS
    rows = [re.split(r"  +", line) for line in lines[1:]]
    assert sorted((row[0], row[1], row[4]) for row in rows) == [
        ("localhost:5000/team/one", "2", "2kB"),
        ("one", "1", "2kB"),
        ("two", "latest", "3kB"),
    ]
    assert all(re.fullmatch(r"(Less than a|\d+) seconds? ago|(About a|\d+) minutes? ago", row[3]) for row in rows)
    assert {row[2] for row in rows} == {two.id(name)[7:19] for name in ("one:1", "two")}


def test_images_in_other_forms(two: Store) -> None:
    assert two("images", "--format", "{{.Repository}}|{{.Tag}}", "one").text == "one|1"
    assert two("images", "-q", "--no-trunc", "two").text == two.id("two")
    assert len(two("images", "-q").text.splitlines()) == 2
    assert "DIGEST" in two("images", "--digests").text and "<none>" in two("images", "--digests").text
    table = two("images", "--format", "table {{.Tag}}\\t{{.ID}}", "two").text.splitlines()
    assert [line.split()[0] for line in table] == ["TAG", "latest"]
    rows = [json.loads(line) for line in two("images", "--format", "json").text.splitlines()]
    assert {row["Repository"] for row in rows} == {"one", "two", "localhost:5000/team/one"}
    fails(two("images", "--format", "{{.Nothing}}"), ENGINE_FAILED, "Nothing")
    assert two("images", "nosuch").text.split() == " ".join(HEADERS).split()


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (["reference=one"], ["one:1"]),
        (["reference=*/team/*"], ["localhost:5000/team/one:2"]),
        (["reference=*/*"], []),
        (["reference=o*:1"], ["one:1"]),
        (["label=kind"], ["localhost:5000/team/one:2", "one:1"]),
        (["label=kind=a", "reference=one"], ["one:1"]),
        (["label=kind=b"], []),
        (["dangling=true"], []),
        (["dangling=false"], ["localhost:5000/team/one:2", "one:1", "two:latest"]),
    ],
)
def test_filters(two: Store, filters: list[str], names: list[str]) -> None:
    flags = [word for text in filters for word in ("--filter", text)]
    assert sorted(two("images", "--format", "{{.Repository}}:{{.Tag}}", *flags).text.split()) == names
    for wrong in ("nosuch=1", "dangling=perhaps"):
        fails(two("images", "--filter", wrong), ENGINE_FAILED, wrong)


def test_images_whose_names_fit_a_pattern(two: Store) -> None:
    assert two("images", "o*", "--format", "{{.Repository}}:{{.Tag}}").text == "one:1"
    assert two("images", "*/*/?ne:*", "-q").text == two.id("one:1")[7:19]
    assert two("images", "*.nosuch", "-q").text == ""


def test_history(store: Store, fake: FakeRegistry) -> None:
    """Steps without a layer are steps, too."""
    history = [
        {"created": "2020-01-02T03:04:05.678901234Z", "created_by": "ADD file"},
        {"created": "2020-01-02T03:04:06Z", "created_by": "CMD " + "x" * 100, "empty_layer": True},
        {"created": "nonsense", "created_by": "RUN", "comment": "by hand"},
    ]
    fake.add_image("x", [rootfs({"f": b"1" * 1000}), rootfs({"g": b"2"})], history=history)
    store("pull", f"{fake.host}/x")
    rows = [json.loads(line) for line in store("history", "--format", "json", f"{fake.host}/x").text.splitlines()]
    assert [row["Size"] for row in rows] == ["1B", "0B", "1kB"]
    exact = store("history", "-H=false", "--format", "{{.Size}}", f"{fake.host}/x").text
    assert exact.split() == ["1", "0", "1000"]
    assert [row["CreatedBy"][:5] for row in rows] == ["RUN", "CMD x", "ADD f"]
    assert rows[0]["Comment"] == "by hand" and rows[1]["CreatedBy"].endswith("…")
    assert [row["ID"] for row in rows] == [store.id(f"{fake.host}/x")[7:19], "<missing>", "<missing>"]
    full = store("history", "--no-trunc", "--format", "{{.CreatedBy}}", f"{fake.host}/x").text.splitlines()
    assert full[1] == "CMD " + "x" * 100


def test_inspect(two: Store) -> None:
    found = two.inspect("one:1")
    assert found["RepoTags"] == ["localhost:5000/team/one:2", "one:1"]
    assert found["Config"] == {"Labels": {"kind": "a"}}
    assert found["Size"] == 2000 and found["Os"] == "linux"
    labels = two("image", "inspect", "-f", '[{{index .Config.Labels "kind"}}]', "one:1", "two")
    assert labels.text == "[a]\n[]"  # also of one that has no labels at all
    assert two("image", "inspect", "-f", "{{.Config.Nosuch}}", "one:1").code == ENGINE_FAILED
    assert two("image", "inspect", "--format", "{{len .RootFS.Layers}}", "one:1", "two").text == "1\n1"
    several = two("image", "inspect", "two", "nosuch")
    assert several.code == ENGINE_FAILED and json.loads(several.out)[0]["Id"] == two.id("two")


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    "text",
    ["two", "two:latest", "docker.io/library/two", "docker.io/library/two:latest", "index.docker.io/library/two"],
)
def test_short_and_long_names(two: Store, text: str) -> None:
    assert two("image", "inspect", "-f", "{{.RepoTags}}", text).text == "[two:latest]"


def test_ids(two: Store) -> None:
    id = two.id("two")
    for text in (id, id[7:], id[7:19], id[7:11]):
        assert two("image", "inspect", "-f", "{{.Id}}", text).text == id
    for text in ("", "sha256:", "zz", "0" * 65):
        fails(two("image", "inspect", text), ENGINE_FAILED)


def test_tag(two: Store) -> None:
    assert two("tag", two.id("one:1")[7:19], "docker.io/library/third").code == 0
    assert "third:latest" in two.names()
    assert two.id("third") == two.id("one:1")
    assert two("tag", "two", "third").code == 0  # the name goes to another
    assert two.id("third") == two.id("two")
    for name in ("Upper", "x@sha256:" + "0" * 64, two.id("two"), "a:b:c"):
        fails(two("tag", "two", name), ENGINE_FAILED, "image name")
    fails(two("tag", "nosuch", "x"), ENGINE_FAILED, "nosuch")


# ---------------------------------------------------------------- removal


def test_rmi_takes_names_and_then_the_image(two: Store) -> None:
    id = two.id("one:1")
    assert two("rmi", "one:1").text == "Untagged: one:1"
    assert two("rmi", "localhost:5000/team/one:2").text.splitlines() == [
        "Untagged: localhost:5000/team/one:2",
        f"Deleted: {id}",
    ]
    assert two.names() == ["two:latest"]
    fails(two("rmi", "one:1"), ENGINE_FAILED, "one:1")


def test_rmi_by_id(two: Store) -> None:
    id = two.id("one:1")
    fails(two("rmi", id[7:19]), ENGINE_FAILED, "2 names", "-f")
    assert two("rmi", "-f", id[7:19]).text.splitlines()[-1] == f"Deleted: {id}"
    assert two("rmi", two.id("two")).code == 0
    assert two.names() == [] and not list(two.root.glob("oci/blobs/*/*"))


def test_rmi_goes_on_after_one_that_is_not_there(two: Store) -> None:
    fails(two("rmi", "nosuch", "two"), ENGINE_FAILED, "nosuch")
    assert "two:latest" not in two.names()


def test_rmi_by_force_takes_what_is_there(two: Store) -> None:
    done = two("rmi", "-f", "nosuch", "two")
    assert done.code == 0 and "two:latest" not in two.names() and b"nosuch" in done.err


def test_layers_that_images_share_stay(store: Store, fake: FakeRegistry) -> None:
    layers = [rootfs({"f": b"1"}), rootfs({"g": b"2"})]
    fake.add_image("x", layers[:1])
    fake.add_image("y", layers)
    for name in ("x", "y"):
        store("pull", f"{fake.host}/{name}")
    assert len(os.listdir(store.root / "layers")) == 2
    store("rmi", f"{fake.host}/y")
    assert store.files(f"{fake.host}/x") == {"f": b"1"}
    assert len(os.listdir(store.root / "layers")) == 1


def test_a_pull_that_replaces_an_image(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("x", [rootfs({"f": b"1"})])
    store("pull", f"{fake.host}/x")
    fake.add_image("x", [rootfs({"f": b"2"})])
    assert "Downloaded newer" in store("pull", f"{fake.host}/x").text
    assert store.files(f"{fake.host}/x") == {"f": b"2"}
    assert len(os.listdir(store.root / "layers")) == 1


def test_prune(two: Store) -> None:
    nameless = two("import", "-", input=rootfs({"h": b"3"})).text
    assert "<none>:<none>" in two.names()
    asked = two("image", "prune", input=b"n\n").text
    assert "Are you sure" in asked and "<none>:<none>" in two.names()
    assert f"Deleted: {nameless}" in two("image", "prune", input=b"y\n").text
    assert two("image", "prune", "-f").text == "Total reclaimed space: 0B"
    for nothing in ("until=2001-01-01", "label=nosuch"):
        assert two("image", "prune", "-a", "-f", "--filter", nothing).text == "Total reclaimed space: 0B"
    assert "Untagged: two:latest" in two("image", "prune", "-a", "-f", "--filter", "label!=kind").text
    assert two.names() == ["localhost:5000/team/one:2", "one:1"]
    assert two("image", "prune", "-a", "-f").code == 0
    assert two.names() == []


# ---------------------------------------------------------------- chapter 4 beside


def test_images_of_chapter_4(store: Store) -> None:
    """They have no documents until somebody asks; what chapter 4 replaces or removes is noticed."""
    chapter4(store, "import", "old", "-", input=rootfs({"f": b"1"}))
    id = store.id("old")
    assert store.id("old") == id and store.names() == ["old:latest"]
    chapter4(store, "import", "old", "-", input=rootfs({"f": b"2"}))
    assert store.id("old") != id
    store("tag", "old", "kept")
    chapter4(store, "rmi", "old")
    assert store.names() == ["kept:latest"]
    assert store.files("kept") == {"f": b"2"}
    assert [line.split()[0] for line in chapter4(store, "images").splitlines()] == ["NAME", "kept"]
    store("rmi", "kept")


@pytest.mark.parametrize("goes", ["first", "second"])
def test_two_images_of_the_same_files(store: Store, goes: str) -> None:
    """Whichever goes, the other one can still be saved. Chapter 4 makes a layer for each, ours share one."""
    archive = directory(b"./") + file(b"f", b"1") + END
    for name in ("first", "second"):
        chapter4(store, "import", name, "-", input=archive)
        store("images", "-q")  # each gets its documents
    assert len(os.listdir(store.root / "layers")) == 2
    store("rmi", goes)
    (left,) = store.names()
    assert store("save", left).code == store("save", "--format", "oci-archive", left).code == 0
    for name in ("third", "fourth"):
        store("import", "-", name, input=archive)
    assert len(os.listdir(store.root / "layers")) == 2


def test_whiteouts_come_and_go(store: Store, other_store: Store, fake: FakeRegistry) -> None:
    """From a registry into overlayfs' form; and out again, made by chapter 4 upon such layers."""
    gone = rootfs({"d/.wh.old": b"", "e/.wh..wh..opq": b"", "e/new": b"n"})
    fake.add_image("x", [rootfs({"d/old": b"1", "e/hidden": b"2"}), gone])
    store("pull", f"{fake.host}/x")

    def seen(where: Store, name: str) -> dict[str, str]:
        with state_root(where.root):
            return dict(unionfs.show_layer(images.layer_directory(images.find(name).layers[-1])))

    assert seen(store, f"{fake.host}/x") == {"d/old": "deletes", "e": "replaces", "e/new": "adds or changes"}
    archive = store("save", f"{fake.host}/x").out
    other_store("load", input=archive)
    assert seen(other_store, f"{fake.host}/x") == seen(store, f"{fake.host}/x")


def test_an_image_made_upon_a_pulled_one_keeps_its_history(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("x", [rootfs({"f": b"1"})], history=[{"created_by": "ADD file"}])
    name = f"{fake.host}/x"
    store("pull", name)
    with state_root(store.root):
        images.create("mine", lambda layer: Path(layer, "new").write_text("new") and 3, below=images.find(name))
        config = image_store.config_of(images.find("mine"))
    assert [step["created_by"] for step in config.history] == ["ADD file", "mydocker"]
    store("rmi", name)
    archive = store("save", "--format", "oci-archive", "mine").out  # with the blob that came from the registry
    assert len(archive) > 1024
    assert store.files("mine") == {"f": b"1", "new": b"new"}


def test_a_damaged_store_is_told_and_can_be_mended(two: Store) -> None:
    manifest = json.loads(next(two.root.glob("images/two:*")).read_text())["origin"]["manifest"]["digest"]
    (two.root / "oci/blobs" / manifest.replace(":", "/")).write_text("{}")
    fails(two("tag", "one:1", "x"), ENGINE_FAILED, "two:latest", "digest")
    assert two("rmi", "two").code == 0
    assert two("tag", "one:1", "x").code == 0
