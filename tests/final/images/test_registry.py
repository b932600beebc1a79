"""A real registry: pull and push, TLS and login, mirrors, and other programs beside us."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.final.images.real_registry import RealRegistry
from tests.final.images.stores import Store, rootfs
from tests.support.engines import ENGINE_FAILED, fails

needs_skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")


def tool(*words: str | Path, **environment: str) -> str:
    """Another program; what it prints."""
    ended = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture
def image(store: Store) -> str:
    """The name of an image in the store; its id is the same in every test."""
    store("import", "-", "made:1", "-c", 'CMD ["sh", "-c", "echo hello"]', "-c", "ENV A=b", input=rootfs({"f": b"1\n"}))
    return "made:1"


def test_what_is_pushed_can_be_pulled(store: Store, other_store: Store, registry: RealRegistry, image: str) -> None:
    name = f"{registry.host}/team/made:1"
    store("tag", image, name)
    pushed = store("push", name).text
    digest = pushed.rpartition("digest: ")[2].split()[0]
    assert f"The push refers to repository [{registry.host}/team/made]" in pushed and "Pushed" in pushed
    assert store.inspect(name)["RepoDigests"] == [f"{registry.host}/team/made@{digest}"]

    pulled = other_store("pull", name).text.splitlines()
    assert pulled[0] == "1: Pulling from team/made" and pulled[1].endswith(": Pull complete")
    assert pulled[2:] == [f"Digest: {digest}", f"Status: Downloaded newer image for {name}", name]
    assert other_store.id(name) == store.id(image)
    assert other_store.files(name) == {"f": b"1\n"}
    assert other_store.inspect(name)["Config"] == {"Cmd": ["sh", "-c", "echo hello"], "Env": ["A=b"]}

    again = other_store("pull", name).text
    assert "Already exists" in again and f"Status: Image is up to date for {name}" in again
    assert (
        other_store("pull", "-q", f"{registry.host}/team/made@{digest}").text == f"{registry.host}/team/made@{digest}"
    )
    assert len(set(other_store("images", "-q").text.split())) == 1


def test_what_a_registry_has_is_not_uploaded_again(store: Store, registry: RealRegistry, image: str) -> None:
    first, second = f"{registry.host}/one/again:1", f"{registry.host}/two/again:1"
    for name in (first, second):
        store("tag", image, name)
    store("push", first)
    assert store("push", first).text.count("Layer already exists") == 2
    assert store("push", second).text.count("Mounted from one/again") == 2


def test_a_large_blob_goes_up_in_pieces(store: Store, other_store: Store, registry: RealRegistry) -> None:
    content = os.urandom(40 << 20)
    name = f"{registry.host}/large:1"
    store("import", "-", name, input=rootfs({"noise": content}))
    assert store("push", "-q", name).text == name
    assert other_store("pull", "-q", name).text == name
    assert other_store.files(name) == {"noise": content}


def test_all_tags(store: Store, other_store: Store, registry: RealRegistry, image: str) -> None:
    names = [f"{registry.host}/many:{tag}" for tag in ("a", "b", "c")]
    for name in names:
        store("tag", image, name)
    assert store("push", "-a", "-q", f"{registry.host}/many").text.split() == names
    assert other_store("pull", "-a", "-q", f"{registry.host}/many").text == f"{registry.host}/many"
    assert other_store.names() == names


def test_what_is_not_there(store: Store, registry: RealRegistry) -> None:
    fails(store("pull", f"{registry.host}/no/such"), ENGINE_FAILED, "no/such:latest", "manifest unknown")
    fails(store("push", f"{registry.host}/no/such"), ENGINE_FAILED, "none of this name")
    result = store("pull", "127.0.0.1:1/x")
    fails(result, ENGINE_FAILED, "127.0.0.1:1", "refused")
    assert "HTTPConnection" not in result.error
    fails(store("pull", "Upper"), ENGINE_FAILED, "image name")


# ---------------------------------------------------------------- TLS, users


@pytest.fixture
def trusting(store: Store, tls_registry: RealRegistry) -> Store:
    """A store whose user trusts the registry's certificate."""
    store.config.write_text(f'[registry."{tls_registry.host}"]\nca = "{tls_registry.ca}"\n')
    return store


def test_a_certificate_that_nobody_has_signed(store: Store, tls_registry: RealRegistry) -> None:
    """Also on this machine, where http is allowed: who speaks TLS shall be who he says."""
    fails(store("pull", f"{tls_registry.host}/x"), ENGINE_FAILED, "certificate verify failed", "certs.d")


