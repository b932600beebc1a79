"""Registries that are broken or mean harm: the user is told, and nothing of it stays (see the fixture `store`)."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest

from tests.ch04_images.archives import END, device, directory, file, pax, symlink
from tests.final.images.fake_registry import (
    CONFIG,
    INDEX,
    LAYER,
    MANIFEST,
    Answer,
    FakeRegistry,
    Handler,
    descriptor,
    digest,
)
from tests.final.images.stores import Store
from tests.support.engines import ENGINE_FAILED, fails, one_line

NOISE = bytes(zlib.crc32(b"%d" % number) & 255 for number in range(200_000))
LAYERS = [directory(b"./") + file(b"one", b"1") + END, file(b"two", NOISE) + END, file(b"three", b"3") + END]
SCHEMA_1 = {"schemaVersion": 1, "name": "x", "tag": "latest", "fsLayers": [{"blobSum": "sha256:" + "0" * 64}]}


def blob_path(path: str, found: str) -> str:
    return f"/v2/{path}/blobs/{found}"


def status(number: int, **headers: str) -> Answer:
    """An answer without a body."""
    return lambda handler: handler.answer(
        number, b"", {name.replace("_", "-"): value for name, value in headers.items()}
    )


def test_a_good_one_before(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("x", LAYERS)
    assert store("pull", "-q", f"{fake.host}/x").text == f"{fake.host}/x:latest"
    assert store.files(f"{fake.host}/x") == {"one": b"1", "two": NOISE, "three": b"3"}
    assert store.inspect(f"{fake.host}/x")["Created"] == "2024-05-06T07:08:09Z"
    assert not fake.sent("Authorization")


# ---------------------------------------------------------------- what comes is not what was said


def other_bytes(handler: Handler) -> None:
    data = handler.server.registry.blobs[handler.path.rpartition("/")[2]]
    handler.answer(200, data[:-1] + bytes([data[-1] ^ 1]))


def too_many_bytes(handler: Handler) -> None:
    handler.answer(200, handler.server.registry.blobs[handler.path.rpartition("/")[2]] + b"more")


def another_layer(handler: Handler) -> None:
    handler.answer(200, gzip.compress(file(b"two", NOISE[::-1]) + END, mtime=0))


@pytest.mark.parametrize("answer", [other_bytes, too_many_bytes, another_layer])
@pytest.mark.parametrize("which", ["config", "layer"])
def test_bytes_of_another_digest(store: Store, fake: FakeRegistry, answer: Answer, which: str) -> None:
    manifest = fake.add_image("x", LAYERS)
    victim = manifest["config"] if which == "config" else manifest["layers"][1]
    fake.plan("GET", blob_path("x", victim["digest"]), *[answer] * 20)
    fails(store("pull", "-q", f"{fake.host}/x"), ENGINE_FAILED)
    assert store.names() == []


def test_a_manifest_of_another_digest(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("x", LAYERS)
    (key,) = [target for path, target in fake.manifests if target.startswith("sha256:")]
    fake.plan("GET", f"/v2/x/manifests/{key}", lambda handler: handler.answer(200, b'{"schemaVersion": 2}'))
    fails(store("pull", f"{fake.host}/x@{key}"), ENGINE_FAILED, "digest", key)


def test_a_layer_whose_diff_id_is_another(store: Store, fake: FakeRegistry) -> None:
    """The compressed bytes are right; what is in them is not what the configuration says."""
    diff_ids = [digest(LAYERS[0]), digest(b"x"), digest(LAYERS[2])]
    fake.add_image("x", LAYERS, rootfs={"type": "layers", "diff_ids": diff_ids})
    fails(store("pull", "-q", f"{fake.host}/x"), ENGINE_FAILED, f"should be {digest(b'x')}")


def test_a_size_that_is_not_true(store: Store, fake: FakeRegistry) -> None:
    manifest = fake.add_image("x", LAYERS)
    manifest["layers"][0]["size"] += 1
    fake.put_manifest("x", "latest", MANIFEST, manifest)
    fails(store("pull", "-q", f"{fake.host}/x"), ENGINE_FAILED)


def test_what_an_earlier_pull_has_verified_is_used_again(store: Store, fake: FakeRegistry) -> None:
    """Two images share layers; of the second, only the new one is asked for."""
    fake.add_image("x", LAYERS[:2])
    store("pull", "-q", f"{fake.host}/x")
    fake.requests.clear()
    fake.add_image("y", LAYERS)
    assert store("pull", "-q", f"{fake.host}/y").code == 0
    assert len([path for path in fake.paths() if "/blobs/" in path]) == 2  # the configuration, one layer
    store("rmi", f"{fake.host}/x")
    assert store.files(f"{fake.host}/y")["two"] == NOISE


# ---------------------------------------------------------------- what breaks off


def half(handler: Handler) -> None:
    data = handler.server.registry.blobs[handler.path.rpartition("/")[2]]
    handler.answer(200, data[: len(data) // 2], length=len(data))


def half_and_a_lie(handler: Handler) -> None:
    """It claims to be whole."""
    data = handler.server.registry.blobs[handler.path.rpartition("/")[2]]
    handler.answer(200, data[: len(data) // 2])


def all_of_it(handler: Handler) -> None:
    """Whatever range was asked for."""
    handler.answer(200, handler.server.registry.blobs[handler.path.rpartition("/")[2]])


@pytest.mark.parametrize("breaks", [half, half_and_a_lie])
def test_a_download_that_breaks_off_is_resumed(store: Store, fake: FakeRegistry, breaks: Answer) -> None:
    manifest = fake.add_image("x", LAYERS)
    victim = manifest["layers"][1]
    fake.plan("GET", blob_path("x", victim["digest"]), breaks)
    assert store("pull", "-q", f"{fake.host}/x").code == 0
    assert fake.sent("Range") == [f"bytes={victim['size'] // 2}-"]
    assert store.files(f"{fake.host}/x")["two"] == NOISE


def test_a_registry_that_knows_no_ranges(store: Store, fake: FakeRegistry) -> None:
    victim = fake.add_image("x", LAYERS)["layers"][1]
    fake.plan("GET", blob_path("x", victim["digest"]), half, all_of_it)
    assert store("pull", "-q", f"{fake.host}/x").code == 0
    assert store.files(f"{fake.host}/x")["two"] == NOISE


def test_a_range_that_nobody_asked_for(store: Store, fake: FakeRegistry) -> None:
    victim = fake.add_image("x", LAYERS)["layers"][1]

    def wrong(handler: Handler) -> None:
        handler.answer(206, b"x" * 10, {"Content-Range": "bytes 0-9/10"})

    fake.plan("GET", blob_path("x", victim["digest"]), half, wrong)
    fails(store("pull", "-q", f"{fake.host}/x"), ENGINE_FAILED, "another range")


def test_it_does_not_resume_for_ever(store: Store, fake: FakeRegistry) -> None:
    victim = fake.add_image("x", LAYERS)["layers"][1]
    fake.plan("GET", blob_path("x", victim["digest"]), *[lambda handler: handler.answer(200, b"", length=9)] * 50)
    fails(store("pull", "-q", f"{fake.host}/x"), ENGINE_FAILED, "broke off at byte 0")
    assert len(fake.paths()) < 20


def test_a_registry_that_is_busy(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("x", LAYERS)
    fake.plan("GET", "/v2/x/manifests/latest", status(429, Retry_After="0"), status(503, Retry_After="0"))
    assert store("pull", "-q", f"{fake.host}/x").code == 0
    fake.plan("GET", "/v2/x/manifests/latest", *[status(429, Retry_After="0")] * 50)
    fails(store("pull", "-q", f"{fake.host}/x"), ENGINE_FAILED, "429", "later")
    assert fake.paths().count("/v2/x/manifests/latest") == 3 + 5


# ---------------------------------------------------------------- where it sends us


def redirect(url: str) -> Answer:
    return status(307, Location=url)


def asks_for_basic(handler: Handler) -> None:
    handler.answer(401, b"", {"WWW-Authenticate": 'Basic realm="x"'})


def logged_in(store: Store, host: str) -> None:
    (store.home / ".docker").mkdir(exist_ok=True)
    config = {"auths": {host: {"auth": "YWxpY2U6c2VjcmV0"}}}
    (store.home / ".docker/config.json").write_text(json.dumps(config))


def test_another_host_does_not_learn_who_we_are(store: Store, fake: FakeRegistry) -> None:
    manifest = fake.add_image("x", LAYERS)
    victim = manifest["layers"][1]["digest"]
    logged_in(store, fake.host)
    with FakeRegistry("127.0.0.2") as other:
        other.blobs = fake.blobs
        fake.plan("GET", "/v2/x/manifests/latest", asks_for_basic)
        fake.plan("GET", blob_path("x", victim), redirect(f"http://{other.host}{blob_path('x', victim)}"))
        assert store("pull", "-q", f"{fake.host}/x").code == 0
        assert other.paths() == [blob_path("x", victim)]
        assert other.sent("Authorization") == []
    assert set(fake.sent("Authorization")) == {"Basic YWxpY2U6c2VjcmV0"}


def test_another_port_is_another_host(store: Store, fake: FakeRegistry) -> None:
    manifest = fake.add_image("x", LAYERS)
    victim = manifest["layers"][1]["digest"]
    logged_in(store, fake.host)
    with FakeRegistry() as other:
        other.blobs = fake.blobs
        fake.plan("GET", "/v2/x/manifests/latest", asks_for_basic)
        fake.plan("GET", blob_path("x", victim), redirect(f"http://{other.host}{blob_path('x', victim)}"))
        assert store("pull", "-q", f"{fake.host}/x").code == 0
        assert other.paths() and other.sent("Authorization") == []


@pytest.mark.parametrize(
    "url", ["http://192.0.2.1/x", "file:///etc/passwd", "ftp://127.0.0.1/x", "http://a@127.0.0.1/"]
)
def test_redirects_to_where_we_do_not_go(store: Store, fake: FakeRegistry, url: str) -> None:
    fake.add_image("x", LAYERS)
    fake.plan("GET", "/v2/x/manifests/latest", redirect(url))
    fails(store("pull", "-q", f"{fake.host}/x"), ENGINE_FAILED, "redirects to", "where we do not go")


def test_a_redirect_to_what_is_no_url(store: Store, fake: FakeRegistry) -> None:
    fake.plan("GET", "/v2/x/manifests/latest", redirect("http://["))
    fails(store("pull", "-q", f"{fake.host}/x"), ENGINE_FAILED, "redirects to", "no URL")


def test_redirects_in_circles(store: Store, fake: FakeRegistry) -> None:
    fake.plan("GET", "/v2/x/manifests/latest", *[redirect("/v2/x/manifests/latest")] * 50)
    fails(store("pull", "-q", f"{fake.host}/x"), ENGINE_FAILED, "redirects more than")
    assert len(fake.paths()) < 10


def bearer(realm: str) -> Answer:
    return status(401, WWW_Authenticate=f'Bearer realm="{realm}",service="s",scope="repository:x:pull"')


def test_a_token_is_fetched_and_used(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("x", LAYERS)
    logged_in(store, fake.host)
    fake.plan("GET", "/v2/x/manifests/latest", bearer(f"http://{fake.host}/token"))
    fake.plan("GET", "/token", lambda handler: handler.answer(200, b'{"token": "abc"}'))
    assert store("pull", "-q", f"{fake.host}/x").code == 0
    assert fake.sent("Authorization") == ["Basic YWxpY2U6c2VjcmV0", *["Bearer abc"] * (1 + 1 + 3)]
    asked = next(path for path in fake.paths() if path.startswith("/token"))
    assert "service=s" in asked and "scope=repository%3Ax%3Apull" in asked


def test_a_token_server_that_the_registry_may_not_name(store: Store, fake: FakeRegistry) -> None:
    """Without TLS, anybody could have said so: our password would be his."""
    fake.add_image("x", LAYERS)
    logged_in(store, fake.host)
    with FakeRegistry("127.0.0.2") as other:
        for realm in (
            f"http://{other.host}/token",
            "http://192.0.2.1/token",
            "https://192.0.2.1/token",
            "file:///x",
            "",
        ):
            fake.plan("GET", "/v2/x/manifests/latest", bearer(realm))
            fails(store("pull", "-q", f"{fake.host}/x"), ENGINE_FAILED, "not safe")
        assert other.requests == []


@pytest.mark.parametrize("answer", [b"{}", b"[]", b"x", b'{"token": "a\\nb"}', b'{"token": 1}'])
def test_a_token_that_is_none(store: Store, fake: FakeRegistry, answer: bytes) -> None:
    fake.plan("GET", "/v2/x/manifests/latest", bearer(f"http://{fake.host}/token"))
    fake.plan("GET", "/token", lambda handler: handler.answer(200, answer))
    fails(store("pull", "-q", f"{fake.host}/x"), ENGINE_FAILED, "token server")


def test_who_is_refused_is_not_asked_for_ever(store: Store, fake: FakeRegistry) -> None:
    logged_in(store, fake.host)
    fake.plan("GET", "/v2/x/manifests/latest", *[asks_for_basic] * 50)
    fails(store("pull", "-q", f"{fake.host}/x"), ENGINE_FAILED, "login")
    assert len(fake.paths()) == 2


def test_what_it_says_does_not_reach_the_terminal_raw(store: Store, fake: FakeRegistry) -> None:
    errors = json.dumps({"errors": [{"code": "DENIED", "message": "\x1b]0;owned\x07 no\nmydocker: all is well"}]})
    fake.plan("GET", "/v2/x/manifests/latest", lambda handler: handler.answer(403, errors.encode()))
    line = one_line(store("pull", "-q", f"{fake.host}/x"))
    assert "\x1b" not in line and "\x07" not in line


def test_what_an_image_says_does_not_reach_the_terminal_raw(store: Store, fake: FakeRegistry) -> None:
    trick = "\x1b]0;owned\x07\x9b2J"
    fake.add_image("x", LAYERS[:1], history=[{"created_by": trick, "comment": trick}], author=trick)
    store("pull", f"{fake.host}/x")
    for command in (["history", "--no-trunc"], ["image", "inspect"], ["manifest", "inspect"]):
        said = store(*command, f"{fake.host}/x").text
        assert not {"\x1b", "\x07", "\x9b"} & set(said)


# ---------------------------------------------------------------- documents


def test_an_index_without_our_platform(store: Store, fake: FakeRegistry) -> None:
    fake.add_image("x", LAYERS[:1], tag="arm")
    data = fake.manifests["x", "arm"][1]
    manifests = [
        descriptor(MANIFEST, data, platform={"os": "linux", "architecture": "s390x"}),
        descriptor(MANIFEST, data, platform={"os": "windows", "architecture": "amd64"}),
        descriptor(MANIFEST, data, platform={"os": "unknown", "architecture": "unknown"}),
        descriptor(MANIFEST, data),
    ]
    fake.put_manifest("x", "latest", INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
    line = fails(store("pull", "-q", "--platform", "linux/amd64", f"{fake.host}/x"), ENGINE_FAILED, "linux/amd64")
    assert "--platform: linux/s390x, windows/amd64" in line


def test_a_platform_is_chosen(store: Store, fake: FakeRegistry) -> None:
    platforms = {"amd64": {}, "arm64": {"variant": "v8"}, "arm": {"variant": "v7"}}
    manifests = []
    for number, (architecture, more) in enumerate(platforms.items()):
        fake.add_image("x", [LAYERS[number]], tag=architecture, architecture=architecture, **more)
        where = {"os": "linux", "architecture": architecture, **more}
        manifests.append(descriptor(MANIFEST, fake.manifests["x", architecture][1], platform=where))
    data = fake.put_manifest("x", "latest", INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
    name = f"{fake.host}/x:latest"
    for wish, file_name in {
        "linux/amd64": "one",
        "linux/arm64": "two",
        "linux/arm/v7": "three",
        "arm": "three",
    }.items():
        assert store("pull", "--platform", wish, name).code == 0
        assert list(store.files(name)) == [file_name]
        assert store.inspect(name)["RepoDigests"] == [f"{fake.host}/x@{digest(data)}"]
    fails(store("pull", "--platform", "linux/arm64", f"{fake.host}/x:amd64"), ENGINE_FAILED, "linux/amd64, not for")


DOCUMENTS: dict[str, tuple[dict[str, Any] | bytes, str]] = {
    "schema 1": (SCHEMA_1, "schema 1"),
    "no JSON": (b"<html>", "no JSON"),
    "a list": (b"[]", "no JSON object"),
    "deep": (b"[" * 100_000, "no JSON"),
    "nothing": ({}, "no manifest"),
    "too big": (b'{"schemaVersion": 2, "x": "' + b"x" * (4 << 20) + b'"}', "more than"),
    "both in one": ({"schemaVersion": 2, "manifests": [], "layers": [], "config": {}}, "a manifest and an index"),
    "no digest": (
        {"schemaVersion": 2, "config": {"mediaType": CONFIG, "digest": "x", "size": 1}, "layers": []},
        "digest",
    ),
    "a digest that climbs": (
        {"schemaVersion": 2, "config": {"mediaType": CONFIG, "digest": "sha256:../../../x", "size": 1}, "layers": []},
        "digest",
    ),
    "a negative size": (
        {"schemaVersion": 2, "config": {"mediaType": CONFIG, "digest": digest(b""), "size": -1}, "layers": []},
        "size",
    ),
    "an artifact": (
        {"schemaVersion": 2, "config": descriptor("application/vnd.cncf.helm.config.v1+json", b"{}"), "layers": []},
        "no image of a container",
    ),
    "an encrypted layer": (
        {"schemaVersion": 2, "config": descriptor(CONFIG, b"{}"), "layers": [descriptor(LAYER + "+encrypted", b"")]},
        "cannot unpack",
    ),
    "too many layers": (
        {"schemaVersion": 2, "config": descriptor(CONFIG, b"{}"), "layers": [descriptor(LAYER, b"")] * 401},
        "more than 400",
    ),
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_manifests_that_are_none(store: Store, fake: FakeRegistry, case: str) -> None:
    document, why = DOCUMENTS[case]
    fake.put_manifest("x", "latest", "application/json", document)
    fails(store("pull", "-q", f"{fake.host}/x"), ENGINE_FAILED, why)


CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "no rootfs": {},
    "no digests": {"rootfs": {"type": "layers", "diff_ids": ["x"]}},
    "a diff_id that climbs": {"rootfs": {"type": "layers", "diff_ids": ["sha256:../../x"]}},
    "too few": {"rootfs": {"type": "layers", "diff_ids": []}},
    "too many": {"rootfs": {"type": "layers", "diff_ids": [digest(b"")] * 2}},
    "a command that is none": {"rootfs": {"diff_ids": [digest(b"")]}, "config": {"Cmd": "sh"}},
    "an environment with NUL": {"rootfs": {"diff_ids": [digest(b"")]}, "config": {"Env": ["A=\0"]}},
    "an entry point that is none": {"rootfs": {"diff_ids": [digest(b"")]}, "config": {"Entrypoint": {"a": 1}}},
    "labels that are none": {"rootfs": {"diff_ids": [digest(b"")]}, "config": {"Labels": {"a": 1}}},
    "ports that are none": {"rootfs": {"diff_ids": [digest(b"")]}, "config": {"ExposedPorts": ["80"]}},
    "half a character": {"rootfs": {"diff_ids": [digest(b"")]}, "author": "\ud800"},
    "a history that is none": {"rootfs": {"diff_ids": [digest(b"")]}, "history": [1]},
}


@pytest.mark.parametrize("case", CONFIGURATIONS)
def test_configurations_that_are_none(store: Store, fake: FakeRegistry, case: str) -> None:
    fake.add_manifest("x", CONFIGURATIONS[case], [gzip.compress(LAYERS[0])])
    fails(store("pull", "-q", f"{fake.host}/x"), ENGINE_FAILED)
    assert not any("/blobs/" in path and path.endswith(digest(gzip.compress(LAYERS[0]))) for path in fake.paths())


def test_an_index_in_an_index(store: Store, fake: FakeRegistry) -> None:
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
    inner = fake.put_manifest("x", "inner", INDEX, document)
    where = {"os": "linux", "architecture": "amd64"}
    manifests = [descriptor(INDEX, inner, platform=where)]
    fake.put_manifest("x", "latest", INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
    fails(store("pull", "-q", "--platform", "linux/amd64", f"{fake.host}/x"), ENGINE_FAILED, "another index")


# ---------------------------------------------------------------- layers


def bomb() -> bytes:
    """1.5 GiB of zeros after the end of an archive, in 1.5 MB: gzip's members may follow each other."""
    return gzip.compress(LAYERS[0]) + 96 * gzip.compress(bytes(1 << 24), 9)


