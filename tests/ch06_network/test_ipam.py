"""Addresses and who has them: subnets, the bitmap, leases. Section 6.3."""

from __future__ import annotations

import ipaddress
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest

from ch02_namespaces.errors import EngineError
from ch06_network.ipam import Pool
from ch06_network.subnets import Subnet, parse_address, parse_subnet


def pool_of(directory: Path, text: str, *reserved: str) -> Pool:
    return Pool(str(directory), parse_subnet(text), map(parse_address, reserved))


@pytest.mark.parametrize("text", ["0.0.0.0", "10.1.2.3", "255.255.255.255", "::", "::1", "fd00::1:2", "2001:db8::"])
def test_addresses_are_what_the_library_says(text: str) -> None:
    address, theirs = parse_address(text), ipaddress.ip_address(text)
    assert (str(address), address.value, address.packed) == (str(theirs), int(theirs), theirs.packed)


@pytest.mark.parametrize("text", ["", "10.1", "10.1.2.256", "1.2.3.4.5", "fd00:::1", "a.b.c.d", "1.2.3.4\0", "١.2.3.4"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(EngineError, match="no IPv4 or IPv6"):
        parse_address(text)


def test_subnets_are_what_the_library_says() -> None:
    random.seed(6)
    for _ in range(500):
        version = random.choice([4, 6])
        bits = {4: 32, 6: 128}[version]
        length = random.randint(0, bits)
        value = random.getrandbits(bits) >> (bits - length) << (bits - length) if length else 0
        theirs = ipaddress.ip_network((value.to_bytes(bits // 8, "big"), length))
        ours = parse_subnet(str(theirs))
        assert (str(ours), ours.size, ours.first.value) == (str(theirs), theirs.num_addresses, value)
        other = random.choice([ours, parse_subnet("10.0.0.0/8"), parse_subnet("fd00::/8")])
        assert ours.overlaps(other) == (
            ours.version == other.version and theirs.overlaps(ipaddress.ip_network(str(other)))
        )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10.0.0.1/24", "10.0.0.0/24"),
        ("10.0.0.0", "no prefix length"),
        ("10.0.0.0/33", "no prefix length"),
        ("10.0.0.0/-1", "no prefix length"),
        ("10.0.0.0/٨", "no prefix length"),
        ("fd00::1/64", "fd00::/64"),
        ("x/8", "no IPv4"),
    ],
)
def test_what_is_no_subnet(text: str, words: str) -> None:
    with pytest.raises(EngineError, match=words):
        parse_subnet(text)


def test_every_address_of_a_16_is_handed_out_once(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, "10.9.0.0/16", "10.9.0.1")
    found = [str(pool.allocate("me")) for _ in range(65536 - 3)]
    theirs = {str(address) for address in ipaddress.ip_network("10.9.0.0/16").hosts()} - {"10.9.0.1"}
    assert len(found) == len(set(found))
    assert set(found) == theirs
    with pytest.raises(EngineError, match="all its addresses are taken"):
        pool.allocate("me")
    pool.release(parse_address("10.9.7.7"), "me")
    assert str(pool.allocate("you")) == "10.9.7.7"


@pytest.mark.parametrize("length", range(24, 33))
def test_any_prefix_length(tmp_path: Path, length: int) -> None:
    subnet = ipaddress.ip_network(f"192.0.2.0/{length}")
    pool = pool_of(tmp_path, str(subnet))
    hosts = [str(address) for address in subnet.hosts()]
    assert [str(pool.allocate("me")) for _ in hosts] == hosts
    with pytest.raises(EngineError, match="taken"):
        pool.allocate("me")


@pytest.mark.parametrize("text", ["10.0.0.0/8", "0.0.0.0/0", "fd00::/64", "fd00::/8", "::/0"])
def test_large_subnets_take_no_room(tmp_path: Path, text: str) -> None:
    pool = pool_of(tmp_path, text)
    subnet = parse_subnet(text)
    far = subnet.at(subnet.size - 7)
    assert pool.allocate("me", far) == far
    assert [pool.allocate("me") for _ in range(3)] == [subnet.at(number) for number in (1, 2, 3)]
    assert os.stat(tmp_path / "bitmap").st_blocks * 512 < 1 << 16
    with pytest.raises(EngineError, match="me has it"):
        pool.allocate("you", far)
    pool.release(far, "me")
    assert pool.allocate("you", far) == far
    assert pool.taken()[-1] == far


def test_an_address_is_not_handed_out_again_at_once(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, "10.0.0.0/29")
    found = []
    for _ in range(12):
        address = pool.allocate("me")
        found.append(str(address)[-1])
        pool.release(address, "me")
    assert "".join(found) == "123456123456"


def test_wanted_addresses(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, "10.0.0.0/24", "10.0.0.1")
    assert str(pool.allocate("me", parse_address("10.0.0.2"))) == "10.0.0.2"
    assert str(pool.allocate("me")) == "10.0.0.3"
    for text, words in {
        "10.0.0.0": "reserved",
        "10.0.0.1": "reserved",
        "10.0.0.255": "reserved",
        "10.0.1.1": "not belong",
        "fd00::1": "not belong",
        "10.0.0.2": "has it",
    }.items():
        with pytest.raises(EngineError, match=words):
            pool.allocate("you", parse_address(text))
    pool.release(parse_address("10.0.0.2"), "you")  # who does not have it
    assert pool.owner_of(parse_address("10.0.0.2")) == "me"


def test_dead_owners_lose_theirs(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, "10.0.0.0/29")
    for owner in ("dead", "alive", "dead", "dead", "alive", "alive"):
        pool.allocate(owner)
    with pytest.raises(EngineError, match="taken"):
        pool.allocate("new")
    assert str(pool.allocate("new", is_alive=lambda owner: owner == "alive")) == "10.0.0.1"
    assert [pool.owner_of(address) for address in pool.taken()] == ["new", "alive", "alive", "alive"]


def allocate_many(directory: Path, count: int, answers: multiprocessing.Queue[list[str]]) -> None:
    pool = pool_of(directory, "10.0.0.0/22")
    answers.put([str(pool.allocate(str(os.getpid()))) for _ in range(count)])


def test_concurrent_processes_never_get_the_same(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    answers: multiprocessing.Queue[list[str]] = context.Queue()
    workers = [context.Process(target=allocate_many, args=(tmp_path, 1022 // 7, answers)) for _ in range(7)]
    for worker in workers:
        worker.start()
    found = [address for _ in workers for address in answers.get(timeout=60)]
    for worker in workers:
        worker.join(60)
        worker.close()
    answers.close()
    answers.join_thread()
    assert len(set(found)) == len(found) == 1022


def allocate_and_release(directory: Path) -> None:
    pool = pool_of(directory, "10.0.0.0/26")
    while True:
        pool.release(pool.allocate(str(os.getpid())), str(os.getpid()))


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """What a killed owner had comes back, and nothing that another one has is handed out."""
    random.seed(7)
    pool = pool_of(tmp_path, "10.0.0.0/26")
    kept = [pool.allocate("alive") for _ in range(10)]
    for _ in range(100):
        pid = os.fork()
        if pid == 0:
            allocate_and_release(tmp_path)
        time.sleep(random.random() * 0.02)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    rest = [pool.allocate("alive", is_alive=lambda owner: owner == "alive") for _ in range(62 - 10)]
    assert len({*kept, *rest}) == 62
    with pytest.raises(EngineError, match="taken"):
        pool.allocate("alive", is_alive=lambda owner: owner == "alive")


def test_steps_after_which_a_killed_allocation_is_understood(tmp_path: Path) -> None:
    """A lease without its bit: taken. The other way round never comes to be."""
    pool = pool_of(tmp_path, "10.0.0.0/29")
    (tmp_path / "leases").mkdir()
    (tmp_path / "leases" / "10.0.0.1").write_text("me")
    (tmp_path / "leases" / "10.0.0.2").write_text("")
    assert str(pool.allocate("you")) == "10.0.0.3"
    assert pool.reclaim(lambda owner: bool(owner)) == [parse_address("10.0.0.2")]
    assert isinstance(pool.subnet, Subnet)