def test_login_pull_push_logout(trusting: Store, tls_registry: RealRegistry, image: str) -> None:
    host = tls_registry.host
    name = f"{host}/private:1"
    trusting("tag", image, name)
    fails(trusting("push", name), ENGINE_FAILED, f"`login {host}`")
    fails(trusting("login", "-u", "alice", "--password-stdin", host, input=b"wrong\n"), ENGINE_FAILED)
    assert not (trusting.home / ".docker/config.json").exists()
    said = trusting("login", "-u", "alice", "--password-stdin", host, input=b"secret\n").text
    assert said.startswith("Login Succeeded")
    kept = trusting.home / ".docker/config.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert json.loads(kept.read_text())["auths"][host] == {"auth": "YWxpY2U6c2VjcmV0"}
    assert trusting("push", name).code == 0
    trusting("rmi", name, image)
    assert trusting("pull", "-q", name).text == name
    assert trusting("logout", host).text == f"Removing login credentials for {host}"
    assert json.loads(kept.read_text())["auths"] == {}
    trusting("rmi", name)
    fails(trusting("pull", name), ENGINE_FAILED, f"`login {host}`")
    assert trusting("logout", host).text == f"Not logged in to {host}"


def test_requests_are_explained_without_what_is_secret(trusting: Store, tls_registry: RealRegistry, image: str) -> None:
    host = tls_registry.host
    trusting("tag", image, f"{host}/told:1")
    login = trusting("login", "--explain", "-u", "alice", "--password-stdin", host, input=b"secret\n").error
    push = trusting("push", "--explain", f"{host}/told:1").error
    trusting("rmi", f"{host}/told:1", image)
    pull = trusting("pull", "--explain", f"{host}/told:1").error
    assert f"GET https://{host}/v2/ = 200" in login
    assert f"PUT https://{host}/v2/told/manifests/1 = 201" in push
    assert f"GET https://{host}/v2/told/manifests/1 = 401" in pull  # it asks who we are
    assert f"GET https://{host}/v2/told/manifests/1 = 200" in pull
    for told in (login, push, pull):
        assert "secret" not in told and "YWxpY2U6c2VjcmV0" not in told


HELPER = """#!/bin/sh
read input
echo "$1 $input" >> "$HOME/asked"
case $1 in
    get) test -e "$HOME/kept" || { echo "credentials not found in native keychain"; exit 1; }; cat "$HOME/kept" ;;
    store) echo "$input" > "$HOME/kept" ;;
    erase) rm "$HOME/kept" ;;
esac
"""


def test_a_credential_helper(trusting: Store, tls_registry: RealRegistry, image: str) -> None:
    helper = trusting.home / "docker-credential-test"
    helper.write_text(HELPER)
    helper.chmod(0o755)
    (trusting.home / ".docker").mkdir()
    config = trusting.home / ".docker/config.json"
    config.write_text(json.dumps({"credHelpers": {tls_registry.host: "test"}, "other": [1]}))
    trusting.environment["PATH"] += f":{trusting.home}"
    trusting("tag", image, f"{tls_registry.host}/helped:1")
    fails(trusting("push", f"{tls_registry.host}/helped:1"), ENGINE_FAILED, "`login")
    login = trusting("login", "-u", "alice", "--password-stdin", tls_registry.host, input=b"secret")
    assert "docker-credential-test" in login.text
    assert "secret" not in config.read_text() and json.loads(config.read_text())["other"] == [1]
    assert trusting("push", f"{tls_registry.host}/helped:1").code == 0
    assert trusting("logout", tls_registry.host).code == 0
    asked = (trusting.home / "asked").read_text().splitlines()
    assert {line.split()[0] for line in asked} == {"get", "store", "erase"}


def test_insecure_is_for_those_who_say_so(store: Store, tls_registry: RealRegistry) -> None:
    store.config.write_text(f'[registry."{tls_registry.host}"]\ninsecure = true\n')
    fails(store("pull", f"{tls_registry.host}/x"), ENGINE_FAILED, "login")  # TLS did not stop us


@pytest.mark.parametrize(
    "text",
    ["registry = 1", "[registry.x]\nmirrors = 'a'", "[other]\n", "[registry.x]\ntypo = true", "=", "[registry]\nx = 1"],
)
def test_a_configuration_that_nobody_would_understand(store: Store, text: str) -> None:
    store.config.write_text(text)
    fails(store("pull", "127.0.0.1:1/x"), ENGINE_FAILED, str(store.config))


