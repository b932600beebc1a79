"""Hosts on one switch, with an etcd beside them: what tests of networks across hosts stand on.

site 1, 192.0.2.1 ───┐
site 2, 192.0.2.2 ───┤ switch, 192.0.2.100 ─── etcd, 192.0.2.200
site 3, 192.0.2.3 ───┘    (all that is outside)
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.support import leaks, processes
from tests.support.engines import Engine
from tests.support.hosts import Host, Result, Word, finish
from tests.support.networks import NetKeeper
from tests.support.polling import eventually

SPAN = "10.44.0.0/16"
NETWORK = "over"
OUTSIDE, ETCD = "192.0.2.100", "192.0.2.200"
RECORD, HOSTS = f"/mydocker/networks/{NETWORK}/record", f"/mydocker/networks/{NETWORK}/hosts/"
OVERHEAD = {"vxlan": 50, "host-routes": 0}
BOUND = 30.0  # seconds: a command whose etcd does not behave has ended by then, and no lie of LIAR

CLIENT = """
import json, sys
from ch06_network.etcd import Etcd
etcd = Etcd([sys.argv[1]])
print(json.dumps([getattr(etcd, method)(*arguments) for method, *arguments in json.load(sys.stdin)]))
"""
LIAR = """
import http.client, json, socket, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Liar(BaseHTTPRequestHandler):
    def do_POST(self):
        question = self.rfile.read(int(self.headers["Content-Length"]))
        mode = open(sys.argv[3]).read()
        if mode.isdigit():
            if mode == "0":
                return
            open(sys.argv[3], "w").write(str(int(mode) - 1))
            mode = "honest"
        getattr(self, mode)(question)

    def honest(self, question):
        behind = http.client.HTTPConnection(sys.argv[2], 2379)
        behind.request("POST", self.path, question)
        answer = behind.getresponse()
        self.say(answer.status, b"" if self.path.endswith("watch") else answer.read())
        if self.path.endswith("watch"):
            while piece := answer.read1():
                self.wfile.write(piece)

    def never(self, question):
        time.sleep(1000)

    def drips(self, question):
        for byte in b"HTTP/1.0 200 OK\\r\\n\\r\\n" + b" " * 1000:
            self.connection.sendall(bytes([byte]))
            time.sleep(0.3)

    def closes(self, question):
        return

    def missing(self, question):
        self.say(404, b"<html><h1>Not Found</h1></html>")

    def fails(self, question):
        self.say(500, json.dumps({"error": "it is\\nbroken", "code": 13}).encode())

    def html(self, question):
        self.say(200, b"<html>hello</html>")

    def lists(self, question):
        self.say(200, b"[1, 2]")

    def empty(self, question):
        self.say(200, b"{}")

    def nested(self, question):
        self.say(200, b"[" * 100000)

    def wrong(self, question):
        keys = {"kvs": [{"key": "!", "value": 5}, 7], "ID": 7, "succeeded": True}
        self.say(200, json.dumps({"header": {}, "result": {"header": {}}, **keys}).encode())

    def endless(self, question):
        self.say(200, b"")
        while True:
            self.wfile.write(b" " * 65536)

    def say(self, status, text):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *words):
        pass

ThreadingHTTPServer((sys.argv[1], 2381), Liar).serve_forever()
"""
LIES = ("never", "drips", "closes", "missing", "fails", "html", "lists", "empty", "nested", "wrong", "endless")


class Etcd:
    """An etcd that can be killed, wiped and asked, and a server before it that lies if it is told to."""

    url = f"http://{ETCD}:2379"
    liar = f"http://{ETCD}:2381"

    def __init__(self, host: Host, directory: Path) -> None:
        self._host = host
        self._data = directory / "etcd"
        self._log = directory / "etcd.log"
        self._mode = directory / "mode"
        self._has_liar = False
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        words = [*("etcd", "--data-dir", self._data), *("--listen-peer-urls", "http://127.0.0.1:2380")]
        words += ["--listen-client-urls", self.url, "--advertise-client-urls", self.url]
        words += ["--heartbeat-interval", "10", "--election-timeout", "100"]
        machine = {"ETCD_UNSUPPORTED_ARCH": {"aarch64": "arm64"}.get(platform.machine(), "")}
        with self._log.open("wb") as log:
            self._process = self._host.spawn(list(map(str, words)), env=machine, stdout=log, stderr=log)
        eventually(lambda: b"ready to serve client requests" in self._log.read_bytes(), "etcd")

    def kill(self) -> None:
        """As the kernel does when there is no memory left."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def wipe(self) -> None:
        """Lose all that it knows, and start again."""
        self.kill()
        subprocess.run(["rm", "-rf", self._data], check=True)
        self.start()

    def is_up(self) -> bool:
        return self._process is not None

    def ask(self, *calls: tuple[str, ...]) -> list[Any]:
        """Call methods of the chapter's client."""
        answers: list[Any] = json.loads(self._host.python(CLIENT, self.url, input=json.dumps(calls).encode()).text)
        return answers

    def keys(self, prefix: str = "/") -> dict[str, str]:
        (found,) = self.ask(("find", prefix))
        return dict(found)

    def put(self, values: dict[str, str]) -> None:
        self.ask(*(("put", key, value) for key, value in values.items()))

    def delete(self, *keys: str) -> None:
        self.ask(*(("delete", key) for key in keys))

    def lie(self, mode: str) -> None:
        """Let the server at `liar` behave so: see LIAR. A number: honestly so many times, and then not at all."""
        self._mode.write_text(mode)
        if not self._has_liar:
            self._has_liar = True
            self._host.spawn([sys.executable, "-c", LIAR, ETCD, ETCD, str(self._mode)], stdout=None, stderr=None)
            eventually(lambda: b":2381" in self._host.run(["ss", "-ltn"]).out, "the server that lies")