def test_a_bomb(store: Store, fake: FakeRegistry) -> None:
    fake.add_manifest("x", {"rootfs": {"diff_ids": [digest(b"")]}}, [bomb()])
    fails(store("pull", "-q", f"{fake.host}/x"), ENGINE_FAILED, "200 times")


HOSTILE_LAYERS: dict[str, tuple[bytes, str]] = {
    "climbing": (file(b"../../escaped", b"x") + END, ".."),
    "through a link": (symlink(b"out", b"/etc") + file(b"out/escaped", b"x") + END, "out/escaped"),
    "overlay attribute": (pax((b"SCHILY.xattr.trusted.overlay.redirect", b"x")) + file(b"f") + END, "overlay"),
    "impossible device": (device(b"d", 1 << 13, 0) + END, "device"),
    "no tar": (b"x" * 4096, "no tar archive"),
    "truncated": (file(b"f", b"x" * 5000)[:2000], "ends in the middle"),
}


@pytest.mark.parametrize("case", HOSTILE_LAYERS)
def test_layers_that_mean_harm(store: Store, fake: FakeRegistry, case: str) -> None:
    layer, why = HOSTILE_LAYERS[case]
    fake.add_image("x", [LAYERS[0], layer])
    fails(store("pull", "-q", f"{fake.host}/x"), ENGINE_FAILED, why)
    assert not list(store.root.parent.rglob("escaped"))


