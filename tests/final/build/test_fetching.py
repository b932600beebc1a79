"""ADD of URLs: files of a web server on the host's own loopback, which may be a bad one."""

from __future__ import annotations

import email.utils
import hashlib
import io
import os
import signal
import tarfile
import threading
import time
from collections.abc import Iterator

import pytest

from ch02_namespaces import syscalls
from tests.final.build.conftest import NAME, Builder, archive
from tests.final.images.fake_registry import Answer, FakeRegistry, Handler
from tests.support.engines import ENGINE_FAILED, fails
from tests.support.hosts import Host, finish
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel

TIME = 1_000_000_000


@pytest.fixture
def web(host: Host) -> Iterator[FakeRegistry]:
    """A server that does what the test wants."""
    made: list[FakeRegistry] = []

    def make() -> None:
        """A socket belongs to the network in which its thread made it: network_namespaces(7)."""
        network = os.open(host.network, os.O_RDONLY)
        syscalls.setns(network, syscalls.CLONE_NEWNET)
        os.close(network)
        made.append(FakeRegistry())

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    with made[0] as server:
        yield server


def says(data: bytes, **headers: str) -> Answer:
    return lambda request: request.answer(200, data, {name.replace("_", "-"): value for name, value in headers.items()})


def leads(target: str, status: int = 302) -> Answer:
    return lambda request: request.answer(status, b"", {"Location": target})


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_a_file_is_fetched(builder: Builder, web: FakeRegistry) -> None:
    packed = archive(("inside", b"x"))
    date = email.utils.formatdate(TIME, usegmt=True)
    web.plan("GET", "/d/a.tar", says(packed, Last_Modified=date))
    web.plan("GET", "/d/b%20c", *2 * [says(b"b", Last_Modified="nonsense", Content_Encoding="gzip")])
    web.plan("GET", "/", says(b"c"))
    builder(
        f"ARG at={web.host}\n"
        "ADD http://$at/d/a.tar /new/\n"
        f"ADD http://{web.host}/d/b%20c?query=/x#fragment /new/\n"
        "WORKDIR /new\n"
        f"ADD --chmod=751 --chown=5:6 http://{web.host}/d/b%20c deep/name\n"
        f"ADD http://{web.host} /new/root\n"
    )
    found = builder.sh("cd /new; stat -c '%n %a %u:%g %Y' * deep/name; cat 'b c' deep/name root; sha256sum < a.tar")
    assert found.splitlines() == [
        f"a.tar 600 0:0 {TIME}",
        "b c 600 0:0 0",
        *[line for line in found.splitlines() if line.startswith("deep 755 5:6")],
        "root 600 0:0 0",
        "deep/name 751 5:6 0",
        f"bbc{digest(packed)[7:]}  -",
    ]
    assert f"ADD http://{web.host}/d/a.tar /new/" in builder.do("history", "--no-trunc", NAME)


def test_what_is_fetched_counts_for_the_cache(builder: Builder, web: FakeRegistry) -> None:
    later = email.utils.formatdate(TIME, usegmt=True)
    web.plan("GET", "/a", says(b"1"), says(b"1", Last_Modified=later), says(b"2"))
    text = f"ADD http://{web.host}/a /\nRUN head -c8 /dev/urandom > /random"
    builder(text)
    first = builder.id()
    builder(text)
    assert builder.id() == first
    builder(text)
    assert builder.id() != first and builder.sh("cat /a") == "2"
    assert web.paths() == 3 * ["/a"]


def test_checksums(builder: Builder, web: FakeRegistry) -> None:
    web.plan("GET", "/a", *4 * [says(b"1")])
    text = f"ARG sum={digest(b'1')}\nADD --checksum=$sum http://{web.host}/a /"
    builder(text)
    first = builder.id()
    builder(text)
    assert builder.id() == first and web.paths() == ["/a"]  # it is known what it would be
    url = f"http://{web.host}/a"
    builder.fails(
        f"ADD --checksum={digest(b'2')} {url} /", "Dockerfile:2: ADD", digest(b"1"), digest(b"2"), code=ENGINE_FAILED
    )
    for flag in ("sha256:1", "md5:" + 32 * "a", "1"):
        builder.fails(f"ADD --checksum={flag} {url} /", "Dockerfile:2: ADD", "no digest of one URL")
    builder.write("file", "1")
    builder.fails(f"ADD --checksum={digest(b'1')} file /", "no digest of one URL")
    builder.fails(f"ADD --checksum={digest(b'1')} {url} {url} /", "no digest of one URL")
    builder(f"ADD --checksum=sha512:{hashlib.sha512(b'1').hexdigest()} {url} /")


