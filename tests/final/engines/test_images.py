"""Images go from us to others, and from them to us: archives, root file systems, registries, builds. Section 4.4."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.final.engines.containerd import Containerd
from tests.final.engines.docker_like import Docker, DockerLike
from tests.final.images.real_registry import RealRegistry
from tests.support.engines import Engine
from tests.support.hosts import PATH, Host

pytestmark = pytest.mark.kernel
both = pytest.mark.parametrize("manager", ["podman", "docker"], indirect=True)

NAME = "team/made:1"
SCRIPT = (
    "echo $0; id -u; id -g; pwd; echo $A; cat /made; ls -d /removed /d/*; stat -c '%u:%g %a %N' /srv/www/sub /srv/link"
)
SEEN = """a word
7
8
/srv
b c
built
/d/new
7:8 2750 /srv/www/sub
0:0 777 '/srv/link' -> '/made'"""
DOCKERFILE = f"""
FROM busybox AS first
ARG WORD=built
RUN echo $WORD > /made
RUN mkdir -p /www/sub && chown 7:8 /www/sub && chmod 2750 /www/sub
FROM busybox
RUN mkdir /d && touch /removed /d/old
COPY --from=first /made /
COPY --from=first /www /srv/www
RUN ln -s /made /srv/link && rm -r /removed /d && mkdir /d && touch /d/new
ENV A="b  c" PATH=/bin:/usr/bin
LABEL org.example.k="v w"
EXPOSE 80 53/udp
VOLUME /data
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=3s --timeout=2s --retries=4 CMD test -e /made
USER 7:8
WORKDIR /srv
ENTRYPOINT ["sh", "-c", "{SCRIPT}"]
CMD ["a word"]
"""
CONFIG: dict[str, Any] = {
    "Cmd": ["a word"],
    "Entrypoint": ["sh", "-c", SCRIPT],
    "Env": ["A=b  c", "PATH=/bin:/usr/bin"],
    "ExposedPorts": {"53/udp": {}, "80/tcp": {}},
    "Healthcheck": {"Test": ["CMD-SHELL", "test -e /made"], "Interval": 3 * 10**9, "Timeout": 2 * 10**9, "Retries": 4},
    "Labels": {"org.example.k": "v w"},
    "StopSignal": "SIGQUIT",
    "User": "7:8",
    "Volumes": {"/data": {}},
    "WorkingDir": "/srv",
}


class Ours:
    """The full engine, with the image busybox, and a directory with the Dockerfile."""

    def __init__(self, engine: Engine, context: Path) -> None:
        self._engine = engine
        self._context = context

    def __call__(self, *words: str) -> str:
        """What a command prints; it must succeed."""
        return self._engine.raw(*words).text

    def build(self) -> None:
        self("build", "-t", NAME, "--network", "none", str(self._context))

    def run(self, *words: str) -> str:
        return self("run", "--rm", "--net", "none", *words)

    def known(self, name: str = NAME) -> dict[str, Any]:
        """What `image inspect` says."""
        found: dict[str, Any] = json.loads(self("image", "inspect", name))[0]
        return found


@pytest.fixture
def ours(host: Host, tmp_path: Path) -> Ours:
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE)
    return Ours(Engine("final", host, tmp_path), context)


@pytest.fixture
def registry(host: Host, tmp_path: Path) -> Iterator[RealRegistry]:
    """One that both reach."""
    top = tmp_path / "registry"
    top.mkdir()
    with RealRegistry(top, before=host.argv([])) as registry:
        yield registry


def theirs(manager: DockerLike, name: str = NAME) -> dict[str, Any]:
    """What their `image inspect` says, in Docker's shape."""
    found: dict[str, Any] = json.loads(manager("image", "inspect", name).text)[0]
    health = found.get("Healthcheck")  # podman has it there
    if "ManifestType" in found and "oci" in found["ManifestType"]:
        health = CONFIG["Healthcheck"]  # podman overlooks it there: it is no part of the OCI's format
    found["Config"] |= {"Healthcheck": health} if health else {}
    found["Id"] = f"sha256:{found['Id'].removeprefix('sha256:')}"
    return found


