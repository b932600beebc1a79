"""Containers in one network find each other: by address, and by names that are true at every moment. Section 6.5."""

from __future__ import annotations

import random

import pytest

from ch06_network import hosts_file
from tests.support.engines import ENGINE_FAILED, NOT_FOUND, fails
from tests.support.hosts import finish, read_line
from tests.support.networks import SLEEPS, NetKeeper

pytestmark = pytest.mark.kernel


def test_the_default_network_comes_by_itself(keeper: NetKeeper) -> None:
    assert keeper.raw("network", "ls", "-q").text == ""
    shown = keeper.raw("run", "--rm", "busybox", "sh", "-c", "ip -o addr; ip route; cat /sys/class/net/eth0/mtu").text
    assert "inet 10.77.0.2/16" in shown and "eth0" in shown
    assert "default via 10.77.0.1 dev eth0" in shown
    assert "1: lo    inet 127.0.0.1/8" in shown
    assert shown.endswith("1500")
    assert keeper.raw("run", "--rm", "busybox", "ping", "-c1", "-W1", "10.77.0.1").code == 0
    assert keeper.raw("run", "--rm", "busybox", "ping", "-c1", "-W1", "127.0.0.1").code == 0
    (network,) = keeper.raw("network", "ls").text.splitlines()[1:]
    assert network.split()[1:3] == ["bridge", "bridge"]


def test_two_find_each_other(keeper: NetKeeper) -> None:
    one = keeper.box("one", "--network-alias", "first", "--network-alias", "uno")
    two = keeper.box("two", "--hostname", "zwei")
    for name in ("one", one[:12], "first", "uno", keeper.address("one")):
        assert keeper.pings("two", name), name
    for name in ("two", two[:12], keeper.address("two")):
        assert keeper.pings("one", name), name
    for name in ("two", "zwei", "localhost"):  # by its own names, too
        assert keeper.pings("two", name), name
    assert keeper.inside("two", "hostname; cat /etc/hostname").split() == ["zwei", "zwei"]
    assert keeper.inside("two", "hostname -i") == keeper.address("two")
    assert not keeper.knows("one", "zw") and not keeper.knows("one", "three")


def test_names_go_when_a_container_goes(keeper: NetKeeper) -> None:
    keeper.box("one")
    keeper.box("two")
    keeper.box("three")
    assert keeper.pings("one", "two")
    keeper.raw("stop", "-t", "0", "two")
    assert not keeper.knows("one", "two")
    keeper.remove(keeper.inspect("three")["id"])
    assert not keeper.knows("one", "three")


def test_a_command_that_ended_is_gone_by_then(keeper: NetKeeper) -> None:
    keeper.box("one")
    assert keeper.raw("run", "--rm", "--name", "short", "busybox", "ping", "-c1", "-W1", "one").code == 0
    assert not keeper.knows("one", "short")


def test_the_others_see_a_new_name(keeper: NetKeeper) -> None:
    keeper.box("one")
    keeper.box("two", "--network-alias", "zwei")
    assert keeper.raw("rename", "two", "deux").code == 0
    assert keeper.pings("one", "deux") and keeper.pings("one", "zwei") and keeper.pings("deux", "deux")
    assert not keeper.knows("one", "two")
    keeper.raw("restart", "-t", "0", "deux")
    assert keeper.pings("one", "deux")
    assert not keeper.knows("one", "two")


def test_names_stay_right_when_a_container_starts_again(keeper: NetKeeper) -> None:
    keeper.box("one")
    keeper.box("two", "--network-alias", "zwei")
    for _ in range(2):
        before = keeper.address("two")
        assert keeper.raw("restart", "-t", "0", "two").code == 0
        assert keeper.address("two") != before  # not handed out again at once
        for name in ("two", "zwei"):
            assert keeper.pings("one", name)
        assert keeper.pings("two", "one") and keeper.pings("two", "two")
        assert keeper.inside("one", "grep -c two /etc/hosts; grep -c zwei /etc/hosts") == "1\n1"
    keeper.raw("restart", "-t", "0", "one")
    assert keeper.pings("one", "two") and keeper.pings("two", "one")


def test_a_crash_loop_keeps_its_names(keeper: NetKeeper) -> None:
    keeper.box("one")
    keeper.sh("sleep 0.1; exit 1", "--restart", "on-failure:2", "--name", "two")
    assert keeper.raw("wait", "two").text == "1"
    assert not keeper.knows("one", "two")
    assert len(keeper.network_record("bridge")["containers"]) == 1


