"""nginx from Debian's packages, fetched from a second machine: the lesson of section 7.1, and what it promises."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

from tests.support.hosts import REPOSITORY, Host, finish, read_line
from tests.support.images import archive
from tests.support.networks import NetKeeper, cannot_fetch, fetch
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel
SOURCE = REPOSITORY / "ch07_practice/nginx"
ADDRESS = "192.0.2.1"
PORT = f":{8080:04X}"
CONNECTED = "01"  # a state of proc_pid_net(5), as in include/net/tcp_states.h
SIZE = 8_000_000
PIECE = 65536
SLOW_CLIENT = f"""
import hashlib, socket, sys
connection = socket.socket()
connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, {PIECE})
connection.settimeout(60)
connection.connect(("{ADDRESS}", 8080))
connection.sendall(b"GET /large HTTP/1.0\\r\\n\\r\\n")
received = b""
for line in sys.stdin:
    received += connection.recv({PIECE}, socket.MSG_WAITALL)
    print(len(received), flush=True)
while piece := connection.recv({PIECE}):
    received += piece
body = received.partition(b"\\r\\n\\r\\n")[2]
print(len(body), hashlib.sha256(body).hexdigest())
"""
"""Downloads one piece for each line that it reads, and the rest at the end of these."""


@pytest.fixture
def web(keeper: NetKeeper, client: Host, tmp_path: Path) -> NetKeeper:
    """A host on which the image `mynginx` was made by hand, as in the book."""
    assert keeper.raw("import", "nginx", archive("nginx/build.sh")).text == "nginx:latest"
    script = "cp -r /from/nginx.conf /from/conf.d /etc/nginx/; mkdir -p /srv/www; echo my page > /srv/www/index.html"
    assert keeper.raw("run", "--name", "change", "-v", f"{SOURCE}:/from:ro", "nginx", "sh", "-c", script).code == 0
    assert keeper.raw("commit", "change", "mynginx").code == 0
    return keeper


def serve(web: NetKeeper, *flags: str) -> str:
    """Start nginx as an ordinary user, and wait until it answers; its id."""
    flags = ("--name", "web", "-p", "8080:8080", "-u", "www-data", "--stop-signal", "QUIT", *flags)
    id = web.start(["nginx"], *flags, image="mynginx")
    eventually(lambda: fetch(web.engine.host, "http://127.0.0.1:8080/version", 1).code == 0, "nginx")
    return id


def log(web: NetKeeper) -> str:
    return web.raw("logs", "web").error


def last_request(web: NetKeeper) -> str:
    """The last line of the access log; the error log is the other stream."""
    return web.raw("logs", "web").out.decode().splitlines()[-1]


def test_the_page_of_a_committed_image(web: NetKeeper, client: Host) -> None:
    serve(web)
    assert fetch(client, f"http://{ADDRESS}:8080/").text == "my page"
    count = "id -u; grep -c nginx /proc/[0-9]*/comm | grep -c :1"
    eventually(lambda: web.inside("web", count).split() == ["33", "3"], "all its processes")
    eventually(lambda: "192.0.2.2" in last_request(web), "the line of what has been answered")
    assert last_request(web).startswith("192.0.2.2 - - [") and '"GET / HTTP/1.1" 200 8 ' in last_request(web)
    assert web.raw("stop", "web").code == 0
    assert web.status("web")["exit_code"] == 0
    assert cannot_fetch(client, f"http://{ADDRESS}:8080/")


def test_a_server_that_leaves_for_the_background_ends_its_container(web: NetKeeper) -> None:
    gone = web.start(["nginx", "-g", "daemon on;"], image="nginx")
    assert web.raw("wait", gone).text == "0"


def test_a_configuration_by_volume_is_read_anew(web: NetKeeper, client: Host, tmp_path: Path) -> None:
    directory = tmp_path / "conf.d"
    directory.mkdir()
    site = directory / "site.conf"
    first = (SOURCE / "conf.d/site.conf").read_text()
    site.write_text(first)
    serve(web, "-v", f"{directory}:/etc/nginx/conf.d:ro")
    version = f"http://{ADDRESS}:8080/version"
    assert fetch(client, version).text == "1"

    site.write_text("nonsense")
    assert web.try_inside("web", "nginx -t").code == 1
    assert web.raw("kill", "-s", "HUP", "web").code == 0
    eventually(lambda: 'directive "nonsense"' in log(web) or "unexpected end of file" in log(web), "its complaint")
    assert fetch(client, version).text == "1"

    site.write_text(first.replace("1\\n", "2\\n"))
    assert web.try_inside("web", "nginx -t").code == 0
    assert web.raw("kill", "-s", "HUP", "web").code == 0
    eventually(lambda: fetch(client, version).text == "2", "the new configuration")
    assert web.status("web")["status"] == "running"


def test_stop_waits_for_a_download(web: NetKeeper, client: Host, tmp_path: Path) -> None:
    """The client is in the middle when nginx is told to stop, and has bytes to come when nginx has sent its last."""
    pages = tmp_path / "www"
    pages.mkdir()
    content = os.urandom(SIZE)
    (pages / "large").write_bytes(content)
    serve(web, "-v", f"{pages}:/srv/www:ro")
    pid = web.status("web")["pid"]
    download = client.spawn([sys.executable, "-c", SLOW_CLIENT])

    def receive() -> int:
        assert download.stdin is not None
        download.stdin.write(b"more\n")
        download.stdin.flush()
        return int(read_line(download))

    assert receive() > 0
    stop = web.engine.host.spawn(web.engine.command_line("stop", "-t", "60", "web"))
    eventually(lambda: "gracefully shutting down" in log(web), "the shutdown")
    eventually(lambda: cannot_fetch(client, f"http://{ADDRESS}:8080/version"), "the end of new connections")
    while CONNECTED in states_of_connections(pid):
        receive()
    assert finish(download).text == f"{SIZE} {hashlib.sha256(content).hexdigest()}"
    assert finish(stop).text == "web"
    assert web.status("web")["exit_code"] == 0


def states_of_connections(pid: int) -> list[str]:
    """The TCP states of a server's side of its connections; none when its network has gone."""
    try:
        rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    except OSError:
        return []
    return [row[3] for row in rows if row[1].endswith(PORT)]