def test_redirects(builder: Builder, web: FakeRegistry) -> None:
    web.plan("GET", "/name", leads("/other/1"))
    web.plan("GET", "/other/1", leads(f"http://{web.host}/2", 307))
    web.plan("GET", "/2", says(b"found"))
    builder(f"ADD http://{web.host}/name /d/")
    assert builder.sh("cat /d/name") == "found"
    web.plan("GET", "/round", *20 * [leads("/round")])
    builder.fails(f"ADD http://{web.host}/round /", "ADD", web.host, "redirects more than", code=ENGINE_FAILED)
    assert len(web.paths()) < 20
    for target in ("file:///etc/passwd", "ftp://127.0.0.1/a", "http://user@127.0.0.1/", "gopher:x", "http://["):
        web.plan("GET", "/a", leads(target))
        result = builder.raw(f"ADD http://{web.host}/a /")
        fails(result, ENGINE_FAILED, "Dockerfile:2: ADD")
    web.plan("GET", "/a", lambda request: request.answer(302, b""))
    builder.fails(f"ADD http://{web.host}/a /", "302", code=ENGINE_FAILED)


def chunked(data: bytes) -> Answer:
    """An answer in pieces, as it is; then the connection ends."""

    def answer(request: Handler) -> None:
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        request.wfile.write(data)
        request.close_connection = True

    return answer


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda request: request.answer(200, b"12345", length=10), "broke off after 5 bytes"),
        (chunked(b"5\r\n12345\r\n"), "broke off"),
        (lambda request: request.answer(200, bytes(1 << 20), length=1 << 40), "more than 64 GiB"),
        (chunked(b"5\r\n123"), "broke off"),
        (chunked(b"nonsense\r\n"), "broke off"),
        (lambda request: request.answer(404, b"no"), "404"),
        (lambda request: request.answer(403, b"no"), "403"),
        (lambda request: request.wfile.write(b"nonsense\r\n\r\n"), ""),
        (lambda request: request.wfile.write(b"HTTP/1.1 200 \x1b[31m" + 9 * b"x" + b"\r\nA" * 200), ""),
    ],
)
def test_bad_answers(builder: Builder, web: FakeRegistry, answer: Answer, words: str) -> None:
    def once(request: Handler) -> None:
        answer(request)
        request.close_connection = True

    web.plan("GET", "/a", *5 * [once])
    builder.fails(f"ADD http://{web.host}/a /", "Dockerfile:2: ADD", web.host, words, code=ENGINE_FAILED)


def test_what_is_not_fetched(builder: Builder, web: FakeRegistry) -> None:
    builder.fails(f"ADD http://{web.host}/ /d/", "names no file", code=ENGINE_FAILED)
    builder.fails(f"ADD http://{web.host}/.. /d/", "names no file", code=ENGINE_FAILED)
    builder.fails(f"ADD http://me:secret@{web.host}/a /d/", "password", code=ENGINE_FAILED)
    builder.fails("ADD http:///a /d/", "host", code=ENGINE_FAILED)
    builder.fails("ADD http://[/a /d/", "Dockerfile:2: ADD", code=ENGINE_FAILED)
    builder.fails("ADD http://127.0.0.1:1/a /d/", "127.0.0.1:1", "refused", code=ENGINE_FAILED)
    builder.fails(f"ADD https://{web.host}/a /d/", "Dockerfile:2: ADD", web.host, code=ENGINE_FAILED)
    builder.fails(f"COPY http://{web.host}/a /", "Dockerfile:2: COPY", "not fetched", "ADD does")
    for url in ("git@127.0.0.1:a", "git://127.0.0.1/a", f"http://{web.host}/a.git", f"http://{web.host}/a.git#main"):
        builder.fails(f"ADD {url} /d/", "Dockerfile:2: ADD", "git repository", "git clone")
    web.plan("GET", "/a", says(b"1"))
    builder.fails(f"ADD http://{web.host}/a http://{web.host}/b /c", "several things")
    assert web.paths() == []


def test_killed_while_it_is_fetched(builder: Builder, web: FakeRegistry) -> None:
    goes_on = threading.Event()

    def answer(request: Handler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(8 << 20))
        request.end_headers()
        request.wfile.write(bytes(4 << 20))
        goes_on.wait(60)

    def size() -> int:
        return sum(path.stat().st_size for path in builder.host.root.glob("oci/incoming/*/*/*"))

    web.plan("GET", "/a", answer)
    builder.write("Dockerfile", f"FROM busybox\nADD http://{web.host}/a /\n")
    process = builder.host.spawn(builder.engine.command_line(*builder.words()))
    try:
        eventually(lambda: size() >= 1 << 20, "a part of the file")
        process.send_signal(signal.SIGKILL)
        assert finish(process).code == -signal.SIGKILL
    finally:
        goes_on.set()
    builder.sweep()
    builder.do("image", "prune", "-f")
    assert size() == 0


def test_several_sources(builder: Builder, web: FakeRegistry) -> None:
    web.plan("GET", "/a", says(b"of the web"))
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as writer:
        member = tarfile.TarInfo("unpacked")
        member.mtime = time.time()
        writer.addfile(member)
    builder.write("b.tar", sink.getvalue())
    builder(f"ADD http://{web.host}/a b.tar <<EOF /d/\ntext\nEOF\n")
    assert builder.sh("cd /d; ls; cat a EOF").splitlines() == ["EOF", "a", "unpacked", "of the webtext"]