READS = """while :; do cat /etc/hosts > /copy
grep -q '^127.0.0.1.localhost$' /copy && grep -q "^$ADDRESS.steady " /copy || { echo lost; cat /copy; }
grep -vE '^$|^[0-9a-f:.]+.[a-zA-Z0-9_ .-]+$' /copy
grep -E '^10' /copy | grep -vE '^10[.]77[.][0-9]+[.][0-9]+.[a-z0-9_]+ [0-9a-f]{12} a{60} b{60}$'
done"""


def test_the_hosts_file_is_never_seen_half_written(keeper: NetKeeper) -> None:
    """Somebody reads all the time, while thirty others come and go. Their lines are long: the file has many pages."""
    aliases = ["--network-alias", "a" * 60, "--network-alias", "b" * 60]
    keeper.box("steady", *aliases)
    keeper.sh(READS, "-e", f"ADDRESS={keeper.address('steady')}", "--name", "reader", *aliases)
    engine = " ".join(map(str, keeper.engine.command_line()))
    flags = " ".join(aliases)
    one = f"{engine} run --rm {flags} busybox sleep 0.N"
    result = keeper.engine.host.run(["sh", "-c", f"seq 30 | xargs -P 6 -I N {one}"], timeout=300)
    assert (result.code, result.error) == (0, "")
    assert keeper.raw("logs", "reader").text == ""
    assert len(keeper.inside("reader", "grep ^10 /etc/hosts").splitlines()) == 2


# ---------------------------------------------------------------- other kinds of networks


def test_lines_keep_their_places(keeper: NetKeeper) -> None:
    """As long as they are there: so a reader finds them however slowly it reads."""
    random.seed(6)
    text, inside = b"", [b"127.0.0.1\tlocalhost\n"]
    for number in range(3000):
        inside.append(b"10.0.0.%d\t%s\n" % (number, b"x" * random.randrange(60)))
        random.shuffle(inside)
        del inside[random.randrange(20, 40) :]
        old, text = text, hosts_file.merged(text, b"".join(inside))
        assert sorted(filter(None, text.split(b"\n"))) == sorted(line[:-1] for line in inside)
        assert all(text.find(line) == old.find(line) for line in old.splitlines(keepends=True) if line in inside)
    assert len(text) < 8192


def test_a_container_cannot_harm_others_by_its_files(keeper: NetKeeper) -> None:
    keeper.box("one")
    keeper.inside("one", "truncate -s 1T /etc/hosts; truncate -s 1T /etc/hostname; echo x > /etc/resolv.conf")
    keeper.box("two")
    assert keeper.pings("two", "one") and keeper.pings("one", "two")
    assert int(keeper.inside("one", "stat -c %s /etc/hosts")) < 1000
    assert keeper.raw("restart", "-t", "0", "one").code == 0
    assert keeper.inside("one", "hostname -i") == keeper.address("one")


def test_none(keeper: NetKeeper) -> None:
    keeper.box("it", "--net", "none", "--add-host", "far:192.0.2.9")
    assert keeper.inside("it", "ls /sys/class/net") == "lo"
    assert keeper.pings("it", "127.0.0.1") and keeper.pings("it", "localhost")
    assert "192.0.2.9\tfar" in keeper.inside("it", "cat /etc/hosts")
    assert not keeper.pings("it", "192.0.2.9")
    assert keeper.raw("network", "ls", "-q").text == ""


def test_host(keeper: NetKeeper) -> None:
    keeper.engine.host.run(["ip", "link", "add", "mine", "type", "bridge"])
    keeper.serve("it", "--net", "host", "--add-host", "far:192.0.2.9", port=8080)
    assert keeper.inside("it", "ls /sys/class/net").split() == ["lo", "mine"]
    assert keeper.engine.host.run(["busybox", "wget", "-qO-", "http://127.0.0.1:8080/"]).text == "it"
    with open("/etc/hosts") as file:
        assert keeper.inside("it", "cat /etc/hosts") == f"{file.read()}192.0.2.9\tfar"
    with open("/etc/resolv.conf") as file:
        assert keeper.inside("it", "cat /etc/resolv.conf") == file.read().strip()
    keeper.engine.host.run(["ip", "link", "del", "mine"])


