"""`python3 -m ch07_practice.counter.load HOST PORT`: ask the counter 5,000 times on 8 connections; is all of it right?

Each number must be given once, from the first to the last: else a request was lost, or two were counted as one.
"""

from __future__ import annotations

import http.client
import sys
from concurrent.futures import ThreadPoolExecutor

REQUESTS, CONNECTIONS = 5000, 8
SECONDS = 60


def ask(host: str, port: int, times: int) -> list[int]:
    """The numbers that so many requests on one connection get. Raises OSError or HTTPException."""
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
    numbers = []
    for _ in range(times):
        connection.request("GET", "/")
        answer = connection.getresponse()
        body = answer.read().decode()
        if answer.status != http.client.OK:
            raise http.client.HTTPException(f"{answer.status} {answer.reason}: {body}")
        numbers.append(int(body))
    connection.close()
    return numbers


def main(host: str, port: str) -> int:
    """The exit code: 0 if nothing was lost."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        shares = pool.map(lambda _: ask(host, int(port), REQUESTS // CONNECTIONS), range(CONNECTIONS))
        numbers = [number for share in shares for number in share]
    distinct = set(numbers)
    missing = max(numbers) - min(numbers) + 1 - len(distinct)
    twice = len(numbers) - len(distinct)
    print(f"{len(numbers)} requests answered, {missing} numbers missing, {twice} given twice")
    return int(missing > 0 or twice > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
