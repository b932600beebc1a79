"""A thousand containers: what it costs to list them, beside podman and docker. None of them runs."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from tests.bench.engine import Engine, engines_of_a_host
from tests.bench.wiring import milliseconds, report

MANY, ROUNDS, AT_A_TIME = 1000, 10, 2
LISTS = {"ps -a": ["ps", "-a"], "ps -a -q": ["ps", "-a", "-q"]}


def main() -> None:
    with engines_of_a_host() as engines:
        for engine in engines.values():
            make_many(engine)
        times: dict[str, dict[str, list[float]]] = {name: {} for name in engines}
        for _ in range(ROUNDS):
            for name, engine in engines.items():
                for what, words in LISTS.items():
                    times[name].setdefault(what, []).append(seconds(engine, words))
    rows = [
        {"engine": name, **{f"{what} ms": milliseconds(statistics.median(each)) for what, each in taken.items()}}
        for name, taken in times.items()
    ]
    report("many", f"{MANY} containers listed, {ROUNDS} times, medians", rows, times)


def make_many(engine: Engine) -> None:
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        words = ["create", *engine.flags, "--net", "none", "busybox", "true"]
        for _ in pool.map(lambda _: engine(*words), range(MANY)):
            pass


def seconds(engine: Engine, words: list[str]) -> float:
    """And all of them are there."""
    begin = time.perf_counter()
    said = engine(*words)
    taken = time.perf_counter() - begin
    assert len(said.splitlines()) >= MANY, f"{engine.words}: {len(said.splitlines())} lines"
    return taken


if __name__ == "__main__":
    main()