def test_damaged_compression(store: Store, fake: FakeRegistry) -> None:
    packed = gzip.compress(LAYERS[1], mtime=0)
    damaged = packed[:1000] + bytes(8) + packed[1008:]
    fake.add_manifest("x", {"rootfs": {"diff_ids": [digest(LAYERS[1])]}}, [damaged])
    fails(store("pull", "-q", f"{fake.host}/x"), ENGINE_FAILED)


def test_one_layer_twice(store: Store, fake: FakeRegistry) -> None:
    """As builders make them of steps that changed nothing; overlayfs takes no directory twice."""
    fake.add_image("x", [LAYERS[0], LAYERS[1], LAYERS[0]])
    assert store("pull", "-q", f"{fake.host}/x").code == 0
    assert set(store.files(f"{fake.host}/x")) == {"one", "two"}
    assert len(store.inspect(f"{fake.host}/x")["RootFS"]["Layers"]) == 3


def test_one_blob_for_two_diff_ids(store: Store, fake: FakeRegistry) -> None:
    blob = gzip.compress(LAYERS[0], mtime=0)
    fake.add_manifest("x", {"rootfs": {"diff_ids": [digest(LAYERS[0]), digest(b"other")]}}, [blob, blob])
    fails(store("pull", "-q", f"{fake.host}/x"), ENGINE_FAILED, "two diff_ids")