class Site(NetKeeper):
    """One of the hosts."""

    def __init__(self, engine: Engine, number: int) -> None:
        super().__init__(engine)
        self.host = engine.host
        self.host.may_stay.add("host-id")
        self.underlay = f"192.0.2.{number}"

    # ------------------------------------------------------------ the network

    def create(self, driver: str, *flags: Word, url: str = Etcd.url, name: str = NETWORK) -> Result:
        """`network create`."""
        return self.raw("network", "create", "--driver", driver, "--etcd", url, *flags, name, timeout=BOUND)

    def part(self) -> str:
        """Which part of the network this host has."""
        return str(self.network_record(NETWORK)["subnets"][0][0])

    def on(self, name: str, *flags: Word) -> str:
        """A container that sleeps in the network; its id."""
        return self.box(name, "--net", NETWORK, *flags)

    def knows(self, container: str, name: str) -> bool:
        """Whether a container finds another one's name."""
        return name in self.inside(container, "cat /etc/hosts").split()

    def reaches(self, container: str, name: str) -> None:
        """A container knows another by its name before long, and gets an answer from it."""
        eventually(lambda: self.knows(container, name), f"{container} knows {name}")
        eventually(lambda: self.pings(container, name), f"{container} reaches {name}")

    def refusal(self) -> Result:
        """How it ends if a container tries to join the network."""
        return self.raw("run", "--rm", "--net", NETWORK, "busybox", "true", timeout=BOUND)

    def addresses(self) -> list[str]:
        """Of all its containers in the network."""
        plugged = self.network_record(NETWORK)["containers"].values()
        return [address for endpoint in plugged for address in endpoint["addresses"]]

    # ------------------------------------------------------------ what the kernel says

    def listed(self, *words: str) -> list[dict[str, Any]]:
        """What `ip` or `bridge` lists."""
        found: list[dict[str, Any]] = json.loads(self.host.run([words[0], "-j", *words[1:]]).text or "[]")
        return found

    def tunnel(self) -> str:
        return str(self.network_record(NETWORK)["options"]["device"])

    def routes(self) -> set[tuple[str, str]]:
        """Subnet and gateway of each route to another host."""
        found = [
            route for route in self.listed("ip", "route") if route["dst"].startswith("10.44.") and "gateway" in route
        ]
        assert len({route["dst"] for route in found}) == len(found)
        return {(route["dst"], route["gateway"]) for route in found}

    def neighbours(self) -> dict[str, str]:
        """Hardware address by address, at the tunnel."""
        return {entry["dst"]: entry["lladdr"] for entry in self.listed("ip", "neigh", "show", "dev", self.tunnel())}

    def forwarding(self) -> list[tuple[str, str]]:
        """Hardware address and host, at the tunnel."""
        return [(entry["mac"], entry["dst"]) for entry in self.listed("bridge", "fdb", "show", "dev", self.tunnel())]

    def leads_to(self, *others: Site) -> bool:
        """Whether there is one way to each of these hosts, and none besides."""
        if not self.tunnel():
            return self.routes() == {(other.part(), other.underlay) for other in others}
        ends = {other.part().partition("/")[0]: other for other in others}
        macs = {end: "02:42:" + ":".join(f"{int(byte):02x}" for byte in end.split(".")) for end in ends}
        return (
            self.routes() == {(other.part(), end) for end, other in ends.items()}
            and self.neighbours() == macs
            and sorted(self.forwarding()) == sorted((macs[end], other.underlay) for end, other in ends.items())
        )

    # ------------------------------------------------------------ the agent

    def agents(self) -> list[int]:
        """The processes that hold this host in the network."""
        ear = str(self.root / "networks" / NETWORK / "wake")
        return [pid for pid in processes.descendants(os.getpid()) if ear in processes.open_files(pid)]

    def agent(self) -> int:
        """The only one of these; for a moment, what it starts has all that it has open."""
        (found,) = eventually(lambda: found if len(found := self.agents()) == 1 else [], "one agent")
        return found

    def kill_agent(self) -> None:
        os.kill(self.agent(), signal.SIGKILL)
        eventually(lambda: not self.agents(), "the agent's end")

    # ------------------------------------------------------------ trouble

    def cut_off_from_etcd(self) -> None:
        """What etcd sends is lost on the way."""
        self.nft(f"table inet cut {{ chain in {{ type filter hook input priority 0; ip saddr {ETCD} drop; }}; }}")

    def cut_off(self) -> None:
        """Pull the cable."""
        assert self.host.run(["ip", "link", "set", "eth0", "down"]).code == 0

    def heal(self) -> None:
        self.nft("table inet cut\ndelete table inet cut")
        assert self.host.run(["ip", "link", "set", "eth0", "up"]).code == 0

    # ------------------------------------------------------------ the end

    def clear(self) -> None:
        """Remove all; nothing may be left."""
        self.heal()
        self.remove_all()
        names = [line.split()[1] for line in self.raw("network", "ls").text.splitlines()[1:]]
        if names:
            assert self.raw("network", "rm", *names).code == 0
        self.is_clean()

    def is_clean(self) -> bool:
        """Nothing is left of networks; AssertionError tells what is."""
        assert self.devices() == ["eth0", "lo"]
        assert self.routes() == set()
        assert "mydocker" not in self.ruleset()
        eventually(lambda: not self.agents(), "the agent's end")
        assert not list(self.root.glob("networks/*"))
        return True


