"""Names, platforms, challenges and --change: what the text of others and of users means."""

from __future__ import annotations

from typing import Any

import pytest

from ch02_namespaces.errors import EngineError
from final.images import changes, platform, reference
from final.images.auth import parse_challenges
from final.images.documents import parse_time
from final.images.listing import decimal_size
from final.images.platform import Platform

HEX = "0123456789abcdef" * 4

NAMES = {
    "busybox": ("docker.io", "library/busybox", "latest", "", "busybox:latest"),
    "busybox:1.36": ("docker.io", "library/busybox", "1.36", "", "busybox:1.36"),
    "team/tool": ("docker.io", "team/tool", "latest", "", "team/tool:latest"),
    "docker.io/busybox": ("docker.io", "library/busybox", "latest", "", "busybox:latest"),
    "index.docker.io/library/busybox:1": ("docker.io", "library/busybox", "1", "", "busybox:1"),
    "localhost/x": ("localhost", "x", "latest", "", "localhost/x:latest"),
    "localhost:5000/x/y:T": ("localhost:5000", "x/y", "T", "", "localhost:5000/x/y:T"),
    "quay.example/x": ("quay.example", "x", "latest", "", "quay.example/x:latest"),
    f"x@sha256:{HEX}": ("docker.io", "library/x", "", f"sha256:{HEX}", f"x@sha256:{HEX}"),
    f"h:5/x:1@sha256:{HEX}": ("h:5", "x", "", f"sha256:{HEX}", f"h:5/x@sha256:{HEX}"),
    "docker.io/a.b/c": ("docker.io", "a.b/c", "latest", "", "docker.io/a.b/c:latest"),  # a.b/c would be a host's
}


@pytest.mark.parametrize("text", NAMES)
def test_what_a_name_means(text: str) -> None:
    found = reference.parse(text)
    assert (found.host, found.path, found.tag, found.digest, found.name) == NAMES[text]
    again = reference.parse(found.name)
    assert str(again) == str(found) == str(reference.parse(str(found)))


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "a:", "A", "a//b", "/a", "a/", "a b", "a:b:c", "http://a/b", "a@b", "a@sha256:12", "h:x/a", ":5/a"),
        *("h:123456/a", "a/h:5/b", f"a@sha512:{HEX}", f"sha256:{HEX}", f"a@sha256:{HEX.upper()}", "a" * 201, "-a"),
    ],
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(EngineError, match="image name"):
        reference.parse(text)


@pytest.mark.parametrize(
    ("ours", "theirs", "rank"),
    [
        ("linux/amd64", "linux/amd64", 0),
        ("linux/amd64", "linux/amd64/v1", 0),
        ("linux/amd64", "linux/amd64/v3", -1),
        ("linux/amd64", "linux/arm64", -1),
        ("linux/amd64", "windows/amd64", -1),
        ("linux/arm64", "linux/arm64/v8", 0),
        ("linux/arm/v7", "linux/arm/v6", 1),
        ("linux/arm/v6", "linux/arm/v7", -1),
        ("linux/arm", "linux/arm/v7", 0),
    ],
)
def test_which_platform_runs_on_which(ours: str, theirs: str, rank: int) -> None:
    assert platform.parse(ours).rank(platform.parse(theirs)) == rank


def test_platforms_as_people_write_them() -> None:
    assert str(platform.parse("x86_64")) == "linux/amd64"
    assert str(platform.parse("aarch64")) == "linux/arm64"
    assert str(platform.parse("linux/ARM/v7")) == "linux/arm/v7"
    assert str(platform.parse("linux")) == str(platform.of_machine())
    assert str(Platform("linux", "arm64", "v8")) == "linux/arm64"
    for text in ("", "a/b/c/d", "linux/", "/amd64", "linux/a b", "linux//v7"):
        with pytest.raises(EngineError):
            platform.parse(text)


CHALLENGES: dict[str, dict[str, dict[str, str]]] = {
    'Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"': {
        "bearer": {"realm": "https://a/t", "service": "s", "scope": "repository:x:pull,push"}
    },
    "Basic realm=x": {"basic": {"realm": "x"}},
    'bearer Realm = "a, Basic b"': {"bearer": {"realm": "a, Basic b"}},
    'Basic realm="x", Bearer realm="y"': {"basic": {"realm": "x"}, "bearer": {"realm": "y"}},
    "Negotiate": {},
    "": {},
    "Basic": {"basic": {}},
}


@pytest.mark.parametrize("header", CHALLENGES)
def test_challenges(header: str) -> None:
    assert parse_challenges(header) == CHALLENGES[header]


CHANGES: dict[tuple[str, ...], dict[str, Any]] = {
    ('CMD ["a", "b"]',): {"Cmd": ["a", "b"]},
    ("cmd echo $A",): {"Cmd": ["/bin/sh", "-c", "echo $A"]},
    ('CMD ["a"]', 'ENTRYPOINT ["e"]'): {"Cmd": ["a"], "Entrypoint": ["e"]},
    ('ENV A=1 B="2 3"', "ENV A=4"): {"Env": ["A=4", "B=2 3"]},
    ("ENV A b c",): {"Env": ["A=b c"]},
    ("LABEL a.b=c",): {"Labels": {"a.b": "c"}},
    ("EXPOSE 80 53/udp",): {"ExposedPorts": {"80/tcp": {}, "53/udp": {}}},
    ('VOLUME ["/a"]', "VOLUME /b /c"): {"Volumes": {"/a": {}, "/b": {}, "/c": {}}},
    ("WORKDIR /x", "USER 1:2", "STOPSIGNAL SIGINT"): {"WorkingDir": "/x", "User": "1:2", "StopSignal": "SIGINT"},
    ("ONBUILD RUN x",): {"OnBuild": ["RUN x"]},
}


@pytest.mark.parametrize("instructions", CHANGES)
def test_changes(instructions: tuple[str, ...]) -> None:
    assert changes.applied({}, instructions) == CHANGES[instructions]


@pytest.mark.parametrize("text", ["", "CMD", "FROM x", "ENV", "ENV =x", "LABEL a", 'ENV A="b'])
def test_changes_that_are_none(text: str) -> None:
    with pytest.raises(EngineError, match="--change"):
        changes.applied({}, [text])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:01Z", 1),
        ("1970-01-01T00:00:01.999999999Z", 1),
        ("1970-01-01T01:00:01+01:00", 1),
        ("1970-01-01T00:00:01.5+00:00", 1),
        ("0001-01-01T00:00:00Z", 0),
        ("9999-99-99T00:00:00Z", 0),
        ("", 0),
        (None, 0),
        ({}, 0),
    ],
)
def test_times(text: object, seconds: int) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (999, "999B"), (1982357, "1.98MB"), (999_999, "1MB"), (123_456_789, "123MB"), (5e12, "5TB")],
)
def test_sizes(size: float, text: str) -> None:
    assert decimal_size(size) == text