NAMES = ["../x", "x/../y", "x//y", "/x", "x:", "x@sha256:1", "x@md5:" + "0" * 32, "x y", "x\n", "x:a/b", "x" * 300]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("command", [("pull",), ("push",), ("manifest", "inspect")], ids=" ".join)
def test_names_that_are_none(store: Store, fake: FakeRegistry, name: str, command: tuple[str, ...]) -> None:
    fails(store(*command, f"{fake.host}/{name}"), ENGINE_FAILED, "image name")
    assert fake.requests == []


def test_headers_without_end(store: Store, fake: FakeRegistry) -> None:
    def endless(handler: Handler) -> None:
        handler.send_response(200)
        for number in range(200):
            handler.send_header(f"X-{number}", "x" * 100)
        handler.end_headers()

    fake.plan("GET", "/v2/x/manifests/latest", *[endless] * 10)
    fails(store("pull", "-q", f"{fake.host}/x"), ENGINE_FAILED, "headers")


def push_plan(store: Store, fake: FakeRegistry, location: str) -> None:
    """The registry has nothing yet, and sends uploads to a place."""
    store("import", "-", f"{fake.host}/x", input=LAYERS[0])
    for found in store.root.rglob("blobs/sha256/*"):
        fake.plan("HEAD", blob_path("x", f"sha256:{found.name}"), *[status(404)] * 5)
    fake.plan("POST", "/v2/x/blobs/uploads/", *[status(202, Location=location)] * 10)


