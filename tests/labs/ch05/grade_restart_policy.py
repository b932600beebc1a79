"""Task restart-policy."""

from __future__ import annotations

from tests.labs.checks import Draw, equal
from tests.labs.sandbox import Sandbox

SCRIPT = """
from types import SimpleNamespace
from ch05_lifecycle.watcher import should_restart

answer([
    bool(should_restart(SimpleNamespace(settings={"restart": policy}, is_stopping=lambda: stopping), code, count))
    for policy, stopping, code, count in given["cases"]
])
"""


def wants(sandbox: Sandbox, *cases: tuple[str, bool, int, int]) -> list[bool]:
    """Whether it is restarted, for each policy, whether somebody stops it, exit code, and restarts so far."""
    found: list[bool] = sandbox.ask(SCRIPT, cases=cases)
    return found


def test_always_and_never(sandbox: Sandbox, draw: Draw) -> None:
    """`no` never does; `always` and `unless-stopped` do, whatever the exit code."""
    code, count = draw.randint(1, 255), draw.randint(0, 99)
    policies = ["no", "always", "unless-stopped"]
    cases = [(policy, False, code_of, count) for policy in policies for code_of in (0, code)]
    equal(wants(sandbox, *cases), [False, False, True, True, True, True], "whether it is restarted")


def test_on_failure(sandbox: Sandbox, draw: Draw) -> None:
    """`on-failure` does if the exit code is not 0; with a number, at most so many times."""
    code, most = draw.randint(1, 255), draw.randint(2, 20)
    cases = [("on-failure", 0, 0), ("on-failure", code, 1000), (f"on-failure:{most}", code, most - 1)]
    cases += [(f"on-failure:{most}", code, most), (f"on-failure:{most}", 0, 0)]
    found = wants(sandbox, *((policy, False, code_of, count) for policy, code_of, count in cases))
    equal(found, [False, True, True, False, False], f"whether it is restarted, for {cases}")


def test_somebody_stops_it(sandbox: Sandbox, draw: Draw) -> None:
    """What somebody stops is not restarted, whatever the policy."""
    policies = ["no", "always", "unless-stopped", "on-failure", "on-failure:5"]
    found = wants(sandbox, *((policy, True, draw.randint(1, 255), 0) for policy in policies), ("always", False, 0, 0))
    equal(found, [False] * 5 + [True], "whether it is restarted: five that are stopped, one that is not")
