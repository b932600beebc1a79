"""One record of limits, two cgroup versions: what is refused, and what is written for each."""

from __future__ import annotations

import os
from typing import Any

import pytest

from ch02_namespaces import cgroup_v1, cgroup_v2
from ch02_namespaces.errors import EngineError
from ch02_namespaces.limits import Limits, format_size, parse_size

SIZES = {
    "0": 0,
    "4096": 4096,
    "1b": 1,
    "1k": 1 << 10,
    "64m": 64 << 20,
    "64M": 64 << 20,
    "64mb": 64 << 20,
    "64MiB": 64 << 20,
    "1.5g": 3 << 29,
    "0.5k": 512,
    "2t": 2 << 40,
    ".5m": 1 << 19,
}


@pytest.mark.parametrize(("text", "size"), SIZES.items())
def test_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "m", "64x", "6 4m", "m64", "-1", "-5m", "1e999", "inf", "nan", "5kk", "0x10", "½m", "1,5g"]
)
def test_no_size(text: str) -> None:
    with pytest.raises(EngineError, match="size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (64 << 20, "64 MiB"), (3 << 29, "1.5 GiB"), (5 << 40, "5 TiB")]
)
def test_size_for_people(size: int, text: str) -> None:
    assert format_size(size) == text


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"memory": (6 << 20) - 1}, "6m"),
    ({"memory": 0}, "6m"),
    ({"memory_swap": 64 << 20}, "-m"),
    ({"memory": 64 << 20, "memory_swap": 32 << 20}, "smaller"),
    ({"memory": 64 << 20, "memory_swap": -2}, "smaller"),
    ({"cpu_shares": 1}, "262144"),
    ({"cpu_shares": 262145}, "262144"),
    ({"cpus": 0.0}, "0.01"),
    ({"cpus": 0.009}, "0.01"),
    ({"cpus": float("nan")}, "0.01"),
    ({"cpus": float("inf")}, "0.01"),
    ({"cpus": 100_000}, "machine"),
    ({"pids": 0}, "positive"),
    ({"pids": -2}, "positive"),
    ({"io_weight": 0}, "1000"),
    ({"io_weight": 1001}, "1000"),
]


@pytest.mark.parametrize(("values", "word"), REFUSED)
def test_refused_with_a_reason(values: dict[str, Any], word: str) -> None:
    with pytest.raises(EngineError, match=word):
        Limits(**values)


MEGABYTES = 64 << 20
TABLE: list[tuple[dict[str, Any], list[tuple[str, str, str]], list[tuple[str, str, str]]]] = [
    ({}, [], []),
    (
        {"memory": MEGABYTES},
        [("memory", "memory.limit_in_bytes", "67108864"), ("memory", "memory.memsw.limit_in_bytes", "134217728")],
        [("memory", "memory.max", "67108864"), ("memory", "memory.swap.max", "67108864")],
    ),
    (
        {"memory": MEGABYTES, "memory_swap": MEGABYTES},
        [("memory", "memory.limit_in_bytes", "67108864"), ("memory", "memory.memsw.limit_in_bytes", "67108864")],
        [("memory", "memory.max", "67108864"), ("memory", "memory.swap.max", "0")],
    ),
    (
        {"memory": MEGABYTES, "memory_swap": -1},
        [("memory", "memory.limit_in_bytes", "67108864"), ("memory", "memory.memsw.limit_in_bytes", "-1")],
        [("memory", "memory.max", "67108864"), ("memory", "memory.swap.max", "max")],
    ),
    ({"cpu_shares": 2}, [("cpu", "cpu.shares", "2")], [("cpu", "cpu.weight", "1")]),
    ({"cpu_shares": 1024}, [("cpu", "cpu.shares", "1024")], [("cpu", "cpu.weight", "39")]),
    ({"cpu_shares": 262144}, [("cpu", "cpu.shares", "262144")], [("cpu", "cpu.weight", "10000")]),
    (
        {"cpus": 0.5},
        [("cpu", "cpu.cfs_period_us", "100000"), ("cpu", "cpu.cfs_quota_us", "50000")],
        [("cpu", "cpu.max", "50000 100000")],
    ),
    (
        {"cpus": 0.29},
        [("cpu", "cpu.cfs_period_us", "100000"), ("cpu", "cpu.cfs_quota_us", "29000")],
        [("cpu", "cpu.max", "29000 100000")],
    ),
    (
        {"cpuset_cpus": "0-1", "cpuset_mems": "0"},
        [("cpuset", "cpuset.cpus", "0-1"), ("cpuset", "cpuset.mems", "0")],
        [("cpuset", "cpuset.cpus", "0-1"), ("cpuset", "cpuset.mems", "0")],
    ),
    ({"pids": 20}, [("pids", "pids.max", "20")], [("pids", "pids.max", "20")]),
    ({"pids": -1}, [("pids", "pids.max", "max")], [("pids", "pids.max", "max")]),
    (
        {"read_bps": {"/dev/null": 1000}},
        [("io", "blkio.throttle.read_bps_device", "1:3 1000")],
        [("io", "io.max", "1:3 rbps=1000")],
    ),
    (
        {"write_bps": {"/dev/zero": 5}},
        [("io", "blkio.throttle.write_bps_device", "1:5 5")],
        [("io", "io.max", "1:5 wbps=5")],
    ),
]


@pytest.mark.parametrize(("values", "version_1", "version_2"), TABLE)
def test_settings_of_both_versions(
    values: dict[str, Any], version_1: list[tuple[str, str, str]], version_2: list[tuple[str, str, str]]
) -> None:
    limits = Limits(**values)
    assert list(cgroup_v1.settings(limits)) == version_1
    assert list(cgroup_v2.settings(limits)) == version_2
    named = {controller for controller, _, _ in version_1}
    assert set(limits.controllers()) == named


def test_weight_grows_with_shares_from_1_to_10000() -> None:
    weights = [cgroup_v2.weight_of_shares(shares) for shares in range(2, 262145, 7)]
    assert weights == sorted(weights)
    assert (weights[0], cgroup_v2.weight_of_shares(262144)) == (1, 10000)


def test_all_processors_may_be_asked_for() -> None:
    assert Limits(cpus=os.cpu_count()).cpus == os.cpu_count()