def check(known: dict[str, Any]) -> None:
    """Everything that the Dockerfile says of how it is run."""
    found = {key: known["Config"].get(key) for key in CONFIG}
    found["Env"].sort()
    found["Labels"].pop("io.buildah.version", None)  # podman's builder signs
    assert found == CONFIG


def run_theirs(manager: DockerLike, *words: str) -> str:
    return manager("run", "--rm", *manager.ALWAYS, *words).text


# ---------------------------------------------------------------- archives


@both
@pytest.mark.parametrize("format", ["docker-archive", "oci-archive"])
def test_what_we_save_they_load_and_run(manager: DockerLike, ours: Ours, format: str, tmp_path: Path) -> None:
    """Built of several stages, with links, removed files, and a directory in the place of another."""
    if (type(manager), format) == (Docker, "oci-archive"):
        pytest.skip("docker reads archives of the OCI's format from version 25 on")
    ours.build()
    assert ours.run(NAME).splitlines() == SEEN.splitlines()
    check(ours.known())
    ours("save", "--format", format, "-o", str(tmp_path / "archive"), NAME)
    assert manager("load", "-i", str(tmp_path / "archive")).code == 0
    assert theirs(manager)["Id"] == ours.known()["Id"]
    check(theirs(manager))
    assert run_theirs(manager, NAME) == ours.run(NAME) == SEEN
    assert run_theirs(manager, "--entrypoint", "echo", NAME, "another").split() == ["another"]


@both
def test_what_they_save_we_load_and_run(manager: DockerLike, ours: Ours, tmp_path: Path) -> None:
    """One image under several names, and another one that shares its layers, in one archive."""
    assert (
        manager("run", *manager.ALWAYS, "--name", "box", "busybox", "sh", "-c", "echo hi > /hi; rm /bin/vi").code == 0
    )
    assert manager("commit", "-c", 'CMD ["cat", "/hi"]', "-c", "ENV X=y", "box", "second:1").code == 0
    assert manager("tag", "busybox", "team/first:1").code == 0
    assert manager("tag", "busybox", "team/first:2").code == 0
    names = ["team/first:1", "team/first:2", "second:1"]
    assert manager("save", *manager.SEVERAL, "-o", str(tmp_path / "archive"), *names).code == 0
    loaded = ours("load", "-q", "-i", str(tmp_path / "archive")).split()
    assert sorted(name.removeprefix("localhost/") for name in loaded) == sorted(names)
    for name in loaded:
        assert ours.known(name)["Id"] == theirs(manager, name)["Id"]
    second = next(name for name in loaded if "second" in name)
    assert ours.run(second) == run_theirs(manager, second) == "hi"
    assert ours.run(second, "sh", "-c", "echo $X; ls /bin/vi || true") == "y"
    assert ours.run(next(name for name in loaded if "first" in name), "ls", "/bin/vi") == "/bin/vi"


@pytest.mark.parametrize("manager", ["containerd"], indirect=True)
@pytest.mark.parametrize("format", ["docker-archive", "oci-archive"])
def test_containerd_imports_and_exports(manager: Containerd, ours: Ours, format: str, tmp_path: Path) -> None:
    ours.build()
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    ours("save", "--format", format, "-o", first, NAME)
    assert manager("image", "import", first).code == 0
    name = f"docker.io/{NAME}"
    assert manager("run", "--rm", *manager.container("box", [], ["--net-host"], name)).text == SEEN
    assert manager("image", "export", second, name).code == 0
    id = ours.known()["Id"]
    ours("rmi", NAME)
    assert ours("load", "-i", second) == f"Loaded image: {NAME}"
    assert ours.known()["Id"] == id


# ---------------------------------------------------------------- root file systems


@both
def test_what_we_export_they_import(manager: DockerLike, ours: Ours, tmp_path: Path) -> None:
    ours.build()
    ours("create", "--name", "box", "--net", "none", NAME)
    ours("export", "-o", str(tmp_path / "archive"), "box")
    ours("rm", "box")
    change = f"ENTRYPOINT {json.dumps(CONFIG['Entrypoint'])}"
    flags = [word for line in (change, "USER 7:8", "WORKDIR /srv", 'CMD ["word"]') for word in ("-c", line)]
    assert manager("import", *flags, str(tmp_path / "archive"), "flat:1").code == 0
    assert len(theirs(manager, "flat:1")["RootFS"]["Layers"]) == 1
    assert run_theirs(manager, "-e", "A=b c", "flat:1", "a word") == SEEN