def test_of_another_container(keeper: NetKeeper) -> None:
    """Addresses, ports and names are the same; also those that come later, and over several links."""
    keeper.serve("web", "--add-host", "far:192.0.2.9")
    keeper.box("side", "--net", "container:web")
    keeper.box("beside", "--net", f"container:{keeper.inspect('side')['id'][:12]}")
    keeper.box("other")
    for name in ("side", "beside"):
        assert keeper.get(name, "http://127.0.0.1/").text == "web"
        assert keeper.inside(name, "ip -o -4 addr show eth0") == keeper.inside("web", "ip -o -4 addr show eth0")
        assert keeper.inside(name, "cat /etc/hosts /etc/hostname") == keeper.inside(
            "web", "cat /etc/hosts /etc/hostname"
        )
        assert keeper.pings(name, "web") and keeper.pings(name, "other")
        assert "far" in keeper.inside(name, "cat /etc/hosts")
    assert keeper.get("other", "http://web/").text == "web"
    assert not keeper.knows("other", "side")
    keeper.raw("stop", "-t", "0", "web")
    assert keeper.inside("side", "ls /sys/class/net") == "lo"  # the namespace stays, the cable is pulled
    fails(keeper.raw("run", "--rm", "--net", "container:web", "busybox", "true"), ENGINE_FAILED, "does not run")


def test_of_a_container_with_none(keeper: NetKeeper) -> None:
    keeper.serve("web", "--net", "none")
    keeper.box("side", "--net", "container:web")
    assert keeper.get("side", "http://127.0.0.1/").text == "web"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--net", "none", "--net", "a"], ["--net none", "other networks"]),
        (["--net", "container:"], ["names no container"]),
        (["--net", "container"], ["names no container"]),
        (["--net", "container:nosuch"], ["nosuch"]),
        (["--name", "me", "--net", "container:me"], ["me"]),
        (["--net", "host:x"], ["host:x"]),
        (["--net", "none", "-p", "8080:80"], ["-p", "none"]),
        (["--net", "host", "-p", "8080:80"], ["-p", "host"]),
        (["--net", "host", "--ip", "10.77.0.9"], ["--ip", "host"]),
        (["--net", "none", "--network-alias", "x"], ["--network-alias", "none"]),
        (["--net", "container:up", "-P"], ["container:up"]),
        (["--net", "container:up", "--dns", "192.0.2.53"], ["--dns", "container:up"]),
        (["--net", "container:up", "--add-host", "a:192.0.2.1"], ["--add-host", "container:up"]),
        (["--net", "nosuch"], ["nosuch", "network ls"]),
        (["--net", ""], ["network"]),
        (["--net", "../networks/bridge"], ["network"]),
        (["--net", "bridge", "--net", "bridge"], ["bridge"]),
        (["--network-alias", "a b"], ["a b"]),
        (["--add-host", "far"], ["far"]),
        (["--add-host", "far away:192.0.2.1"], ["far away"]),
        (["--add-host", "far:here"], ["here"]),
        (["--dns", "example.org"], ["example.org"]),
    ],
)
def test_what_does_not_go_together(keeper: NetKeeper, flags: list[str], words: list[str]) -> None:
    keeper.box("up")
    for detach in ([], ["-d"]):
        fails(keeper.raw("run", *detach, *flags, "busybox", "true"), ENGINE_FAILED, *words)
    assert len(keeper.ids()) == 1
    assert len(keeper.network_record("bridge")["containers"]) == 1


def test_two_that_want_each_others_network(keeper: NetKeeper) -> None:
    keeper.raw("create", "--name", "a", "--net", "container:b", "busybox", "true")
    keeper.raw("create", "--name", "b", "--net", "container:a", "busybox", "true")
    fails(keeper.raw("start", "a"), ENGINE_FAILED, "a")
    assert keeper.raw("ps", "-a").code == 0


# ---------------------------------------------------------------- name servers


def resolver_with(keeper: NetKeeper, host_has: str, *flags: str, systemd: str = "") -> str:
    """/etc/resolv.conf of a container of a host that has this one."""
    words = keeper.engine.command_line("run", "--rm", *flags, "busybox", "cat", "/etc/resolv.conf")
    files = keeper.root.parent / "resolver"
    (files / "run/resolve").mkdir(parents=True, exist_ok=True)
    (files / "resolv.conf").write_text(host_has)
    (files / "run/resolve/resolv.conf").write_text(systemd)
    hide = (
        f"mount --bind {files}/resolv.conf /etc/resolv.conf && "
        f"if test -d /run/systemd; then mount --bind {files}/run /run/systemd; "
        f'else mount -t tmpfs none /run && cp -r {files}/run /run/systemd; fi && exec "$@"'
    )
    return keeper.engine.host.run(["unshare", "--mount", "sh", "-c", hide, "sh", *words]).text