class Lan:
    """The switch, etcd, and as many sites as a test wants."""

    def __init__(self, engine: Engine, new_host: Callable[[], Host], directory: Path) -> None:
        self._engine = engine
        self._new_host = new_host
        self._directory = directory
        self.switch = new_host()
        self._on_switch("link", "add", "sw", "type", "bridge")
        self._on_switch("address", "add", f"{OUTSIDE}/24", "dev", "sw")
        self._on_switch("link", "set", "sw", "up")
        machine = new_host()
        self.plug(machine, ETCD)
        self.etcd = Etcd(machine, directory)
        self.etcd.start()
        self.sites: list[Site] = []

    def _on_switch(self, *words: str) -> None:
        assert self.switch.run(["ip", *words]).code == 0, words

    def plug(self, host: Host, address: str) -> None:
        """Lay a cable from a host to the switch."""
        port = f"port{address.rpartition('.')[2]}"
        self._on_switch("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", host.pid)
        self._on_switch("link", "set", port, "master", "sw", "up")
        assert host.run(["ip", "address", "add", f"{address}/24", "dev", "eth0"]).code == 0
        assert host.run(["ip", "link", "set", "eth0", "up"]).code == 0

    def site(self) -> Site:
        """One more host."""
        number = len(self.sites) + 1
        first = self._engine
        engine = first if number == 1 else Engine(first.increment, self._new_host(), self._directory / "files")
        site = Site(engine, number)
        self.plug(site.host, site.underlay)
        self.sites.append(site)
        return site

    def network(self, driver: str, count: int, *flags: Word, url: str = Etcd.url) -> list[Site]:
        """So many hosts with a network across them."""
        new = [self.site() for _ in range(count)]
        assert new[0].create(driver, "--subnet", SPAN, *flags, url=url).text
        words = ("network", "create", "--driver", driver, "--etcd", url, NETWORK)
        for started in [site.host.spawn(site.engine.command_line(*words)) for site in new[1:]]:
            assert finish(started).text
        return new

    def lose_power(self, site: Site) -> None:
        """A host is gone, and its cable with it."""
        site.host.lose_power()
        self._on_switch("link", "delete", f"port{site.underlay.rpartition('.')[2]}")
        leaks.reap_orphans_but([process.pid for other in self._hosts() for process in other.started])

    def boot(self, site: Site) -> None:
        """It is there again, with the files that it had."""
        site.host.boot()
        self.plug(site.host, site.underlay)

    def _hosts(self) -> Sequence[Host]:
        return [self.switch, self.etcd._host, *(site.host for site in self.sites)]

    def clear(self) -> None:
        """Remove all that the test has made; the last host has taken all that etcd knew with it."""
        if not self.etcd.is_up():
            self.etcd.start()
        for site in self.sites:
            site.clear()