@pytest.mark.parametrize("url", ["http://192.0.2.1/upload", "ftp://127.0.0.1/", "http://127.0.0.2:1/upload"])
def test_an_upload_that_is_sent_elsewhere(store: Store, fake: FakeRegistry, url: str) -> None:
    """A push brings what may be secret: not to whom the registry's answer names without TLS."""
    push_plan(store, fake, url)
    fails(store("push", "-q", f"{fake.host}/x"), ENGINE_FAILED, "where we do not go")


@pytest.mark.parametrize("location", ["/upload?session=a%2Fb", "../../../../upload?session=a%2Fb"])
def test_uploads_to_a_relative_place_with_a_session(store: Store, fake: FakeRegistry, location: str) -> None:
    """The digest is added to what the place says already; the manifest comes last."""
    push_plan(store, fake, location)
    fake.plan("PUT", "/upload", *[status(201)] * 5)
    fake.plan("PUT", "/v2/x/manifests/latest", status(201))
    assert store("push", "-q", f"{fake.host}/x").text == f"{fake.host}/x:latest"
    *blobs, manifest = fake.paths("PUT")
    assert manifest == "/v2/x/manifests/latest"
    assert {path.partition("&digest=")[0] for path in blobs} == {"/upload?session=a%2Fb"}
    sent = {digest(body) for (method, _, _), body in zip(fake.requests, fake.bodies, strict=True) if method == "PUT"}
    assert {path.partition("&digest=")[2].replace("%3A", ":") for path in blobs} < sent