def test_name_servers_are_the_hosts(keeper: NetKeeper) -> None:
    text = "# made by hand\nsearch example.org\nnameserver 192.0.2.53\nnameserver 127.0.0.1\noptions ndots:2"
    kept = "search example.org\nnameserver 192.0.2.53\noptions ndots:2"
    assert resolver_with(keeper, text) == kept
    assert resolver_with(keeper, text + "\n", "--net", "none") == kept
    assert resolver_with(keeper, text, "--net", "host") == text


def test_name_servers_behind_systemd(keeper: NetKeeper) -> None:
    """127.0.0.53 is in the host's network alone."""
    found = resolver_with(keeper, "nameserver 127.0.0.53\noptions edns0\n", systemd="nameserver 192.0.2.53\n")
    assert found == "nameserver 192.0.2.53"
    assert "nameserver" not in resolver_with(keeper, "nameserver 127.0.0.53\n")


def test_given_name_servers(keeper: NetKeeper) -> None:
    found = resolver_with(keeper, "nameserver 192.0.2.53\n", "--dns", "192.0.2.1", "--dns", "2001:db8::1")
    assert found == "nameserver 192.0.2.1\nnameserver 2001:db8::1"


def test_a_volume_wins(keeper: NetKeeper) -> None:
    mine = keeper.root.parent / "mine"
    mine.write_text("192.0.2.7\tmine\n")
    keeper.box("it", "-v", f"{mine}:/etc/hosts", "-v", f"{mine}:/etc/resolv.conf:ro")
    keeper.box("other")
    assert keeper.inside("it", "cat /etc/hosts") == "192.0.2.7\tmine"
    assert keeper.inside("it", "cat /etc/resolv.conf") == "192.0.2.7\tmine"
    assert keeper.inside("it", "cat /etc/hostname") == keeper.inspect("it")["id"][:12]
    assert mine.read_text() == "192.0.2.7\tmine\n"


def test_a_container_may_change_its_own_files(keeper: NetKeeper) -> None:
    keeper.box("it")
    keeper.box("other")
    keeper.inside("it", "echo 192.0.2.3 far >> /etc/hosts; echo nameserver 192.0.2.4 > /etc/resolv.conf")
    assert "far" not in keeper.inside("other", "cat /etc/hosts")
    assert keeper.inside("it", "cat /etc/resolv.conf") == "nameserver 192.0.2.4"


def test_words_of_the_book(keeper: NetKeeper) -> None:
    """-net, as the book has it."""
    keeper.network("testbridge", "--driver", "bridge", "--subnet", "192.168.10.0/24")
    keeper.start(SLEEPS, "--name", "it", "-net", "testbridge", "-p", "8080:80")
    assert keeper.address("it", "testbridge") == "192.168.10.2"


def test_without_nft(keeper: NetKeeper) -> None:
    """One clear line, and nothing is left."""
    hide = 'for nft in /usr/sbin/nft /sbin/nft; do mount -t tmpfs none $(dirname $nft); done; exec "$@"'
    for flags in ([], ["-p", "8080:80"]):
        words = keeper.engine.command_line("run", *flags, "busybox", "true")
        result = keeper.engine.host.run(["unshare", "--mount", "sh", "-c", hide, "sh", *words])
        fails(result, ENGINE_FAILED, "nft", "no such command", "nftables")
    assert NOT_FOUND != ENGINE_FAILED
    assert keeper.devices() == ["lo"] and keeper.ids() == []
    assert keeper.raw("network", "ls", "-q").text == ""


def test_a_foreground_container_has_a_network_too(keeper: NetKeeper) -> None:
    keeper.box("one")
    started = keeper.engine.host.spawn(
        keeper.engine.command_line(
            "run", "-i", "--name", "two", "busybox", "sh", "-c", "echo up; read x; ping -c1 -W1 one"
        )
    )
    assert read_line(started) == b"up\n"
    assert keeper.pings("one", "two")
    assert finish(started).code == 0  # its standard input has ended
    assert not keeper.knows("one", "two")