@both
def test_what_they_export_we_import(manager: DockerLike, ours: Ours, tmp_path: Path) -> None:
    ours.build()
    ours("save", "-o", str(tmp_path / "image"), NAME)
    assert manager("load", "-i", str(tmp_path / "image")).code == 0
    assert manager("create", *manager.ALWAYS, "--name", "box", NAME).code == 0
    assert manager("export", "-o", str(tmp_path / "archive"), "box").code == 0
    change = f"ENTRYPOINT {json.dumps(CONFIG['Entrypoint'])}"
    flags = [word for line in (change, "USER 7:8", "WORKDIR /srv", 'CMD ["word"]') for word in ("-c", line)]
    ours("import", *flags, str(tmp_path / "archive"), "flat:1")
    assert ours.run("-e", "A=b c", "flat:1", "a word") == SEEN


# ---------------------------------------------------------------- registries


@both
def test_what_we_push_they_pull(manager: DockerLike, ours: Ours, registry: RealRegistry) -> None:
    name = f"{registry.host}/{NAME}"
    ours.build()
    ours("tag", NAME, name)
    ours("push", "-q", name)
    assert manager("pull", *manager.PLAIN_HTTP, name).code == 0
    assert theirs(manager, name)["Id"] == ours.known()["Id"]
    assert theirs(manager, name)["RepoDigests"] == ours.known(name)["RepoDigests"]
    check(theirs(manager, name))
    assert run_theirs(manager, name) == SEEN


@both
def test_what_they_push_we_pull(manager: DockerLike, ours: Ours, registry: RealRegistry) -> None:
    name = f"{registry.host}/{NAME}"
    assert (
        manager("run", *manager.ALWAYS, "--name", "box", "busybox", "sh", "-c", "echo hi > /hi; rm /bin/vi").code == 0
    )
    assert manager("commit", "-c", 'CMD ["cat", "/hi"]', "box", name).code == 0
    assert manager("push", *manager.PLAIN_HTTP, name).code == 0
    ours("pull", "-q", name)
    assert ours.known(name)["Id"] == theirs(manager, name)["Id"]
    assert ours.run(name) == "hi"
    assert ours.run(name, "sh", "-c", "ls /bin/vi || echo gone") == "gone"


# ---------------------------------------------------------------- builds


@pytest.mark.parametrize(
    ("manager", "environment"),
    [("podman", {}), ("docker", {"DOCKER_BUILDKIT": "0"}), ("docker", {"DOCKER_BUILDKIT": "1"})],
    ids=["podman", "classic", "BuildKit"],
    indirect=["manager"],
)
def test_what_they_build_we_load_and_run(
    manager: DockerLike, environment: dict[str, str], ours: Ours, tmp_path: Path
) -> None:
    """By the same Dockerfile as ours, on our busybox."""
    ours("save", "-o", str(tmp_path / "base"), "busybox")
    assert manager("load", "-i", str(tmp_path / "base")).code == 0
    flags = [*manager.BUILD, "--network", "none", "-t", "theirs:1"]
    _, *words = manager.words("build", *flags, str(tmp_path / "context"))
    assert manager.host.run([builder(manager, environment), *words], env=environment, cwd=manager.top).code == 0
    assert manager("save", "-o", str(tmp_path / "archive"), "theirs:1").code == 0
    name = ours("load", "-q", "-i", str(tmp_path / "archive"))
    assert ours.known(name)["Id"] == theirs(manager, "theirs:1")["Id"]
    check(ours.known(name))
    assert ours.run(name) == run_theirs(manager, "theirs:1") == SEEN


def builder(manager: DockerLike, environment: dict[str, str]) -> str:
    """The program that builds: for BuildKit, a docker from version 23 on needs its plugin buildx."""
    for program in (f"{directory}/{manager.words()[0]}" for directory in PATH.split(":")):
        if os.path.exists(program) and manager.host.run([program, "build", "--help"], env=environment).code == 0:
            return program
    pytest.skip("docker has no buildx here")