def test_a_push_that_is_refused(store: Store, fake: FakeRegistry) -> None:
    push_plan(store, fake, "/upload")
    denied = json.dumps({"errors": [{"code": "DENIED", "message": "not yours"}]}).encode()
    fake.plan("PUT", "/upload", *[lambda handler: handler.answer(403, denied)] * 5)
    fails(store("push", "-q", f"{fake.host}/x"), ENGINE_FAILED, "not yours", "login")
    assert not store.inspect(f"{fake.host}/x")["RepoDigests"]


def test_an_identity_token_stands_for_the_password(store: Store, fake: FakeRegistry) -> None:
    """What the token server hands out at login is kept in place of the password, and exchanged for tokens later."""
    realm = bearer(f"http://{fake.host}/token")
    answer = json.dumps({"token": "short", "refresh_token": "identity"}).encode()
    fake.plan("GET", "/v2/", realm)
    fake.plan("GET", "/token", lambda handler: handler.answer(200, answer))
    login = store("login", "-u", "alice", "--password-stdin", fake.host, input=b"secret")
    assert login.code == 0, login.error
    entry = json.loads((store.home / ".docker/config.json").read_text())["auths"][fake.host]
    assert entry["identitytoken"] == "identity" and "c2VjcmV0" not in entry["auth"]
    fake.add_image("x", LAYERS[:1])
    fake.plan("GET", "/v2/x/manifests/latest", realm)
    fake.plan("POST", "/token", lambda handler: handler.answer(200, b'{"access_token": "later"}'))
    assert store("pull", "-q", f"{fake.host}/x").code == 0
    form = next(body for (method, _, _), body in zip(fake.requests, fake.bodies, strict=True) if method == "POST")
    assert b"refresh_token=identity" in form and b"grant_type=refresh_token" in form
    assert fake.sent("Authorization")[-1] == "Bearer later"