# ---------------------------------------------------------------- mirrors


def test_mirrors_are_asked_first(store: Store, other_store: Store, registry: RealRegistry, image: str) -> None:
    """One that does not answer, one that has nothing, one that has it."""
    store("tag", image, f"{registry.host}/library/mirrored")
    store("push", f"{registry.host}/library/mirrored")
    mirrors = ["http://127.0.0.1:1", f"http://{registry.host}/nothing", f"http://{registry.host}"]
    other_store.config.write_text(f'[registry."docker.io"]\nmirrors = {json.dumps(mirrors)}\n')
    assert other_store("pull", "-q", "mirrored").text == "docker.io/library/mirrored:latest"
    assert other_store.names() == ["mirrored:latest"]


def test_a_mirror_must_be_safe(store: Store) -> None:
    for mirror in ("http://192.0.2.1", "ftp://127.0.0.1", "https://user:secret@127.0.0.1", "x"):
        store.config.write_text(f'[registry."docker.io"]\nmirrors = ["{mirror}"]\n')
        fails(store("pull", "x"), ENGINE_FAILED, "mirror")


# ---------------------------------------------------------------- others


@needs_skopeo
def test_skopeo_reads_what_we_push(store: Store, registry: RealRegistry, image: str, tmp_path: Path) -> None:
    name = f"{registry.host}/for-skopeo:1"
    store("tag", image, name)
    store("push", name)
    tool("skopeo", "copy", "--src-tls-verify=false", f"docker://{name}", f"dir:{tmp_path}/copied")
    manifest = json.loads((tmp_path / "copied/manifest.json").read_bytes())
    assert manifest["config"]["digest"] == store.id(image)


@needs_skopeo
@pytest.mark.parametrize("format", ["oci", "v2s2"])
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_we_read_what_skopeo_pushes(
    store: Store, other_store: Store, registry: RealRegistry, image: str, tmp_path: Path, format: str, compression: str
) -> None:
    """In both families of media types, and pushed again byte by byte."""
    if (format, compression) == ("v2s2", "zstd"):
        pytest.skip("schema 2 has no zstd")
    kind = "oci-archive" if format == "oci" else "docker-archive"  # else skopeo would write another configuration
    store("save", "--format", kind, "-o", str(tmp_path / "archive"), image)
    name = f"{registry.host}/by-skopeo:{format}-{compression}"
    places = [f"{kind}:{tmp_path}/archive", f"docker://{name}"]
    how = ["--dest-tls-verify=false", "--format", format, "--dest-compress-format", compression]
    tool("skopeo", "copy", *how, *places)
    assert other_store("pull", "-q", name).text == name
    assert other_store.files(name) == {"f": b"1\n"}
    assert other_store.id(name) == store.id(image)
    first = other_store.inspect(name)["RepoDigests"][0].partition("@")[2]
    moved = f"{registry.host}/moved:{format}-{compression}"
    other_store("tag", name, moved)
    assert other_store("push", moved).text.rpartition("digest: ")[2].split()[0] == first


@needs_skopeo
def test_skopeo_and_umoci_read_the_store(store: Store, image: str, registry: RealRegistry, tmp_path: Path) -> None:
    """It is an OCI layout, as it is."""
    name = f"{registry.host}/layout:1"
    store("tag", image, name)
    store("push", name)
    inspected = json.loads(tool("skopeo", "inspect", f"oci:{store.root}/oci:{name}"))
    assert inspected["Env"] == ["A=b"]
    if shutil.which("umoci"):
        bundle = tmp_path / "bundle"
        tool("umoci", "unpack", "--image", f"{store.root}/oci:{name}", bundle)
        assert (bundle / "rootfs/f").read_bytes() == b"1\n"


def test_podman_pulls_what_we_push(podman: list[str], store: Store, registry: RealRegistry, image: str) -> None:
    name = f"{registry.host}/for-podman:1"
    store("tag", image, name)
    store("push", name)
    assert tool(*podman, "pull", "-q", "--tls-verify=false", name).strip() == store.id(image).partition(":")[2]
    tool(*podman, "tag", name, f"{registry.host}/back:1")
    tool(*podman, "push", "-q", "--tls-verify=false", f"{registry.host}/back:1")
    store("rmi", name, image)
    assert store("pull", "-q", f"{registry.host}/back:1").code == 0
    assert store.files(f"{registry.host}/back:1") == {"f": b"1\n"}
