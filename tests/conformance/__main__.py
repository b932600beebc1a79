"""`python3 -m tests.conformance DIRECTORY`: our OCI runtime beside runc and crun, in the eyes of the validation suite.

DIRECTORY holds opencontainers/runtime-tools, built; final/runtime/README.md says how, and what to think of the answer.
Needs root. Some programs take half a minute until they call a failure one.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ch02_namespaces.output import print_table
from tests.conformance.suite import SECONDS, Runtime, Suite, SuiteError
from tests.support.alone import alone

USUAL = ("mydocker-runtime", "runc", "crun")
COLOURS = {"pass": "green", "fail": "red"}
Results = dict[str, dict[str, str]]
"""By program and by runtime: what is wrong, or nothing."""


def main(words: Sequence[str]) -> int:
    """Run the suite, and print two tables: who passes what, and why not."""
    options = parser().parse_args(words)
    programs = options.runtime or found(USUAL)
    try:
        suite = Suite(options.directory)
    except SuiteError as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 1
    names = options.only or suite.names
    results: Results = {}
    with alone():
        for name in names:
            print(f"{name} ...", file=sys.stderr)
            judged = {runtime.name: suite.judge(name, runtime, options.seconds) for runtime in map(Runtime, programs)}
            results[name] = judged
    print_table(summary(results), colours={Path(program).name: COLOURS for program in programs})
    print()
    print_table(failures(results))
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python3 -m tests.conformance", description=__doc__)
    made.add_argument("directory", type=Path, metavar="DIRECTORY", help="opencontainers/runtime-tools, built")
    made.add_argument(
        "--runtime", action="append", metavar="PROGRAM", help=f"what to judge (default: {' '.join(USUAL)})"
    )
    made.add_argument("--only", action="append", metavar="NAME", help="one program of the suite (default: all)")
    made.add_argument(
        "--seconds", type=float, default=SECONDS, help="the longest that one may take (default: %(default)g)"
    )
    return made


def found(programs: Sequence[str]) -> list[str]:
    """Those that are on this machine; our own lies beside the interpreter."""
    beside = str(Path(sys.executable).parent)
    return [path for program in programs if (path := shutil.which(program, path=beside) or shutil.which(program))]


def summary(results: Results) -> list[dict[str, str]]:
    """A row a program, and the sum."""
    rows = [
        {"program": name, **{runtime: "fail" if why else "pass" for runtime, why in judged.items()}}
        for name, judged in results.items()
    ]
    runtimes = [name for name in (rows[0] if rows else {}) if name != "program"]
    passed = {runtime: sum(row[runtime] == "pass" for row in rows) for runtime in runtimes}
    return [*rows, {"program": "all", **{runtime: f"{count} of {len(rows)}" for runtime, count in passed.items()}}]


def failures(results: Results) -> list[dict[str, str]]:
    """A row for each that has failed, with the first thing that was wrong."""
    return [
        {"program": name, "runtime": runtime, "first failure": " ".join(why.split())[:200]}
        for name, judged in results.items()
        for runtime, why in judged.items()
        if why
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
