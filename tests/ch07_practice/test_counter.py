"""flask counts and redis remembers, in two containers: the lesson of section 7.2, and what it promises."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.support.hosts import REPOSITORY, Host
from tests.support.images import archive
from tests.support.networks import NetKeeper, cannot_fetch, fetch
from tests.support.polling import eventually

pytestmark = pytest.mark.kernel
APP = REPOSITORY / "ch07_practice/counter/app.py"
ADDRESS, PORT = "192.0.2.1", "8000"
URL = f"http://{ADDRESS}:{PORT}/"
REDIS_USER = 999
REDIS = ["redis-server", "--dir", "/data", "--appendonly", "yes", "--protected-mode", "no"]
FLASK = ["gunicorn", "--bind", "0.0.0.0:8000", "--threads", "8", "app:app"]


class Counter:
    """The two containers on a host, and how a client sees them."""

    def __init__(self, keeper: NetKeeper, client: Host, data: Path) -> None:
        self.keeper = keeper
        self.client = client
        self.data = data
        data.mkdir()
        os.chown(data, REDIS_USER, REDIS_USER)
        for name in ("redis", "flask"):
            assert keeper.raw("import", name, archive(f"counter/build_{name}.sh")).code == 0
        words = ["run", "-i", "--name", "change", "flask", "sh", "-c", "mkdir /app; cat > /app/app.py"]
        assert keeper.raw(*words, input=APP.read_bytes()).code == 0
        assert keeper.raw("commit", "change", "counter").code == 0
        keeper.network("counting")

    def start_redis(self) -> None:
        flags = ("--name", "redis", "--net", "counting", "-u", "redis", "-v", f"{self.data}:/data")
        self.keeper.start(REDIS, *flags, image="redis")
        self.wait_for_redis()

    def start_flask(self) -> None:
        """Names that nobody in its network has are asked for nowhere (--dns)."""
        flags = ("--name", "web", "--net", "counting", "-p", f"{PORT}:8000", "-u", "nobody", "-w", "/app")
        self.keeper.start(FLASK, *flags, "--dns", "127.0.0.1", image="counter")
        self.wait_for_flask()

    def wait_for_redis(self) -> None:
        eventually(lambda: self.redis("ping") == "PONG", "redis")

    def wait_for_flask(self) -> None:
        """Until it listens: /favicon.ico is not counted."""
        there = ["timeout", "5", "busybox", "wget", "-qO-", f"{URL}favicon.ico"]
        eventually(lambda: b"404" in self.client.run(there).err, "flask")

    def redis(self, *words: str) -> str:
        """What redis answers, asked in its container; empty if it does not."""
        result = self.keeper.raw("exec", "redis", "redis-cli", *words)
        return result.out.decode().strip() if result.code == 0 else ""

    def count(self) -> int:
        return int(fetch(self.client, URL).text)


@pytest.fixture
def counter(keeper: NetKeeper, client: Host, tmp_path: Path) -> Counter:
    counter = Counter(keeper, client, tmp_path / "data")
    counter.start_redis()
    counter.start_flask()
    return counter


def test_the_count_outlives_both_containers(counter: Counter) -> None:
    keeper = counter.keeper
    assert [counter.count(), counter.count()] == [1, 2]
    assert keeper.raw("restart", "web").code == 0
    counter.wait_for_flask()
    assert counter.count() == 3
    assert keeper.raw("restart", "redis").code == 0  # it has another address now
    counter.wait_for_redis()
    assert counter.count() == 4
    keeper.remove("redis")
    assert b"503" in counter.client.run(["timeout", "30", "busybox", "wget", "-qO-", URL]).err
    counter.start_redis()  # another container, with the same volume
    assert counter.count() == 5
    keeper.remove("web")
    counter.start_flask()
    assert counter.count() == 6


def test_nothing_is_lost_under_load(counter: Counter) -> None:
    """5,000 requests on 8 connections, from another machine: each gets a number of its own."""
    load = [sys.executable, "-m", "ch07_practice.counter.load", ADDRESS, PORT]
    result = counter.client.run(load, cwd=REPOSITORY, timeout=300)
    assert result.text == "5000 requests answered, 0 numbers missing, 0 given twice"
    assert counter.redis("get", "requests") == "5000" and counter.count() == 5001


def test_only_what_is_published_can_be_reached(counter: Counter) -> None:
    keeper, client = counter.keeper, counter.client
    assert client.run(["ip", "route", "add", "10.0.0.0/8", "via", ADDRESS]).code == 0
    assert cannot_fetch(client, f"http://{keeper.address('redis', 'counting')}:6379/")
    assert cannot_fetch(client, f"http://{ADDRESS}:6379/")
    assert keeper.inside("web", "id -u").split() == ["65534"] and keeper.inside("redis", "id -u") == str(REDIS_USER)
